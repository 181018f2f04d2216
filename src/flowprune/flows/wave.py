"""Waves on a graph: second-order flows, which oscillate where diffusion decays."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowprune.flows.attention import Attention, Edges
from flowprune.flows.convolution import Convolution
from flowprune.flows.gradient import steps_of
from flowprune.training.replicas import Dropout, propagate


class Wave(nn.Module):
    """F̈ = −ΔF from rest, by symplectic Euler: V(t+τ) = V(t) − τΔF(t), F(t+τ) = F(t) + τV(t+τ); no parameters.

    Stable for τ < 2/√ρ_Δ; there ½‖V‖² + E_Dir(F) stays within O(τ) of its first value, and is exact as τ → 0.
    """

    def __init__(self, *, time: float, step: float):
        super().__init__()
        self.steps = steps_of(time, step)

    def forward(self, F: Tensor, laplacian: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]`` over the Laplacian Δ ``[n, n]``."""
        V = torch.zeros_like(F)
        for τ in self.steps:
            V = V - τ * propagate(laplacian, F)
            F = F + τ * V
        return F


class GraphCON(nn.Module):
    """F̈ = σ(MPNN(F)) − γF − αḞ with σ = ReLU (Rusch et al., arXiv 2202.02296), by its IMEX scheme from Ḟ(0) = F(0).

        V(t+τ) = V(t) + τ (σ(MPNN(F(t))) − γF(t) − αV(t)),   F(t+τ) = F(t) + τV(t+τ),   one MPNN for all steps.

    Args:
        seeds, dropout: one integer and one rate a replica; dropout acts on F before the MPNN.
        d: channels.
        inner: the MPNN, "gcn" (one graph convolution) or "gat" (one attention layer).
        time, step: T and τ.
        damping: α, on the velocity; stiffness: γ, on the features.
        heads: of attention.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        d: int,
        inner: str = "gcn",
        *,
        dropout: Sequence[float],
        time: float,
        step: float,
        damping: float = 1.0,
        stiffness: float = 1.0,
        heads: int = 4,
    ):
        super().__init__()
        if inner not in ("gcn", "gat"):
            raise ValueError(f"unknown network inside GraphCON: {inner!r}; it must be gcn or gat")
        self.steps, self.α, self.γ = steps_of(time, step), damping, stiffness
        self.dropout = Dropout(seeds, "graphcon", dropout)
        gcn = inner == "gcn"
        self.inner = (
            Convolution(seeds, "graphcon", d, d) if gcn else Attention(seeds, "graphcon", d, d, heads)
        )
        self.blocks, self.edges = 0 if gcn else len(seeds) * heads, None

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]`` over a symmetric Ā, usually with self-loops."""
        if self.blocks and self.edges is None:
            self.edges = Edges(adjacency, self.blocks)
        V, over = F, self.edges or adjacency
        for τ in self.steps:
            V = V + τ * (self.inner(self.dropout(F), over).relu() - self.γ * F - self.α * V)
            F = F + τ * V
        return F
