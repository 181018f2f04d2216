"""Tests of Lemmas 1 to 4 of arXiv 2412.07243: how far one instance exceeds what is printed, and what is true.

Excesses are relative to the size of the instance: above zero a bound is broken. Where the source leaves a choice (of
the projector, of the attention's Lipschitz constant) the reading that favours it is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from flowprune.dynamics.jacobian import Jacobian
from flowprune.dynamics.oversmoothing import coefficient
from flowprune.experiments.theory.attention import (
    Chain,
    Layer,
    consensus,
    diameter,
    drawn,
    full_jacobian,
    printed_jacobian,
    slopes,
    weakened,
    widest,
)
from flowprune.experiments.theory.instances import features
from flowprune.graphs import Graph

ROOM = 0.99  # ‖W‖₂(1 + K) of layers inside the printed condition
STEPS = 12


@dataclass(frozen=True)
class Tested:
    """Largest excess on one instance over the printed bound, and over ours."""

    printed: float
    repaired: float


Test = Callable[[Graph, np.random.Generator, int], Tested]


def steepest(A: Tensor, W: Tensor) -> Tensor:
    """The direction ``[n, d]`` that X ↦ A X W stretches most, of norm 1."""
    return torch.outer(torch.linalg.svd(A)[2][0], torch.linalg.svd(W)[0][:, 0])


# --- Lemma 1 ---------------------------------------------------------------------------------------------------------


def constant_attention(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """K = 0: uniform attention. Printed: distances in the Frobenius norm shrink when ‖W‖₂ < 1."""
    layer = drawn(graph, rng, d, rng.uniform(0.5, 1.0), strength=0.0)
    layer = replace(layer, bias=torch.zeros(d, dtype=torch.float64))
    X, A = features(graph, rng, d), layer.attention(torch.zeros(graph.n, d, dtype=torch.float64))
    stretch = torch.linalg.matrix_norm(A, 2).item() * layer.norm  # at X = 0, where σ′ = 1
    pairs = [(X, features(graph, rng, d)), (X, X + 1e-3 * steepest(A, layer.W))]
    ratio = max((widest(layer(X) - layer(Y)) / widest(X - Y)).item() for X, Y in pairs)
    return Tested(stretch - 1, ratio / layer.norm - 1)


def moving_attention(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """Attention with ‖W‖₂(1 + K) < 1. Printed: a contraction; then ρ(J) < 1 at every state, whatever the norm.

    Ours: distances in max_i ‖x_i‖ grow by ‖W‖₂(1 + ½LD) at most, D the diameter of either state. The states have
    moderate scores, for otherwise nothing moves the attention, and large features in channels that scores do not see.
    """
    layer = drawn(graph, rng, d, rng.uniform(0.5, 0.9))
    layer = weakened(layer if d > 2 else replace(layer, target=0 * layer.target), ROOM)
    seen = torch.linalg.qr(torch.stack([layer.W @ layer.source, layer.W @ layer.target], 1))[0]
    seen = seen if d > 2 else seen[:, :1]
    X, unseen = features(graph, rng, d) / layer.sensitivity, features(graph, rng, d)
    X = X + 10.0 ** rng.uniform(0, 4) / layer.sensitivity * (unseen - unseen @ seen @ seen.T)
    Y = X + 10.0 ** rng.uniform(-6, 0) * widest(X) * features(graph, rng, d)
    bound = layer.norm * (1 + 0.5 * layer.sensitivity * min(diameter(X), diameter(Y)))
    ratio = (widest(layer(X) - layer(Y)) / widest(X - Y)).item()
    return Tested(Jacobian(layer, X).radius() - 1, ratio / bound - 1)


def fixed_point(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """One fixed point, and geometric convergence to it: printed in ‖·‖_F, ours in max_i ‖x_i‖ for any attention."""
    strong = drawn(graph, rng, d, rng.uniform(0.5, 0.97))
    uniform = replace(strong, target=0 * strong.target, source=0 * strong.source)
    weak = uniform if rng.random() < 0.5 else weakened(strong, ROOM)
    rate = strong.norm if weak is uniform else ROOM
    printed, ours = [], []
    for layer in (weak, strong):
        fixed = consensus(layer).expand(graph.n, -1)
        for away in (features(graph, rng, d), 1e-3 * steepest(layer.attention(fixed), layer.W)):
            X, frobenius, wide = fixed + away, away.norm(), widest(away)
            for t in range(1, STEPS):
                X = layer(X)
                if layer is weak:
                    printed.append(((X - fixed).norm() / frobenius - rate**t).item())
                ours.append((widest(X - fixed) / wide - layer.norm**t).item())
    return Tested(max(printed), max(ours))


# --- Lemma 2 ---------------------------------------------------------------------------------------------------------


def chain(graph: Graph, rng: np.random.Generator, slope: float, strength: float = 1.0) -> Chain:
    """The attention of a random layer at a random state of a connected graph; reversible when ``slope`` is 1."""
    layer = replace(drawn(graph, rng, 2, 1.0, strength), slope=slope)
    return Chain.of(layer.attention(features(graph, rng, 2)))


def connected(test: Test) -> Test:
    """The same test on the largest component."""
    return lambda graph, rng, d: test(graph.largest_component(), rng, d)


def at_the_fixed_point(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """Lemma 2 at X* itself, with 1πᵀ as the projector: nothing is left after it, and all nodes are equal."""
    layer = drawn(graph, rng, d, rng.uniform(0.2, 0.97))
    X = features(graph, rng, d)
    for _ in range(int(np.log(1e-14) / np.log(layer.norm))):
        X = layer(X)
    left = ((X - X.mean(0)).norm() / (1 + X.norm())).item()
    return Tested(left, left)


def averaging(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """t steps of reversible averaging leave |λ₂|^t of the deviation: printed in ‖·‖_F, ours in ‖·‖_π."""
    c = chain(graph, rng, slope=1.0)
    return _decay(c, c.second, features(graph, rng, d))


def irreversible(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """The same without detailed balance, in ‖·‖_π: printed with |λ₂|, ours with ς."""
    c = chain(graph, rng, slope=0.2, strength=1.5)
    ours = _decay(c, c.contraction, features(graph, rng, d)).repaired
    return Tested(_decay(c, c.second, features(graph, rng, d)).repaired, ours)


def _decay(c: Chain, rate: float, X: Tensor) -> Tested:
    frobenius, weighted = [], []
    root = c.π.sqrt().unsqueeze(1)
    plain = torch.linalg.svd(c.A - c.π)[2][:1].T
    skew = torch.linalg.svd(root * (c.A - c.π) / root.T)[2][:1].T / root
    for start in (X, plain, skew):
        Y = start
        for t in range(1, STEPS):
            Y = c.A @ Y
            left = Y - c.π @ start
            frobenius.append(left.norm().item() / start.norm().item() - rate**t)
            weighted.append(c.norm(left) / c.norm(start) - rate**t)
    return Tested(max(frobenius), max(weighted))


def pairs(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """‖(AX)_i − (AX)_j‖ ≤ |λ₂|‖X‖_F as printed, and with √(1/π_i + 1/π_j)‖X‖_π; the worst X of each pair."""
    c = chain(graph, rng, slope=1.0)
    i, j = torch.triu_indices(graph.n, graph.n, 1)
    rows = c.A[i] - c.A[j]
    printed = rows.norm(dim=1).max().item() - c.second
    root = (1 / c.π[i] + 1 / c.π[j]).sqrt()
    ours = ((rows / c.π.sqrt()).norm(dim=1) / root).max().item() - c.second
    return Tested(printed, ours)


# --- Lemma 3 ---------------------------------------------------------------------------------------------------------


def coefficient_by_gap(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """μ(X(t)) ≤ |λ₂|^t μ(X(0)) as printed, for averaging and a mixing W; ours is 2|λ₂|^t κ, see the chapter."""
    c, X = chain(graph, rng, slope=1.0), features(graph, rng, d)
    W = torch.from_numpy(rng.standard_normal((d, d)))
    first, printed, ours = coefficient(X).item(), [], []
    mean, left = c.π @ X, X - c.π @ X
    for t in range(1, STEPS):
        X, mean, left = c.A @ X @ W, mean @ W, left @ W
        μ = coefficient(X).item()
        κ = c.norm(left) / (c.π.min().sqrt() * mean.norm()).item()
        printed.append(μ - c.second**t * first)
        ours.append(μ - 2 * c.second**t * κ)
    return Tested(max(printed), max(ours))


def coefficient_by_contraction(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """μ(X(t)) ≤ c^t μ(X(0)) as printed, for W = cI and K = 0: μ does not see c.

    Ours, for a layer with a bias and ‖W‖₂ = c < 1: μ(X(t)) ≤ 2c^t max_i ‖x_i(0) − x*‖ / ‖x*‖.
    """
    c, X, scale = chain(graph, rng, slope=1.0), features(graph, rng, d), rng.uniform(0.2, 0.9)
    layer = drawn(graph, rng, d, scale)
    x, Y, first = consensus(layer), X, coefficient(X).item()
    away, printed, ours = (widest(X - x) / x.norm()).item(), [], []
    for t in range(1, STEPS):
        X, Y = scale * (c.A @ X), layer(Y)
        printed.append(coefficient(X).item() - scale**t * first)
        ours.append(coefficient(Y).item() - 2 * scale**t * away)
    return Tested(max(printed), max(ours))


def limit(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """lim μ ≤ |λ₂|‖X*‖_F / (2 min_i ‖x*_i‖) as printed, for a layer with a bias; ours: the limit is 0."""
    layer = drawn(graph, rng, d, rng.uniform(0.2, 0.9))
    X = settled(layer, features(graph, rng, d))
    walk = Chain.of(layer.attention(X))
    printed = walk.second * (X.norm() / (2 * X.norm(dim=1).min())).item()
    μ = coefficient(X).item()
    return Tested(μ - printed, μ)


def covariance(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """The k-th eigenvalue of the covariance of X(t) over nodes is at most |λ₂|^{2t} the first one's, plain or by π."""
    c, excess = chain(graph, rng, slope=1.0), []
    plain = torch.full_like(c.π, 1 / graph.n)
    start = torch.cat([features(graph, rng, d), torch.linalg.svd(c.A - c.π)[2][:1].T], 1)
    for weight in (plain, c.π):
        X, worst = start, []
        first = _spread(X, weight)
        for t in range(1, STEPS):
            X = c.A @ X
            worst.append(((_spread(X, weight) - c.second ** (2 * t) * first).max() / first.max()).item())
        excess.append(max(worst))
    return Tested(*excess)


