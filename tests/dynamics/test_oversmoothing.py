"""Over-smoothing against double loops and numpy; the sampled coefficient against its own confidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from flowprune.dynamics.oversmoothing import coefficient, deviation, effective_rank, sampled_coefficient

examples = settings(max_examples=30, deadline=None)
sizes, seeds = st.integers(2, 12), st.integers(0, 2**16)
MEASURES = (coefficient, deviation, effective_rank)


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def double_loop(X: torch.Tensor) -> float:
    X, n, total = X.numpy(), len(X), 0.0
    for i in range(n):
        for j in range(n):
            size = np.linalg.norm(X[i]) + np.linalg.norm(X[j])
            if i != j and size > 0:
                total += np.linalg.norm(X[i] - X[j]) / size
    return total / (n * (n - 1))


@examples
@given(n=sizes, seed=seeds, zeros=st.integers(0, 3), block=st.integers(1, 14))
def test_the_coefficient_is_the_double_loop(n, seed, zeros, block):
    X = normal(seed, n, 3)
    X[:zeros] = 0
    assert coefficient(X, block).item() == pytest.approx(double_loop(X), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("measure", MEASURES)
def test_replicas_are_measured_one_by_one(measure):
    X = normal(0, 9, 4, 3) * torch.tensor([1.0, 1e-180, 1e120, 0.0], dtype=torch.float64).view(1, 4, 1)
    expected = [measure(X[:, r]).item() for r in range(4)]
    found = measure(X)
    assert found.shape == (4,)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_scale_matters_to_the_deviation_alone(scale):
    """In float32, where the squares of the first and of the last are out of range."""
    X = normal(1, 20, 4)
    tiny = (scale * X).float()
    assert coefficient(tiny).item() == pytest.approx(coefficient(X).item(), rel=1e-5)
    assert effective_rank(tiny).item() == pytest.approx(effective_rank(X).item(), rel=1e-5)
    assert deviation(tiny).item() == pytest.approx(scale * deviation(X).item(), rel=1e-5)


def test_extremes():
    opposite = torch.tensor([[1.0, 2.0], [-1.0, -2.0]])
    assert coefficient(opposite).item() == pytest.approx(1)
    equal = torch.ones(6, 3, dtype=torch.float64)
    assert coefficient(equal) == deviation(equal) == 0
    assert effective_rank(equal).item() == pytest.approx(1)
    assert coefficient(torch.zeros(4, 3)) == effective_rank(torch.zeros(4, 3)) == 0


@pytest.mark.parametrize("apart", [1e-12, 1e-9, 1e-3])
def test_almost_equal_nodes_keep_their_distance(apart):
    X = torch.tensor([[1.0, 0.0], [1.0, apart]], dtype=torch.float64)
    assert coefficient(X).item() == pytest.approx(apart / (1 + math.hypot(1, apart)), rel=1e-12)


@examples
@given(n=sizes, seed=seeds)
def test_deviation_and_rank_are_numpys(n, seed):
    X = normal(seed, n, 4)
    centred = X.numpy() - X.numpy().mean(0)
    assert deviation(X).item() == pytest.approx(np.linalg.norm(centred), rel=1e-12)
    p = np.linalg.svd(X.numpy(), compute_uv=False)
    p = p / p.sum()
    assert effective_rank(X).item() == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-12)
    assert 1 <= effective_rank(X).item() <= min(n, 4) + 1e-12


def test_orthogonal_columns_have_full_effective_rank():
    Q = torch.linalg.qr(normal(3, 8, 5))[0]
    assert effective_rank(Q).item() == pytest.approx(5)


def test_the_sampled_coefficient_keeps_its_confidence():
    """1000 estimates: 95 % intervals cover as often as they say, and the mean is right within its own error."""
    X = normal(4, 40, 3)
    exact, drawn = coefficient(X).item(), torch.Generator().manual_seed(0)
    estimates = np.array([[x.item() for x in sampled_coefficient(X, 400, drawn)] for _ in range(1000)])
    value, error = estimates.T
    covered = int((abs(value - exact) <= 1.96 * error).sum())
    assert binomtest(covered, 1000, 0.95).pvalue > 0.01
    assert abs(value.mean() - exact) < 3 * value.std() / math.sqrt(1000)
    assert error.mean() == pytest.approx(value.std(), rel=0.1)


def test_sampled_pairs_are_never_a_node_with_itself():
    X = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)  # only the pair of both counts, and counts 1
    value, error = sampled_coefficient(X, 50, torch.Generator().manual_seed(1))
    assert (value.item(), error.item()) == (1.0, 0.0)
    stacked, _ = sampled_coefficient(torch.stack([X, 0 * X], 1), 50, torch.Generator().manual_seed(1))
    assert stacked.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("shape", [(1, 3), (4,), (2, 2, 2, 2)])
def test_shapes_without_pairs_of_nodes_are_refused(shape):
    with pytest.raises(ValueError, match="at least two nodes"):
        coefficient(torch.zeros(shape))
