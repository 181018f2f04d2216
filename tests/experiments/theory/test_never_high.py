"""The search for a flow that is high-frequency dominant although the theory says it never is."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import torch
from hypothesis import given, settings, target
from hypothesis import strategies as st
from random_graphs import double, random_graph

from flowprune.dynamics.energy import dirichlet_energy, normalised_energy
from flowprune.dynamics.spectra import Spectrum
from flowprune.experiments.theory import never_high as theory
from flowprune.experiments.theory.smoothing import looped
from flowprune.graphs import Graph


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def graph_of(n: int, seed: int) -> Graph:
    return looped(random_graph(n, seed), rng(seed))


def test_the_search_finds_no_counterexample_and_all_exceptions_it_was_given():
    found = theory.search(27, R=16)
    evidence = theory.evidence(found)
    assert evidence["instances"] == 27 * 16 * 3
    assert evidence["counterexamples"] == 0
    assert evidence["deviation"] < 1e-10
    assert all(model in evidence["smallest"] for model in theory.MODELS)
    assert np.isfinite(found[["relative", "ceiling", "excess"]]).all(axis=None)


def test_a_counterexample_would_be_counted(monkeypatch):
    """A flow that is HFD, Ḟ = +ΔF, put in the place of CGNN under CGNN's ceiling."""

    def sharpening(graph, s, c, own):
        claimed = theory.cgnn(graph, s, c, own)
        late = theory.relative(s, 1e3 * s.λ.unsqueeze(1) / s.top_gap, c)
        return theory.Trajectory(late, claimed.ceiling, late - claimed.ceiling)

    monkeypatch.setitem(theory.MODELS, "CGNN", sharpening)
    evidence = theory.evidence(theory.search(9, R=8))
    assert evidence["counterexamples"] > 20
    assert evidence["deviation"] > 1e-3


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(theory.MODELS)), st.integers(2, 10), st.integers(0, 10**6), st.integers(0, 10**6)
)
def test_no_start_that_hypothesis_can_find_is_high(model, n, seed, draw):
    """Directed at the highest relative energy; starts inside the condition stay below the ceiling of the proof."""
    graph = graph_of(n, seed)
    s = Spectrum.of(graph)
    found = theory.MODELS[model](graph, s, theory.starts(s, 8, rng(draw)), rng(draw + 1))
    covered = found.ceiling < theory.HIGH
    if covered.any():
        target(found.late[covered].max().item(), label=model)
        assert (found.late[covered] < theory.HIGH).all()
        assert found.excess[covered].max() < 1e-9


# --- the solutions, against an integrator ----------------------------------------------------------------------------


@pytest.mark.parametrize("a", [-3.0, -1e-9, 0.0, 1e-9, 0.5, 40.0])
def test_the_gain_of_cgnn_solves_its_equation(a):
    t = 1.7
    run = scipy.integrate.solve_ivp(lambda _, x: a * x + 1, (0, t), [1.0], rtol=1e-11, atol=1e-12)
    log_gain = theory.log_gain(torch.tensor([a], dtype=torch.float64), t).item()
    assert log_gain == pytest.approx(np.log(run.y[0, -1]), rel=1e-7)


def test_the_gain_of_cgnn_does_not_overflow():
    assert theory.log_gain(torch.tensor([900.0], dtype=torch.float64), 1000.0).item() == pytest.approx(9e5)


def test_cgnn_is_low_exactly_when_its_mixing_does_not_decay():
    """Derived beside G16: with its source CGNN is LFD for almost every start if and only if ω_max ≥ 0."""
    s = Spectrum.of(double("barbell?m=4"))
    c = torch.from_numpy(rng(1).standard_normal((1, len(s.λ), 3)))
    for ω_max, low in ((0.5, True), (0.0, True), (-0.5, False)):
        ω = torch.tensor([ω_max, -1.0, -2.0], dtype=torch.float64)
        gain = theory.log_gain(ω - s.λ.clamp_min(0).unsqueeze(1), 1e9)
        assert (theory.relative(s, gain, c).item() < 1e-6) == low


def test_attention_is_stochastic_on_the_edges_and_the_flow_tends_to_a_constant():
    graph = double("star?n=6")
    F0 = torch.from_numpy(rng(3).standard_normal((4, graph.n, 3)))
    A = theory.attention(graph, F0, rng(4))
    np.testing.assert_allclose(A.sum(-1), 1, atol=1e-12)
    assert ((A > 0) == (graph.adjacency.to_dense() > 0)).all()
    run = scipy.integrate.solve_ivp(
        lambda _, x: (A[1].numpy() - np.eye(6)) @ x, (0, 4000), F0[1, :, 0].numpy(), method="LSODA", rtol=1e-9
    )
    assert np.ptp(run.y[:, -1]) < 1e-6


