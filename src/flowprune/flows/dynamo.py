"""DYNAMO-GAT: graph attention that loses edges while it trains (Chakraborty et al., arXiv 2412.07243)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from flowprune.flows.attention import Attention, Edges, Stack, edge_softmax
from flowprune.pruning.dynamo import Covariance, Dynamo, drawn_covariance, edge_covariance
from flowprune.training.replicas import Dropout, Noise

STALE = 0.02  # the share of removed entries that a pattern may still carry between two training passes


class PrunedAttention(nn.Module):
    """One attention layer of R replicas whose edges weaken by the rule with every training pass.

    Attention is multiplied by w and renormalised over the neighbours that are left: the softmax of e_ij + log w_ij,
    which is plain attention while w = 1. Removed entries leave the stored pattern, so that later passes are shorter.
    Self-loops stay. In evaluation mode there is no noise and nothing is pruned.

    With several replicas the pattern holds what any of them still has; the others' weights are zero there.

    Args:
        seeds, dropout: one integer and one rate a replica.
        depth: the number t of the layer, from 0.
        d, heads: channels and heads.
        full: the stored entries before any is removed, with self-loops, one block for each replica and head.
        rule: how edges weaken. ``rule.draws`` draws of noise each cost a pass through the layer.
        attention: the kind of layer, made as :class:`~flowprune.flows.attention.Attention` and with its ``heads`` and
            ``attended``; the rule sees no more of it than its weights.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        depth: int,
        d: int,
        heads: int,
        full: Edges,
        rule: Dynamo,
        dropout: Sequence[float],
        attention: Callable[..., nn.Module] = Attention,
    ):
        super().__init__()
        name, R, E = f"gat{depth}", len(seeds), full.col.numel()
        self.attention = attention(seeds, name, d, d, heads)
        self.dropout, self.noise = Dropout(seeds, name, dropout), Noise(seeds, name, rule.noise)
        # parameters without a gradient, so that they are kept with a replica's best weights
        self.w = nn.Parameter(torch.ones(R, E), requires_grad=False)
        self.τ = nn.Parameter(torch.full((R,), torch.nan), requires_grad=False)
        self.rule, self.depth, self.full, self.joins = rule, depth, full, full.row != full.col
        self.pattern = full, torch.arange(E, device=full.col.device)
        self._read: tuple[int, int, bool] | None = None  # of w, when the pattern was last compared with it

    def forward(self, F: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``."""
        F = self.dropout(F)
        if not self.training:
            return self.attend(F)[0]
        F = self.noise(F)
        out, weights = self.attend(F)
        if self.rule.rate > 0:
            self.prune(F.detach(), weights.detach())
        return out

    def attend(self, F: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's output and its weights on the entries that are left."""
        edges, kept = self.entries()
        w = self.w[:, kept].T.repeat_interleave(self.attention.heads, 1)
        if self.rule.recalibrate:
            return self.attention.attended(F, edges, lambda e, score: edge_softmax(e, score + w.log()))
        return self.attention.attended(F, edges, lambda e, score: edge_softmax(e, score) * w)

    def entries(self) -> tuple[Edges, Tensor]:
        """The stored entries and their numbers among the first ones; without recalibration these all stay."""
        # a write through w.data has no version and is not seen
        read = id(self.w), self.w._version, self.training
        if self.rule.recalibrate and read != self._read:
            kept, self._read = self.pattern[1], read
            alive = (self.w > 0).any(0)
            carried = int(alive[kept].sum())
            stale = len(kept) - carried > (STALE * len(kept) if self.training else 0)
            if stale or carried < int(alive.sum()):  # or earlier weights, with more entries, were restored
                self.pattern = self.full.keep(alive), alive.nonzero().squeeze(1)
        return self.pattern

    @torch.no_grad()
    def prune(self, F: Tensor, weights: Tensor) -> None:
        """One step of the rule, from the layer's noisy input ``[n, R, d]`` and its weights ``[E, R K]``."""
        edges, kept = self.pattern
        joins = self.joins[kept]
        row, col = edges.row[joins], edges.col[joins]
        attention = weights[joins].view(len(row), len(self.w), self.attention.heads).mean(-1)
        alive = self.w.T[kept[joins]] > 0
        if not self.rule.adaptive:
            self.τ.copy_(torch.where(self.τ.isnan(), self.rule.threshold(attention, alive), self.τ))
        τ = None if self.rule.adaptive else self.τ
        covariance = self.covariance(F, row, col)
        p = torch.zeros_like(self.w.T)
        p[kept[joins]] = self.rule.strength(attention, covariance, self.depth, alive=alive, threshold=τ)
        self.w[:, self.joins] = self.rule.weaken(self.w.T[self.joins], p[self.joins]).T

    def covariance(self, F: Tensor, row: Tensor, col: Tensor) -> Covariance:
        """Of the noisy state over its channels, or of the layer's outputs over draws of the noise."""
        if self.rule.draws == 0:
            return edge_covariance(F, row, col)
        outputs = [self.attend(self.noise(F))[0] for _ in range(self.rule.draws)]
        return drawn_covariance(torch.stack(outputs), row, col)

    def removed(self) -> Tensor:
        """The share of edges removed, self-loops not counted: ``[R]``."""
        return (self.w[:, self.joins] == 0).float().mean(1)


class DynamoGAT(Stack):
    """A :class:`~flowprune.flows.attention.GAT` of ``depth`` such layers.

    Args:
        seeds, dropout: one integer and one rate a replica.
        d, heads: channels and heads of every layer.
        adjacency: sparse CSR ``[n, n]`` whose pattern, with self-loops, says who attends to whom.
        rule: how edges weaken.
        residual, step, after: as of :class:`~flowprune.flows.attention.Stack`.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        d: int,
        depth: int,
        adjacency: Tensor,
        rule: Dynamo,
        *,
        dropout: Sequence[float],
        heads: int = 4,
        residual: bool = False,
        step: float = 1.0,
        after: Callable[[Tensor], Tensor] | None = None,
    ):
        super().__init__(residual, step, after)
        full = Edges(adjacency, len(seeds) * heads)
        self.layers = nn.ModuleList(
            PrunedAttention(seeds, m, d, heads, full, rule, dropout) for m in range(depth)
        )

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``; ``adjacency`` is that of the constructor, less what was removed."""
        for layer in self.layers:
            F = self.advance(F, layer(F))
        return F

    def removed(self) -> Tensor:
        """The share of edges removed in every layer, self-loops not counted: ``[depth, R]``."""
        return torch.stack([layer.removed() for layer in self.layers])
