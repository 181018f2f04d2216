"""Graph convolution: F(t+1) = σ(Ā F(t) W(t) + b), plain and residual (Kipf and Welling, arXiv 1609.02907)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowprune.training.replicas import Dropout, Linear, propagate


class Convolution(nn.Module):
    """One graph convolution Ā F W + b of R replicas; equals PyTorch Geometric's ``GCNConv`` on Ā with self-loops."""

    def __init__(self, seeds: Sequence[int], name: str, d_in: int, d_out: int):
        super().__init__()
        self.linear = Linear(seeds, name, d_in, d_out, bias=False)
        self.bias = nn.Parameter(torch.zeros(len(seeds), d_out))

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, R, d_in] → [n, R, d_out]`` over a symmetric Ā."""
        return propagate(adjacency, self.linear(F)) + self.bias


class GCN(nn.Module):
    """``depth`` graph convolutions with ReLU; weights of their own for each layer.

    Args:
        seeds, dropout: one integer and one rate a replica.
        d: channels.
        depth: number of layers.
        residual: F(t+1) = F(t) + σ(Ā F(t) W(t) + b) instead of replacing F(t).
        linear: without the ReLU.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        d: int,
        depth: int,
        *,
        dropout: Sequence[float],
        residual: bool = False,
        linear: bool = False,
    ):
        super().__init__()
        self.layers = nn.ModuleList(Convolution(seeds, f"conv{m}", d, d) for m in range(depth))
        self.dropouts = nn.ModuleList(Dropout(seeds, f"conv{m}", dropout) for m in range(depth))
        self.residual, self.linear = residual, linear

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``; Ā usually carries self-loops (``Graph.with_self_loops``)."""
        for convolution, dropout in zip(self.layers, self.dropouts, strict=True):
            update = convolution(dropout(F), adjacency)
            if not self.linear:
                update = update.relu()
            F = F + update if self.residual else update
        return F


class DAGNN(nn.Module):
    """Σ_k s_k ⊙ Ā^k F(0) for k = 0, …, depth, s_k = sigmoid⟨Ā^k F(0), u⟩ at every node (Liu et al., arXiv 2007.09296).

    Propagation has no weights; one vector u ``[d]`` decides at each node how much of each depth it takes.
    """

    def __init__(self, seeds: Sequence[int], d: int, depth: int):
        super().__init__()
        self.depth, self.gate = depth, Linear(seeds, "dagnn.gate", d, 1)

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``; Ā usually carries self-loops."""
        out = self.gate(F).sigmoid() * F
        for _ in range(self.depth):
            F = propagate(adjacency, F)
            out = out + self.gate(F).sigmoid() * F
        return out
