"""D17: how the noise σ and the rate r₀ act together in p = r₀ |α|/τ · (C_ii + C_jj − 2C_ij), the rule as printed.

Two readings of the covariance: over the d channels of one noisy state H + σξ, or over draws of the noise that passed
the layer. Attention and state stay as they are for K steps, each with fresh noise; w ← w(1 − p), removed below ε.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from flowprune.graphs import Graph, load
from flowprune.pruning.dynamo import Covariance, Dynamo, drawn_covariance, edge_covariance

STEPS = 20  # K
DRAWS = 8  # of the noise in the reading over draws


@dataclass(frozen=True)
class Scene:
    """A linear attention layer: edges (i, j) without loops, attention over τ and signal score of each, all ``[E]``.

    A: attention with loops ``[n, n]``. H: the state ``[n, d]``, mean square 1.
    """

    graph: Graph
    A: Tensor
    H: Tensor
    row: Tensor
    col: Tensor
    weight: Tensor
    signal: Tensor

    @classmethod
    def of(cls, dataset: str, d: int, seed: int) -> Scene:
        """Random projections of the features to d channels, and scaled dot-product attention of random queries."""
        graph, rng = load(dataset).to(dtype=torch.float64), np.random.default_rng(seed)

        def normal(rows: int) -> Tensor:
            return torch.from_numpy(rng.standard_normal((rows, d))) / rows**0.5

        H = graph.features.to_dense() @ normal(graph.num_features)
        H = H / H.square().mean().sqrt()
        looped = graph.with_self_loops().adjacency.to_dense() > 0
        logits = (H @ normal(d)) @ (H @ normal(d)).T / d**0.5
        A = logits.masked_fill(~looped, -torch.inf).softmax(1)
        row, col = graph.edge_index
        rule = Dynamo()
        weight = A[row, col] / rule.threshold(A[row, col])
        return cls(graph, A, H, row, col, weight, rule.score(edge_covariance(H, row, col)))

    @property
    def d(self) -> int:
        """Channels."""
        return self.H.shape[1]


def one_state(scene: Scene, σ: float, rng: np.random.Generator) -> Covariance:
    """Over the channels of H + σξ: one state, as the steps of the source are written."""
    noise = torch.from_numpy(rng.standard_normal(scene.H.shape))
    return edge_covariance(scene.H + σ * noise, scene.row, scene.col)


def over_draws(scene: Scene, σ: float, rng: np.random.Generator) -> Covariance:
    """Over draws of A(H + σξ): the noise has passed the layer, and H is the same in all draws."""
    noise = torch.from_numpy(rng.standard_normal((DRAWS, *scene.H.shape)))
    return drawn_covariance(scene.A @ (scene.H + σ * noise), scene.row, scene.col)


READINGS = {"one state": one_state, "draws": over_draws}


# --- the law of one score ---------------------------------------------------------------------------------------------


def moments(signal: Tensor, σ: float, d: int) -> tuple[Tensor, Tensor]:
    """Exact mean and variance of the score of H + σξ where that of H is ``signal``.

    (d − 1)S/2σ² is a noncentral χ² with d − 1 degrees of freedom: mean s + 2σ², variance 8σ²(σ² + s)/(d − 1).
    """
    return signal + 2 * σ**2, 8 * σ**2 * (σ**2 + signal) / (d - 1)


def turning_point(signal: Tensor, d: int) -> float:
    """σ* at which the noise of a score has as much variance as the signal has over the edges."""
    m, v = signal.mean().item(), signal.var(correction=0).item()
    return (-m / 2 + (m**2 / 4 + v * (d - 1) / 8) ** 0.5) ** 0.5


def likeness(signal: Tensor, σ: float, d: int) -> float:
    """The correlation over edges that a noisy score is expected to have with its signal."""
    v = signal.var(correction=0)
    return (v / (v + moments(signal, σ, d)[1].mean())).sqrt().item()


# --- what is removed --------------------------------------------------------------------------------------------------


def scores(scene: Scene, reading: str, σ: float, rng: np.random.Generator) -> Tensor:
    """The scores of K steps with fresh noise each, ``[K, E]``."""
    covariance = READINGS[reading]
    return torch.stack([Dynamo().score(covariance(scene, σ, rng)) for _ in range(STEPS)])


def mean_scores(scene: Scene, σ: float) -> Tensor:
    """What :func:`scores` of one state is expected to be, the same in every step: ``[K, E]``."""
    return moments(scene.signal, σ, scene.d)[0].expand(STEPS, -1)


def shares(scene: Scene, scores: Tensor, rates: Sequence[float], ε: float) -> np.ndarray:
    """The share of edges removed after K steps for each r₀, with attention as it is: ``scores [K, E]``."""
    unit = scene.weight * scores
    kept = [(1 - (r * unit).clamp(max=1.0)).prod(0) >= ε for r in rates]
    return np.array([1 - k.double().mean().item() for k in kept])


def recalibrated_shares(scene: Scene, scores: Tensor, rates: Sequence[float], ε: float) -> np.ndarray:
    """The same where attention is shared out anew in every step and τ is that of the edges that are left.

    A weakened edge has less attention, which slows its decay, and a lower τ hastens that of all others.
    """
    rule, removed, tiny = Dynamo(floor=ε), [], torch.finfo(scores.dtype).tiny
    α, loop = scene.A[scene.row, scene.col], scene.A.diagonal()
    for r in rates:
        w = torch.ones_like(α)
        for score in scores:
            now = w * α / loop.index_add(0, scene.row, w * α)[scene.row]
            p = r * now / rule.threshold(now, w > 0).clamp_min(tiny) * score
            w = rule.weaken(w, p.clamp(max=1.0))
        removed.append((w == 0).double().mean().item())
    return np.array(removed)


def closed_shares(scene: Scene, σ: float, rates: Sequence[float], ε: float) -> np.ndarray:
    """One state, attention as it is: an edge goes when r₀ |α|/τ (s + 2σ²) exceeds p* = 1 − ε^{1/K}."""
    mean = scene.weight * moments(scene.signal, σ, scene.d)[0]
    return np.array([(r * mean > 1 - ε ** (1 / STEPS)).double().mean().item() for r in rates])


def rate_for(share: float, rates: Sequence[float], removed: np.ndarray) -> float:
    """The r₀ at which this share is removed, between the rates of a grid, on a logarithmic scale."""
    return float(np.exp(np.interp(share, removed, np.log(rates))))


@dataclass(frozen=True)
class Removal:
    """What is removed at several σ and r₀.

    one: by σ the shares measured over one state and those of the closed form. draws: by σ the shares over draws, at
    rates r₀/σ². recalibrated: the largest difference that noise makes to shares with recalibration, against the same
    rule on the mean scores. rates: reading, σ, and the r₀ for the wanted share, ``measured`` and ``closed``.
    """

    one: dict[float, tuple[np.ndarray, np.ndarray]]
    draws: dict[float, np.ndarray]
    recalibrated: float
    rates: pd.DataFrame


def removal(
    scene: Scene, noises: Sequence[float], grid: np.ndarray, wanted: float, ε: float, seed: int
) -> Removal:
    """Both readings at every σ of ``noises`` and every r₀ of ``grid``; fresh noise for each σ."""
    one, draws, worst, rows = {}, {}, 0.0, []
    for k, σ in enumerate(noises):
        rng = np.random.default_rng([seed, k])
        S = scores(scene, "one state", σ, rng)
        one[σ] = shares(scene, S, grid, ε), closed_shares(scene, σ, grid, ε)
        noisy, plain = (recalibrated_shares(scene, x, grid, ε) for x in (S, mean_scores(scene, σ)))
        worst = max(worst, float(np.abs(noisy - plain).max()))
        draws[σ] = shares(scene, scores(scene, "draws", σ, rng), grid / σ**2, ε)
        both = {"one state": (grid, one[σ]), "draws": (grid / σ**2, (draws[σ], draws[noises[0]]))}
        for reading, (r, found) in both.items():
            rows.append((reading, σ, *(rate_for(wanted, r, share) for share in found)))
    return Removal(one, draws, worst, pd.DataFrame(rows, columns=["reading", "σ", "measured", "closed"]))


# --- which share is best? ---------------------------------------------------------------------------------------------


def accuracies(scene: Scene, sign: str, shares: Sequence[float], layers: int, splits: int) -> np.ndarray:
    """Test accuracy by split and share removed ``[splits, shares]``: ``layers`` linear layers, then a ridge regression.

    Without noise. The edges with the largest p go, and attention is shared among those that stay.
    """
    score = Dynamo(sign=sign).score(edge_covariance(scene.H, scene.row, scene.col))
    order = (scene.weight * score).argsort(descending=True)
    target = torch.nn.functional.one_hot(scene.graph.labels).double()
    found = np.zeros((splits, len(shares)))
    for at, share in enumerate(shares):
        gone = order[: round(share * len(order))]
        A = scene.A.clone()
        A[scene.row[gone], scene.col[gone]] = 0
        A = (A / A.sum(1, keepdim=True)).to_sparse_csr()
        X = scene.H
        for _ in range(layers):
            X = A @ X
        X = X - X.mean(0)
        X = torch.cat([X / X.std(), torch.ones(len(X), 1, dtype=torch.float64)], 1)
        for split in range(splits):
            train, test = scene.graph.train[split], scene.graph.test[split]
            gram = X[train].T @ X[train] + torch.eye(X.shape[1], dtype=torch.float64)
            fit = torch.linalg.solve(gram, X[train].T @ target[train])
            right = (X[test] @ fit).argmax(1) == scene.graph.labels[test]
            found[split, at] = right.double().mean()
    return found


def interior(found: np.ndarray) -> bool:
    """Whether some inner share is better than both ends by more than two standard errors: ``[splits, shares]``."""
    better = found[:, 1:-1, None] - found[:, None, [0, -1]]
    error = better.std(0, ddof=1) / len(found) ** 0.5
    return bool((better.mean(0) > 2 * error).all(1).any())
