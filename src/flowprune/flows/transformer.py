"""A graph transformer whose attention loses entries while it trains: dot-product attention under the DYNAMO rule.

The rule is that of :mod:`flowprune.flows.dynamo`, with another layer inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path
from torch import Tensor, nn

from flowprune.flows.attention import Edges, Normalise, edge_inner, edge_softmax, edge_sum
from flowprune.flows.dynamo import PrunedAttention
from flowprune.pruning.dynamo import Dynamo
from flowprune.training.replicas import Dropout, Linear

FURTHEST = 8  # distances from here on are one class, with pairs that no path joins
MOST_NODES = 2000  # for attention over all pairs, which holds n² weights a head


class DotAttention(nn.Module):
    """Scaled dot-product attention of R replicas with K heads (Vaswani et al., arXiv 1706.03762).

    With affine maps q, k and v of the features, c channels a head, e_ij = ⟨q_i, k_j⟩/√c + b(hops_ij). The weights 𝒜_ij
    are the softmax of e_ij over the stored entries j of row i, and the layer returns an affine map of Σ_j 𝒜_ij v_j,
    heads side by side. Replicas are treated as further heads, as in :class:`~flowprune.flows.attention.Attention`.

    Args:
        seeds, name: one integer a replica; the layer's name.
        d_in, d_out: channels; d_out is a multiple of ``heads``.
        hops: distance class of every pair, ``[n, n]`` integers up to ``FURTHEST``; b, a learned number for each class
            and head that begins as zero, is Graphormer's (Ying et al., arXiv 2106.05234). None leaves b out.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        name: str,
        d_in: int,
        d_out: int,
        heads: int = 1,
        hops: Tensor | None = None,
    ):
        super().__init__()
        if d_out % heads:
            raise ValueError(f"attention {name}: {d_out} channels cannot be shared by {heads} heads")
        self.heads = heads
        self.maps = Linear(seeds, f"{name}.maps", d_in, 3 * d_out)
        self.out = Linear(seeds, f"{name}.out", d_out, d_out)
        self.bias = None if hops is None else nn.Parameter(torch.zeros(len(seeds), heads, FURTHEST + 1))
        self.register_buffer("hops", hops, persistent=False)

    def attended(self, F: Tensor, edges: Edges, normalise: Normalise = edge_softmax) -> tuple[Tensor, Tensor]:
        """``[n, R, d_in]`` to the layer's output ``[n, R, d_out]`` and the attention 𝒜 that it used, ``[E, R K]``."""
        n, R, _ = F.shape
        q, k, v = self.maps(F).view(n, R, 3, self.heads, -1).unbind(2)
        q, k, v = (x.reshape(n, R * self.heads, -1) for x in (q, k, v))
        score = edge_inner(edges, q / math.sqrt(q.shape[-1]), k)
        if self.bias is not None:
            by_class = self.bias.flatten(0, 1).T.contiguous()  # of which rows are copied ten times as fast
            score = score + by_class.index_select(0, self.hops[edges.row, edges.col])
        weights = normalise(edges, score)
        return self.out(edge_sum(edges, weights, v).view(n, R, -1)), weights


class LayerNorm(nn.Module):
    """Every node's channels centred and scaled to variance one, then weighed (Ba et al., arXiv 1607.06450)."""

    def __init__(self, R: int, d: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(R, d)), nn.Parameter(torch.zeros(R, d))

    def forward(self, F: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``."""
        return nn.functional.layer_norm(F, F.shape[-1:]) * self.weight + self.bias


class Block(nn.Module):
    """F + attention(norm(F)), then the same with two linear maps and a ReLU between: a transformer block that
    normalises first (Xiong et al., arXiv 2002.04745).

    Args:
        seeds, dropout: one integer and one rate a replica; dropout acts before attention and before the last map.
        m: the number of the block, from 0.
        attention: the pruned attention of this block.
    """

    def __init__(
        self, seeds: Sequence[int], m: int, d: int, attention: PrunedAttention, dropout: Sequence[float]
    ):
        super().__init__()
        self.first, self.second = LayerNorm(len(seeds), d), LayerNorm(len(seeds), d)
        self.attention = attention
        self.wider = Linear(seeds, f"block{m}.wider", d, 2 * d)
        self.narrower = Linear(seeds, f"block{m}.narrower", 2 * d, d)
        self.dropout = Dropout(seeds, f"block{m}", dropout)

    def forward(self, F: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``."""
        F = F + self.attention(self.first(F))
        return F + self.narrower(self.dropout(self.wider(self.second(F)).relu()))


class GraphTransformer(nn.Module):
    """``depth`` blocks; with ``rule.rate`` and ``rule.noise`` zero nothing is pruned.

    Args:
        seeds, dropout: one integer and one rate a replica.
        d, depth, heads: channels, blocks, and heads of each.
        adjacency: sparse CSR ``[n, n]`` with self-loops.
        rule: how entries weaken.
        pairs: "neighbours" attends over the stored entries of ``adjacency``; "all" over every pair, and learns a bias
            for each distance, without which it would not know of the graph.

    Raises ValueError for all pairs of more than ``MOST_NODES`` nodes.
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
        pairs: Literal["neighbours", "all"] = "neighbours",
    ):
        super().__init__()
        n, hops = adjacency.shape[0], None
        if pairs == "all":
            if n > MOST_NODES:
                raise ValueError(
                    f"attention over all pairs of {n} nodes holds {n * n} weights a head; "
                    f'at most {MOST_NODES} nodes are allowed, or pairs = "neighbours"'
                )
            hops = hop_classes(adjacency)
            adjacency = torch.ones_like(hops).to_sparse_csr()
        full = Edges(adjacency, len(seeds) * heads)
        attention = partial(DotAttention, hops=hops)
        self.blocks = nn.ModuleList(
            Block(seeds, m, d, PrunedAttention(seeds, m, d, heads, full, rule, dropout, attention), dropout)
            for m in range(depth)
        )

    @property
    def layers(self) -> list[PrunedAttention]:
        """The pruned attention of every block."""
        return [block.attention for block in self.blocks]

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``; ``adjacency`` is that of the constructor, less what was removed."""
        return self.trajectory(F)[-1]

    def trajectory(self, F: Tensor) -> list[Tensor]:
        """F(0), …, F(depth), each ``[n, R, d]``."""
        states = [F]
        for block in self.blocks:
            states.append(block(states[-1]))
        return states

    def removed(self) -> Tensor:
        """The share of entries removed in every block, self-loops not counted: ``[depth, R]``."""
        return torch.stack([layer.removed() for layer in self.layers])


def hop_classes(adjacency: Tensor) -> Tensor:
    """Edges on a shortest path between any two nodes, ``[n, n]``: 0, 1, …, and ``FURTHEST`` for all beyond."""
    parts = (x.cpu().numpy() for x in (adjacency.col_indices(), adjacency.crow_indices()))
    pattern = csr_array((torch.ones(adjacency.values().numel()).numpy(), *parts), shape=adjacency.shape)
    hops = torch.from_numpy(shortest_path(pattern, unweighted=True))
    return hops.clamp_max(FURTHEST).long().to(adjacency.device)
