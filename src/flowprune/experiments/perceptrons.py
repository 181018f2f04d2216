"""The perceptrons that are pruned: of which sizes, what they answer, and how they are trained with Adam."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from flowprune.experiments.images import Images, images
from flowprune.limits.mlp import mlp

CLASSES = 10  # of the images
GAIN = math.sqrt(2)  # of the weights
RATE = 1e-3  # of Adam
OTHER = 10**6  # added to a seed: for weights that a mask does not know


def sizes(name: Images, width: int, hidden: int) -> tuple[int, ...]:
    """Inputs, hidden widths, outputs."""
    return (images(name)[0].shape[1], *[width] * hidden, CLASSES)


def perceptron(name: Images, width: int, hidden: int, seed: int) -> nn.Sequential:
    """The network of this seed for these images."""
    return mlp(sizes(name, width, hidden), seed)


def weights(model: nn.Module) -> list[Tensor]:
    """Plain weights ``[n_l, n_{l-1}]`` of a perceptron without biases, copies, whether they are masked or not."""
    return [p.detach().clone() for p in model.parameters()]


def answers(θ: Sequence[Tensor], x: Tensor) -> Tensor:
    """f(x) ``[N, o]`` of a perceptron of ReLU with these weights."""
    for w in θ[:-1]:
        x = torch.relu(x @ w.T)
    return x @ θ[-1].T


def adam(model: nn.Module, x: Tensor, y: Tensor, steps: int, rate: float = RATE) -> ndarray:
    """Train on one full batch with Adam; the mean cross entropy before and after each step, ``[steps + 1]``."""
    optimiser = torch.optim.Adam(model.parameters(), rate)
    losses = []
    for step in range(steps + 1):
        optimiser.zero_grad()
        loss = cross_entropy(model(x), y)
        losses.append(loss.item())
        if step < steps:
            loss.backward()
            optimiser.step()
    return np.array(losses)
