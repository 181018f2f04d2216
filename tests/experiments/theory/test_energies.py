"""The checkers of the energies and of their edges: silent where a statement holds, and loud where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.integrate
import torch
from random_graphs import double

from flowprune.dynamics.energy import edge_norms, energy_field, largest_step, total_energy
from flowprune.dynamics.spectra import Spectrum
from flowprune.experiments.theory import edges
from flowprune.experiments.theory import energies as theory
from flowprune.experiments.theory.instances import Finding, examine, smallest
from flowprune.graphs import Graph

COUNT = 60
CHECKS = {
    "G9": theory.harmonic_descends,
    "G13": theory.total_energy_descends,
    "G14": theory.edges_and_nodes,
    "G26": edges.edges_in_total,
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("looped", [True, False])
@pytest.mark.parametrize("claim", CHECKS)
def test_no_check_finds_a_counterexample(claim, looped):
    check = theory.looped(CHECKS[claim]) if looped else CHECKS[claim]
    evidence = examine(check, 2 * COUNT)
    assert evidence["counterexamples"] == 0
    assert evidence["deviation"] < 1e-12
    assert (evidence["exceptions"] > 0) == (claim != "G9")


def test_half_of_the_looped_instances_have_one_loop():
    seen = []
    check = theory.looped(lambda graph, rng: seen.append(graph) or Finding(0.0))
    examine(check, COUNT)
    loops = [int((g.edge_index[0] == g.edge_index[1]).sum()) for g in seen]
    assert set(loops) == {0, 1}
    assert 0.3 < np.mean(loops) < 0.7


# --- statements that are wrong -------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda graph, F, W: 0.5 * edge_norms(graph, F, W).sum(),  # every edge counted twice
        lambda graph, F, W: 0.25 * edge_norms(graph, F, torch.linalg.qr(W.T @ W)[0]).sum(),
    ],
)
def test_a_wrong_harmonic_energy_is_seen(monkeypatch, wrong):
    monkeypatch.setattr(theory, "harmonic_energy", wrong)
    assert examine(theory.harmonic_descends, COUNT)["deviation"] > 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda graph, F, W, Ω: F @ Ω - graph.norm_adjacency @ F @ W,  # uphill
        lambda graph, F, W, Ω: graph.norm_adjacency @ F @ W,  # without Ω
        lambda graph, F, W, Ω: -F @ Ω + (F - graph.laplacian @ F) @ W + 1e-6 * F,
    ],
)
def test_a_wrong_gradient_of_the_total_energy_is_seen(monkeypatch, wrong):
    monkeypatch.setattr(theory, "energy_field", wrong)
    evidence = examine(theory.total_energy_descends, COUNT)
    assert evidence["deviation"] > 1e-8 or evidence["counterexamples"] > 0


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_step_bound_that_is_not_sharp_is_seen(monkeypatch, factor):
    right = theory.largest_step
    monkeypatch.setattr(theory, "largest_step", lambda *args: factor * right(*args))
    evidence = examine(theory.total_energy_descends, COUNT)
    assert evidence["counterexamples"] > 0


def test_a_split_with_the_wrong_sign_of_repulsion_is_seen(monkeypatch):
    right = theory.attraction_repulsion
    monkeypatch.setattr(theory, "attraction_repulsion", lambda W: (right(W)[0], 0 * right(W)[1]))
    assert examine(theory.edges_and_nodes, COUNT)["counterexamples"] > 0


def test_a_flow_that_goes_uphill_breaks_the_sums_over_edges(monkeypatch):
    right = edges.trajectory
    monkeypatch.setattr(edges, "trajectory", lambda g, W, Ω, F, t: right(g, -W, -Ω, F, t))
    evidence = examine(edges.edges_in_total, COUNT)
    assert evidence["counterexamples"] > 0


# --- the conditions, and what lies outside them ----------------------------------------------------


@pytest.mark.parametrize("claim", ["G13", "G14", "G26"])
def test_without_its_condition_the_statement_has_counterexamples(claim):
    excused = examine(CHECKS[claim], COUNT)["exceptions"]
    evidence = examine(lambda graph, rng: replace(CHECKS[claim](graph, rng), covered=True), COUNT)
    assert evidence["counterexamples"] == excused > 0


def test_outside_the_condition_of_g26_the_sums_always_disobey():
    found = [edges.edges_in_total(double("path?n=6"), rng(seed)) for seed in range(40)]
    assert {f.covered for f in found} == {True, False}
    assert all(f.true == f.covered for f in found)


@pytest.mark.parametrize("name", ["complete?n=6", "star?n=7", "bipartite?a=3&b=4", "path?n=3"])
def test_on_complete_multipartite_graphs_the_sums_obey_whatever_ω_is(name):
    found = [edges.edges_in_total(double(name), rng(seed)) for seed in range(12)]
    assert all(f.true and f.covered for f in found)


def test_the_smallest_exceptions():
    assert smallest(theory.total_energy_descends) == "n = 1, no edge"
    assert smallest(theory.edges_and_nodes) == "n = 1, no edge"
    assert smallest(edges.edges_in_total) == "n = 4, edges 0–1 and 0–3 and 1–2"


def test_where_nothing_fails_there_is_no_smallest_exception():
    with pytest.raises(LookupError, match="up to five nodes"):
        smallest(lambda graph, rng: Finding(0.0), tries=1)


# --- flows and steps -------------------------------------------------------------------------------


def test_trajectory_is_the_solution_for_matrices_without_symmetry():
    graph, F0 = double("barbell?m=3"), torch.from_numpy(rng().standard_normal((6, 2)))
    W, Ω = (torch.from_numpy(rng(s).standard_normal((2, 2))) for s in (1, 2))
    times = np.linspace(0, 2, 5)

    def velocity(t: float, x: np.ndarray) -> np.ndarray:
        return energy_field(graph, torch.from_numpy(x).view(6, 2), W, Ω).reshape(-1).numpy()

    found = scipy.integrate.solve_ivp(
        velocity, (0, 2), F0.reshape(-1).numpy(), t_eval=times, rtol=1e-11, atol=1e-12
    )
    for F, x in zip(theory.trajectory(graph, W, Ω, F0, times), found.y.T, strict=True):
        np.testing.assert_allclose(F.reshape(-1).numpy(), x, rtol=1e-7, atol=1e-8)


def test_nonlinear_updates_descend_within_the_bound_and_not_beyond():
    found = theory.nonlinear_updates(COUNT, seed=1)
    assert found["states"] == COUNT * len(theory.UPDATES)
    assert found["rises"] == 0
    assert found["beyond"] > COUNT


def test_an_update_that_is_too_steep_rises_within_the_bound(monkeypatch):
    """3 tanh(x) has the right sign and the wrong slope; −tanh(x) rises even in continuous time."""
    for wrong in (lambda x: 3 * torch.tanh(x), lambda x: -torch.tanh(x)):
        monkeypatch.setattr(theory, "UPDATES", {"wrong": wrong})
        assert theory.nonlinear_updates(COUNT, seed=1)["rises"] > 0


def test_no_step_is_short_enough_for_the_sign():
    """One node with Ω = 1: from |f| < τ/2 a step of size τ in the direction of descent raises E_tot."""
    graph, Ω = Graph.from_edges("node", [[], []], 1, dtype=torch.float64), torch.eye(1, dtype=torch.float64)
    for τ in (1.0, 1e-2, 1e-4):
        F = torch.full((1, 1), 0.4 * τ, dtype=torch.float64)
        after = F + τ * torch.sign(energy_field(graph, F, 0 * Ω, Ω))
        assert total_energy(graph, after, 0 * Ω, Ω) > total_energy(graph, F, 0 * Ω, Ω)
    assert largest_step(graph, 0 * Ω, Ω) == 2


def test_with_a_source_the_energy_that_falls_counts_the_source():
    graph, F, W = double("karate"), torch.from_numpy(rng().standard_normal((34, 2))), torch.eye(2).double()
    source, β = torch.from_numpy(rng(1).standard_normal((34, 2))), 5.0
    v = energy_field(graph, F, W, W) + β * source
    gradient = theory.gradient_of(lambda X: total_energy(graph, X, W, W) - β * (X * source).sum(), F)
    torch.testing.assert_close(-gradient, v)
    alone = theory.gradient_of(lambda X: total_energy(graph, X, W, W), F)
    assert any((alone * (energy_field(graph, F, W, W) + b * source)).sum() > 0 for b in (-50.0, 50.0))


# --- without symmetry ------------------------------------------------------------------------------


def test_a_complex_leading_pair_turns_for_ever():
    evidence = examine(theory.looped(theory.closed_orbits), COUNT)
    assert evidence["deviation"] < 1e-9


def test_the_late_features_of_a_symmetric_flow_do_not_turn(monkeypatch):
    """The check would notice: with a symmetric W nothing is reversed after half a period."""
    right = theory.field_jacobian
    monkeypatch.setattr(theory, "field_jacobian", lambda g, W, Ω: right(g, (W + W.T) / 2, Ω))
    assert examine(theory.closed_orbits, 9)["deviation"] > 1


def test_an_antisymmetric_mixing_keeps_the_norm_and_closes_on_three_nodes():
    graph, F0 = double("path?n=3"), torch.from_numpy(rng().standard_normal((3, 2)))
    K, zero = torch.tensor([[0.0, 2.0], [-2.0, 0.0]]).double(), torch.zeros(2, 2).double()
    states = list(theory.trajectory(graph, K, zero, F0, np.linspace(0, np.pi, 9)))  # period 2π/2
    norms = torch.stack([F.norm() for F in states])
    torch.testing.assert_close(norms, norms[0].expand(9))
    torch.testing.assert_close(states[-1], F0)
    assert (states[4] - F0).norm() > 0.1


def test_flows_without_symmetry_can_raise_the_energy():
    rose, flows = theory.rises_without_symmetry(180, seed=0)
    assert 0 < rose < flows == 180


# --- single edges ----------------------------------------------------------------------------------


def test_single_edges_have_a_row_for_every_instance_and_time():
    times = np.linspace(0, 2, 3)
    frame = edges.single_edges(9, 0, times)
    assert len(frame) == 9 * 2 * 3
    assert set(frame["Ω"]) == {"W", "0"}
    assert frame[["shrink", "grow"]].stack().between(0, 100).all()
    found = edges.edge_evidence(frame)
    assert found["shrink_lower"] <= found["shrink_mean"] <= 100
    assert found["shrink_mean"] > found["shrink_zero"]


def test_with_one_edge_the_edge_is_the_sum_and_obeys():
    graph, F = double("path?n=2"), torch.from_numpy(rng().standard_normal((2, 3)))
    W = torch.diag(torch.tensor([2.0, -1.0, 0.5])).double()
    assert edges.edge_signs(graph, F, energy_field(graph, F, W, W), W) == (1.0, 1.0)


def test_on_three_nodes_one_of_two_edges_disobeys():
    graph, W = double("path?n=3"), torch.eye(1, dtype=torch.float64)
    assert Spectrum.of(graph).gap == pytest.approx(1)
    F = torch.tensor([[0.0], [1e-3], [1.0]]).double()
    assert edges.edge_signs(graph, F, energy_field(graph, F, W, W), W)[0] == 0.5


def test_edges_of_a_trained_flow_are_counted_in_every_step():
    frame = edges.trained_edges(0.1, replicas=2, n=80, epochs=2)
    assert frame.groupby("replica").step.max().tolist() == [6, 6]
    assert frame[["shrink", "grow"]].stack().between(0, 100).all()
