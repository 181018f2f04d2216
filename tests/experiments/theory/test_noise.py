"""Noise through a linear layer: against solvers, against sums layer by layer, and against other ways of guessing."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph
from sklearn.metrics import roc_auc_score

from flowprune.experiments.theory import noise as theory
from flowprune.experiments.theory.instances import examine
from flowprune.graphs import load

COUNT = 45


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    "check",
    [theory.settles, theory.differences_settle, theory.scores_are_resistances],
    ids=lambda f: f.__name__,
)
def test_no_check_finds_a_counterexample(check):
    evidence = examine(check, COUNT)
    assert evidence["counterexamples"] == 0
    assert evidence["deviation"] < 1e-9
    assert (evidence["exceptions"] > 0) == (check is theory.settles)


@pytest.mark.parametrize("kind", theory.KINDS)
def test_layers_have_the_radius_they_say(kind):
    for seed in range(8):
        graph = random_graph(6, seed)
        J = theory.linear_layer(graph, rng(seed), kind)
        assert len(J) == (12 if kind == "channels" else 6)
        ρ = np.abs(np.linalg.eigvals(J.numpy())).max()
        assert ρ == pytest.approx(1, abs=1e-12) if kind == "at one" else 0.3 - 1e-9 <= ρ <= 0.95 + 1e-9


def test_a_wrong_equation_is_seen(monkeypatch):
    """Jᵀ in place of J gives another covariance as soon as J is not normal."""
    right = theory.lyapunov_covariance
    monkeypatch.setattr(theory, "lyapunov_covariance", lambda J, Q: right(J.T, Q))
    assert examine(theory.settles, COUNT)["counterexamples"] > 0


def test_a_resistance_without_its_correction_is_seen():
    """At long steps S is not R/2τ: on one edge with τλ = 1.5, R/2τ is a quarter of it."""
    graph = random_graph(2, 0)
    L = theory.laplacian(graph)
    stepped = theory.settled_scores(torch.eye(2, dtype=torch.float64) - 0.75 * L)[0, 1].item()
    assert stepped == pytest.approx(2 / (1 - 0.5**2), rel=1e-12)  # the difference is −½ times itself plus 2σ²
    assert stepped / (1 / (2 * 0.75)) == pytest.approx(4, rel=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 8), st.integers(0, 10**6))
def test_scores_of_the_flow_are_half_of_networkx_resistance(n, seed):
    graph = random_graph(n, seed)
    L = theory.laplacian(graph)
    B, own = theory.differences(torch.eye(n, dtype=torch.float64) - L)
    flow = scipy.linalg.solve_continuous_lyapunov((own - B.T @ B).numpy(), -np.eye(n - 1))
    S = theory.pair_scores(B @ torch.from_numpy(flow) @ B.T)
    drawn = nx.Graph((i, j) for i, j in graph.edge_index.T.tolist())
    for (i, j), S_ij in np.ndenumerate(S.numpy()):
        expected = nx.resistance_distance(drawn, i, j) / 2 if i != j else 0.0
        assert S_ij == pytest.approx(expected, rel=1e-8, abs=1e-9)


def test_the_standard_error_is_that_of_many_runs():
    graph = random_graph(5, 1)
    J = theory.linear_layer(graph, rng(3), "attention")
    S, error = theory.standard_error(J, graph.edge_index[:, :4], 40)
    runs = theory.sampled_scores(J, graph.edge_index[:, :4], [10, 40], 6000, rng(4))
    assert runs.shape == (2, 4, 6000)
    np.testing.assert_allclose(runs[1].mean(1), S, rtol=0.03)
    np.testing.assert_allclose(runs[1].std(1), error, rtol=0.06)


def test_independent_draws_have_the_error_of_a_chi_square():
    S, error = theory.standard_error(torch.zeros(3, 3, dtype=torch.float64), torch.tensor([[0], [2]]), 50)
    assert S.item() == pytest.approx(2)
    assert error.item() == pytest.approx(2 * (2 / 50) ** 0.5)


def test_simulated_scores_are_off_by_standard_errors():
    found = theory.simulated(60, 800, seed=5)
    assert len(found) == 60 and set(found.kind) == set(theory.KINDS[:3])
    assert 0.6 < (found.z**2).mean() < 1.5
    assert abs(found.z.mean()) < 0.5


def test_rates_fall_with_the_root_of_time():
    graph = random_graph(6, 2)
    J = theory.linear_layer(graph, rng(1), "diffusion")
    table = theory.rates(J, graph.edge_index, [100, 400], runs=200, seed=0)
    assert (table.measured / table.exact - 1).abs().max() < 0.1
    assert table.exact.iloc[0] / table.exact.iloc[1] == pytest.approx(2, rel=0.05)
    assert (table.low < table.measured).all() and (table.measured < table.high).all()


def test_told_apart_is_the_area_under_the_curve():
    graph = random_graph(9, 4)
    S = torch.from_numpy(rng(1).random((9, 9)).round(1))
    S = S + S.T
    i, j = np.triu_indices(9, 1)
    edge = graph.adjacency.to_dense().numpy()[i, j] > 0
    assert theory.told_apart(graph, S) == pytest.approx(roc_auc_score(edge, -S.numpy()[i, j]))


def test_fresh_noise_tells_nothing_and_layers_do():
    found = theory.separation(60, [0, 1, 4], channels=64, seed=1)
    assert abs(found[0].mean() - 0.5) < 0.05
    assert found[1].mean() > 0.6 and found[4].mean() > 0.6


def test_the_covariance_of_fresh_noise_is_white_and_of_one_layer_its_square():
    J = theory.walk(load("karate").to(dtype=torch.float64), rng(0))
    fresh, one = (theory.noisy_layers(J, T, 200_000, rng(2)) for T in (0, 1))
    eye = torch.eye(len(J), dtype=torch.float64)
    assert (fresh - eye).abs().max() < 0.02
    assert (one - eye - J @ J.T).abs().max() < 0.03


def test_the_summaries_of_errors():
    z = rng(3).standard_normal(400)
    assert theory.normal_p(z) > 0.05 and theory.normal_p(2 * z) < 1e-3 and theory.normal_p(z + 0.3) < 1e-3
    assert theory.slope([1.0, 4.0, 16.0], [3.0, 1.5, 0.75]) == pytest.approx(-0.5)
