"""Estimators find known graphons; null models keep what they promise; the factorised model predicts what it made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flowprune.limits.estimators import (
    block_average,
    denoise,
    singular_value_threshold,
    smooth_average,
    split_average,
)
from flowprune.limits.factors import factorise
from flowprune.limits.graphon import average, degree_part, l1, l2, sample, sorted_average
from flowprune.limits.null import (
    erdos_renyi,
    expected_degrees,
    expected_distance,
    expected_histogram,
    same_degrees,
)

ALL = (sorted_average, split_average, block_average, smooth_average, singular_value_threshold)
BLOCKS = np.kron(np.array([[0.8, 0.3], [0.4, 0.05]]), np.ones((8, 8)))
u = (np.arange(16) + 0.5) / 16
GRADED = 0.1 + 0.8 * np.outer(1 - u, 1 - u)


@pytest.mark.parametrize("estimate", ALL)
@pytest.mark.parametrize("W", [BLOCKS, GRADED])
def test_estimators_find_a_graphon_again(estimate, W):
    M = sample(W, 320, 480, seed=1)[torch.randperm(320)][:, torch.randperm(480)]
    found = estimate(M, 16)
    assert found.shape == (16, 16) and found.min() >= -1e-12 and found.max() <= 1 + 1e-12
    assert l1(found, W) < 0.035
    assert l2(found, W) < 0.2 * l2(W, W.mean())


def test_a_flat_mask_stays_flat_when_other_edges_choose_the_order():
    masks = [erdos_renyi(100, 100, 2000, seed) for seed in range(40)]
    looks = {f: np.mean([f(M, 4) for M in masks], 0) for f in (sorted_average, split_average)}
    assert np.ptp(looks[sorted_average]) > 0.1
    assert np.ptp(looks[split_average]) < 0.02
    with pytest.raises(ValueError, match=r"\(1, 5\)"):
        split_average(np.zeros((1, 5)))


@settings(max_examples=20, deadline=None)
@given(m=st.integers(1, 9), weight=st.floats(0, 0.4), rows=st.integers(1, 5))
def test_total_variation_pulls_a_step_together(m, weight, rows):
    step = np.repeat([0.0, 1.0], m)[None].repeat(rows, 0)
    moved = min(weight / m, 0.5)
    np.testing.assert_allclose(denoise(step, weight, 3000), np.where(step > 0, 1 - moved, moved), atol=2e-3)


def test_total_variation_reaches_the_minimum():
    rng = np.random.default_rng(0)
    f, weight = rng.random((6, 7)), 0.15

    def cost(u):
        down, right = np.zeros((6, 7)), np.zeros((6, 7))
        down[:-1], right[:, :-1] = np.diff(u, axis=0), np.diff(u, axis=1)
        return 0.5 * np.square(u - f).sum() + weight * np.hypot(down, right).sum()

    found = denoise(f, weight, 2000)
    best = cost(found)
    assert best < cost(f) and best < cost(np.full_like(f, f.mean()))
    assert min(cost(found + 0.003 * rng.standard_normal(f.shape)) for _ in range(300)) > best - 1e-6
    with pytest.raises(ValueError, match="weight"):
        denoise(f, -1)


def test_thresholding_keeps_nothing_of_a_flat_mask_but_its_degrees():
    M = sample(np.full((1, 1), 0.3), 300, 200, seed=0)
    rest = {f: (W := f(M, 8)) - degree_part(W) for f in (sorted_average, singular_value_threshold)}
    assert np.abs(rest[singular_value_threshold]).max() < 0.1 * np.abs(rest[sorted_average]).max()
    assert not singular_value_threshold(np.zeros((4, 5)), 3).any()


def test_blocks_are_found_where_nodes_are_alike():
    M = np.kron([[1, 0], [0, 1]], np.ones((3, 4)))
    np.testing.assert_allclose(np.sort(block_average(M, 2).ravel()), [0, 0, 1, 1], atol=1e-12)


# --- null models -----------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 12), columns=st.integers(1, 12), p=st.floats(0, 1), seed=st.integers(0, 99))
def test_null_models_keep_what_they_promise(rows, columns, p, seed):
    edges = round(p * rows * columns)
    M = erdos_renyi(rows, columns, edges, seed)
    assert M.shape == (rows, columns) and M.sum() == edges
    other = same_degrees(M, seed)
    torch.testing.assert_close(other.sum(0), M.sum(0))
    torch.testing.assert_close(other.sum(1), M.sum(1))


def test_trades_reach_every_mask_of_the_same_degrees_equally_often():
    M = np.eye(3, dtype=bool)  # six permutation matrices
    seen = [tuple(same_degrees(M, seed).numpy().argmax(1)) for seed in range(600)]
    _, counts = np.unique(seen, axis=0, return_counts=True)
    assert len(counts) == 6 and stats.chisquare(counts).pvalue > 1e-3
    with pytest.raises(ValueError, match="0 to 6 edges, not 7"):
        erdos_renyi(2, 3, 7)


@pytest.mark.parametrize(("n", "trials", "p", "K"), [(1, 7, 0.3, 1), (50, 40, 0.2, 7), (12, 90, 0.7, 30)])
def test_expected_degrees_are_mean_order_statistics(n, trials, p, K):
    draws = -np.sort(-np.random.default_rng(0).binomial(trials, p, (40_000, n)), axis=1) / trials
    error = draws.std(0).max() / np.sqrt(len(draws))
    cells = np.array([average(row[:, None], K)[:, 0] for row in [draws.mean(0)]])[0]
    np.testing.assert_allclose(expected_degrees(n, trials, p, K), cells, atol=5 * error)
    assert expected_degrees(n, trials, p, K).mean() == pytest.approx(p, abs=1e-12)


def test_expected_degrees_of_wide_layers():
    n, p, K = 4000, 0.2, 8
    z = stats.norm.isf(np.arange(K + 1) / K)
    limit = p + np.sqrt(p * (1 - p) / n) * K * np.diff(stats.norm.pdf(z))
    np.testing.assert_allclose(expected_degrees(n, n, p, K), limit, atol=2e-4)


@pytest.mark.parametrize(
    ("rows", "columns", "p", "K"), [(64, 64, 0.2, 8), (100, 70, 0.3, 20), (96, 96, 0.1, 64)]
)
def test_the_null_curve_is_that_of_sampled_masks(rows, columns, p, K):
    masks = [sorted_average(sample(np.full((1, 1), p), rows, columns, s), K) for s in range(300)]
    error = np.std(masks, 0).max() / np.sqrt(300)
    assert np.abs(np.mean(masks, 0) - expected_histogram(rows, columns, p, K)).max() < 5 * error + 0.02
    measured = np.sqrt(np.mean([l2(W, p) ** 2 for W in masks]))
    assert measured == pytest.approx(expected_distance(rows, columns, p, K), rel=0.03)


# --- the factorised model ----------------------------------------------------------------------------------


def test_factors_are_found_again():
    rng = np.random.default_rng(0)
    a, b = np.exp(rng.standard_normal(60)), np.exp(rng.standard_normal(80))
    found = factorise(np.outer(a, b))
    assert found.share == pytest.approx(1) and np.ptp(found.law) < 1e-9
    np.testing.assert_allclose(np.outer(found.a, found.b), np.outer(a, b))
    a[:7], b[3] = 0, 0
    noisy = np.outer(a, b) * np.abs(rng.standard_normal((60, 80)))
    noisy[20, 30] = 0
    found = factorise(noisy)
    assert not found.a[:7].any() and found.b[3] == 0 and (found.a[7:] > 0).all()
    spread = np.var(np.log(np.abs(rng.standard_normal(10**6))))
    assert found.share == pytest.approx(2 / (2 + spread), abs=0.12)
    even = factorise(rng.random((300, 200)))
    assert np.std(np.log(even.a)) < 0.02 < 0.05 < 1 / np.sqrt(200) and abs(even.share) < 0.002
    with pytest.raises(ValueError, match="all scores are zero"):
        factorise(np.zeros((3, 4)))


@pytest.mark.parametrize("sign", [False, True])
def test_the_graphon_of_factorised_scores_is_predicted(sign):
    rng = np.random.default_rng(1)
    n, K = 800, 16
    a, b = np.exp(0.8 * rng.standard_normal(n)), np.exp(0.5 * rng.standard_normal(n))
    a[: n // 10] = 0
    ξ = rng.standard_normal((n, n))
    s = np.outer(a, b) * (ξ if sign else np.abs(ξ))
    τ = np.quantile(s, 0.8)
    M = s > τ
    predicted = factorise(s).graphon(τ, K)
    assert predicted.mean() == pytest.approx(M.mean(), abs=0.005)
    assert l2(predicted, sorted_average(M, K)) < 0.02 < 0.1 < l2(sorted_average(M, K), M.mean())
    assert factorise(s).graphon(-np.inf, 2).min() == pytest.approx(1)
