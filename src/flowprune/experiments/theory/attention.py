"""A GAT layer as a map X ↦ σ(𝒜(X) X W + b), written densely in float64: fixed points, Jacobian, attention as a chain.

One head, as in the lemmas of arXiv 2412.07243. The state is flattened row by row, as in ``dynamics.jacobian``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import elu, leaky_relu

from flowprune.graphs import Graph

SLOPE = 0.2  # of the LeakyReLU, as in GAT


@dataclass(frozen=True)
class Layer:
    """One head of GAT on one graph; called with features ``[n, d]``.

    Attributes:
        edge: who attends to whom, ``[n, n]`` bool with a true diagonal.
        W: ``[d, d]``; bias: ``[d]``.
        target, source: the two halves of the attention vector, ``[d]``: node i scores its neighbour j with
            LeakyReLU(⟨target, Wᵀx_i⟩ + ⟨source, Wᵀx_j⟩).
        σ: the activation; slope: of the LeakyReLU below zero.
    """

    edge: Tensor
    W: Tensor
    target: Tensor
    source: Tensor
    bias: Tensor
    σ: Callable[[Tensor], Tensor] = elu
    slope: float = SLOPE

    def scores(self, X: Tensor) -> Tensor:
        """⟨target, h_i⟩ + ⟨source, h_j⟩ before the LeakyReLU, for all i and j: ``[n, n]``."""
        H = X @ self.W
        return (H @ self.target).unsqueeze(1) + H @ self.source

    def attention(self, X: Tensor) -> Tensor:
        """𝒜(X) ``[n, n]``, zero off the edges; rows sum to one."""
        return leaky_relu(self.scores(X), self.slope).masked_fill(~self.edge, -torch.inf).softmax(-1)

    def __call__(self, X: Tensor) -> Tensor:
        return self.σ(self.attention(X) @ X @ self.W + self.bias)

    @property
    def norm(self) -> float:
        """‖W‖₂."""
        return torch.linalg.matrix_norm(self.W, 2).item()

    @property
    def sensitivity(self) -> float:
        """L = ‖W target‖ + ‖W source‖: no score moves by more than L max_i ‖Δx_i‖."""
        return ((self.W @ self.target).norm() + (self.W @ self.source).norm()).item()


def looped(graph: Graph) -> Tensor:
    """Who attends to whom: the edges and the node itself, ``[n, n]`` bool."""
    return (graph.adjacency.to_dense() > 0) | torch.eye(graph.n, dtype=torch.bool)


def drawn(graph: Graph, rng: np.random.Generator, d: int, norm: float, strength: float = 2.0) -> Layer:
    """A random layer with ‖W‖₂ = ``norm``, normal attention vectors of this strength, and a normal bias."""
    W, target, source, bias = (torch.from_numpy(rng.standard_normal(s)) for s in ((d, d), d, d, d))
    W = W * (norm / torch.linalg.matrix_norm(W, 2))
    return Layer(looped(graph), W, strength * target, strength * source, bias)


def weakened(layer: Layer, room: float) -> Layer:
    """The layer with its attention vectors scaled until ‖W‖₂(1 + K) = ``room``, where K bounds the attention.

    K = √n L is a Lipschitz constant of X ↦ 𝒜(X) in Frobenius norms: a row of 𝒜 moves by at most the largest change of
    its scores. Needs ‖W‖₂ < ``room``.
    """
    K = len(layer.edge) ** 0.5 * layer.sensitivity
    factor = (room / layer.norm - 1) / K
    return replace(layer, target=factor * layer.target, source=factor * layer.source)


def widest(X: Tensor) -> Tensor:
    """‖X‖_{2,∞} = max_i ‖x_i‖."""
    return X.norm(dim=-1).max()


def diameter(X: Tensor) -> float:
    """max_ij ‖x_i − x_j‖."""
    return torch.cdist(X, X, compute_mode="donot_use_mm_for_euclid_dist").max().item()


def consensus(layer: Layer, steps: int = 100_000) -> Tensor:
    """x* = σ(Wᵀx* + b) ``[d]``, the value that all nodes share at the fixed point; by iteration from zero.

    Raises ValueError when the iteration does not settle, which takes ‖W‖₂ ≥ 1.
    """
    x = torch.zeros_like(layer.bias)
    for _ in range(steps):
        last, x = x, layer.σ(x @ layer.W + layer.bias)
        if (x - last).norm() <= 1e-15 * (1 + x.norm()):
            return x
    raise ValueError("the common value of all nodes does not settle; ‖W‖₂ < 1 would be enough for it")


# --- the Jacobian ----------------------------------------------------------------------------------------------------


def slopes(σ: Callable[[Tensor], Tensor], Z: Tensor) -> Tensor:
    """σ′ at every entry of Z."""
    Z = Z.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(σ(Z).sum(), Z)[0]


def printed_jacobian(layer: Layer, X: Tensor) -> Tensor:
    """The blocks σ′(z_i) α_ij Wᵀ of the source, ``[nd, nd]``: the derivative as if the attention stood still."""
    A = layer.attention(X)
    blocks = torch.einsum("ik,ij,lk->ikjl", slopes(layer.σ, A @ X @ layer.W + layer.bias), A, layer.W)
    return blocks.reshape(X.numel(), X.numel())


def full_jacobian(layer: Layer, X: Tensor) -> Tensor:
    """The printed blocks and what the moving attention adds, ``[nd, nd]``, in closed form.

    With h_j = Wᵀx_j, m_i = Σ_j α_ij h_j and g_ij the slope of the LeakyReLU at (i, j) the bracket after σ′(z_i) gains
    α_ij g_ij (h_j − m_i)(W source)ᵀ and, for j = i, Σ_r α_ir g_ir (h_r − m_i)(W target)ᵀ.
    """
    n, d = X.shape
    A, H = layer.attention(X), X @ layer.W
    g = 1 - (1 - layer.slope) * (layer.scores(X) <= 0).double()
    apart = H.unsqueeze(0) - (A @ H).unsqueeze(1)  # h_j − m_i: [n, n, d]
    moved = (A * g).unsqueeze(-1) * apart
    blocks = torch.einsum("ijk,l->ikjl", moved, layer.W @ layer.source)
    own = torch.einsum("ik,l->ikl", moved.sum(1), layer.W @ layer.target)
    blocks[range(n), :, range(n), :] += own
    blocks = blocks * slopes(layer.σ, A @ H + layer.bias)[:, :, None, None]
    return printed_jacobian(layer, X) + blocks.reshape(n * d, n * d)


# --- attention as a Markov chain -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """A row-stochastic matrix ``A [n, n]`` with one stationary distribution ``π [n]``."""

    A: Tensor
    π: Tensor

    @classmethod
    def of(cls, A: Tensor) -> Chain:
        """π by elimination without subtractions (Grassmann, Taksar and Heyman 1985): tiny entries keep their digits."""
        rest, n = A.clone(), len(A)
        for k in range(n - 1, 0, -1):
            rest[:k, k] /= rest[k, :k].sum()
            rest[:k, :k] += torch.outer(rest[:k, k], rest[k, :k])
        π = torch.ones(n, dtype=A.dtype)
        for k in range(1, n):
            π[k] = π[:k] @ rest[:k, k]
        return cls(A, π / π.sum())

    @property
    def second(self) -> float:
        """|λ₂|, the second largest modulus of an eigenvalue; 0 for one node."""
        moduli = np.sort(np.abs(np.linalg.eigvals(self.A.numpy())))
        return float(moduli[-2]) if len(moduli) > 1 else 0.0

    @property
    def contraction(self) -> float:
        """ς, the norm of A on deviations from the mean, measured with the weights π: |λ₂| ≤ ς ≤ 1."""
        root = self.π.sqrt()
        return torch.linalg.matrix_norm(root.unsqueeze(1) * (self.A - self.π) / root, 2).item()

    @property
    def irreversibility(self) -> float:
        """max |π_i A_ij − π_j A_ji| / max π_i A_ij: 0 where detailed balance holds."""
        flow = self.π.unsqueeze(1) * self.A
        return ((flow - flow.T).abs().max() / flow.max()).item()

    def norm(self, X: Tensor) -> float:
        """‖X‖_π = √(Σ_i π_i ‖x_i‖²)."""
        return (self.π.unsqueeze(1) * X.square()).sum().sqrt().item()
