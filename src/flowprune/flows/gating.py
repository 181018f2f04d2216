"""Gradient gating (G²): each channel of each node moves as fast as it still differs from its neighbours
(Rusch et al., arXiv 2210.00513)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowprune.flows.attention import Attention, Edges
from flowprune.flows.convolution import Convolution
from flowprune.training.replicas import Dropout, propagate


class GradientGating(nn.Module):
    """F(t+1) = (1 − τ) ⊙ F(t) + τ ⊙ σ(N(F(t))),  τ_ik = tanh Σ_{j∈N(i)} |y_jk − y_ik|²,  Y = σ(N̂(F(t))), σ = ReLU.

    N and N̂ are two networks of one layer, the same for all t, as in the source; its exponent p is 2 here.

    Args:
        seeds, dropout: one integer and one rate a replica; dropout acts on F before N and N̂.
        d, depth: channels and number of steps.
        inner: "gcn" (one graph convolution) or "gat" (one attention layer with ``heads``).

    Raises ValueError for another inner network.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        d: int,
        depth: int,
        inner: str = "gat",
        *,
        dropout: Sequence[float],
        heads: int = 4,
    ):
        super().__init__()
        if inner not in ("gcn", "gat"):
            raise ValueError(f"unknown network inside gradient gating: {inner!r}; it must be gcn or gat")
        gat = inner == "gat"
        self.layer, self.gate = (
            Attention(seeds, name, d, d, heads) if gat else Convolution(seeds, name, d, d)
            for name in ("gating.layer", "gating.gate")
        )
        self.dropout, self.depth = Dropout(seeds, "gating", dropout), depth
        self.blocks = len(seeds) * heads if gat else 0
        self.over: tuple[Tensor, Edges | Tensor, Tensor] | None = None

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]`` over a symmetric Ā; a self-loop adds nothing to a difference."""
        if self.over is None:
            ones = torch.ones_like(adjacency.values())
            parts = adjacency.crow_indices(), adjacency.col_indices(), ones
            neighbours = torch.sparse_csr_tensor(*parts, adjacency.shape, check_invariants=False)
            degree = adjacency.crow_indices().diff().to(ones.dtype).view(-1, 1, 1)
            over = Edges(adjacency, self.blocks) if self.blocks else adjacency
            self.over = neighbours, over, degree
        neighbours, over, degree = self.over
        for _ in range(self.depth):
            moved = self.dropout(F)
            Y = self.gate(moved, over).relu()
            # Σ_j (y_j − y_i)² from two sparse products instead of one number an edge and channel
            spread = (
                propagate(neighbours, Y.square()) - 2 * Y * propagate(neighbours, Y) + degree * Y.square()
            )
            τ = spread.clamp_min(0).tanh()
            F = (1 - τ) * F + τ * self.layer(moved, over).relu()
        return F
