"""D4: what pruning does to the spectrum of a linear attention layer, and to the covariance of what leaves it.

J = A ⊗ Wᵀ has the products of eigenvalues of A and W as its spectrum, and pruning touches A alone. So W = I here. A
pruned layer is A(1 − p) entry by entry, or the same with every row summing to one again (recalibration).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from flowprune.dynamics.oversmoothing import coefficient
from flowprune.experiments.theory.instances import Finding, instances
from flowprune.experiments.theory.noise import walk
from flowprune.graphs import Graph
from flowprune.pruning.dynamo import Dynamo, edge_covariance

SIGNS = ("minus", "plus", "correlation")
SLACK = 1e-9  # an inequality broken by less is not called broken
NOISE = 0.05


@dataclass(frozen=True)
class Layer:
    """Attention A ``[n, n]``, row-stochastic; strengths p ``[n, n]``, zero on the diagonal; a state X ``[n, d]``; β."""

    A: Tensor
    p: Tensor
    X: Tensor
    β: float = 1.0

    @property
    def edges(self) -> Tensor:
        """Which entries are edges: all but the diagonal, ``[n, n]`` bool."""
        return (self.A > 0) & ~torch.eye(len(self.A), dtype=torch.bool)

    @property
    def strength(self) -> float:
        """The p of the lemmas: the mean over edges."""
        return self.p[self.edges].mean().item()

    def pruned(self, recalibrated: bool) -> Tensor:
        """What is left of A, ``[n, n]``; rows sum to one if recalibrated."""
        left = self.A * (1 - self.p)
        return left / left.sum(1, keepdim=True) if recalibrated else left


def even(graph: Graph, loop: float = 1.0) -> Tensor:
    """Attention in proportion to the edge weights, with a loop of this weight at each node: a reversible walk."""
    weights = graph.adjacency.to_dense() + loop * torch.eye(graph.n, dtype=torch.float64)
    return weights / weights.sum(1, keepdim=True)


def state(A: Tensor, rng: np.random.Generator) -> Tensor:
    """Random features after 0, 1 or 4 layers or in the over-smoothed end, all with a little noise: ``[n, n]``."""
    X = torch.from_numpy(rng.standard_normal((len(A), len(A))))
    age = int(rng.integers(4))
    X = X[:1].expand_as(X) if age == 3 else torch.linalg.matrix_power(A, (0, 1, 4)[age]) @ X
    return X + NOISE * torch.from_numpy(rng.standard_normal(X.shape))


def layer(graph: Graph, rng: np.random.Generator, sign: str) -> Layer:
    """One step of DYNAMO's rule in this reading, of random strength, on even or random attention."""
    graph = graph.largest_component()
    A = walk(graph, rng) if rng.random() < 0.5 else even(graph)
    X, β, rate = state(A, rng), float(rng.choice([0.5, 1.0, 2.0])), 10 ** rng.uniform(-1.3, 0.7)
    row, col = graph.edge_index
    rule = Dynamo(sign=sign, rate=rate, beta=β)
    p = torch.zeros_like(A)
    p[row, col] = rule.strength(A[row, col], edge_covariance(X, row, col))
    return Layer(A, p, X, β)


def moduli(A: Tensor) -> Tensor:
    """|λ_k| of A, descending."""
    return torch.linalg.eigvals(A).abs().sort(descending=True).values


def gap(A: Tensor) -> float:
    """γ = 1 − |λ₂|/|λ₁|, 0 for a matrix without a positive radius."""
    λ = moduli(A)
    return 1 - (λ[1] / λ[0]).item() if λ[0] > SLACK else 0.0


def covariance(X: Tensor) -> Tensor:
    """Covariance of the channels over nodes, ``[d, d]``."""
    return torch.cov(X.T, correction=0).reshape(X.shape[1], X.shape[1])


def rank(X: Tensor) -> int:
    """The rank of the covariance of X over nodes, from X itself, whose singular values are not squared."""
    σ = torch.linalg.svdvals(X - X.mean(0))
    return int((σ > SLACK * torch.linalg.matrix_norm(X)).sum())


# --- the parts of Lemmas 5 and 6 as printed: is it true of this layer? ------------------------------------------------


def radius_falls(layer: Layer, J: Tensor) -> bool:
    """5a: ρ(J_P) ≤ (1 − p) ρ(J)."""
    return moduli(J)[0] <= (1 - layer.strength) * moduli(layer.A)[0] + SLACK


