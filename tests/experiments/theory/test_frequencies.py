"""The checkers of G15 and G17 to G19: nothing found where the statement holds, something where it or the code errs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from random_graphs import double

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import Spectrum, limit_energy, rates
from flowprune.experiments.theory import frequencies as theory
from flowprune.experiments.theory import smallest
from flowprune.experiments.theory import without_residual as plain
from flowprune.experiments.theory.instances import examine, features, instances
from flowprune.graphs import Graph

COUNT = 45
HEAVY = "2 nodes, edges 0–1, a loop of weight 2 at every node"
CHECKS = {
    "criterion": theory.continuous_criterion,
    "expansion": theory.continuous_expansion,
    "residual": theory.residual_theorem,
    "second": theory.second_rate,
    "without residual": plain.plain_steps,
    "bipartite": plain.bipartite_exception,
    "law of the flow": theory.flow_law,
    "law of steps": theory.residual_law,
    "law without residual": theory.plain_law,
}


def diagonal(*w: float) -> torch.Tensor:
    return torch.diag(torch.tensor(w, dtype=torch.float64))


def start(graph: Graph, d: int = 1, seed: int = 0) -> torch.Tensor:
    return features(graph, np.random.default_rng(seed), d)


@pytest.mark.parametrize("name", CHECKS)
def test_no_check_finds_a_counterexample(name):
    evidence = examine(CHECKS[name], COUNT, seed=1)
    assert evidence["instances"] == COUNT
    assert evidence["counterexamples"] == 0
    assert evidence["deviation"] < 1e-8
    assert (evidence["exceptions"] > 0) == (name in ("criterion", "without residual"))


def test_beyond_the_step_bound_no_instance_is_high_frequency_dominant():
    assert examine(theory.beyond_step, COUNT)["counterexamples"] == COUNT


def test_where_heavy_loops_turn_the_bound_round_some_instances_are_not_high_frequency_dominant():
    assert 0 < examine(theory.heavy_loops, COUNT)["counterexamples"] < COUNT


# --- statements that are wrong -------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [lambda ρ, high, low: low * ρ - high, lambda ρ, high, low: low * (ρ - 1) - 2 * high],
    ids=["ρ for ρ − 1", "twice λ₊"],
)
def test_a_criterion_with_a_wrong_line_is_seen(monkeypatch, wrong):
    extremes = theory.extremes
    monkeypatch.setattr(theory, "printed", lambda ρ, W: wrong(ρ, extremes(W)[1], -extremes(W)[0]))
    assert examine(theory.continuous_criterion, COUNT)["counterexamples"] > 0


@pytest.mark.parametrize(("of_high", "of_ε"), [(1.0, 1.2), (1.001, 1.0), (0.999, 1.0)])
def test_an_expansion_with_wrong_rates_is_seen(monkeypatch, of_high, of_ε):
    right = theory.printed_rates
    monkeypatch.setattr(
        theory, "printed_rates", lambda s, W: (right(s, W)[0] * of_high, right(s, W)[1] * of_ε)
    )
    assert examine(theory.continuous_expansion, COUNT)["deviation"] > 1e-4


def test_a_growth_rate_that_is_slightly_wrong_is_seen(monkeypatch):
    right = theory.printed_rates
    monkeypatch.setattr(theory, "printed_rates", lambda s, W: (right(s, W)[0] * (1 + 1e-5), 0.0))
    evidence = examine(theory.residual_theorem, COUNT)
    assert evidence["counterexamples"] > 0
    assert 1e-6 < evidence["deviation"] < 2e-5


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_a_second_rate_that_is_slightly_wrong_is_seen(monkeypatch, factor):
    """Too small a δ breaks the upper bound, too large a δ the lower one: here by one hundredth of the best growth."""
    growth, top_modes = theory.log_growth, theory.top_modes

    def wrong(s: Spectrum, W: torch.Tensor) -> torch.Tensor:
        top = top_modes(s, W)
        monkeypatch.setattr(
            theory, "log_growth", lambda μ, τ, residual: growth(μ, τ, residual) - top * math.log(factor)
        )
        return top

    def second_rate(graph: Graph, rng: np.random.Generator):
        monkeypatch.setattr(theory, "log_growth", growth)
        return theory.second_rate(graph, rng)

    monkeypatch.setattr(theory, "top_modes", wrong)
    assert examine(second_rate, COUNT)["counterexamples"] > 0


def test_steps_that_forget_the_residual_are_seen(monkeypatch):
    right = theory.iterate
    monkeypatch.setattr(
        theory, "iterate", lambda graph, W, F, τ, steps, residual=True: right(graph, W, F, τ, steps, False)
    )
    assert examine(theory.residual_theorem, COUNT)["counterexamples"] > 0
    assert examine(theory.second_rate, COUNT)["counterexamples"] > 0
    assert examine(theory.residual_law, COUNT)["counterexamples"] > 0


def test_a_margin_of_the_wrong_sign_is_seen(monkeypatch):
    right = theory.margin
    monkeypatch.setattr(theory, "margin", lambda s, growth: -right(s, growth))
    assert examine(theory.flow_law, COUNT)["counterexamples"] > 0


def test_sums_over_the_wrong_sides_are_seen(monkeypatch):
    right = plain.sides_energy
    monkeypatch.setattr(plain, "sides_energy", lambda graph, W, F0: 1 - right(graph, W, F0))
    assert examine(plain.bipartite_exception, COUNT)["deviation"] > 0.01


# --- systems that can be solved by hand ----------------------------------------------------------------


def test_heavy_loops_and_a_negative_w_leave_the_rough_part_for_last():
    """Two nodes, loops of weight 2: ν = 1 and 1/3. W = (−1) shrinks the smooth part like e^{−t}, the rough e^{−t/3}."""
    graph, W = double("path?n=2").with_self_loops(2.0), diagonal(-1)
    assert graph.rho == pytest.approx(2 / 3)
    assert theory.printed(graph.rho, W) == pytest.approx(-1 / 3)  # the source: low-frequency dominant
    assert theory.reached(graph, W, start(graph)) == pytest.approx(1)  # high-frequency dominant
    assert theory.off_criterion(graph, W, start(graph)) == pytest.approx(1)


@pytest.mark.parametrize(("w", "high"), [(-3.9, True), (-4.1, False), (1.0, False)])
def test_on_the_triangle_the_step_bound_is_four(w, high):
    graph = double("complete?n=3")
    assert theory.not_high(graph, diagonal(w), start(graph), 1.0) != high


@pytest.mark.parametrize("w", [-1.0, -30.0])
def test_on_a_bipartite_graph_no_step_is_too_long(w):
    graph = double("path?n=5")
    assert not theory.not_high(graph, diagonal(w), start(graph), 1.0)


def test_the_union_of_a_triangle_and_an_edge_is_not_bipartite_and_not_smoothed():
    graph = Graph.from_edges("union", [[0, 1, 2, 3], [1, 2, 0, 4]], 5, dtype=torch.float64)
    assert smallest.plain_fails(graph, diagonal(1))
    assert not smallest.plain_fails(double("complete?n=3"), diagonal(1))
    assert not smallest.plain_fails(double("path?n=2"), diagonal(1))  # bipartite: the statement is silent


def test_the_cover_of_a_triangle_is_the_hexagon():
    cover = plain.double_cover(double("complete?n=3"))
    assert cover.is_bipartite and cover.num_components == 1
    assert cover.degree.tolist() == [2.0] * 6
    np.testing.assert_allclose(Spectrum.of(cover).λ, Spectrum.of(double("cycle?n=6")).λ, atol=1e-12)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, 0.0), (-1.0, 1.0)])
def test_a_start_that_is_balanced_between_the_sides_ends_at_either_end(sign, expected):
    cover, half = plain.double_cover(double("barbell?m=4")), start(double("barbell?m=4"), 2)
    F0 = torch.cat([half, sign * half])
    assert plain.sides_energy(cover, diagonal(1, 0.5), F0) == pytest.approx(expected, abs=1e-12)


def test_the_sum_over_sides_is_the_limit_of_the_fastest_modes():
    for _, graph, rng in instances(COUNT, seed=5):
        cover, W = plain.double_cover(graph), diagonal(1.5, -1.5, 0.2)
        s, F0 = Spectrum.of(cover), features(cover, rng)
        fastest = limit_energy(s, W, F0, theory.log_growth(rates(s, W), 1.0, False))
        assert plain.sides_energy(cover, W, F0) == pytest.approx(fastest, abs=1e-9)


def test_real_steps_are_powers_of_the_system_matrix():
    graph, W = double("barbell?m=3"), diagonal(1.0, -2.0)
    F0 = start(graph, 2)
    A = np.kron(W.numpy(), graph.norm_adjacency.to_dense().numpy())
    for residual in (True, False):
        K = residual * np.eye(len(A)) + 0.3 * A
        exact = (np.linalg.matrix_power(K, 9) @ F0.numpy().flatten("F")).reshape(F0.shape, order="F")
        F, log_norm = theory.iterate(graph, W, F0, 0.3, 9, residual)
        np.testing.assert_allclose(F * math.exp(log_norm), exact, rtol=1e-10, atol=1e-12)


# --- instances and the search ---------------------------------------------------------------------------


def test_loops_are_as_light_or_heavy_as_they_should_be():
    for _, graph, rng in instances(COUNT, seed=2):
        assert theory.light(graph, rng).rho > 1
        assert 1 < theory.light(graph, rng, below=1.8).rho < 1.8
        assert theory.heavy(graph, rng).rho < 1


def test_a_random_mixing_has_the_spectrum_it_should_have():
    W = theory.mixing(-2.0, 0.5, np.random.default_rng(0), d=4)
    w = torch.linalg.eigvalsh(W)
    assert (w[0].item(), w[-1].item()) == (pytest.approx(-2), pytest.approx(0.5))
    assert torch.equal(W, W.T)


@pytest.mark.parametrize(
    ("fails", "loops", "words"),
    [
        (smallest.criterion_fails, smallest.LOOPS, f"{HEAVY}; W = diag(-1)"),
        (smallest.step_too_long, (0.0,), "3 nodes, edges 0–1, 0–2, 1–2; W = diag(-5)"),
        (smallest.bounds_fail, smallest.LOOPS, f"{HEAVY}; W = diag(0, -1)"),
        (smallest.plain_fails, (0.0,), "5 nodes, edges 0–1, 0–2, 1–2, 3–4; W = diag(1)"),
        (smallest.not_smoothed, (0.0,), "2 nodes, edges 0–1; W = diag(1)"),
    ],
)  # fmt: skip
def test_the_search_finds_the_smallest_system(fails, loops, words):
    graph, W, found = smallest.smallest(fails, loops)
    assert found == words
    assert fails(graph, W)


def test_a_search_that_finds_nothing_says_so():
    with pytest.raises(LookupError, match="no counterexample among the graphs of 2 to 5 nodes"):
        smallest.smallest(lambda graph, W: False, (0.0,))


def test_every_limit_of_a_tie_is_a_mixture():
    """Triangle, τ = 1, W = (−4): the constant part flips sign and the others do not, at the same growth."""
    graph, W = double("complete?n=3"), diagonal(-4)
    s, F0 = Spectrum.of(graph), start(graph)
    F = theory.late(graph, s, W, F0, 1.0)
    E = normalised_energy(graph, F).item()
    assert 0.01 < E < 0.74
    assert limit_energy(s, W, F0, theory.log_growth(rates(s, W), 1.0, True)) == pytest.approx(E, abs=1e-9)
