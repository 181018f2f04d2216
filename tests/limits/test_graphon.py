"""Step graphons: averages by area, distances, samples, what is left without degrees, cut norms against brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowprune.limits.cut_norm import cut_norm, cut_norm_bounds
from flowprune.limits.graphon import (
    average,
    degree_part,
    l1,
    l2,
    sample,
    singular_values,
    sorted_average,
    stretch,
)

sizes = st.integers(1, 40)


@given(rows=sizes, columns=sizes, K=st.integers(1, 50), seed=st.integers(0, 99))
def test_cells_average_by_area(rows, columns, K, seed):
    M = (np.random.default_rng(seed).random((rows, columns)) < 0.4).astype(float)
    fine = np.kron(M, np.ones((K, K)))  # K · rows lines: every cell of K holds a whole number of them
    whole = fine.reshape(K, rows, K, columns).mean((1, 3))
    np.testing.assert_allclose(average(M, K), whole, atol=1e-12)
    W = sorted_average(M, K)
    assert W.mean() == pytest.approx(M.mean(), abs=1e-12)
    assert (np.diff(W.mean(1)) <= 1e-12).all() and (np.diff(W.mean(0)) <= 1e-12).all()


@given(rows=st.integers(1, 20), columns=st.integers(1, 20), seed=st.integers(0, 99))
def test_names_of_neurons_mean_nothing(rows, columns, seed):
    rng = np.random.default_rng(seed)
    scores = rng.random((rows, 1)) * rng.random((1, columns))
    M = scores > 0.2  # sorted by both factors this is one shape; nodes of equal degree have equal edges
    other = M[rng.permutation(rows)][:, rng.permutation(columns)]
    np.testing.assert_allclose(sorted_average(M, 7), sorted_average(torch.from_numpy(other), 7), atol=1e-12)


def test_distances():
    A, B = np.array([[0.0, 1.0], [0.5, 0.5]]), np.full((2, 2), 0.5)
    assert l1(A, B) == l1(A, 0.5) == 0.25
    assert l2(A, B) == l2(A, 0.5) == pytest.approx(0.125**0.5)
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(3, 3\)"):
        l2(A, np.zeros((3, 3)))


def test_samples_have_the_density_of_their_place():
    W = np.array([[0.9, 0.2], [0.5, 0.0]])
    M = sample(W, 600, 400, seed=3).double().numpy()
    assert np.abs(average(M, 2) - W).max() < 4 * 0.5 / np.sqrt(60_000)
    assert average(M, 2)[1, 1] == 0
    np.testing.assert_array_equal(M, sample(W, 600, 400, seed=3).numpy())
    assert (sample(W, 600, 400, seed=4).numpy() != M).any()
    np.testing.assert_array_equal(stretch(W, 3, 4), W[[0, 1, 1]][:, [0, 0, 1, 1]])
    for wrong in (W + 0.5, W[0]):
        with pytest.raises(ValueError, match=r"densities in \[0, 1\]"):
            sample(wrong, 5, 5)
    with pytest.raises(ValueError, match="0 × 5"):
        sample(W, 0, 5)


def test_bad_masks_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        sorted_average(np.zeros(3))
    with pytest.raises(ValueError, match="K = 0"):
        sorted_average(np.zeros((3, 3)), 0)


@given(seed=st.integers(0, 99), K=st.integers(1, 12))
def test_what_degrees_do_not_explain_has_no_degrees(seed, K):
    rng = np.random.default_rng(seed)
    r, c = rng.random(K), rng.random(K + 2)
    np.testing.assert_allclose(degree_part(np.outer(r, c)), np.outer(r, c), atol=1e-12)
    W = rng.random((K, K + 2))
    rest = W - degree_part(W)
    np.testing.assert_allclose([rest.mean(0).max(), rest.mean(1).max()], 0, atol=1e-12)
    assert np.square(singular_values(W)).sum() == pytest.approx(np.square(W).mean())
    assert not degree_part(np.zeros((K, K))).any()


def brute(A):
    """Over all pairs of subsets."""
    S = np.array(list(product((0, 1), repeat=A.shape[0])), float)
    T = np.array(list(product((0, 1), repeat=A.shape[1])), float)
    return max(np.abs(part @ A @ T.T).max() for part in np.array_split(S, min(8, len(S)))) / A.size


def test_cut_norm_bounds_bracket_brute_force_on_200_matrices():
    rng = np.random.default_rng(0)
    for number in range(200):
        r, c = rng.integers(1, 13, 2)
        A = rng.standard_normal((r, c)) * (rng.random((r, c)) < rng.choice([0.3, 1]))
        A = A + rng.choice([0.0, 1.0])
        exact = cut_norm(A)
        if number < 60 or r + c <= 18:  # all pairs of subsets
            assert exact == pytest.approx(brute(A), rel=1e-12, abs=1e-15)
        assert exact == pytest.approx(cut_norm(A.T), rel=1e-12, abs=1e-15)
        lower, upper = cut_norm_bounds(A)
        assert lower <= exact * (1 + 1e-12) and exact <= upper * (1 + 1e-12)
        assert lower >= 0.999 * exact  # so small, the search finds the sets themselves


def test_cut_norm_of_known_matrices():
    W = np.full((30, 50), 0.25)
    assert cut_norm_bounds(W) == pytest.approx((0.25, 0.25))
    assert cut_norm_bounds(np.zeros((3, 3))) == (0, 0)
    x = np.where(np.arange(16) < 8, 1.0, -1.0)
    assert cut_norm(np.outer(x, x)) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="shorter side may have 20"):
        cut_norm(np.zeros((21, 30)))


@settings(max_examples=30)
@given(seed=st.integers(0, 999))
def test_cut_norm_is_a_norm_below_l1(seed):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((2, 6, 9))
    assert cut_norm(A + B) <= cut_norm(A) + cut_norm(B) + 1e-12
    assert cut_norm(-2 * A) == pytest.approx(2 * cut_norm(A))
    assert cut_norm(A) <= l1(A, 0.0) + 1e-12
