"""Graphons that are chosen: what a kernel should be like, and step graphons of a given density whose kernel is so.

A budget of weights can be spent anywhere. The Graphon NTK is differentiable in the densities of its cells, so that
gradient ascent finds where. What is asked for decides what comes out, and the rate of training decides what to ask for:

- at one rate for all masks the loss ½ Σ r²/N falls at first by η rᵀΘr/N² a step: :func:`speed`, scale and all;
- at a rate that is tuned to each mask, N/2λ₁, the scale is lost: the first step is told by :func:`alignment`, many by
  :func:`learned`;
- :func:`top5` asks for concentration, whatever it is on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from .graphon import sample
from .ntk import graphon_ntk

Objective = Callable[[Tensor, Tensor], Tensor]

CELLS, STEPS, RATE = 16, 150, 0.2  # positions of each hidden layer; of Adam, on logits
AFTER = 100  # steps of gradient descent that are looked ahead
WEAK = 3.0  # what a trace below that of the constant graphon costs, in its logarithm
_WIDE = 60.0  # logits beyond this are 0 or 1


def speed(kernel: Tensor, target: Tensor) -> Tensor:
    """ln rᵀΘr, summed over outputs: how fast the loss falls at first, if all masks train at one rate."""
    return (target * (kernel @ target)).sum().log()


def alignment(kernel: Tensor, target: Tensor) -> Tensor:
    """ln rᵀΘr/(λ₁ rᵀr), at most 0: the same if each mask has its own rate N/2λ₁; scale does not matter."""
    return speed(kernel, target) - torch.linalg.eigvalsh(kernel)[-1].log() - target.square().sum().log()


def learned(kernel: Tensor, target: Tensor, steps: int = AFTER) -> Tensor:
    """−ln of the loss ½ Σ r²/N after so many steps of gradient descent on the kernel at the rate N/2λ₁."""
    A = kernel / (2 * torch.linalg.eigvalsh(kernel)[-1])
    r = target
    for _ in range(steps):
        r = r - A @ r
    return -(r.square().sum() / (2 * len(kernel))).log()


def top5(kernel: Tensor, target: Tensor) -> Tensor:
    """ln of the share of the trace in the five largest eigenvalues, at most 0. The target is not looked at."""
    λ = torch.linalg.eigvalsh(kernel)
    return (λ[-5:].sum() / λ.sum()).log()


OBJECTIVES: dict[str, Objective] = {
    "speed": speed,
    "alignment": alignment,
    "learned": learned,
    "top5": top5,
}


@dataclass(frozen=True)
class Design:
    """Graphons ``[K, d]``, ``[K, K]``, …, ``[o, K]`` in which a hidden unit has one position, with the value of the
    objective before each step and at the end."""

    graphons: list[Tensor]
    history: list[float]


def design(
    x: Tensor,
    target: Tensor,
    widths: Sequence[int],
    sparsity: float,
    objective: Objective = speed,
    *,
    cells: int = CELLS,
    steps: int = STEPS,
    seed: int = 0,
) -> Design:
    """Step graphons with the mean density 1 − sparsity over all weights whose kernel scores high on an objective.

    Adam on a logit per cell, from random ones (a constant graphon is a saddle: all positions are alike). The kernel is
    that of infinite width and would not mind a mask of a handful of weights if only relative sizes counted, so a trace
    below that of the constant graphon of equal density has a price.

    Args:
        x: samples ``[N, d]``.
        target: what is to be learned, ``[N, o]``, for instance classes as one-hot rows.
        widths: inputs, hidden widths, outputs of the networks; they say how many weights a layer has.
        sparsity: share of the weights that go, in (0, 1).
        objective: of the kernel ``[N, N]`` and the target, differentiable; one of ``OBJECTIVES`` or any other.
        cells: K of each hidden layer.
        seed: of the first logits.

    Raises ValueError when sizes do not fit.
    """
    if not 0 < sparsity < 1:
        raise ValueError(f"sparsity = {sparsity} is refused: a share in (0, 1) of the weights goes")
    if len(widths) < 3 or widths[0] != x.shape[1]:
        raise ValueError(f"widths must be {x.shape[1]} inputs, hidden ones and outputs, got {list(widths)}")
    if len(target) != len(x) or target.dim() != 2:
        raise ValueError(
            f"the target must be [{len(x)}, o] like the samples, got shape {tuple(target.shape)}"
        )
    x, target = x.double(), target.double()
    K = [widths[0], *[cells] * (len(widths) - 2), widths[-1]]
    sizes = [a * b for a, b in pairwise(widths)]
    flat = [torch.full((b, a), 1 - sparsity, dtype=torch.float64) for a, b in pairwise(K)]
    least = graphon_ntk(flat, x).trace()
    generator = torch.Generator().manual_seed(seed)
    logits = [torch.randn(w.shape, generator=generator, dtype=torch.float64).requires_grad_() for w in flat]
    optimiser = torch.optim.Adam(logits, RATE)
    history: list[float] = []
    for step in range(steps + 1):
        graphons = budgeted(logits, sizes, 1 - sparsity)
        kernel = graphon_ntk(graphons, x)
        value = objective(kernel, target)
        history.append(value.item())
        if step < steps:
            optimiser.zero_grad()
            (WEAK * torch.relu((least / kernel.trace()).log()) - value).backward()
            optimiser.step()
    return Design([w.detach() for w in graphons], history)


def budgeted(logits: Sequence[Tensor], sizes: Sequence[int], density: float) -> list[Tensor]:
    """Densities 1/(1 + e^{−(z + b)}) with the one b for which layers of these sizes have the mean density together.

    b is found by bisection. One step of Newton's from there moves it by nothing, and gives it the gradient of the
    implicit function.
    """
    share = [size / sum(sizes) for size in sizes]

    def mean(b: float | Tensor) -> Tensor:
        return sum(s * torch.sigmoid(z + b).mean() for s, z in zip(share, logits, strict=True))

    with torch.no_grad():
        low, high = -_WIDE, _WIDE
        for _ in range(60):
            b = (low + high) / 2
            low, high = (low, b) if mean(b) > density else (b, high)
        p = [torch.sigmoid(z + b) for z in logits]
        slope = sum(s * (q * (1 - q)).mean() for s, q in zip(share, p, strict=True))
    now = mean(b)
    b = b - (now - now.detach()) / slope
    return [torch.sigmoid(z + b) for z in logits]


def attach(model: nn.Module, graphons: Sequence[ndarray | Tensor], seed: int = 0) -> list[Tensor]:
    """Sample a mask for each linear layer and put it on by :mod:`torch.nn.utils.prune`; a unit has one position.

    Raises ValueError unless there are as many graphons as linear layers.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    if len(layers) != len(graphons):
        raise ValueError(f"{len(graphons)} graphons do not fit {len(layers)} linear layers")
    generator = torch.Generator().manual_seed(seed)
    masks = [sample(W, *layer.weight.shape, generator) for layer, W in zip(layers, graphons, strict=True)]
    for layer, mask in zip(layers, masks, strict=True):
        torch_prune.custom_from_mask(layer, "weight", mask)
    return masks


def best_spectrum(energy: ndarray, trace: float, time: float) -> ndarray:
    """The eigenvalues of a given sum for which gradient flow leaves least of the target: min Σ e_k exp(−2 t λ_k).

    λ_k = max(0, ln(e_k/μ))/(2t), like water that fills a vessel: modes of little energy e_k get nothing, and the less
    time there is, the fewer get any.

    Args:
        energy: e_k > 0 of the target in each mode, ``[N]``.
        trace: Σ λ_k.
        time: t > 0, N absorbed into it.

    Raises ValueError unless all are positive.
    """
    e = np.asarray(energy, float)
    if not (e.size and (e > 0).all() and trace > 0 and time > 0):
        raise ValueError("energies, trace and time must be positive")
    falling = np.sort(np.log(e))[::-1]
    level = (np.cumsum(falling) - 2 * time * trace) / np.arange(1, e.size + 1)  # ln μ if so many get some
    filled = np.flatnonzero(falling > level)[-1]
    return np.clip(np.log(e) - level[filled], 0, None) / (2 * time)
