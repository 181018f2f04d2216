"""What a practitioner tries first against over-smoothing: small transforms around a layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowprune.flows.attention import Edges, edge_softmax
from flowprune.training.replicas import Dropout, hashed_mask


def pair_norm(F: Tensor) -> Tensor:
    """PairNorm (Zhao and Akoglu, arXiv 1909.12223): every replica's state centred over the nodes and scaled so that the
    mean square norm of a row is one; ``[n, R, d] → [n, R, d]``. A state without differences stays zero."""
    centred = F - F.mean(0)
    size = centred.square().sum((0, 2), keepdim=True).div(F.shape[0]).sqrt()
    return centred / size.clamp_min(torch.finfo(F.dtype).tiny)


class DropEdge(nn.Module):
    """DropEdge (Rong et al., arXiv 1907.10903) in place of the softmax: in training every layer attends over edges of
    which a random share is left out, both directions together and never a self-loop.

    Args:
        seeds: one integer a replica; a replica drops the same edges alone and among others.
        rate: the share dropped, in [0, 1).
        heads: of the attention; they share the edges.
    """

    def __init__(self, seeds: Sequence[int], rate: float, heads: int):
        super().__init__()
        self.dropout = Dropout(seeds, "edges", [rate] * len(seeds))
        self.heads = heads
        self.numbered: tuple[Edges, Tensor, Tensor] | None = None

    def forward(self, edges: Edges, score: Tensor) -> Tensor:
        """Weights of the entries, ``[E, R K] → [E, R K]``; the plain softmax in evaluation mode."""
        if not self.training or not self.dropout.active:
            return edge_softmax(edges, score)
        if self.numbered is None or self.numbered[0] is not edges:
            first, last = torch.minimum(edges.row, edges.col), torch.maximum(edges.row, edges.col)
            number = torch.unique(first * edges.n + last, return_inverse=True)[1].int().unsqueeze(1)
            self.numbered = edges, number, (first == last).unsqueeze(1)
        _, number, loop = self.numbered
        kept = hashed_mask(number, self.dropout.keys(), self.dropout.threshold, self.dropout.scale) > 0
        return edge_softmax(
            edges, score.masked_fill(~(kept | loop).repeat_interleave(self.heads, 1), -torch.inf)
        )
