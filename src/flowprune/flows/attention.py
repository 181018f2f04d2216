"""Graph attention: F(t+1) = σ(𝒜(F(t)) F(t) W + b) with a row-stochastic 𝒜 (Veličković et al., arXiv 1710.10903)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.utils import softmax

from flowprune.training import kernels
from flowprune.training.operations import tally
from flowprune.training.replicas import Dropout, Linear, draw


class Edges:
    """The stored entries of a sparse CSR pattern, ready for weights that differ by replica and head.

    Replicas and heads are one axis of Q blocks. On a CPU compiled loops walk the entries. Elsewhere row (i, q) of a
    block matrix ``[n Q, n Q]`` holds the weights of block q at node i, so that one sparse product moves all blocks, and
    no ``[E, Q, d]`` messages are stored.
    """

    def __init__(self, adjacency: Tensor, Q: int):
        self.n, self.Q = adjacency.shape[0], Q
        self.crow, self.col = adjacency.crow_indices(), adjacency.col_indices()
        degree = self.crow.diff()
        self.row = torch.repeat_interleave(torch.arange(self.n, device=degree.device), degree)

    def keep(self, alive: Tensor) -> Edges:
        """The pattern without the entries that are not ``alive [E]``."""
        crow = nn.functional.pad(alive.cumsum(0), (1, 0))[self.crow]
        return Edges(_pattern(crow, self.col[alive], self.n), self.Q)

    @cached_property
    def transposed(self) -> tuple[Edges, Tensor]:
        """The pattern of the transpose, and for each of its entries the number of the entry here that it mirrors."""
        # in 64 bits: col · n outgrows 32 above 46,340 nodes
        order = torch.argsort(self.col.long() * self.n + self.row, stable=True)
        row, col = self.col[order], self.row[order]
        if torch.equal(row, self.row) and torch.equal(col, self.col):
            return self, order
        crow = nn.functional.pad(torch.bincount(row, minlength=self.n).cumsum(0), (1, 0))
        return Edges(_pattern(crow, col, self.n), self.Q), order

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
        tally("sparse", 2 * weights.numel() * H.shape[-1])
        if H.device.type == "cpu":
            out = torch.empty_like(H, memory_format=torch.contiguous_format)
            kernels.edge_product(*_arrays(self.crow, self.col, weights, H, out))
            return out
        crow, col, flat = self._blocks
        size, values = (self.n * self.Q, self.n * self.Q), weights.reshape(-1)[flat]
        matrix = torch.sparse_csr_tensor(crow, col, values, size, check_invariants=False)
        return (matrix @ H.reshape(size[0], -1)).view(H.shape)

    def product_transposed(self, weights: Tensor, H: Tensor) -> Tensor:
        """Σ_i w_ijq h_iq, the same with the transpose."""
        edges, order = self.transposed
        return edges.product(weights[order], H)

    def inner(self, G: Tensor, H: Tensor) -> Tensor:
        """⟨g_iq, h_jq⟩ for every stored entry (i, j): ``[n, Q, d]`` twice to ``[E, Q]``."""
        tally("sparse", 2 * self.col.numel() * H.shape[1] * H.shape[2])
        if H.device.type == "cpu":
            out = H.new_empty(self.col.numel(), H.shape[1])
            kernels.edge_inner(*_arrays(self.crow, self.col, G, H, out))
            return out
        return (G[self.row] * H[self.col]).sum(-1)


def _pattern(crow: Tensor, col: Tensor, n: int) -> Tensor:
    return torch.sparse_csr_tensor(crow, col, col.new_ones(col.numel()), (n, n), check_invariants=False)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [x.detach().contiguous().numpy() for x in tensors]


class _Product(torch.autograd.Function):
    """The weighted sum with both gradients: the transpose for H, one inner product an entry for the weights."""

    @staticmethod
    def forward(ctx, edges: Edges, weights: Tensor, H: Tensor) -> Tensor:
        ctx.edges = edges
        ctx.save_for_backward(weights, H)
        return edges.product(weights, H)

    @staticmethod
    def backward(ctx, G: Tensor) -> tuple[None, Tensor, Tensor]:
        edges = ctx.edges
        weights, H = ctx.saved_tensors
        return None, edges.inner(G, H), edges.product_transposed(weights, G)


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
        return None, edges.product(weights, H), edges.product_transposed(weights, G)


class _Softmax(torch.autograd.Function):
    """The softmax over the entries of each row, on a CPU."""

    @staticmethod
    def forward(ctx, crow: Tensor, score: Tensor) -> Tensor:
        tally("softmax", 4 * score.numel())
        weights = torch.empty_like(score, memory_format=torch.contiguous_format)
        kernels.row_shift(*_arrays(crow, score, weights))
        kernels.row_normalise(*_arrays(crow, weights.exp_()))  # torch's exponential is vectorised
        ctx.save_for_backward(crow, weights)
        return weights

    @staticmethod
    def backward(ctx, G: Tensor) -> tuple[None, Tensor]:
        crow, weights = ctx.saved_tensors
        tally("softmax", 4 * weights.numel())
        out = torch.empty_like(weights)
        kernels.row_softmax_adjoint(*_arrays(crow, weights, G, out))
        return None, out


class _Scores(torch.autograd.Function):
    """The scores of additive attention, on a CPU."""

    @staticmethod
    def forward(ctx, edges: Edges, H: Tensor, source: Tensor, target: Tensor, slope: float) -> Tensor:
        out = H.new_empty(edges.col.numel(), H.shape[1])
        parts = _arrays(edges.crow, edges.col, H, source, target)
        kernels.additive_scores(*parts, slope, out.numpy())
        ctx.edges, ctx.slope = edges, slope
        ctx.save_for_backward(H, source, target, out)
        return out

    @staticmethod
    def backward(ctx, G: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None]:
        H, source, target, score = ctx.saved_tensors
        dH = torch.empty_like(H, memory_format=torch.contiguous_format)
        sums = [torch.zeros_like(a, dtype=torch.float64) for a in (source, target)]
        parts = _arrays(ctx.edges.crow, ctx.edges.col, H, source, target)
        kernels.additive_scores_adjoint(*parts, ctx.slope, *_arrays(score, G, dH, *sums))
        return None, dH, *(x.to(H.dtype) for x in sums), None


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


def additive_scores(edges: Edges, H: Tensor, source: Tensor, target: Tensor, slope: float) -> Tensor:
    """LeakyReLU(⟨a_dst, h_iq⟩ + ⟨a_src, h_jq⟩) on the stored entries, differentiable: ``H [n, Q, d]`` and the vectors
    a_src and a_dst of every block, ``[Q, d]``, to ``[E, Q]``."""
    if H.device.type == "cpu":
        return _Scores.apply(edges, H, source, target, slope)
    at_source, at_target = ((H * a).sum(-1) for a in (source, target))
    return nn.functional.leaky_relu(at_source[edges.col] + at_target[edges.row], slope)


Normalise = Callable[[Edges, Tensor], Tensor]  # scores of the entries, [E, Q], to their weights


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

    def forward(self, F: Tensor, edges: Edges, normalise: Normalise = edge_softmax) -> Tensor:
        """``[n, R, d_in] → [n, R, d_out]``; ``edges`` has one block for each replica and head."""
        return self.attended(F, edges, normalise)[0]

    def attended(self, F: Tensor, edges: Edges, normalise: Normalise = edge_softmax) -> tuple[Tensor, Tensor]:
        """The layer's output ``[n, R, d_out]`` and the attention 𝒜 that it used, ``[E, R K]``."""
        n, R, _ = F.shape
        H = self.linear(F).reshape(n, R * self.heads, -1)
        source, target = self.source.flatten(0, 1), self.target.flatten(0, 1)
        weights = normalise(edges, additive_scores(edges, H, source, target, self.slope))
        return edge_sum(edges, weights, H).view(n, R, -1) + self.bias, weights


