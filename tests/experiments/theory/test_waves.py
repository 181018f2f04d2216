"""Oscillating flows: roots, steps and conserved forms by other ways of computing; the checks notice errors."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph

from flowprune.dynamics.energy import dirichlet_energy, normalised_energy
from flowprune.dynamics.spectra import Spectrum, rates
from flowprune.experiments.theory import waves as theory
from flowprune.experiments.theory.instances import examine, features, smallest, symmetric
from flowprune.experiments.theory.waves import Swing
from flowprune.flows.wave import Wave
from flowprune.graphs import load

SWINGS = st.builds(Swing, st.floats(0, 3), st.floats(-1, 3), st.one_of(st.just(0.0), st.floats(0.1, 1.5)))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=60, deadline=None)
@given(SWINGS, st.integers(0, 10**6))
def test_growth_is_that_of_the_eigenvalues(swing, seed):
    μ = torch.from_numpy(rng(seed).uniform(-2, 2, (4, 3)))
    values = torch.linalg.eigvals(swing.matrix(μ))
    fastest = values.abs().amax(-1).log() if swing.τ else values.real.amax(-1)
    kept = fastest > -8  # a factor of zero has no logarithm
    torch.testing.assert_close(swing.growth(μ)[kept], fastest[kept], rtol=1e-6, atol=1e-6)
    clear = swing.discriminant(μ).abs() > 1e-6
    assert ((values.imag.abs().amax(-1) > 0) == (swing.discriminant(μ) < 0))[clear].all()


@settings(max_examples=60, deadline=None)
@given(st.floats(0.01, 2.5), st.floats(0.1, 1.5), st.floats(-1, 5))
def test_the_regions_of_the_text_are_those_of_the_step(α, τ, κ):
    """The band of equal moduli, and the region in which all modes decay."""
    swing, x, y = Swing(α, κ, τ), τ**2 * κ, α * τ
    values = np.linalg.eigvals(swing.matrix(torch.zeros(1, dtype=torch.float64))[0].numpy())
    p = np.sqrt(max(1 - y, 0))
    edges = np.array([x - (1 - p) ** 2, x - (1 + p) ** 2, x, x - 2 * (2 - y), y - 2, y - 1])
    if np.abs(edges).min() < 1e-6:
        return
    inside = y < 1 and (1 - p) ** 2 < x < (1 + p) ** 2
    assert bool(np.iscomplex(values).any()) == inside
    if inside:
        np.testing.assert_allclose(abs(values), p, rtol=1e-9)
    assert (abs(values).max() < 1) == (0 < y < 2 and 0 < x < 2 * (2 - y))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 8), st.integers(0, 10**6))
def test_modes_solve_the_differential_equation(n, seed):
    graph, r = random_graph(n, seed), rng(seed)
    W, F0, swing = symmetric(r, 2), features(graph, r, 2), Swing(r.uniform(0, 2), r.uniform(0, 2))
    Ā, size = graph.norm_adjacency.to_dense().numpy(), 2 * n

    def velocity(_, x):
        F, V = x[:size].reshape(n, 2), x[size:].reshape(n, 2)
        return np.concatenate([V.ravel(), (Ā @ F @ W.numpy() - swing.γ * F - swing.α * V).ravel()])

    start = np.tile(F0.numpy().ravel(), 2)
    found = scipy.integrate.solve_ivp(velocity, (0, 2), start, rtol=1e-10, atol=1e-12).y[:size, -1]
    exact = theory.solved(Spectrum.of(graph), W, F0, swing, 2.0)
    np.testing.assert_allclose(found.reshape(n, 2), exact, rtol=1e-6, atol=1e-7)
    dense = theory.exponential(graph, W, F0, swing, 2.0)
    torch.testing.assert_close(dense, exact, rtol=1e-10, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 8), st.integers(0, 10**6), st.integers(1, 10))
def test_doubled_channels_take_the_relu_out_of_the_network(n, seed, steps):
    graph, r = random_graph(n, seed), rng(seed)
    W, F, swing = symmetric(r), features(graph, r), Swing(r.uniform(0, 2), r.uniform(0, 2), 0.7)
    found = theory.implemented(graph, W, F, swing, steps)
    torch.testing.assert_close(
        found, theory.solved(Spectrum.of(graph), W, F, swing, steps), rtol=1e-9, atol=1e-9
    )
    V = F
    for _ in range(steps):
        V = V + swing.τ * (graph.norm_adjacency @ F @ W - swing.γ * F - swing.α * V)
        F = F + swing.τ * V
    torch.testing.assert_close(found, F, rtol=1e-9, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10**6), st.sampled_from([0.0, 0.4]))
def test_amplitudes_of_oscillating_modes_fall_together(n, seed, τ):
    graph, r = random_graph(n, seed), rng(seed)
    s, W = Spectrum.of(graph), symmetric(r)
    swing = Swing(0.3, rates(s, W).max().item() + 0.2, τ)
    μ, x = rates(s, W), theory.start(s, W, features(graph, r))
    first, later = (swing.amplitudes(μ, y) for y in (x, swing.moved(μ, x, 7)))
    fall = (1 - 0.3 * τ) ** 7 if τ else np.exp(-0.3 * 7)
    assert (swing.discriminant(μ) < 0).all()
    torch.testing.assert_close(later, fall * first, rtol=1e-8, atol=1e-12)
    reached = torch.stack([swing.moved(μ, x, t, swing.growth(μ).max().item())[..., 0] for t in range(200)])
    assert (reached.square().amax(0) <= first * (1 + 1e-9)).all()
    assert (reached.square().amax(0) > 0.5 * first).all()


def test_the_wave_equation_is_the_swing_without_friction_and_spring():
    """−ΔF is ĀF − F where no node is isolated: W = γ = 1. Wave starts from rest, a swing from Ḟ = F."""
    graph = random_graph(7, 3)
    s, F0 = Spectrum.of(graph), features(graph, rng(1))
    swing, one = Swing(0.0, 1.0, 0.5), torch.eye(3, dtype=torch.float64)
    x = theory.start(s, one, F0).clone()
    x[..., 1] = 0
    F = s.φ @ swing.moved(rates(s, one), x, 9)[..., 0]
    found = Wave(time=4.5, step=0.5)(F0.unsqueeze(1), graph.laplacian)[:, 0]
    torch.testing.assert_close(found, F, rtol=1e-10, atol=1e-10)


def test_alpha_gamma_and_step_of_one_are_a_gcn():
    graph, W = random_graph(6, 0).with_self_loops(), torch.from_numpy(rng(2).standard_normal((3, 3)))
    F0 = features(graph, rng(1))
    found = theory.network(W, Swing(1.0, 1.0, 1.0), 5)(F0.unsqueeze(1), graph.norm_adjacency)[:, 0]
    F = F0
    for _ in range(5):
        F = (graph.norm_adjacency @ F @ W).relu()
    torch.testing.assert_close(found, F, rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module")
def found():
    return theory.survey(45)


def test_the_criterion_is_never_wrong_and_every_case_occurs(found):
    evidence = theory.evidence(found)
    assert evidence["linear_wrong"] == 0 and evidence["linear_deviation"] < 1e-10
    assert set(found.won) == {"none", "smooth", "other"}
    assert 0 < evidence["vanishing"] < 1 and 0 < evidence["smoothing"] < evidence["tied"]
    assert not found[found.won == "none"].smoothed.any()


def test_a_wrong_growth_is_noticed(monkeypatch):
    right = Swing.growth
    monkeypatch.setattr(Swing, "growth", lambda swing, μ: right(swing, μ) - 0.01)
    evidence = theory.evidence(theory.survey(18))
    assert evidence["linear_wrong"] > 0  # what is undamped would vanish


def test_inside_the_source_s_conditions_every_instance_loses_its_energy():
    evidence = examine(theory.keeps_its_energy, 18)
    assert evidence["counterexamples"] == 18 and evidence["deviation"] < 1e-9
    assert smallest(theory.keeps_its_energy, edges=1) == "n = 2, edges 0–1"


def test_one_edge_by_hand():
    """Deviation from the mean is the mode ν = −1: s² + s + 2 = 0, so it falls as e^{−t/2}; undamped it never does."""
    edge, one = load("path?n=2").to(dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    F0 = torch.tensor([[1.5], [0.5]], dtype=torch.float64)
    s = Spectrum.of(edge)
    late = theory.solved(s, one, F0, Swing(1.0, 1.0), 60.0)
    assert dirichlet_energy(edge, late) < 10 * np.exp(-60) and normalised_energy(edge, late) < 1e-20
    torch.testing.assert_close(late, torch.full_like(late, 2.0), rtol=1e-8, atol=1e-8)  # 1 + v/α
    energies = [
        dirichlet_energy(edge, theory.solved(s, one, F0, Swing(0.0, 1.0), t)).item()
        for t in np.linspace(100, 110, 400)
    ]
    assert max(energies) > 0.5 * dirichlet_energy(edge, F0).item() and min(energies) < 1e-2
