"""Noise-prune against effective resistances, Lyapunov's equation, and the mean of many draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph

from flowprune.graphs import load
from flowprune.pruning import preserve


def laplacian(adjacency: torch.Tensor) -> torch.Tensor:
    return torch.diag(adjacency.sum(1)) - adjacency


def grounded(adjacency: torch.Tensor, leak: float = 1e-7) -> torch.Tensor:
    """−L with a small leak at every node, so that there is a stationary covariance."""
    return -laplacian(adjacency) - leak * torch.eye(len(adjacency), dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(0, 10**6), st.floats(0.1, 3))
def test_scores_of_a_laplacian_are_weight_times_resistance(n, seed, σ):
    W = random_graph(n, seed).adjacency.to_dense()
    scores = preserve.edge_scores(W, preserve.stationary_covariance(grounded(W), σ))
    G = torch.linalg.pinv(laplacian(W))
    resistance = G.diagonal().unsqueeze(1) + G.diagonal() - 2 * G
    torch.testing.assert_close(scores, σ**2 / 2 * W * resistance, rtol=1e-5, atol=1e-6)


def test_scores_of_a_laplacian_sum_to_the_rank():
    """Foster: Σ w_ij R_ij over edges is n − 1 on a connected graph."""
    W = random_graph(12, 3).adjacency.to_dense()
    scores = preserve.edge_scores(W, preserve.stationary_covariance(grounded(W)))
    assert torch.triu(scores).sum().item() == pytest.approx(11 / 2, rel=1e-5)


def test_the_bridge_has_the_largest_score():
    W = load("barbell?m=5").to(dtype=torch.float64).adjacency.to_dense()
    scores = preserve.edge_scores(W, preserve.stationary_covariance(grounded(W)))
    assert divmod(int(scores.argmax()), len(W)) == (4, 5)
    assert scores[4, 5].item() == pytest.approx(1 / 2, rel=1e-5)


def test_a_negative_weight_counts_the_sum_and_the_diagonal_nothing():
    W = torch.tensor([[0.0, -2.0], [-2.0, 0.0]], dtype=torch.float64)
    C = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    expected = torch.tensor([[0.0, 14.0], [14.0, 0.0]], dtype=torch.float64)
    assert torch.equal(preserve.edge_scores(W, C), expected)


def test_the_covariance_solves_its_equation_and_needs_stability():
    A = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 6)))
    A = A - (torch.linalg.eigvals(A).real.max() + 0.3) * torch.eye(6, dtype=torch.float64)
    C = preserve.stationary_covariance(A, 2.0)
    torch.testing.assert_close(A @ C + C @ A.T, -4 * torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="spectral abscissa of A is 1; allowed is below 0"):
        preserve.stationary_covariance(torch.eye(2, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 9), st.integers(0, 10**6), st.floats(0.02, 1.0))
def test_probabilities_add_up_to_what_is_kept(n, seed, share):
    rng = np.random.default_rng(seed)
    W = random_graph(n, seed).adjacency.to_dense()
    scores = W * torch.from_numpy(rng.exponential(size=(n, n)) ** 3)
    scores = torch.triu(scores, 1) + torch.triu(scores, 1).T
    edges = int((torch.triu(scores) > 0).sum())
    p = preserve.probabilities(scores, share * edges)
    assert torch.triu(p).sum().item() == pytest.approx(share * edges, rel=1e-9)
    assert p.max() <= 1
    below = (p < 1) & (scores > 0)
    ratio = (p / scores)[below]
    assert not below.any() or (ratio.max() - ratio.min()) <= 1e-9 * ratio.max()
    assert (scores[(p == 1)] >= scores[below].max() - 1e-12).all() if below.any() else True


def test_a_budget_that_cannot_be_met_is_refused():
    with pytest.raises(ValueError, match="4 edges are to be kept; allowed is above 0, up to 3"):
        preserve.probabilities(torch.ones(3, 3, dtype=torch.float64), 4)


def test_the_mean_of_many_draws_is_w():
    W = torch.tensor([[0, 1.0, -2], [1, 0, 3], [-2, 3, 0]], dtype=torch.float64)
    p = torch.tensor([[0, 0.2, 0.9], [0.2, 0, 0.5], [0.9, 0.5, 0]], dtype=torch.float64)
    rng, draws = np.random.default_rng(0), 8000
    mean = sum(preserve.noise_prune(W, p, rng) for _ in range(draws)) / draws
    error = (W.square() * (1 - p) / p / draws).sqrt()  # of a mean of draws that are w/p or nothing
    off = ~torch.eye(3, dtype=torch.bool)
    assert ((mean - W)[off].abs() < 4 * error[off]).all()
    assert (error[off] < 0.05).all()


def test_half_is_kept_and_kept_weights_are_doubled():
    W = torch.ones(60, 60, dtype=torch.float64) - torch.eye(60, dtype=torch.float64)
    pruned = preserve.noise_prune(W, 0.5 * W, np.random.default_rng(0))
    assert torch.equal(pruned, pruned.T)
    assert set(pruned.unique().tolist()) == {0.0, 2.0}
    assert 0.45 < (pruned > 0).double().mean() < 0.55
    with pytest.raises(ValueError, match="W is not symmetric"):
        preserve.noise_prune(torch.triu(W), 0.5 * W, np.random.default_rng(0))


def test_a_corrected_laplacian_is_a_laplacian():
    W = random_graph(8, 5).adjacency.to_dense()
    p = preserve.probabilities(W, 6.0)
    pruned = preserve.noise_prune(W, p, np.random.default_rng(1))
    leak = preserve.corrected_leak(W.sum(1), W, pruned)
    torch.testing.assert_close((pruned - torch.diag(leak)).sum(1), torch.zeros(8, dtype=torch.float64))