def test_attention_that_is_not_symmetric_makes_no_gradient_flow():
    """The matrix of a linear gradient flow is symmetric; attention's is not, even in D-weighted coordinates."""
    graph = double("path?n=3")
    A = theory.attention(graph, torch.from_numpy(rng().standard_normal((2, 3, 3))), rng(1))[1]
    assert (A - A.T).abs().max() > 0.01


def test_the_direction_of_pde_gcn_may_become_rougher_while_its_energy_falls():
    """Two channels: K sees the one of middle frequency, and what it leaves is of the highest. E_Dir falls all along."""
    graph = double("path?n=3")
    s = Spectrum.of(graph)
    c = torch.zeros(3, 2, dtype=torch.float64)
    c[0, 0], c[1, 0], c[2, 1] = 0.1, 1.0, 1.0
    states = [torch.stack([c[:, 0] * torch.exp(-t * s.λ), c[:, 1]], 1) for t in (0.0, 1.0, 4.0)]
    E = [dirichlet_energy(graph, s.φ @ x).item() for x in states]
    direction = [normalised_energy(graph, s.φ @ x).item() for x in states]
    assert E[0] > E[1] > E[2]
    assert direction[0] < direction[1] < direction[2]


# --- the exceptions, as small as they get ------------------------------------------------------------------


def test_on_a_single_edge_all_three_keep_the_alternating_start():
    """n = 2, F(0) = (1, −1): HFD from the first moment, under each of the three flows."""
    edge = double("path?n=2")
    s = Spectrum.of(edge)
    c = torch.zeros(8, 2, 3, dtype=torch.float64)
    c[:, 1, 0] = 1.0
    for model, solve in theory.MODELS.items():
        found = solve(edge, s, c, rng())
        assert found.late == pytest.approx(torch.ones(8), abs=1e-9), model
        assert (found.ceiling >= theory.HIGH).all(), model


# --- CGNN without its source -----------------------------------------------------------------------------------------


def test_the_bound_without_a_constant_breaks_where_the_kernel_has_less_than_a_fifth():
    """On a single edge: E_Dir(F/‖F‖) ≤ e^{−2t} for all t exactly when the kernel's share of F(0) is at least 1/5."""
    s = Spectrum.of(double("path?n=2"))
    t = torch.linspace(0, 4, 4001, dtype=torch.float64)
    for share, holds in ((0.19, False), (0.199, False), (0.201, True), (0.5, True)):
        c = torch.tensor([[share**0.5], [(1 - share) ** 0.5]], dtype=torch.float64)
        E = theory.direction_energy(s, -s.λ.unsqueeze(1) * t.view(-1, 1, 1), c.expand(len(t), 2, 1))
        assert bool((E - (-s.gap * t).exp() <= 1e-12).all()) == holds


def test_the_bound_with_its_constant_holds_and_the_other_does_not():
    found = theory.without_source(36, R=8)
    assert found["instances"] == 288
    assert found["broken"] > 0
    assert found["excess"] < 1e-12


# --- GRAND's constant vector --------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves", [1, 4, 9, 100])
def test_the_constant_vector_on_a_star_has_its_closed_form(leaves):
    energy, bound = theory.constant_vector(double(f"star?n={leaves + 1}"))
    assert energy == pytest.approx((leaves**0.5 - 1) ** 2 / (2 * (leaves + 1)), abs=1e-12)
    assert energy <= bound + 1e-12
    assert energy < 0.5


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_the_constant_vector_is_never_of_the_highest_frequency(n, seed):
    graph = graph_of(n, seed)
    energy, bound = theory.constant_vector(graph)
    assert energy == pytest.approx(
        normalised_energy(graph, torch.ones(n, 1, dtype=torch.float64)).item() * 2 / graph.rho, abs=1e-12
    )
    assert energy <= bound + 1e-12 < 1 - 1 / n + 2e-12
    if graph.is_bipartite:
        assert energy < 0.5


def test_the_constant_vector_comes_as_close_to_the_top_as_one_likes():
    energies = [theory.constant_vector(theory.core_and_rim(core))[0] for core in (2, 4, 8)]
    assert energies == sorted(energies)
    assert energies[-1] > 0.75
