"""What lies between low and high frequency: the two ends predict every limit, and wrong predictions are seen."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from random_graphs import double

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import Spectrum, linear_flow
from flowprune.experiments.theory import between as theory
from flowprune.experiments.theory.instances import examine, features, instances, symmetric

COUNT = 60
LATE = theory.late
ZERO = torch.zeros(3, 3, dtype=torch.float64)


def test_no_free_flow_stays_between_and_ties_and_sources_do():
    found = theory.evidence(COUNT, 0)
    assert found["counterexamples"] == 0
    assert found["deviation"] < 1e-9
    assert found["repaired"] < 1e-8
    assert found["exceptions"] > COUNT / 2
    assert "0.5 of its range" in found["smallest"]


def test_without_its_condition_the_statement_has_counterexamples():
    """As it would be without ties and sources in mind: no instance is excused."""
    every = [theory.limits(graph, rng) for _, graph, rng in instances(COUNT, 0)]
    assert any(not f.true and not f.covered for f in every)
    assert all(f.true for f in every if f.covered)


@pytest.mark.parametrize("seed", range(5))
def test_late_states_are_those_of_the_matrix_exponential(seed):
    rng = np.random.default_rng(seed)
    graph = double("barbell?m=4")
    W, Ω, F0 = symmetric(rng), symmetric(rng), features(graph, rng)
    s = Spectrum.of(graph)
    rates = torch.linalg.eigvalsh(s.ν.view(-1, 1, 1) * W - Ω)
    time = 25 / (rates.max() - rates[rates < rates.max() - 1e-9].max()).item()
    Ā, identity = graph.norm_adjacency.to_dense(), torch.eye(graph.n, dtype=torch.float64)
    M = torch.kron(Ā, W) - torch.kron(identity, Ω) - rates.max() * torch.eye(3 * graph.n)
    F = torch.from_numpy(scipy.linalg.expm(time * M.numpy())) @ F0.flatten()
    torch.testing.assert_close(theory.late(s, W, Ω, F0).flatten(), F / F.norm(), rtol=1e-6, atol=1e-8)


def test_without_omega_the_tie_is_that_of_the_printed_criterion():
    """|λ₋|(ρ_Δ − 1) = λ₊, and then the direction stops between the ends."""
    graph = double("complete?n=5")
    s, F0 = Spectrum.of(graph), features(graph, np.random.default_rng(0))
    W = torch.diag(torch.tensor([s.ρ - 1, 0.1, -1.0], dtype=torch.float64))
    low, high = theory.ends(s, W, ZERO)
    assert low == pytest.approx(high)
    energy = normalised_energy(graph, linear_flow(s, W, F0, 300.0)[0]).item() / (s.ρ / 2)
    assert energy == pytest.approx(theory.predicted(s, W, ZERO, F0), rel=1e-9)
    assert 0.05 < energy < 0.95


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("predicted", lambda s, W, Ω, F0: 1 - theory.late(s, W, Ω, F0).norm().item()),  # always the low end
        ("late", lambda s, W, Ω, F0: LATE(s, W, 0 * Ω, F0)),  # an Ω that is forgotten
        ("fixed_point", lambda s, W, Ω, F0: F0),  # a source that filters nothing
    ],
)
def test_wrong_predictions_are_seen(monkeypatch, name, wrong):
    monkeypatch.setattr(theory, name, wrong)
    found = theory.evidence(COUNT, 0)
    assert found["counterexamples"] > 0 or found["repaired"] > 1e-3


def test_a_rate_that_is_not_convex_would_be_seen():
    """A frequency between the ends that grows faster than both is an excess."""
    s = Spectrum.of(double("path?n=5"))
    W = torch.diag(torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64))
    assert theory.interior_excess(s, W, ZERO) == 0
    bent = Spectrum(s.λ, s.φ, torch.tensor([1.0, 1.5, 0.0, -0.5, -1.0], dtype=torch.float64))
    assert theory.interior_excess(bent, W, ZERO) == pytest.approx(0.5)


def test_a_source_is_held_where_the_velocity_vanishes():
    graph = double("cycle?n=7")
    rng = np.random.default_rng(3)
    W, F0 = symmetric(rng), features(graph, rng)
    Ω = torch.eye(3, dtype=torch.float64) * (torch.linalg.matrix_norm(W, 2) + 1)
    F = theory.held(graph, W, Ω, F0)
    velocity = graph.norm_adjacency @ F @ W - F @ Ω + F0
    assert velocity.abs().max() < 1e-9
    torch.testing.assert_close(F, theory.fixed_point(Spectrum.of(graph), W, Ω, F0))


def test_instances_of_all_three_kinds_are_examined():
    covered = examine(theory.limits, COUNT, 1)
    assert 0 < covered["exceptions"] < COUNT