def modes_shrink(layer: Layer, J: Tensor) -> bool:
    """5b: |λ_k(J_P)| ≤ |λ_k(J)| e^{−β Tr C/‖C‖_F} for all k, C the covariance of the nodes."""
    C = torch.cov(layer.X)
    factor = torch.exp(-layer.β * torch.trace(C) / torch.linalg.matrix_norm(C))
    return bool((moduli(J) <= factor * moduli(layer.A) + SLACK).all())


def gap_widens(layer: Layer, J: Tensor) -> bool:
    """5c: γ_P ≥ γ + p(1 − γ)."""
    γ = gap(layer.A)
    return gap(J) >= γ + layer.strength * (1 - γ) - SLACK


def rank_stays(layer: Layer, J: Tensor) -> bool:
    """5d: the rank of the covariance falls by at most ⌈p · rank⌉."""
    before = rank(layer.A @ layer.X)
    return before - rank(J @ layer.X) <= math.ceil(layer.strength * before - SLACK)


def coefficient_grows(layer: Layer, J: Tensor) -> bool:
    """5e: μ after the pruned layer is at least (1 + pγ) times μ after the layer."""
    wanted = (1 + layer.strength * gap(layer.A)) * coefficient(layer.A @ layer.X)
    return bool(coefficient(J @ layer.X) >= wanted - SLACK)


def covariance_stays(layer: Layer, J: Tensor) -> bool:
    """5f: λ_i(Cov F_P X) ≥ (1 − pβ)² λ_i(Cov X) for all i."""
    before, after = (torch.linalg.eigvalsh(covariance(X)) for X in (layer.X, J @ layer.X))
    return bool((after >= (1 - layer.strength * layer.β) ** 2 * before - SLACK).all())


Part = Callable[[Layer, Tensor], bool]
PARTS: dict[str, Part] = {
    "5a: ρ(J_P) ≤ (1 − p) ρ(J)": radius_falls,
    "5b: |λ_k(J_P)| ≤ |λ_k(J)| e^(−β Tr C/‖C‖)": modes_shrink,
    "5c: γ_P ≥ γ + p(1 − γ)": gap_widens,
    "5d: rank falls by ⌈p · rank⌉ at most": rank_stays,
    "5e: μ grows by 1 + pγ": coefficient_grows,
    "5f: λ_i(Cov F_P X) ≥ (1 − pβ)² λ_i(Cov X)": covariance_stays,
}


def radius_lower(layer: Layer, J: Tensor) -> bool:
    """The first third of D4: the radius is lower than before."""
    return bool(moduli(J)[0] < moduli(layer.A)[0] - SLACK)


def gap_wider(layer: Layer, J: Tensor) -> bool:
    """The second: the gap is wider."""
    return gap(J) > gap(layer.A) + SLACK


def rank_same(layer: Layer, J: Tensor) -> bool:
    """The third: the rank of the covariance is not lower."""
    return rank(J @ layer.X) >= rank(layer.A @ layer.X)


CLAIM: dict[str, Part] = {"radius lower": radius_lower, "gap wider": gap_wider, "rank kept": rank_same}


def survey(count: int, seed: int) -> pd.DataFrame:
    """Every part on one layer of each reading of the sign, on ``count`` graphs.

    Columns: family, sign, recalibrated, strength, gap, gap_pruned, one (bool) for each part and for each third of D4.
    """
    rows = []
    for family, graph, rng in instances(count, seed):
        draw = rng.integers(2**32)
        for sign in SIGNS:  # the same attention, state and strength for all three
            made = layer(graph, np.random.default_rng(draw), sign)
            for recalibrated in (False, True):
                J = made.pruned(recalibrated)
                rows.append(
                    {"family": family, "sign": sign, "recalibrated": recalibrated}
                    | {"strength": made.strength, "gap": gap(made.A), "gap_pruned": gap(J)}
                    | {name: part(made, J) for name, part in (PARTS | CLAIM).items()}
                )
    return pd.DataFrame(rows)


# --- what can be proved instead ---------------------------------------------------------------------------------------


def stationary(A: Tensor) -> Tensor:
    """π of a row-stochastic A ``[n]``, with one closed class."""
    values, left = torch.linalg.eig(A.T)
    π = left[:, (values - 1).abs().argmin()].real
    return π / π.sum()


