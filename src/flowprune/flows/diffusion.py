"""Diffusion on a graph: heat, and the flows that put channel mixing, a source or attention beside it.

All are explicit Euler on the equation that their docstring states. Those with parameters have the replica axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowprune.flows.attention import Edges, edge_inner, edge_softmax, edge_sum
from flowprune.flows.gradient import ChannelMixing, steps_of
from flowprune.training.replicas import Linear, draw, mix, propagate


class Heat(nn.Module):
    """Ḟ = −ΔF, the gradient flow of the Dirichlet energy; without parameters.

    The step is stable for τ < 2/ρ_Δ, hence always for τ < 1. As τ → 0, F(T) → e^{−TΔ} F(0) with order one.
    """

    def __init__(self, *, time: float, step: float):
        super().__init__()
        self.steps = steps_of(time, step)

    def forward(self, F: Tensor, laplacian: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]`` over the Laplacian Δ ``[n, n]``."""
        for τ in self.steps:
            F = F - τ * propagate(laplacian, F)
        return F


class Harmonic(nn.Module):
    """Ḟ = −ΔF WᵀW, the gradient flow of E_W(F) = ¼ Σ ‖W(∇F)_ij‖² (arXiv 2206.10991).

    With ``time_dependent`` every step has a W of its own: then it is the linear PDE-GCN_D, Ḟ = −ΔF K(t)ᵀK(t).
    """

    def __init__(
        self, seeds: Sequence[int], d: int, *, time: float, step: float, time_dependent: bool = False
    ):
        super().__init__()
        self.steps = steps_of(time, step)
        names = [f"K{m}" for m in range(len(self.steps))] if time_dependent else ["K0"]
        self.W = nn.ParameterList(draw(seeds, name, (d, d), math.sqrt(3 / d)) for name in names)

    def forward(self, F: Tensor, laplacian: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]`` over the Laplacian Δ ``[n, n]``."""
        for m, τ in enumerate(self.steps):
            W = self.W[min(m, len(self.W) - 1)]
            F = F - τ * mix(propagate(laplacian, F), W.mT @ W)
        return F


class PDEGCN(nn.Module):
    """PDE-GCN_D (Eliasof et al., arXiv 2108.01938): F(t+τ) = F(t) − τ Gᵀ σ(G F(t) K) Kᵀ with σ = ReLU, K of each step.

    G is the edge gradient, one row (f_i/√d_i − f_j/√d_j) √a_ij an undirected edge, so that GᵀG = Δ. Without σ this
    is :class:`Harmonic` with ``time_dependent`` and W = Kᵀ.
    """

    def __init__(self, seeds: Sequence[int], d: int, *, time: float, step: float):
        super().__init__()
        self.steps = steps_of(time, step)
        self.K = nn.ParameterList(
            draw(seeds, f"K{m}", (d, d), math.sqrt(3 / d)) for m in range(len(self.steps))
        )

    def forward(self, F: Tensor, gradient: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``; ``gradient`` is G ``[E, n]``, sparse COO (``Graph.gradient``)."""
        back = gradient.t()
        for K, τ in zip(self.K, self.steps, strict=True):
            along = mix(_across(gradient, F), K).relu()
            F = F - τ * _across(back, mix(along, K.mT))
        return F


def _across(G: Tensor, F: Tensor) -> Tensor:
    """``[m, n] × [n, R, d] → [m, R, d]``."""
    return torch.sparse.mm(G, F.flatten(1)).view(-1, *F.shape[1:])


class CGNN(nn.Module):
    """Ḟ = −ΔF + FΩ̃ + F(0) with a learned symmetric Ω̃ (Xhonneux et al., arXiv 1912.00967)."""

    def __init__(self, seeds: Sequence[int], d: int, *, time: float, step: float):
        super().__init__()
        self.steps = steps_of(time, step)
        self.Ω = ChannelMixing(seeds, d, "sum", "Ω")

    def forward(self, F0: Tensor, laplacian: Tensor) -> Tensor:
        """``F(0) → F(T)``, both ``[n, R, d]``, over the Laplacian Δ ``[n, n]``."""
        F, Ω = F0, self.Ω()
        for τ in self.steps:
            F = F + τ * (mix(F, Ω) - propagate(laplacian, F) + F0)
        return F


class GRAND(nn.Module):
    """Ḟ = −(I − 𝒜)F with row-stochastic attention 𝒜 (Chamberlain et al., arXiv 2106.10934).

    𝒜 is the softmax over the stored entries j of row i of ⟨Q f_i, K f_j⟩/√c, averaged over heads of c channels. It is
    computed once from F(0), so that the flow is linear in F, or with ``recomputed`` from F(t) at every step.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        d: int,
        *,
        time: float,
        step: float,
        heads: int = 4,
        recomputed: bool = False,
    ):
        super().__init__()
        if d % heads:
            raise ValueError(f"GRAND: {d} channels cannot be shared by {heads} heads")
        self.steps, self.heads, self.recomputed = steps_of(time, step), heads, recomputed
        self.query = Linear(seeds, "grand.query", d, d)
        self.key = Linear(seeds, "grand.key", d, d)
        self.edges: Edges | None = None

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``; the pattern of ``adjacency`` (with self-loops) says who attends to whom."""
        if self.edges is None:
            self.edges = Edges(adjacency, F.shape[1])
        weights = self.attention(F, self.edges)
        for m, τ in enumerate(self.steps):
            if self.recomputed and m:
                weights = self.attention(F, self.edges)
            F = F + τ * (edge_sum(self.edges, weights, F) - F)
        return F

    def attention(self, F: Tensor, edges: Edges) -> Tensor:
        """𝒜 on the stored entries, ``[E, R]``; the entries of a row sum to one."""
        n, R, d = F.shape
        query, key = (x(F).view(n, R * self.heads, -1) for x in (self.query, self.key))
        score = edge_inner(edges, query, key) / math.sqrt(d // self.heads)
        return edge_softmax(edges, score).view(-1, R, self.heads).mean(-1)