def _spread(X: Tensor, weight: Tensor) -> Tensor:
    """Eigenvalues of Σ_i w_i (x_i − x̄)(x_i − x̄)ᵀ, x̄ the mean with the same weights, descending."""
    return torch.linalg.svdvals(weight.sqrt().unsqueeze(1) * (X - weight @ X)).square()


# --- Lemma 4 ---------------------------------------------------------------------------------------------------------


def blocks(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """Blocks σ′(z_i)α_ij Wᵀ of the Jacobian at a fixed point; ours adds the derivative of the attention.

    Half of the layers have ‖W‖₂ < 1; the others have tanh and W = 3I, and may settle where nodes differ.
    """
    layer = drawn(graph, rng, d, 0.9, strength=10.0 ** rng.uniform(-2, 0))
    if rng.random() < 0.5:
        layer = replace(layer, W=3 * torch.eye(d, dtype=torch.float64), σ=torch.tanh, bias=0 * layer.bias)
    X = settled(layer, features(graph, rng, d))
    J = Jacobian(layer, X).dense()
    size = max(J.norm().item(), 1e-3)
    ours = (full_jacobian(layer, X) - J).norm().item() / size
    fixed = widest(layer(X) - X).item() < 1e-10
    return Tested((printed_jacobian(layer, X) - J).norm().item() / size if fixed else 0.0, ours)


def settled(layer: Layer, X: Tensor, steps: int = 400) -> Tensor:
    """Where X has gone after at most this many layers."""
    for _ in range(steps):
        last, X = X, layer(X)
        if widest(X - last) < 1e-13:
            break
    return X


def stability(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """Stable iff ρ(J) < 1, as printed, where ρ(J) = 1: W orthogonal, σ = id. Ours: ρ(J) = ρ(W) there."""
    W = torch.linalg.qr(torch.from_numpy(rng.standard_normal((d, d))))[0]
    zero = torch.zeros(d, dtype=torch.float64)
    layer = Layer(drawn(graph, rng, d, 1.0).edge, W, zero, zero, zero, σ=lambda Z: Z)
    X = features(graph, rng, d)
    late, first = X, widest(X)
    for _ in range(STEPS):
        late = layer(late)
    stayed = (widest(late) <= first * (1 + 1e-12)).item()
    return Tested(float(stayed), abs(Jacobian(layer, 0 * X).radius() - 1))


def kernel(graph: Graph, rng: np.random.Generator, d: int) -> Tested:
    """Over-smoothing iff ker(I − J) = span{1⊗v}, at X* of a layer with ‖W‖₂ < 1, where all nodes are equal.

    Printed is broken when I − J has no kernel. Ours: J has the eigenvalues λ_k ω_l, λ of the random walk with loops,
    ω of diag(σ′(z*))Wᵀ; those with λ_k ≠ 1 say how fast nodes become equal.
    """
    layer = drawn(graph, rng, d, rng.uniform(0.2, 0.97))
    x = consensus(layer)
    J = Jacobian(layer, x.expand(graph.n, -1)).dense()
    walk = layer.edge.double() / layer.edge.sum(1, keepdim=True)
    D = torch.diag(slopes(layer.σ, x @ layer.W + layer.bias))
    off = (J - torch.kron(walk, D @ layer.W.T)).abs().max().item()
    singular = torch.linalg.svdvals(torch.eye(len(J), dtype=J.dtype) - J)[-1].item()
    return Tested(singular, off)
