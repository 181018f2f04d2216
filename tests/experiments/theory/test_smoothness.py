"""The checkers of the theory: they find nothing where the statement holds, and speak up where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch
from random_graphs import double

from flowprune.dynamics.energy import dirichlet_energy
from flowprune.experiments.theory import smoothness as theory
from flowprune.experiments.theory.instances import FAMILIES, Finding, examine, instances
from flowprune.graphs import Graph

COUNT = 60
CHECKS = {
    "G1": theory.laplacian_spectrum,
    "G2": theory.energy_forms,
    "G3": theory.heat_descends,
    "G4": theory.vectorised_flow,
    "G5": theory.energy_diverges,
    "G6": theory.low_frequency_limits,
    "G7": theory.high_frequency_limits,
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("claim", CHECKS)
def test_no_check_finds_a_counterexample(claim):
    evidence = examine(CHECKS[claim], COUNT)
    assert evidence["instances"] == COUNT
    assert evidence["counterexamples"] == 0
    assert evidence["deviation"] < 1e-11
    assert (evidence["exceptions"] > 0) == (claim in ("G4", "G5"))
    assert evidence["families"].split(", ") == list(FAMILIES)


# --- statements that are wrong -------------------------------------------------------------------


def spoiled(graph: Graph, operator: torch.Tensor) -> Graph:
    """The graph with a wrong Laplacian in its cache."""
    graph.__dict__["laplacian"] = operator.to_sparse_csr()
    return graph


def wrong_laplacians(graph: Graph) -> dict[str, torch.Tensor]:
    A, I = graph.adjacency.to_dense(), torch.eye(graph.n, dtype=torch.float64)  # noqa: E741
    return {
        "not normalised": torch.diag(graph.degree) - A,
        "of random walks": I - A / graph.degree.unsqueeze(1),
        "with the wrong sign": I + graph.norm_adjacency.to_dense(),
        "slightly off": graph.laplacian.to_dense() + 1e-6 * I,
    }


@pytest.mark.parametrize("claim", ["G2", "G3"])
@pytest.mark.parametrize(
    "wrong", ["not normalised", "of random walks", "with the wrong sign", "slightly off"]
)
def test_a_wrong_laplacian_is_seen(claim, wrong):
    graph = double("barbell?m=4")
    assert CHECKS[claim](graph, rng()).deviation < 1e-11
    found = CHECKS[claim](spoiled(graph, wrong_laplacians(graph)[wrong]), rng())
    assert found.deviation > 1e-7 or not found.true


@pytest.mark.parametrize("wrong", ["not normalised", "with the wrong sign", "slightly off"])
def test_a_laplacian_with_the_wrong_spectrum_is_seen(wrong):
    graph = double("barbell?m=4")
    seed = next(s for s in range(10) if not rng(s).integers(2))  # an instance without a loop
    assert CHECKS["G1"](graph, rng(seed)).true
    found = CHECKS["G1"](spoiled(graph, wrong_laplacians(graph)[wrong]), rng(seed))
    assert found.deviation > 1e-7 or not found.true


def test_kronecker_factors_in_the_wrong_order_are_seen(monkeypatch):
    """(Ā ⊗ W) vec(F) would be right for rows stacked, not for columns."""
    right = torch.kron
    monkeypatch.setattr(theory.torch, "kron", lambda a, b: right(b, a))
    evidence = examine(theory.vectorised_flow, COUNT)
    assert evidence["counterexamples"] > 0
    assert evidence["deviation"] > 0.1


def test_a_flow_whose_norm_is_slightly_wrong_is_seen(monkeypatch):
    right = theory.linear_flow
    monkeypatch.setattr(theory, "linear_flow", lambda *args: (right(*args)[0], right(*args)[1] + 1e-4))
    assert examine(theory.energy_diverges, COUNT)["deviation"] == pytest.approx(2e-4, rel=1e-6)


@pytest.mark.parametrize(
    "side",
    [
        lambda s: (s.highest, s.gap, lambda E: E),  # low energy, high frequencies
        lambda s: (s.lowest, s.gap, lambda E: 0.5 * s.ρ - E),  # high energy, low frequencies
        lambda s: (s.lowest, 4 * s.ρ, lambda E: E),  # a gap that is too wide
    ],
)
def test_energies_and_frequencies_that_do_not_belong_together_are_seen(side):
    evidence = examine(lambda graph, rng: theory._dominance(graph, rng, side), COUNT)
    assert evidence["counterexamples"] > 0 or evidence["deviation"] > 0.01


# --- the conditions, and what lies outside them ----------------------------------------------------


@pytest.mark.parametrize("claim", ["G4", "G5"])
def test_without_its_condition_the_statement_has_counterexamples(claim):
    """As the source states it: no instance is excused."""
    excused = examine(CHECKS[claim], COUNT)["exceptions"]
    evidence = examine(lambda graph, rng: replace(CHECKS[claim](graph, rng), covered=True), COUNT)
    assert evidence["counterexamples"] == excused > 0
    assert evidence["exceptions"] == 0


def test_exceptions_of_g4_are_mixings_that_are_not_symmetric():
    found = [theory.vectorised_flow(double("path?n=6"), rng(seed)) for seed in range(20)]
    assert {f.covered for f in found} == {True, False}
    assert all(f.true == f.covered for f in found)
    assert max(f.deviation for f in found) < 1e-12  # Wᵀ ⊗ Ā holds for all of them


@pytest.mark.parametrize("name", ["complete?n=6", "star?n=7", "bipartite?a=3&b=4"])
def test_on_exceptions_of_g5_the_energy_falls(name):
    """No eigenvalue of Δ lies strictly between 0 and 1, so nothing that carries energy grows."""
    graph, found = double(name), theory.energy_diverges(double(name), rng())
    assert not found.covered
    assert not found.true
    F0 = torch.from_numpy(rng().standard_normal((graph.n, 3)))
    Ā = graph.norm_adjacency.to_dense().numpy()
    energies = [
        dirichlet_energy(graph, torch.from_numpy(scipy.linalg.expm(t * Ā)) @ F0) for t in (0.0, 1.0, 3.0)
    ]
    assert energies[0] > energies[1] > energies[2]


def test_inside_the_condition_of_g5_the_energy_grows():
    found = theory.energy_diverges(double("path?n=5"), rng())
    assert found.covered and found.true


# --- instances and sums ----------------------------------------------------------------------------


def test_instances_take_the_families_in_turn_and_come_out_again():
    first, again = (list(instances(COUNT, seed=3)) for _ in range(2))
    assert len(first) == COUNT
    assert {family for family, _, _ in first[: len(FAMILIES)]} == set(FAMILIES)
    for (family, graph, _), (same, other, _) in zip(first, again, strict=True):
        assert family == same
        assert graph.num_edges > 0
        assert torch.equal(graph.adjacency.to_dense(), other.adjacency.to_dense())
    different = [graph.n for _, graph, _ in instances(COUNT, seed=4)]
    assert different != [graph.n for _, graph, _ in first]


def test_evidence_counts_what_is_covered_apart_from_what_is_not():
    findings = iter(
        [
            Finding(1e-3),
            Finding(2e-3, true=False),
            Finding(9.0, covered=False),
            Finding(8.0, true=False, covered=False),
            Finding(0.0, true=False),
        ]
    )
    evidence = examine(lambda graph, rng: next(findings), 5, condition="as drawn")
    assert evidence == {
        "instances": 5,
        "families": "sparse random, dense random, weighted random, path, cycle",
        "deviation": 2e-3,
        "counterexamples": 2,
        "exceptions": 1,
        "condition": "as drawn",
    }
