"""Graph attention: F(t+1) = σ(𝒜(F(t)) F(t) W + b) with a row-stochastic 𝒜 (Veličković et al., arXiv 1710.10903)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.utils import softmax

from flowprune.training.replicas import Dropout, Linear, draw


class Edges:
    """The stored entries of a structurally symmetric CSR matrix, ready for weights that differ by replica and head.

    Replicas and heads are one axis of Q blocks. Row (i, q) of the block matrix ``[n Q, n Q]`` holds the weights of
    block q at node i, so that one sparse product moves all blocks, and no ``[E, Q, d]`` messages are stored.
    """

    def __init__(self, adjacency: Tensor, Q: int):
        n = adjacency.shape[0]
        self.crow, self.col = adjacency.crow_indices(), adjacency.col_indices()
        degree = self.crow.diff()
        self.row = torch.repeat_interleave(torch.arange(n, device=degree.device), degree)
        E = self.col.numel()
        # the entry (j, i) that mirrors each entry (i, j): the transpose of a symmetric pattern is a permutation
        self.mirror = torch.argsort(self.col * n + self.row, stable=True)
        if not torch.equal(self.col[self.mirror], self.row) or not torch.equal(
            self.row[self.mirror], self.col
        ):
            raise ValueError("attention needs a symmetric pattern of edges: an entry (i, j) has no (j, i)")
        block = torch.arange(Q, device=degree.device).repeat_interleave(E)
        entry = torch.arange(E, device=degree.device).repeat(Q)
        order = torch.argsort(self.row[entry] * Q + block, stable=True)
        self.flat = (entry * Q + block)[order]  # where block order finds its weight in a flat [E, Q]
        self.col_q = (self.col[entry] * Q + block)[order]
        self.crow_q = torch.zeros(n * Q + 1, dtype=torch.int64, device=degree.device)
        self.crow_q[1:] = degree.repeat_interleave(Q).cumsum(0)
        self.n, self.Q = n, Q

    def product(self, weights: Tensor, H: Tensor) -> Tensor:
        """Σ_j w_ijq h_jq for ``weights [E, Q]`` and ``H [n, Q, d]``."""
        size = (self.n * self.Q, self.n * self.Q)
        values = weights.reshape(-1)[self.flat]
        matrix = torch.sparse_csr_tensor(self.crow_q, self.col_q, values, size, check_invariants=False)
        return (matrix @ H.reshape(size[0], -1)).view(H.shape)


class _WeightedPropagate(torch.autograd.Function):
    """The block product with both gradients: mirrored weights for H, one inner product an edge for the weights."""

    @staticmethod
    def forward(ctx, edges: Edges, weights: Tensor, H: Tensor) -> Tensor:
        ctx.edges = edges
        ctx.save_for_backward(weights, H)
        return edges.product(weights, H)

    @staticmethod
    def backward(ctx, G: Tensor) -> tuple[None, Tensor, Tensor]:
        edges = ctx.edges
        weights, H = ctx.saved_tensors
        dweights = (G[edges.row] * H[edges.col]).sum(-1)
        return None, dweights, edges.product(weights[edges.mirror], G)


class Attention(nn.Module):
    """One GAT layer of R replicas with K heads; replicas are treated as further heads.

    With h = W f and e_ij = LeakyReLU(⟨a_dst, h_i⟩ + ⟨a_src, h_j⟩), the weights 𝒜_ij are the softmax of e_ij over the
    stored entries j of row i, and the layer returns Σ_j 𝒜_ij h_j + b, heads side by side.

    Args:
        seeds, name: one integer a replica; the layer's name.
        d_in, d_out: channels; d_out is a multiple of ``heads``.
        slope: of the LeakyReLU.
    """

    def __init__(
        self, seeds: Sequence[int], name: str, d_in: int, d_out: int, heads: int = 1, slope: float = 0.2
    ):
        super().__init__()
        if d_out % heads:
            raise ValueError(f"attention {name}: {d_out} channels cannot be shared by {heads} heads")
        self.heads, self.slope, c = heads, slope, d_out // heads
        self.linear = Linear(seeds, name, d_in, d_out, bias=False)
        glorot = math.sqrt(6 / (heads + c))
        self.source = nn.Parameter(draw(seeds, f"{name}.source", (heads, c), glorot))
        self.target = nn.Parameter(draw(seeds, f"{name}.target", (heads, c), glorot))
        self.bias = nn.Parameter(torch.zeros(len(seeds), d_out))

    def forward(self, F: Tensor, edges: Edges) -> Tensor:
        """``[n, R, d_in] → [n, R, d_out]``; ``edges`` has one block for each replica and head."""
        n, R, _ = F.shape
        H = self.linear(F).view(n, R, self.heads, -1)
        weights = self.weights(H, edges)
        out = _WeightedPropagate.apply(edges, weights, H.reshape(n, R * self.heads, -1))
        return out.view(n, R, -1) + self.bias

    def weights(self, H: Tensor, edges: Edges) -> Tensor:
        """𝒜 on the stored entries, ``[E, R K]``, from mixed features ``H [n, R, K, c]``; rows sum to one."""
        source = (H * self.source).sum(-1).flatten(1)
        target = (H * self.target).sum(-1).flatten(1)
        score = nn.functional.leaky_relu(source[edges.col] + target[edges.row], self.slope)
        return softmax(score, ptr=edges.crow, num_nodes=edges.n)


class GAT(nn.Module):
    """``depth`` attention layers with ELU and heads side by side, weights of their own for each layer."""

    def __init__(self, seeds: Sequence[int], d: int, depth: int, *, dropout: Sequence[float], heads: int = 4):
        super().__init__()
        self.layers = nn.ModuleList(Attention(seeds, f"gat{m}", d, d, heads) for m in range(depth))
        self.dropouts = nn.ModuleList(Dropout(seeds, f"gat{m}", dropout) for m in range(depth))
        self.blocks, self.edges = len(seeds) * heads, None

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``; the pattern of ``adjacency`` says who attends to whom (with self-loops)."""
        if self.edges is None:
            self.edges = Edges(adjacency, self.blocks)
        for attention, dropout in zip(self.layers, self.dropouts, strict=True):
            F = nn.functional.elu(attention(dropout(F), self.edges))
        return F
