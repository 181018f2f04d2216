"""Kernels of masked perceptrons of finite width beside the Graphon NTK (W6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from flowprune.experiments.images import Images, batch, missing
from flowprune.experiments.network_rows import short
from flowprune.experiments.perceptrons import CLASSES, OTHER, perceptron, weights
from flowprune.limits import duals
from flowprune.limits.finite import masked_ntk
from flowprune.limits.graphon import sample
from flowprune.limits.ntk import GRID, Counted, graphon_ntk, on_grid
from flowprune.limits.positions import connected, network_graphons, sorted_graphons
from flowprune.pruning.saliency import Method, prune
from flowprune.study.specs import Count, Index, Trial, spec

Family = Literal["constant", "product", "near", "corner"]
FAMILIES: dict[Family, Callable[[Tensor, Tensor], Tensor]] = {
    "constant": lambda u, v: 0.5 + 0 * u * v,
    "product": lambda u, v: 0.1 + 0.8 * u * v,
    "near": lambda u, v: 0.8 * torch.exp(-3 * (u - v).abs()),
    "corner": lambda u, v: 0.1 + 0.8 * ((u < 0.5) & (v < 0.5)).double(),
}
COUNTED: tuple[Counted, ...] = get_args(Counted)
SAMPLES = 24  # whose kernel is compared
SCORED = 256  # images that SNIP and GraSP see


def off(A: Tensor, B: Tensor) -> float:
    """Relative Frobenius distance \\|A − B\\|/\\|B\\|."""
    return float((A - B).norm() / B.norm())


@spec
class WidthTrial(Trial):
    """Networks whose masks are drawn from a graphon, with their kernels beside the Graphon NTK.

    All layers of weights follow the same graphon; unit i of n sits at (i + ½)/n, input pixels and outputs likewise. Per
    count of parameters (kept, all): ``apart_*``, the relative distance of each network's kernel; ``mean_*``, of the
    mean kernel of the networks; ``spread_*``, the root mean square distance of a network's from that mean; ``grid``,
    the change of the limit from ``GRID`` positions to twice as many.
    """

    experiment: ClassVar[str] = "kernel-width"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"mean_kept": 2e-3, "mean_all": 2e-3, "grid": 1e-9}

    graphon: Family
    width: Count
    hidden: Count = 2
    activation: Literal["relu", "erf"] = "relu"
    networks: Count = 30
    seed: Index = 0

    def weight(self) -> float:
        return 1e-7 * self.networks * self.width**2 * self.hidden

    def at(self, K: int, inputs: int) -> list[np.ndarray]:
        """The graphons of all layers on K positions."""
        W = FAMILIES[self.graphon]
        middle = [on_grid(W, K, K)] * (self.hidden - 1)
        return [w.numpy() for w in (on_grid(W, K, inputs), *middle, on_grid(W, CLASSES, K))]

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, trial.measure()

    def measure(self) -> dict[str, Any]:
        x, _ = batch("digits", SAMPLES)
        dual, d = getattr(duals, self.activation), x.shape[1]
        limits = {}
        for c in COUNTED:
            coarse, fine = (
                graphon_ntk([torch.tensor(w) for w in self.at(K, d)], x.double(), dual=dual, counted=c)
                for K in (GRID, 2 * GRID)
            )
            limits[c] = (fine, off(coarse, fine))
        densities = self.at(self.width, d)
        found: dict[Counted, list[Tensor]] = {c: [] for c in COUNTED}
        for seed in range(self.seed, self.seed + self.networks):
            θ = weights(perceptron("digits", self.width, self.hidden, seed))
            generator = torch.Generator().manual_seed(seed)
            masks = [sample(w, *w.shape, generator) for w in densities]
            for c in COUNTED:
                found[c].append(masked_ntk(θ, masks, x, dual=dual, counted=c).double())
        told: dict[str, Any] = {"grid": max(far for _, far in limits.values())}
        for c, (limit, _) in limits.items():
            kernels = torch.stack(found[c])
            mean = kernels.mean(0)
            told[f"apart_{c}"] = short(off(k, limit) for k in kernels)
            told[f"mean_{c}"] = off(mean, limit)
            told[f"spread_{c}"] = float((kernels - mean).norm() / limit.norm() / len(kernels) ** 0.5)
        return told


@spec
class DependenceTrial(Trial):
    """Networks pruned by a rule, whose masks may know the weights, beside the Graphon NTK of their masks.

    For each network, by its kernel in the kept weights: ``own``, with the weights that made the masks; ``fresh``, with
    other weights; ``sampled``, with other weights and masks sampled from the graphons of the masks; relative distances
    to the Graphon NTK of these graphons, in which a unit has one position. ``shuffled`` is ``fresh`` against graphons
    whose masks are sorted one by one. ``size`` is ‖own kernel‖/‖limit‖, ``angle`` the distance of the own kernel after
    the best scaling. ``left``: the share of hidden units with inputs and outputs.
    """

    experiment: ClassVar[str] = "kernel-dependence"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"mean_own": 0.02, "mean_fresh": 0.02}

    method: Method
    width: Count
    sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.8
    hidden: Count = 3
    images: Images = "mnist"
    networks: Count = 10
    seed: Index = 0

    def weight(self) -> float:
        return 1e-6 * self.networks * self.width**2 * self.hidden

    def unavailable(self) -> str | None:
        return missing(self.images)

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            rows = [trial.network(seed) for seed in range(trial.seed, trial.seed + trial.networks)]
            told: dict[str, Any] = {name: short(row[name] for row in rows) for name in rows[0]}
            yield trial, told | {f"mean_{k}": float(np.mean([r[k] for r in rows])) for k in ("own", "fresh")}

    def network(self, seed: int) -> dict[str, float]:
        x, _ = batch(self.images, SAMPLES)
        model = perceptron(self.images, self.width, self.hidden, seed)
        masks = list(
            prune(model, self.method, self.sparsity, *batch(self.images, SCORED, seed), seed=seed).values()
        )
        other = weights(perceptron(self.images, self.width, self.hidden, seed + OTHER))
        graphons, alone = network_graphons(masks, GRID), sorted_graphons(masks, GRID)
        generator = torch.Generator().manual_seed(seed)
        drawn = [sample(w, *m.shape, generator) for w, m in zip(graphons, masks, strict=True)]
        limit, shuffled = (graphon_ntk([torch.tensor(w) for w in g], x.double()) for g in (graphons, alone))
        own, fresh, sampled = (
            masked_ntk(w, m, x).double() for w, m in ((weights(model), masks), (other, masks), (other, drawn))
        )
        cosine = float((own * limit).sum() / own.norm() / limit.norm())
        return {
            "own": off(own, limit),
            "fresh": off(fresh, limit),
            "sampled": off(sampled, limit),
            "shuffled": off(fresh, shuffled),
            "size": float(own.norm() / limit.norm()),
            "angle": (1 - cosine**2) ** 0.5 if cosine < 1 else 0.0,
            "left": connected(masks),
        }
