"""Masks that are sampled from designed graphons, trained beside masks of pruning rules (W14)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from numpy import ndarray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

from flowprune.experiments.images import Images, images, missing
from flowprune.experiments.network_rows import short
from flowprune.experiments.perceptrons import CLASSES, GAIN, OTHER, adam, answers, sizes, weights
from flowprune.experiments.pruned_training import ANSWERS_NOTHING, SCORED, TOLD, descend
from flowprune.limits.design import CELLS, OBJECTIVES, STEPS, attach, design
from flowprune.limits.mlp import mlp
from flowprune.limits.ntk import GRID, graphon_ntk
from flowprune.limits.positions import network_graphons
from flowprune.limits.spectrum import metrics
from flowprune.pruning.saliency import prune
from flowprune.study.specs import Count, Trial, spec

Asked = Literal["speed", "alignment", "learned", "top5"]
Rule = Literal["random", "snip", "synflow"]
Method = Literal[
    "random", "snip", "synflow", "synflow graphon", "narrow", "speed", "alignment", "learned", "top5"
]
DESIGNS: tuple[Asked, ...] = get_args(Asked)
RULES: tuple[Rule, ...] = get_args(Rule)
METHODS: tuple[Method, ...] = get_args(Method)
HELD_OUT = 400  # the last images: no network, score or design sees them
SEEN = 128  # images that a design sees
LEAST = 1e-30  # a slope that is told as this is none: the network answers zero to every image


def pool(name: Images, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """A random batch of the images that are not held out. Raises ValueError for more than there are."""
    x, y = images(name)
    if size > len(x) - HELD_OUT:
        raise ValueError(f"{name} has {len(x) - HELD_OUT} images to train on, not {size}")
    chosen = torch.randperm(len(x) - HELD_OUT, generator=torch.Generator().manual_seed(seed))[:size]
    return x[chosen], y[chosen]


def accuracy(model: nn.Module, name: Images) -> float:
    """On the images that are held out."""
    x, y = (part[-HELD_OUT:] for part in images(name))
    with torch.no_grad():
        return float((model(x).argmax(1) == y).double().mean())


def seen(name: Images) -> tuple[Tensor, Tensor]:
    """The images that designs see, and their classes as one-hot rows, float64."""
    x, y = pool(name, SEEN, OTHER)
    return x.double(), one_hot(y, CLASSES).double()


@cache
def designed(
    objective: Asked, sparsity: float, widths: tuple[int, ...], name: Images, cells: int, steps: int
) -> tuple[Tensor, ...]:
    """The graphons of a design; computed once."""
    x, y = seen(name)
    return tuple(design(x, y, widths, sparsity, OBJECTIVES[objective], cells=cells, steps=steps).graphons)


def narrow(widths: Sequence[int], sparsity: float) -> list[Tensor]:
    """Graphons of the network without sparse layers: of each hidden layer the first m units, all connected.

    m is the least for which there are as many weights as are to be kept; the surplus is taken off by chance.
    """
    shapes = [(b, a) for a, b in pairwise(widths)]
    kept = (1 - sparsity) * sum(a * b for a, b in shapes)
    for m in range(1, max(widths) + 1):
        sides = [widths[0], *[m] * (len(widths) - 2), widths[-1]]
        count = sum(a * b for a, b in pairwise(sides))
        if count >= kept:
            break
    found = []
    for (rows, columns), (a, b) in zip(shapes, pairwise(sides), strict=True):
        W = torch.zeros(rows, columns, dtype=torch.float64)
        W[:b, :a] = kept / count
        found.append(W)
    return found


@spec
class DesignedTrial(Trial):
    """Train ``networks`` perceptrons of seeds ``seed``, ``seed`` + 1, … whose masks come from one method.

    Networks of equal seed have equal weights and see equal images. Methods: random, snip and synflow prune them;
    "synflow graphon" samples a mask from the step graphons of the network's own SynFlow mask; "narrow" connects a few
    units with each other; speed, alignment, learned and top5 sample from a graphon that was designed for that objective
    (:mod:`flowprune.limits.design`) on ``SEEN`` images. Sampled masks have their number of weights in the mean.

    Lists over networks: ``kept`` (share of weights), ``adam`` and ``tuned`` (mean over all steps after the first of
    ln(loss of the answer zero/loss), with Adam and with gradient descent at the rate N/2λ₁, see
    :class:`~flowprune.experiments.pruned_training.PrunedTrainingTrial`), ``predicted`` (the same by the kernel at the
    start), ``accuracy`` (held out, after Adam), ``slope`` (ln of −dL/dt at the start in gradient flow at rate one, of
    ½ mean |f − f₀ − y|²). ``curve_`` of adam, tuned and predicted: means at the steps ``TOLD``, and ``error_``, their
    standard errors. Of the graphons of the first network: ``graphon_`` 0, 1, … (flat, in thousandths, ``cells``
    positions), ``density_``, and of their kernel on the images that designs see ``said_`` of each objective, ``rank``,
    ``gap``, ``top5`` and ``trace``.
    """

    experiment: ClassVar[str] = "designed"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"mean_adam": 0.05, "mean_tuned": 0.01, "mean_accuracy": 0.01}

    method: Method
    sparsity: Annotated[float, Field(gt=0, lt=1)]
    images: Images = "digits"
    width: Annotated[int, Field(ge=2)] = 256
    hidden: Count = 3
    samples: Count = 512
    steps: Annotated[int, Field(ge=1, le=TOLD[-1])] = 200
    networks: Annotated[int, Field(ge=2)] = 12
    seed: Annotated[int, Field(ge=0)] = 0
    cells: Count = CELLS
    searched: Count = STEPS

    def weight(self) -> float:
        return 1e-6 * self.networks * self.samples * self.hidden * self.width**2

    def unavailable(self) -> str | None:
        return missing(self.images)

    @property
    def widths(self) -> tuple[int, ...]:
        return sizes(self.images, self.width, self.hidden)

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, trial.measure()

    def measure(self) -> dict[str, Any]:
        values: dict[str, list[float]] = {}
        curves: dict[str, list[ndarray]] = {}
        for seed in range(self.seed, self.seed + self.networks):
            model, masks = self.pruned(seed)
            if seed == self.seed:
                told = self.looks(masks)
            for name, value in self.trained(model, masks, seed).items():
                if isinstance(value, ndarray):
                    curves.setdefault(name, []).append(value)
                    value = float(value[1:].mean())
                values.setdefault(name, []).append(value)
        steps = [t for t in TOLD if t <= self.steps]
        for name, found in curves.items():
            part = np.stack(found)[:, steps]
            told[f"curve_{name}"] = short(part.mean(0))
            told[f"error_{name}"] = short(part.std(0, ddof=1) / math.sqrt(len(part)))
        told |= {name: short(found) for name, found in values.items()}
        return told | {f"mean_{n}": float(np.mean(values[n])) for n in ("adam", "tuned", "accuracy")}

    def pruned(self, seed: int) -> tuple[nn.Sequential, list[Tensor]]:
        """The network of this seed with its masks."""
        model = mlp(self.widths, seed)
        x, y = pool(self.images, min(SCORED, self.samples), seed)
        if self.method in RULES:
            return model, list(prune(model, self.method, self.sparsity, x, y, seed=seed).values())
        if self.method == "narrow":
            graphons: Sequence[Any] = narrow(self.widths, self.sparsity)
        elif self.method == "synflow graphon":
            masks = prune(mlp(self.widths, seed), "synflow", self.sparsity, seed=seed)
            graphons = network_graphons(list(masks.values()), min(GRID, self.width))
        else:
            graphons = self.designed()
        return model, attach(model, graphons, seed)

    def designed(self) -> tuple[Tensor, ...]:
        """The graphons of a design, from which every network samples its masks."""
        return designed(self.method, self.sparsity, self.widths, self.images, self.cells, self.searched)

    def looks(self, masks: list[Tensor]) -> dict[str, Any]:
        """The graphons of the first network, or of the design, and what their kernel is like."""
        if self.method in DESIGNS:
            graphons = list(self.designed())
        else:
            graphons = [torch.as_tensor(W) for W in network_graphons(masks, self.cells)]
        told: dict[str, Any] = {}
        for number, W in enumerate(graphons):
            told[f"graphon_{number}"] = (1e3 * W).round().int().flatten().tolist()
            told[f"density_{number}"] = float(W.mean())
        x, y = seen(self.images)
        kernel = graphon_ntk(graphons, x)
        told |= {f"said_{name}": float(f(kernel, y)) for name, f in OBJECTIVES.items()}
        shape = metrics(kernel)
        return told | {k: shape[k] for k in ("rank", "gap", "top5")} | {"trace": float(kernel.trace())}

    def trained(self, model: nn.Sequential, masks: list[Tensor], seed: int) -> dict[str, float | ndarray]:
        """What is told of one network: numbers, and curves of ln(loss of the answer zero/loss)."""
        x, y = pool(self.images, self.samples, seed)
        θ = weights(model)
        tuned, predicted = self.tuned(θ, masks, x, y, seed)
        slope = start_slope(θ, masks, x, y)
        by_adam = adam(model, x, y, self.steps)
        return {
            "adam": math.log(ANSWERS_NOTHING["adam"]) - np.log(by_adam),
            "tuned": math.log(ANSWERS_NOTHING["gd"]) - np.log(tuned),
            "predicted": math.log(ANSWERS_NOTHING["gd"]) - np.log(predicted),
            "accuracy": accuracy(model, self.images),
            "slope": math.log(max(slope, LEAST)),
            "kept": sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks),
        }

    def tuned(
        self, θ: list[Tensor], masks: list[Tensor], x: Tensor, y: Tensor, seed: int
    ) -> tuple[ndarray, ndarray]:
        """Losses at the rate N/2λ₁, measured and predicted, with answers scaled to those before pruning.

        A network that answers zero to every image has no such rate, and learns nothing.
        """
        before = answers(weights(mlp(self.widths, seed)), x).square().mean()
        after = answers([w * m for w, m in zip(θ, masks, strict=True)], x).square().mean()
        if not after:
            return (nothing := np.full(self.steps + 1, ANSWERS_NOTHING["gd"])), nothing
        scale = float(before / after) ** (0.5 / len(masks))
        return descend([scale * w for w in θ], masks, x, y, self.steps, scale * GAIN)


def start_slope(first: Sequence[Tensor], masks: Sequence[Tensor], x: Tensor, y: Tensor) -> float:
    """−dL/dt at the start of gradient flow in parameters of size one: Σ g²/fan-in |∂L/∂w|² over the kept weights.

    L = ½ mean |f − f₀ − y|² with one-hot y; by the chain rule it is yᵀΘy/N² with the kernel Θ of the network over all
    samples and outputs, in which different outputs have nothing in common as the width grows.
    """
    θ = [(w * m).requires_grad_() for w, m in zip(first, masks, strict=True)]
    f = answers(θ, x)
    loss = (f - f.detach() - one_hot(y, CLASSES)).square().sum() / (2 * len(x))
    g = torch.autograd.grad(loss, θ)
    return sum(GAIN**2 / m.shape[1] * float((d * m).square().sum()) for d, m in zip(g, masks, strict=True))
