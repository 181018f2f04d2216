"""The law of one noisy score and of the share removed, against noncentral χ², direct sums and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flowprune.experiments.theory import pruning_rate as theory

SCENE = theory.Scene.of("syn-cora?homophily=0.7&n=120&words=60&seed=1", 16, 0)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 20), st.floats(0.05, 3), st.integers(2, 64))
def test_moments_are_those_of_a_noncentral_chi_square(signal, σ, d):
    scale = 2 * σ**2 / (d - 1)
    law = stats.ncx2(d - 1, signal / scale, scale=scale) if signal else stats.chi2(d - 1, scale=scale)
    mean, variance = theory.moments(torch.tensor(signal, dtype=torch.float64), σ, d)
    assert mean.item() == pytest.approx(law.mean(), rel=1e-9)
    assert variance.item() == pytest.approx(law.var(), rel=1e-9)


def test_moments_are_those_of_the_scores_themselves():
    rng, σ = np.random.default_rng(3), 0.7
    draws = torch.stack([theory.Dynamo().score(theory.one_state(SCENE, σ, rng)) for _ in range(3000)])
    mean, variance = theory.moments(SCENE.signal, σ, SCENE.d)
    assert ((draws.mean(0) - mean) / (variance / 3000).sqrt()).abs().max() < 5
    assert (draws.var(0) / variance).mean().item() == pytest.approx(1, abs=0.02)


def test_likeness_is_the_correlation_that_noise_leaves():
    rng = np.random.default_rng(4)
    for σ in (0.3, 1.0, 3.0):
        scores = [theory.Dynamo().score(theory.one_state(SCENE, σ, rng)) for _ in range(40)]
        found = np.mean([np.corrcoef(SCENE.signal, S)[0, 1] for S in scores])
        assert found == pytest.approx(theory.likeness(SCENE.signal, σ, SCENE.d), abs=0.04)


def test_at_the_turning_point_half_of_the_variance_is_noise():
    σ = theory.turning_point(SCENE.signal, SCENE.d)
    assert theory.likeness(SCENE.signal, σ, SCENE.d) == pytest.approx(0.5**0.5, rel=1e-12)


def test_the_scene_is_attention_over_neighbours():
    n = SCENE.graph.n
    torch.testing.assert_close(SCENE.A.sum(1), torch.ones(n, dtype=torch.float64))
    assert SCENE.H.square().mean().item() == pytest.approx(1)
    α = SCENE.A[SCENE.row, SCENE.col]
    torch.testing.assert_close(SCENE.weight * (α.mean() + α.std(correction=0)), α)
    i, j = int(SCENE.row[5]), int(SCENE.col[5])
    assert SCENE.signal[5].item() == pytest.approx((SCENE.H[i] - SCENE.H[j]).var().item())


def test_shares_are_those_of_an_edge_by_edge_loop():
    scores = torch.from_numpy(np.random.default_rng(2).exponential(size=(theory.STEPS, len(SCENE.row))))
    removed = theory.shares(SCENE, scores, [0.02, 0.2, 1.0], 0.3)
    for r, share in zip((0.02, 0.2, 1.0), removed, strict=True):
        w = np.ones(len(SCENE.row))
        for step in (SCENE.weight * scores).numpy():
            w = w * (1 - np.minimum(r * step, 1))
        assert share == pytest.approx((w < 0.3).mean())


def test_the_closed_form_is_that_of_steps_with_the_mean_score():
    rates = np.geomspace(0.001, 1, 30)
    for σ in (0.0, 0.5):
        stepped = theory.shares(SCENE, theory.mean_scores(SCENE, σ), rates, 0.1)
        closed = theory.closed_shares(SCENE, σ, rates, 0.1)
        np.testing.assert_allclose(stepped, closed, atol=2 / len(SCENE.row))


@pytest.mark.parametrize("shares", [theory.shares, theory.recalibrated_shares], ids=["fixed", "recalibrated"])
def test_noise_acts_through_its_mean(shares):
    rates = np.geomspace(0.01, 1, 12)
    for σ in (0.1, 1.0):
        noisy = theory.scores(SCENE, "one state", σ, np.random.default_rng(5))
        found = shares(SCENE, noisy, rates, 0.1)
        assert np.abs(found - shares(SCENE, theory.mean_scores(SCENE, σ), rates, 0.1)).max() < 0.05


def test_recalibration_by_hand():
    """The rule of the network, written out with a dense matrix of multipliers."""
    scores, r, ε = theory.mean_scores(SCENE, 0.2), 0.15, 0.1
    W = torch.zeros_like(SCENE.A)
    W[SCENE.row, SCENE.col] = 1
    W.fill_diagonal_(1)
    for score in scores:
        now = W * SCENE.A
        now = (now / now.sum(1, keepdim=True))[SCENE.row, SCENE.col]
        alive = now[W[SCENE.row, SCENE.col] > 0]
        p = r * now / (alive.mean() + alive.std(correction=0)) * score
        new = W[SCENE.row, SCENE.col] * (1 - p.clamp(max=1))
        W[SCENE.row, SCENE.col] = torch.where(new < ε, 0.0, new)
    expected = (W[SCENE.row, SCENE.col] == 0).double().mean().item()
    assert theory.recalibrated_shares(SCENE, scores, [r], ε)[0] == pytest.approx(expected)
    assert abs(expected - theory.shares(SCENE, scores, [r], ε)[0]) > 0.1  # it is not the rule without
    assert theory.recalibrated_shares(SCENE, scores, [100.0], ε)[0] == 1


def test_draws_see_only_the_product_of_rate_and_variance():
    rates = np.geomspace(0.01, 10, 12)
    one, small = (theory.scores(SCENE, "draws", σ, np.random.default_rng(0)) for σ in (1.0, 0.1))
    base = theory.shares(SCENE, one, rates, 0.1)
    np.testing.assert_allclose(base, theory.shares(SCENE, small, 100 * rates, 0.1), atol=1 / len(SCENE.row))
    assert base.min() < 0.05 and base.max() > 0.9


def test_the_rate_for_a_share_lies_on_the_grid_where_it_should():
    rates = [0.1, 1.0, 10.0]
    assert theory.rate_for(0.5, rates, np.array([0.0, 0.5, 1.0])) == pytest.approx(1.0)
    assert theory.rate_for(0.25, rates, np.array([0.0, 0.5, 1.0])) == pytest.approx(10**-0.5)


def test_accuracy_without_edges_is_that_of_the_features():
    found = theory.accuracies(SCENE, "minus", [0.0, 1.0], layers=4, splits=2)
    deep = theory.accuracies(SCENE, "plus", [1.0], layers=9, splits=2)
    np.testing.assert_allclose(found[:, 1], deep[:, 0])
    assert found.shape == (2, 2) and ((found >= 0) & (found <= 1)).all()


def test_interior_asks_for_more_than_both_ends():
    wobble = 0.01 * np.random.default_rng(0).standard_normal((6, 3))
    assert theory.interior(np.array([0.5, 0.8, 0.6]) + wobble)
    assert not theory.interior(np.array([0.5, 0.8, 0.8]) + wobble)
    assert not theory.interior(np.array([0.8, 0.8, 0.5]) + wobble)
