"""Graph attention: F(t+1) = σ(𝒜(F(t)) F(t) W + b) with a row-stochastic 𝒜 (Veličković et al., arXiv 1710.10903)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.utils import softmax

from flowprune.training import kernels
from flowprune.training.replicas import Dropout, Linear, draw


class Edges:
    """The stored entries of a structurally symmetric CSR matrix, ready for weights that differ by replica and head.

    Replicas and heads are one axis of Q blocks. On a CPU compiled loops walk the entries. Elsewhere row (i, q) of a
    block matrix ``[n Q, n Q]`` holds the weights of block q at node i, so that one sparse product moves all blocks, and
    no ``[E, Q, d]`` messages are stored.
    """

    def __init__(self, adjacency: Tensor, Q: int):
        self.n, self.Q = adjacency.shape[0], Q
        self.crow, self.col = adjacency.crow_indices(), adjacency.col_indices()
        degree = self.crow.diff()
        self.row = torch.repeat_interleave(torch.arange(self.n, device=degree.device), degree)
        # the entry (j, i) that mirrors each entry (i, j): the transpose of a symmetric pattern is a permutation
        self.mirror = torch.argsort(self.col * self.n + self.row, stable=True)
        if not torch.equal(self.col[self.mirror], self.row) or not torch.equal(
            self.row[self.mirror], self.col
        ):
            raise ValueError("attention needs a symmetric pattern of edges: an entry (i, j) has no (j, i)")

    @cached_property
    def _blocks(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row offsets and columns of the block matrix, and where its order finds a weight in a flat ``[E, Q]``."""
        E, Q, device = self.col.numel(), self.Q, self.col.device
        block = torch.arange(Q, device=device).repeat_interleave(E)
        entry = torch.arange(E, device=device).repeat(Q)
        order = torch.argsort(self.row[entry] * Q + block, stable=True)
        crow = torch.zeros(self.n * Q + 1, dtype=torch.int64, device=device)
        crow[1:] = self.crow.diff().repeat_interleave(Q).cumsum(0)
        return crow, (self.col[entry] * Q + block)[order], (entry * Q + block)[order]

    def product(self, weights: Tensor, H: Tensor) -> Tensor:
        """Σ_j w_ijq h_jq for ``weights [E, Q]`` and ``H [n, Q, d]``."""
        if H.device.type == "cpu":
            out = torch.empty_like(H, memory_format=torch.contiguous_format)
            kernels.edge_product(*_arrays(self.crow, self.col, weights, H, out))
            return out
        crow, col, flat = self._blocks
        size, values = (self.n * self.Q, self.n * self.Q), weights.reshape(-1)[flat]
        matrix = torch.sparse_csr_tensor(crow, col, values, size, check_invariants=False)
        return (matrix @ H.reshape(size[0], -1)).view(H.shape)

    def inner(self, G: Tensor, H: Tensor) -> Tensor:
        """⟨g_iq, h_jq⟩ for every stored entry (i, j): ``[n, Q, d]`` twice to ``[E, Q]``."""
        if H.device.type == "cpu":
            out = H.new_empty(self.col.numel(), H.shape[1])
            kernels.edge_inner(*_arrays(self.crow, self.col, G, H, out))
            return out
        return (G[self.row] * H[self.col]).sum(-1)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [x.detach().contiguous().numpy() for x in tensors]


class _Product(torch.autograd.Function):
    """The weighted sum with both gradients: mirrored weights for H, one inner product an entry for the weights."""

    @staticmethod
    def forward(ctx, edges: Edges, weights: Tensor, H: Tensor) -> Tensor:
        ctx.edges = edges
        ctx.save_for_backward(weights, H)
        return edges.product(weights, H)

    @staticmethod
    def backward(ctx, G: Tensor) -> tuple[None, Tensor, Tensor]:
        edges = ctx.edges
        weights, H = ctx.saved_tensors
        return None, edges.inner(G, H), edges.product(weights[edges.mirror], G)


