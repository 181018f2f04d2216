"""What the non-linear versions of the smoothing flows do: measured, for no theorem speaks of them.

All graphs lie side by side as components of one large graph, so that one step moves every instance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.utils import scatter, softmax

from flowprune.experiments.theory.instances import instances
from flowprune.experiments.theory.smoothing import looped
from flowprune.graphs import Graph

Step = Callable[[Tensor], Tensor]  # [n, R, d] → [n, R, d]


def side_by_side(graphs: list[Graph]) -> tuple[Graph, Tensor]:
    """One graph with these as components, and which of them every node belongs to ``[n]``."""
    sizes = torch.tensor([graph.n for graph in graphs])
    offset = sizes.cumsum(0) - sizes
    edges = torch.cat([g.edge_index + o for g, o in zip(graphs, offset, strict=True)], dim=1)
    weight = torch.cat([g.adjacency.values() for g in graphs])
    member = torch.repeat_interleave(torch.arange(len(graphs)), sizes)
    name = "side by side"
    union = Graph.from_edges(name, edges, len(member), weight=weight, self_loops=True, dtype=torch.float64)
    return union, member


def apply(operator: Tensor, F: Tensor) -> Tensor:
    """A sparse operator on all replicas: ``[m, n] × [n, R, d] → [m, R, d]``."""
    return (operator @ F.flatten(1)).view(-1, *F.shape[1:])


def pde_gcn_step(graph: Graph, K: Tensor, σ: Callable[[Tensor], Tensor], both: bool = False) -> Step:
    """F ← F − τ Gᵀσ(GFK)Kᵀ with GᵀG = Δ, each edge in one order: descent of a convex energy for monotone σ.

    ``both`` takes every edge in both orders, each with weight ½. For ReLU that is the linear flow at half its speed,
    since ReLU(x) − ReLU(−x) = x. τ = 1/(2‖K‖²).
    """
    G = graph.gradient
    if both:
        G = torch.cat([G, -G]) / 2**0.5
    τ = 0.5 / torch.linalg.matrix_norm(K, 2).square().view(1, -1, 1)
    mixed = lambda X, M: torch.einsum("nrd,rde->nre", X, M)  # noqa: E731
    return lambda F: F - τ * mixed(apply(G.T, σ(mixed(apply(G, F), K))), K.mT)


def grand_step(graph: Graph, Q: Tensor, K: Tensor, τ: float = 0.5) -> Step:
    """F ← F − τ(I − 𝒜(F))F, with scaled dot-product attention recomputed at every step."""
    row, column = graph.edge_index
    isolated = (graph.degree == 0).view(-1, 1, 1)

    def step(F: Tensor) -> Tensor:
        query, key = torch.einsum("nrd,rde->nre", F, Q), torch.einsum("nrd,rde->nre", F, K)
        weight = softmax((query[row] * key[column]).sum(-1) / F.shape[-1] ** 0.5, row, num_nodes=graph.n)
        mean = scatter(weight.unsqueeze(-1) * F[column], row, dim=0, dim_size=graph.n)
        return torch.where(isolated, F, (1 - τ) * F + τ * mean)

    return step


def gcn_step(graph: Graph, W: Tensor) -> Step:
    """F ← ReLU(ĀFW), one W for all layers."""
    return lambda F: torch.einsum("nrd,rde->nre", apply(graph.norm_adjacency, F), W).relu()


def relative_energies(graph: Graph, member: Tensor, F: Tensor, ρ: Tensor) -> tuple[Tensor, Tensor]:
    """Relative energy E_Dir(F/‖F‖)·2/ρ_Δ of every graph and replica, and ‖F‖², each ``[graphs, R]``."""
    each = lambda X: torch.zeros(len(ρ), F.shape[1], dtype=F.dtype).index_add_(0, member, X.sum(-1))  # noqa: E731
    size = each(F.square())
    return each(F * apply(graph.laplacian, F)) / size / ρ.unsqueeze(1), size


def measure(graphs: int, R: int = 4, steps: int = 300, seed: int = 0) -> pd.DataFrame:
    """Every flow on the same random graphs and starts. One row a model; shares in percent of ``graphs`` × R instances.

    low, high: relative energy below 1 % or above 99 % after the last step; vanished: features that became zero
    altogether, left out of the other columns; rises: E_Dir rose at some step, read on the features themselves.
    """
    rng, found = np.random.default_rng(seed), list(instances(graphs, seed))
    parts = [looped(graph, own) for _, graph, own in found]
    graph, member = side_by_side(parts)
    ρ = torch.tensor([part.rho for part in parts], dtype=torch.float64)
    F0 = torch.from_numpy(rng.standard_normal((graph.n, R, 3)))
    W, Q, K = (torch.from_numpy(rng.standard_normal((R, 3, 3))) for _ in range(3))
    U, σ, Vh = torch.linalg.svd(K)
    K = (
        U @ torch.diag_embed(σ / (σ + 1) + 0.5) @ Vh
    )  # singular values in [½, 3/2], so that no channel is slow
    models = {
        "PDE-GCN_D, linear": pde_gcn_step(graph, K, lambda x: x),
        "PDE-GCN_D, ReLU, both orders": pde_gcn_step(graph, K, torch.relu, both=True),
        "PDE-GCN_D, ReLU, one order": pde_gcn_step(graph, K, torch.relu),
        "PDE-GCN_D, tanh, one order": pde_gcn_step(graph, K, torch.tanh),
        "GRAND, attention recomputed": grand_step(graph, Q, K),
        "GCN, ReLU, no bias": gcn_step(graph, W),
    }
    return pd.DataFrame(
        [{"model": name} | _run(step, graph, member, F0, ρ, steps) for name, step in models.items()]
    )


def _run(step: Step, graph: Graph, member: Tensor, F: Tensor, ρ: Tensor, steps: int) -> dict[str, float]:
    rose = torch.zeros(len(ρ), F.shape[1], dtype=torch.bool)
    energy, size = relative_energies(graph, member, F, ρ)
    for _ in range(steps):
        F = step(F)
        before, (energy, size) = energy * size, relative_energies(graph, member, F, ρ)
        rose |= energy * size - before > 1e-12 * size  # not the rounding of a constant
        if size.max() > 1e100 or 0 < size.min() < 1e-100:
            F = F / size.clamp_min(1e-300).sqrt()[member].unsqueeze(-1)
            energy, size = relative_energies(graph, member, F, ρ)
    alive = size > 0
    left = energy[alive]
    return {
        "low (%)": 100 * (left < 0.01).double().mean().item(),
        "high (%)": 100 * (left > 0.99).double().mean().item(),
        "vanished (%)": 100 * (~alive).double().mean().item(),
        "median": left.median().item(),
        "largest": left.max().item(),
        "rises (%)": 100 * rose.double().mean().item(),
    }