def radius_is_bracketed(graph: Graph, rng: np.random.Generator) -> Finding:
    """exp(Σ π_i A_ij log(1 − p_ij)) ≤ ρ(J_P) ≤ max_i Σ_j A_ij(1 − p_ij) without, and ρ(J_P) = 1 with recalibration.

    Deviation: the largest excess over any of the three.
    """
    made = layer(graph, rng, SIGNS[int(rng.integers(3))])
    left, flow = made.pruned(False), stationary(made.A).unsqueeze(1) * made.A
    ρ = moduli(left)[0].item()
    low = torch.where(flow > 0, flow * torch.log1p(-made.p), 0.0).sum().exp().item()
    again = abs(moduli(made.pruned(True))[0].item() - 1)
    excess = max(low - ρ, ρ - left.sum(1).max().item(), again)
    return Finding(max(excess, 0.0), excess < SLACK)


def gap_is_bracketed(graph: Graph, rng: np.random.Generator) -> Finding:
    """Symmetric weights and strengths p ≤ P: λ₂ of I − J changes by a factor in [1 − P, 1/(1 − P)], recalibrated.

    Without, as I − τL, every eigenvalue of L changes by a factor in [1 − P, 1]: the gap to consensus never widens.
    Deviation: the largest excess, relative.
    """
    graph = graph.largest_component()
    w = graph.adjacency.to_dense()
    p = torch.from_numpy(rng.uniform(0, rng.uniform(0.1, 0.95), w.shape)) * (w > 0)
    p = torch.triu(p, 1) + torch.triu(p, 1).T
    loops = torch.from_numpy(np.exp(rng.standard_normal(graph.n)))

    def walk_gap(w: Tensor) -> float:
        root = (w.sum(1) + loops).rsqrt()
        return 1 - torch.linalg.eigvalsh(root.unsqueeze(1) * (w + torch.diag(loops)) * root)[-2].item()

    def laplacian(w: Tensor) -> Tensor:
        return torch.linalg.eigvalsh(torch.diag(w.sum(1)) - w)[1:]

    top = p.max().item()
    change = walk_gap(w * (1 - p)) / walk_gap(w)
    slowed = laplacian(w * (1 - p)) / laplacian(w)
    excess = max(
        1 - top - change, change - 1 / (1 - top), (1 - top - slowed).max().item(), slowed.max().item() - 1
    )
    return Finding(max(excess, 0.0), excess < SLACK)


def rank_is_bracketed(graph: Graph, rng: np.random.Generator) -> Finding:
    """rank Cov falls by at most rank(A ∘ p) without and rank(A ∘ p) + 1 with recalibration, for any strengths.

    Some edges are removed altogether, which random strengths never do. Deviation: by how much more it falls.
    """
    made = layer(graph, rng, SIGNS[int(rng.integers(3))])
    gone = torch.from_numpy(rng.random(made.p.shape) < rng.uniform(0, 0.6))
    p = torch.where(made.edges & gone & gone.T, 1.0, 0.0)
    made = Layer(made.A, p, made.X)
    before, touched = rank(made.A @ made.X), int(torch.linalg.matrix_rank(made.A * p))
    excess = max(before - rank(made.pruned(again) @ made.X) - touched - again for again in (False, True))
    return Finding(float(max(excess, 0)), excess <= 0)


def noise_floor(nodes: int, channels: int, signal: float, draws: int, seed: int, δ: float = 1e-3) -> dict:
    """The smallest eigenvalue of Cov(X + σξ) over nodes, in units of σ², over ``draws`` of noise; X of this size.

    Returns its 1 % quantile and median, the share of draws below the printed 1 − 1/N, the repaired floor
    (√(N − 1 − r) − √d − √(2 log 1/δ))²/N, r the rank of X, and the share below that.
    """
    rng = np.random.default_rng(seed)
    X = signal * np.outer(rng.standard_normal(nodes), rng.standard_normal(channels))
    r = int(signal > 0)
    least = []
    for _ in range(draws):
        Z = X + rng.standard_normal((nodes, channels))
        least.append(np.linalg.svd(Z - Z.mean(0), compute_uv=False)[-1] ** 2 / nodes)
    floor = (
        max(math.sqrt(nodes - 1 - r) - math.sqrt(channels) - math.sqrt(2 * math.log(1 / δ)), 0.0) ** 2 / nodes
    )
    least = np.array(least)
    return {
        "N": nodes,
        "d": channels,
        "‖X‖/σ": round(float(np.linalg.norm(X)), 1),
        "median": float(np.median(least)),
        "below 1 − 1/N": float((least < 1 - 1 / nodes).mean()),
        "floor": floor,
        "below floor": float((least < floor).mean()),
    }