class _Inner(torch.autograd.Function):
    """Inner products along the entries; each of the two gradients is a weighted sum again."""

    @staticmethod
    def forward(ctx, edges: Edges, G: Tensor, H: Tensor) -> Tensor:
        ctx.edges = edges
        ctx.save_for_backward(G, H)
        return edges.inner(G, H)

    @staticmethod
    def backward(ctx, weights: Tensor) -> tuple[None, Tensor, Tensor]:
        edges = ctx.edges
        G, H = ctx.saved_tensors
        return None, edges.product(weights, H), edges.product(weights[edges.mirror], G)


class _Softmax(torch.autograd.Function):
    """The softmax over the entries of each row, on a CPU."""

    @staticmethod
    def forward(ctx, crow: Tensor, score: Tensor) -> Tensor:
        weights = torch.empty_like(score, memory_format=torch.contiguous_format)
        kernels.row_softmax(*_arrays(crow, score, weights))
        ctx.save_for_backward(crow, weights)
        return weights

    @staticmethod
    def backward(ctx, G: Tensor) -> tuple[None, Tensor]:
        crow, weights = ctx.saved_tensors
        out = torch.empty_like(weights)
        kernels.row_softmax_adjoint(*_arrays(crow, weights, G, out))
        return None, out


def edge_sum(edges: Edges, weights: Tensor, H: Tensor) -> Tensor:
    """Σ_j w_ijq h_jq, differentiable in both: ``weights [E, Q]``, ``H [n, Q, d]`` to ``[n, Q, d]``."""
    return _Product.apply(edges, weights, H)


def edge_inner(edges: Edges, G: Tensor, H: Tensor) -> Tensor:
    """⟨g_iq, h_jq⟩ for every stored entry (i, j), differentiable in both: ``[n, Q, d]`` twice to ``[E, Q]``."""
    return _Inner.apply(edges, G, H)


def edge_softmax(edges: Edges, score: Tensor) -> Tensor:
    """The softmax over the entries of each row, differentiable: ``[E, Q]`` to ``[E, Q]``, rows sum to one."""
    if score.device.type == "cpu":
        return _Softmax.apply(edges.crow, score)
    return softmax(score, ptr=edges.crow, num_nodes=edges.n)


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
        out = edge_sum(edges, weights, H.reshape(n, R * self.heads, -1))
        return out.view(n, R, -1) + self.bias

    def weights(self, H: Tensor, edges: Edges) -> Tensor:
        """𝒜 on the stored entries, ``[E, R K]``, from mixed features ``H [n, R, K, c]``; rows sum to one."""
        source = (H * self.source).sum(-1).flatten(1)
        target = (H * self.target).sum(-1).flatten(1)
        score = nn.functional.leaky_relu(source[edges.col] + target[edges.row], self.slope)
        return edge_softmax(edges, score)


class GAT(nn.Module):
    """``depth`` attention layers with ELU and heads side by side, weights of their own for each layer.

    With ``residual`` a layer adds to F(t) instead of replacing it.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        d: int,
        depth: int,
        *,
        dropout: Sequence[float],
        heads: int = 4,
        residual: bool = False,
    ):
        super().__init__()
        self.layers = nn.ModuleList(Attention(seeds, f"gat{m}", d, d, heads) for m in range(depth))
        self.dropouts = nn.ModuleList(Dropout(seeds, f"gat{m}", dropout) for m in range(depth))
        self.blocks, self.residual = len(seeds) * heads, residual
        self.edges: Edges | None = None

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``; the pattern of ``adjacency`` says who attends to whom (with self-loops)."""
        if self.edges is None:
            self.edges = Edges(adjacency, self.blocks)
        for attention, dropout in zip(self.layers, self.dropouts, strict=True):
            update = nn.functional.elu(attention(dropout(F), self.edges))
            F = F + update if self.residual else update
        return F
