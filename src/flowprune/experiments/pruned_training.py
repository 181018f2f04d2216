"""Perceptrons that are pruned before they are trained, beside the kernels that should tell how (W8 to W10)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy import ndarray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

from flowprune.experiments.images import Images, batch, missing
from flowprune.experiments.network_rows import brief
from flowprune.experiments.perceptrons import (
    CLASSES,
    GAIN,
    OTHER,
    adam,
    answers,
    perceptron,
    weights,
)
from flowprune.limits.finite import masked_ntk
from flowprune.limits.ntk import GRID, graphon_ntk
from flowprune.limits.positions import connected, network_graphons
from flowprune.limits.spectrum import metrics, predicted_loss
from flowprune.pruning.saliency import Method, collapsed, prune
from flowprune.study.specs import Count, Trial, spec

SCORED = 256  # images of the batch that scores with data see
PROBED = 128  # images of the batch whose kernels are looked at
EARLY = 50  # steps that count as early
TOLD = (*range(11), *range(12, 30, 2), *range(30, 60, 5), *range(60, 1001, 10))  # steps whose loss is stored
RANKS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 45, 64, 90, 128)  # of eigenvalues that are stored
KERNELS = ("own", "fresh", "graphon")
METRICS = ("decay", "rank", "gap", "top5")
ANSWERS_NOTHING = {"adam": math.log(CLASSES), "gd": 0.5}  # the loss of the network that answers zero


@spec
class PrunedTrainingTrial(Trial):
    """Prune one perceptron, look at its kernels, and train what is left on one full batch.

    Networks of equal seed have equal weights and see equal images, whatever prunes them.

    - "adam": rate 1e-3 on the plain weights, mean cross entropy, as in the paper;
    - "gd": gradient descent on the squared distance of f − f₀ to the one-hot label, halved and averaged, with f₀ the
      answers at the start, so that all start from nothing; in parameters of size one (rate η·g²/fan-in of each layer),
      with η = N/2λ₁ and λ₁ the largest eigenvalue of the kernel of all N images, so that a step halves what is missing
      of its first mode. All weights are scaled by one factor that makes the answers as large as before pruning; this
      multiplies the kernel of a network of ReLU by a constant, and changes no metric.

    Results: ``curve``, the loss at the steps ``TOLD``, from which ``speed`` = ln(loss of the answer zero/loss after 50
    steps) and ``area``, the mean of ln(loss of the answer zero/loss) over all steps after the first; with "gd"
    ``predicted`` and ``predicted_speed``, the same by gradient descent on the kernel at the start. ``decay_``,
    ``rank_``, ``gap_``, ``top5_`` (see :func:`~flowprune.limits.spectrum.metrics`) and ``spectrum_`` (shares of the
    trace at the ranks ``RANKS``) of three kernels of 128 images: ``own`` (masks and the weights that made them),
    ``fresh`` (the same masks, other weights), ``graphon`` (the Graphon NTK of the masks, a unit having one position).
    ``left``: share of hidden units with inputs and outputs; ``collapsed``: layers without weights.
    """

    experiment: ClassVar[str] = "pruned-training"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {
        "speed": 0.05,
        "area": 0.05,
        "top5_own": 1e-3,
        "top5_graphon": 1e-3,
    }

    method: Method
    sparsity: Annotated[float, Field(ge=0, lt=1)]
    images: Images = "digits"
    width: Count = 256
    hidden: Count = 4
    optimiser: Literal["adam", "gd"] = "adam"
    samples: Annotated[int, Field(ge=PROBED)] = 1024
    steps: Annotated[int, Field(ge=EARLY, le=TOLD[-1])] = 200
    seed: Annotated[int, Field(ge=0)] = 0

    def weight(self) -> float:
        return 1e-9 * self.samples * self.steps * self.hidden * self.width**2

    def unavailable(self) -> str | None:
        return missing(self.images)

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, trial.measure()

    def network(self, seed: int) -> nn.Sequential:
        """The network before it is pruned, from any seed."""
        return perceptron(self.images, self.width, self.hidden, seed)

    def measure(self) -> dict[str, Any]:
        x, y = batch(self.images, self.samples, self.seed)
        model = self.network(self.seed)
        before = float(model(x).detach().square().mean())
        masks = prune(model, self.method, self.sparsity, x[:SCORED], y[:SCORED], seed=self.seed).values()
        masks, θ = list(masks), weights(model)
        told = self.kernels(θ, masks, x[:PROBED])
        told["left"] = brief(connected(masks))
        told["collapsed"] = len(collapsed(model))
        if self.optimiser == "adam":
            losses = adam(model, x, y, self.steps)
        else:
            scale = (before / float(model(x).detach().square().mean())) ** (0.5 / len(masks))
            losses, predicted = descend([scale * w for w in θ], masks, x, y, self.steps, scale * GAIN)
            told |= {"predicted": self.told(predicted), "predicted_speed": self.ahead(predicted)[EARLY - 1]}
        ahead = self.ahead(losses)
        return told | {"curve": self.told(losses), "speed": ahead[EARLY - 1], "area": float(np.mean(ahead))}

    def kernels(self, own: list[Tensor], masks: list[Tensor], x: Tensor) -> dict[str, Any]:
        """Metrics and spectra of the three kernels."""
        limit = [torch.as_tensor(W) for W in network_graphons(masks, GRID)]
        found = {
            "own": masked_ntk(own, masks, x),
            "fresh": masked_ntk(weights(self.network(self.seed + OTHER)), masks, x),
            "graphon": graphon_ntk(limit, x.double()),
        }
        told: dict[str, Any] = {}
        for name, kernel in found.items():
            if not kernel.trace() > 0:
                raise ValueError(f"the kernel {name} is zero: the pruned network answers zero to every image")
            λ = torch.linalg.eigvalsh(kernel.double()).flip(0)
            told |= {f"{metric}_{name}": brief(value) for metric, value in metrics(kernel).items()}
            told[f"spectrum_{name}"] = [brief(λ[k - 1] / λ.sum()) for k in RANKS]
        return told

    def told(self, losses: ndarray) -> list[float]:
        """Those losses that are stored."""
        return [brief(losses[t]) for t in TOLD if t <= self.steps]

    def ahead(self, losses: ndarray) -> list[float]:
        """How far ln(loss) is below that of the answer zero, after each step."""
        return (math.log(ANSWERS_NOTHING[self.optimiser]) - np.log(losses[1:])).tolist()


def descend(
    first: list[Tensor], masks: list[Tensor], x: Tensor, y: Tensor, steps: int, gain: float
) -> tuple[ndarray, ndarray]:
    """Train f − f(start) by gradient descent in parameters of size one, η = N/2λ₁: losses, measured and predicted.

    Args:
        first: plain weights, whose parameters of size one are weight·√fan-in/gain.
        masks: of equal shapes.
    """
    N, target = len(x), one_hot(y, CLASSES).to(x)
    kernel = masked_ntk(first, masks, x, gain=gain).double()
    η = N / 2 / float(torch.linalg.eigvalsh(kernel)[-1])
    predicted = predicted_loss(kernel, target.double(), η, torch.arange(steps + 1)).numpy()
    rates = [η * gain**2 / w.shape[1] for w in first]
    θ = [(w * m).requires_grad_() for w, m in zip(first, masks, strict=True)]
    losses: list[float] = []
    for step in range(steps + 1):
        f = answers(θ, x)
        if step == 0:
            start = f.detach()
        loss = (f - start - target).square().sum() / (2 * N)
        losses.append(loss.item())
        if step < steps:
            with torch.no_grad():
                for w, m, r, g in zip(θ, masks, rates, torch.autograd.grad(loss, θ), strict=True):
                    w -= r * g * m
    return np.array(losses), predicted
