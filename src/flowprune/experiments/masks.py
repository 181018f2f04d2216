"""Perceptrons that are pruned at initialisation, and the graphons of their masks (W1 to W5, W11, W13)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy import ndarray
from pydantic import Field
from scipy.sparse.linalg import svds
from torch import Tensor

from flowprune.experiments.images import Images, batch, missing
from flowprune.experiments.network_rows import brief, short
from flowprune.experiments.perceptrons import perceptron
from flowprune.limits.cut_norm import cut_norm_bounds
from flowprune.limits.estimators import (
    block_average,
    singular_value_threshold,
    smooth_average,
    split_average,
)
from flowprune.limits.factors import factorise
from flowprune.limits.graphon import (
    average,
    by_degree,
    degree_part,
    dense,
    l2,
    singular_values,
    sorted_average,
    stretch,
)
from flowprune.limits.null import erdos_renyi, same_degrees
from flowprune.pruning.saliency import Method, collapsed, prune, scores
from flowprune.study.specs import Count, Index, Trial, spec

NULL = "erdos-renyi"
K, PICTURE, COARSE = 64, 32, 8  # cells a side: of estimates, of the mean that is drawn, of what is compared
LEADING = 4  # singular values that are stored
FACTORED = 2  # networks whose scores are factorised
ESTIMATORS: dict[str, Callable[[ndarray, int], ndarray]] = {
    "sorted": sorted_average,
    "split": split_average,
    "blocks": block_average,
    "smooth": smooth_average,
    "threshold": singular_value_threshold,
}
CHEAP = ("sorted", "split")  # of every network; the others of the first ``examined`` alone


class Pruned(NamedTuple):
    """One pruned network: hidden-to-hidden masks, kept shares of the input and the output layer, its empty layers, and
    the scores of its dense layers with the threshold that each had to pass."""

    masks: list[ndarray]
    ends: tuple[float, float]
    collapsed: int
    scores: list[tuple[Tensor, float]]


@spec
class MaskTrial(Trial):
    """Prune ``networks`` perceptrons of seeds ``seed``, ``seed`` + 1, … and look at the masks between hidden layers.

    A network has ``hidden`` hidden layers of one width, so hidden + 1 weight layers and hidden − 1 masks here; those of
    the input and of the output layer are left out. Each sees its own batch of ``samples`` images. The method
    "erdos-renyi" draws masks of the same number of edges without any network.

    Results of the mask after hidden layer l carry ``_l``. By estimator (sorted, split, blocks, smooth, threshold), on
    8 × 8 cells: ``mean_`` (mean step graphon, flat, in ten-thousandths; that of sorted has 32 × 32 cells and is in
    thousandths), ``spread_`` (root of the mean variance of a cell between networks), ``sway_`` (largest standard
    deviation in any direction), ``constant_`` (of every network, L2 distance to its own density). On 64 × 64 cells, for
    every network: ``density_``, ``fine_`` (L2 distance to it), ``gradient_`` (L2 norm of both sorted degree profiles
    around it), ``rest_`` (leading singular value without the degree part). Means over networks or pairs: ``apart_l1_``,
    ``apart_l2_``, ``cut_lower_``, ``cut_upper_`` (cut norm of a network minus the others' mean), ``singular_``,
    ``singular_rest_``, ``dead_rows_``, ``dead_columns_``. Of the first ``examined`` networks: ``operator_``
    (‖mask − mean graphon‖₂ / width), ``rest_null_`` and ``beyond_`` (leading singular value without degrees of a random
    mask of the same degrees, and L2 distance to it). Of the first two, from the scores before pruning: ``share_``
    (rank-one share of log scores), ``predicted_`` (L2 error of the predicted graphon), ``heterogeneous_`` (its distance
    from its own density).
    """

    experiment: ClassVar[str] = "masks"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"mean_density": 0.002, "mean_constant": 0.01}

    method: Method | Literal["erdos-renyi"]
    width: Annotated[int, Field(ge=2)]
    hidden: Annotated[int, Field(ge=2)] = 3
    sparsity: Annotated[float, Field(gt=0, lt=1)] = 0.9
    images: Images = "digits"
    networks: Annotated[int, Field(ge=2)] = 30
    seed: Index = 0
    budget: Literal["global", "layerwise"] = "global"
    samples: Count = 128
    examined: Annotated[int, Field(ge=2)] = 3

    def weight(self) -> float:
        return (
            1e-6 * self.networks * self.width**2 * (self.hidden - 1) * (9 if self.method == "synflow" else 1)
        )

    def unavailable(self) -> str | None:
        return None if self.method == NULL else missing(self.images)

    def pruned(self, network: int) -> Pruned:
        """The network of this number, pruned."""
        seed, n, count = self.seed + network, self.width, self.hidden - 1
        if self.method == NULL:
            edges = round((1 - self.sparsity) * n**2)
            masks = [dense(erdos_renyi(n, n, edges, 1000 * seed + i)) for i in range(count)]
            return Pruned(masks, (1.0, 1.0), 0, [])
        x, y = batch(self.images, self.samples, seed)
        net = perceptron(self.images, n, self.hidden, seed)
        told = self._thresholds(scores(net, self.method, x, y, seed=seed)) if network < FACTORED else []
        found = list(prune(net, self.method, self.sparsity, x, y, seed=seed, budget=self.budget).values())
        ends = float(found[0].double().mean()), float(found[-1].double().mean())
        return Pruned([dense(m) for m in found[1:-1]], ends, len(collapsed(net)), told)

    def _thresholds(self, found: dict[str, Tensor]) -> list[tuple[Tensor, float]]:
        """Scores between hidden layers, each with the least that is kept if all weights go in one step."""
        layers = list(found.values())
        together = self.budget == "global"
        τ = [self._least(layers)] * len(layers) if together else list(map(self._least, zip(layers)))
        return list(zip(layers, τ, strict=True))[1:-1]

    def _least(self, parts: Sequence[Tensor]) -> float:
        s = torch.cat([part.flatten() for part in parts])
        kept = s.topk(round((1 - self.sparsity) * len(s)), sorted=False).values
        return float(kept.min()) if len(kept) else math.inf

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, measured(trial)


class Layer:
    """What is gathered of one mask over the networks of a trial."""

    def __init__(self) -> None:
        self.pictures: dict[str, list[ndarray]] = {name: [] for name in ESTIMATORS}  # K × K
        self.values: dict[str, list[float]] = {}
        self.singular: list[ndarray] = []
        self.examined: list[ndarray] = []

    def note(self, **values: float) -> None:
        """Write down values of one network."""
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def look(self, M: ndarray, examine: bool, seed: int) -> None:
        """Take in a mask; with everything that is costly if it is to be examined."""
        p = M.mean()
        for name, estimate in ESTIMATORS.items():
            if name in CHEAP or examine:
                W = estimate(M, K)
                self.pictures[name].append(W)
                self.note(**{f"constant_{name}": l2(average(W, COARSE), p)})
        W = self.pictures["sorted"][-1]
        rest = singular_values(W - degree_part(W))[:LEADING]
        self.singular.append(np.stack([singular_values(W)[:LEADING], rest]))
        self.note(
            density=p,
            fine=l2(W, p),
            rest=rest[0],
            gradient=np.sqrt(np.square(W.mean(1) - p).mean() + np.square(W.mean(0) - p).mean()),
            dead_rows=1 - M.any(1).mean(),
            dead_columns=1 - M.any(0).mean(),
        )
        if examine:
            self.examined.append(M[by_degree(M)][:, by_degree(M.T)].astype(bool))
            other = sorted_average(same_degrees(M, seed), K)
            null = singular_values(other - degree_part(other))[0]
            self.note(rest_null=null, beyond=l2(W, other))

    def factor(self, scores: Tensor, τ: float) -> None:
        """Take in the prediction by the factorised model for the mask that was looked at last."""
        if not scores.any():
            return
        found = factorise(scores)
        W = found.graphon(τ, K)
        error = l2(W, self.pictures["sorted"][-1])
        self.note(share=found.share, predicted=error, heterogeneous=l2(W, W.mean()))

    def told(self) -> dict[str, Any]:
        """The results of this layer, see :class:`MaskTrial`."""
        H = np.stack(self.pictures["sorted"])
        mean, R = H.mean(0), len(H)
        bounds = np.array([cut_norm_bounds((W - mean) * R / (R - 1)) for W in H]).mean(0)
        pairs = [np.abs(H[r + 1 :] - H[r]).mean((1, 2)) for r in range(R - 1)]
        means = {name: self.values.pop(name) for name in ("dead_rows", "dead_columns")}
        result = {name: short(values) for name, values in self.values.items()}
        result |= {name: brief(np.mean(values)) for name, values in means.items()}
        for name, pictures in self.pictures.items():
            result |= moments(name, np.stack(pictures))
        singular, rest = np.mean(self.singular, 0)
        return result | {
            "apart_l1": brief(np.concatenate(pairs).mean()),
            "apart_l2": brief(np.sqrt(2 * H.var(0, ddof=1).mean())),
            "cut_lower": brief(bounds[0]),
            "cut_upper": brief(bounds[1]),
            "singular": short(singular),
            "singular_rest": short(rest),
            "operator": short([operator_distance(M, mean) for M in self.examined]),
        }


def moments(name: str, H: ndarray) -> dict[str, Any]:
    """Mean, spread and sway of the step graphons ``[R, K, K]`` of an estimator, see :class:`MaskTrial`."""
    cells, unit = (PICTURE, 1e3) if name == "sorted" else (COARSE, 1e4)
    mean = average(H.mean(0), cells)
    H = np.stack([average(W, COARSE) for W in H])
    off = (H - H.mean(0)).reshape(len(H), -1) / COARSE  # of L2 norm
    return {
        f"mean_{name}": (unit * mean).round().astype(int).ravel().tolist(),
        f"spread_{name}": brief(np.sqrt(H.var(0, ddof=1).mean())),
        f"sway_{name}": brief(np.linalg.norm(off, 2) / np.sqrt(len(H) - 1)),
    }


def operator_distance(M: ndarray, W: ndarray) -> float:
    """‖M − W‖₂ over the size of a mask that is sorted: no cut norm of the difference is larger."""
    off = M - stretch(W, *M.shape)
    if not off.any():
        return 0.0
    start = np.random.default_rng(0).standard_normal(min(off.shape))
    return float(svds(off, 1, v0=start, return_singular_vectors=False)[0] / np.sqrt(off.size))


def measured(trial: MaskTrial) -> dict[str, Any]:
    """What is stored of a trial, see :class:`MaskTrial`."""
    layers = [Layer() for _ in range(trial.hidden - 1)]
    ends, empty = [], 0
    for network in range(trial.networks):
        one = trial.pruned(network)
        for layer, M in zip(layers, one.masks, strict=True):
            layer.look(M, network < trial.examined, trial.seed + network)
        for layer, (s, τ) in zip(layers, one.scores, strict=False):
            layer.factor(s, τ)
        ends.append(one.ends)
        empty += one.collapsed
    told = [layer.told() for layer in layers]
    result = {f"{name}_{i}": value for i, found in enumerate(told, 1) for name, value in found.items()}
    return result | {
        "kept_input": brief(np.mean(ends, 0)[0]),
        "kept_output": brief(np.mean(ends, 0)[1]),
        "collapsed": empty,
        "mean_density": brief(np.mean([found["density"] for found in told])),
        "mean_constant": brief(np.mean([found["constant_sorted"] for found in told])),
    }
