"""Jacobians by products against dense automatic differentiation; noise and exponents against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph

from flowprune.dynamics import jacobian
from flowprune.dynamics.jacobian import Jacobian, lyapunov_covariance, lyapunov_exponents

examples = settings(max_examples=20, deadline=None)
sizes, seeds = st.integers(2, 8), st.integers(0, 2**16)
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention(n: int, seed: int, d: int = 3):
    """A nonlinear map over a random graph: tanh of softmax attention that depends on the state."""
    edge = random_graph(n, seed).adjacency.to_dense() > 0
    edge = edge | torch.eye(n, dtype=torch.bool)
    W, Q = normal(seed, d, d), normal(seed + 1, d, d)

    def f(X):
        scores = (X @ Q @ X.T).masked_fill(~edge, -torch.inf)
        return torch.tanh(scores.softmax(-1) @ X @ W)

    return f


def dense(f, X: torch.Tensor) -> torch.Tensor:
    return torch.autograd.functional.jacobian(f, X).reshape(X.numel(), X.numel())


@examples
@given(n=sizes, seed=seeds)
def test_products_are_those_of_the_dense_jacobian(n, seed):
    f, X, v = attention(n, seed), normal(seed, n, 3), normal(seed + 2, n, 3)
    J, expected = Jacobian(f, X), dense(f, X)
    np.testing.assert_allclose(J.dense(), expected, **EXACT)
    np.testing.assert_allclose(J.apply(v).flatten(), expected @ v.flatten(), **EXACT)
    np.testing.assert_allclose(J.adjoint(v).flatten(), expected.T @ v.flatten(), **EXACT)
    assert J.norm() == pytest.approx(np.linalg.svd(expected, compute_uv=False)[0], rel=1e-9)
    assert J.radius() == pytest.approx(abs(np.linalg.eigvals(expected)).max(), rel=1e-9)


def test_the_order_of_entries_is_row_by_row():
    A, W = normal(0, 4, 4), normal(1, 3, 3)
    J = Jacobian(lambda X: A @ X @ W, normal(2, 4, 3))
    np.testing.assert_allclose(J.dense(), torch.kron(A, W.T.contiguous()), **EXACT)


@pytest.mark.parametrize("k", [1, 3])
def test_iterations_agree_with_the_dense_matrix(monkeypatch, k):
    f, X = attention(30, 5), normal(5, 30, 3)
    exact, (values, vectors) = Jacobian(f, X), Jacobian(f, X).leading(k)
    monkeypatch.setattr(jacobian, "SMALL", 0)
    found, states = Jacobian(f, X).leading(k)
    assert states.shape == vectors.shape == (k, 30, 3)
    np.testing.assert_allclose(found.abs(), values.abs(), rtol=1e-7)
    J = exact.dense().to(torch.complex128)
    for λ, state in zip(found, states, strict=True):
        np.testing.assert_allclose(J @ state.flatten(), λ * state.flatten(), atol=1e-7)
    assert Jacobian(f, X).norm() == pytest.approx(exact.norm(), rel=1e-7)
    assert Jacobian(f, X).radius() == pytest.approx(exact.radius(), rel=1e-4)


def test_leading_values_come_by_modulus_with_unit_vectors():
    J = Jacobian(lambda X: X * torch.tensor([[0.5, -2.0, 1.0]]), torch.ones(1, 3, dtype=torch.float64))
    values, vectors = J.leading(2)
    np.testing.assert_allclose(values.real, [-2, 1])
    np.testing.assert_allclose(vectors.abs(), [[[0, 1, 0]], [[0, 0, 1]]])


def test_a_map_that_forgets_its_input_has_the_jacobian_zero():
    J = Jacobian(lambda X: torch.ones_like(X) + 0 * X, normal(0, 3, 2))
    assert J.radius() == J.norm() == 0


def test_wrong_shapes_and_large_dense_matrices_are_refused():
    with pytest.raises(ValueError, match=r"takes \[3, 2\] to \[2, 3\]; it must keep the shape"):
        Jacobian(lambda X: X.T, normal(0, 3, 2))
    with pytest.raises(ValueError, match="4000 entries has a dense Jacobian"):
        Jacobian(torch.tanh, torch.zeros(2000, 2)).dense()


@examples
@given(N=st.integers(1, 9), seed=seeds, ρ=st.sampled_from([0.0, 0.3, 0.9, 0.999]))
def test_the_covariance_is_scipys(N, seed, ρ):
    J, root = normal(seed, N, N), normal(seed + 1, N, N)
    J = J * (ρ / torch.linalg.eigvals(J).abs().max())
    Q = root @ root.T
    P = lyapunov_covariance(J, Q)
    expected = scipy.linalg.solve_discrete_lyapunov(J.numpy(), Q.numpy())
    np.testing.assert_allclose(P, expected, rtol=1e-8, atol=1e-8 * abs(expected).max())
    np.testing.assert_allclose(P, J @ P @ J.T + Q, rtol=1e-10, atol=1e-10 * abs(expected).max())


def test_the_covariance_is_that_of_a_long_simulation():
    J = torch.tensor([[0.5, 0.4], [-0.2, 0.3]], dtype=torch.float64)
    Q = torch.diag(torch.tensor([1.0, 0.25], dtype=torch.float64))
    draw = torch.Generator().manual_seed(0)
    x = torch.zeros(2, 20000, dtype=torch.float64)
    for _ in range(60):
        x = J @ x + Q.sqrt() @ torch.randn(x.shape, generator=draw, dtype=torch.float64)
    P = lyapunov_covariance(J, Q)
    error = torch.sqrt((P.diagonal().outer(P.diagonal()) + P.square()) / x.shape[1])  # of a normal sample
    assert ((torch.cov(x) - P).abs() < 4 * error).all()


@pytest.mark.parametrize("ρ", [1.0, 1.5])
def test_noise_that_never_settles_is_refused(ρ):
    J = torch.diag(torch.tensor([0.5, -ρ], dtype=torch.float64))
    with pytest.raises(ValueError, match=f"spectral radius of J is {ρ:g}; allowed is below 1"):
        lyapunov_covariance(J, torch.eye(2, dtype=torch.float64))


def test_exponents_of_a_linear_map_are_logarithms_of_its_eigenvalues():
    λ, S = torch.tensor([1.5, -0.9, 0.5, 0.1], dtype=torch.float64), normal(3, 4, 4)
    A = S @ torch.diag(λ) @ torch.linalg.inv(S)
    X, depth = normal(4, 4, 1), 400
    found = lyapunov_exponents([lambda X: A @ X] * depth, X, 4)
    np.testing.assert_allclose(found, λ.abs().log(), atol=10 / depth)
    np.testing.assert_allclose(
        found.sum(), λ.abs().log().sum(), rtol=1e-10
    )  # volumes shrink by the determinant


def test_exponents_follow_the_state():
    """x ↦ x² at x = 2, 4, 16: slopes 4, 8, 32."""
    found = lyapunov_exponents([torch.square] * 3, torch.tensor([[2.0]], dtype=torch.float64), 1)
    assert found.item() == pytest.approx((math.log(4) + math.log(8) + math.log(32)) / 3)


def test_a_direction_that_is_wiped_out_has_the_exponent_minus_infinity():
    mean = torch.full((3, 3), 1 / 3, dtype=torch.float64)
    found = lyapunov_exponents([lambda X: mean @ X], normal(0, 3, 1), 2)
    assert found[1] < -30
    with pytest.raises(ValueError, match="k = 4; allowed are 1 to 3"):
        lyapunov_exponents([lambda X: X], normal(0, 3, 1), 4)