class Stack(nn.Module):
    """How a state takes in what a layer gives: F(t+1) = ELU(out).

    Args:
        residual: F(t+1) = F(t) + τ · ELU(out), with τ = ``step``, instead of replacing F(t).
        after: what every layer's state goes through, as :func:`~flowprune.flows.remedies.pair_norm`.
    """

    def __init__(self, residual: bool, step: float, after: Callable[[Tensor], Tensor] | None):
        super().__init__()
        self.residual, self.step, self.after = residual, step, after

    def advance(self, F: Tensor, out: Tensor) -> Tensor:
        """F(t+1) from F(t) and the layer's output, all ``[n, R, d]``."""
        update = nn.functional.elu(out)
        F = F + self.step * update if self.residual else update
        return F if self.after is None else self.after(F)


class GAT(Stack):
    """``depth`` attention layers with ELU and heads side by side, weights of their own for each layer.

    Args:
        seeds, dropout: one integer and one rate a replica.
        d: channels.
        normalise: how scores become weights, as :class:`~flowprune.flows.remedies.DropEdge` for the softmax.
        residual, step, after: as of :class:`Stack`.
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
        step: float = 1.0,
        normalise: Normalise = edge_softmax,
        after: Callable[[Tensor], Tensor] | None = None,
    ):
        super().__init__(residual, step, after)
        self.layers = nn.ModuleList(Attention(seeds, f"gat{m}", d, d, heads) for m in range(depth))
        self.dropouts = nn.ModuleList(Dropout(seeds, f"gat{m}", dropout) for m in range(depth))
        self.blocks, self.normalise = len(seeds) * heads, normalise
        self.edges: Edges | None = None

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``; the pattern of ``adjacency`` says who attends to whom (with self-loops)."""
        if self.edges is None:
            self.edges = Edges(adjacency, self.blocks)
        for attention, dropout in zip(self.layers, self.dropouts, strict=True):
            F = self.advance(F, attention(dropout(F), self.edges, self.normalise))
        return F
