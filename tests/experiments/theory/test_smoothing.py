"""The harmonic flow and the plain GCN: the checks agree with other ways of computing, and notice what is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import double, random_graph

from flowprune.dynamics.energy import dirichlet_energy, normalised_energy
from flowprune.dynamics.spectra import Spectrum
from flowprune.experiments.theory import smoothing as theory
from flowprune.experiments.theory.instances import Finding, examine, features
from flowprune.graphs import Graph

COUNT = 60
CHECKS = {
    "G8": theory.gcn_contracts,
    "G10": theory.equal_inputs_end_equal,
    "G11": theory.equal_degrees_end_equal,
    "G12": theory.harmonic_smooths,
}


def conditioned(rank: int = 3) -> torch.Tensor:
    """A W of this rank whose other singular values are not small, so that limits come soon."""
    U, _, Vh = torch.linalg.svd(torch.from_numpy(rng(11).standard_normal((3, 3))))
    return U[:, :rank] @ torch.diag(torch.tensor([1.0, 0.9, 0.8]).double()[:rank]) @ Vh[:rank]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("claim", CHECKS)
def test_no_check_finds_a_counterexample(claim):
    evidence = examine(CHECKS[claim], COUNT)
    assert evidence["counterexamples"] == 0
    assert evidence["deviation"] < 1e-10
    assert (evidence["exceptions"] > 0) == (claim in ("G10", "G12"))


def test_half_of_the_instances_carry_loops_and_a_quarter_equal_degrees():
    graph = double("star?n=5")
    made = [theory.looped(graph, rng(seed)) for seed in range(40)]
    loops = [bool((g.edge_index[0] == g.edge_index[1]).any()) for g in made]
    assert 10 < sum(loops) < 30
    level = [g for g in made if torch.allclose(g.degree, g.degree[0])]
    assert 3 < len(level) < 20


# --- the harmonic flow against other ways of computing it ------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 8), st.integers(0, 10**6), st.floats(0.01, 3))
def test_harmonic_flow_is_the_matrix_exponential(n, seed, t):
    graph, own = random_graph(n, seed), rng(seed)
    W, F0 = theory.mixing(own), features(graph, own)
    generator = np.kron((W.T @ W).numpy(), graph.laplacian.to_dense().numpy())
    expected = scipy.linalg.expm(-t * generator) @ F0.numpy().T.reshape(-1)
    flow = theory.harmonic_flow(Spectrum.of(graph), W, F0, t)
    np.testing.assert_allclose(flow.numpy().T.reshape(-1), expected, atol=1e-9)


def test_the_limit_is_reached_by_an_integrator_that_knows_no_spectrum():
    graph, W = theory.looped(double("barbell?m=3"), rng(2)), conditioned(rank=2)
    F0 = features(graph, rng(4))
    Δ, H = graph.laplacian.to_dense().numpy(), (W.T @ W).numpy()
    run = scipy.integrate.solve_ivp(
        lambda _, x: -(Δ @ x.reshape(F0.shape) @ H).reshape(-1),
        (0, 500),
        F0.numpy().reshape(-1),
        method="LSODA",
        rtol=1e-9,
        atol=1e-11,
    )
    limit = theory.harmonic_limit(graph, W, F0)
    np.testing.assert_allclose(run.y[:, -1].reshape(F0.shape), limit, atol=1e-6)


def test_wrong_limits_are_seen(monkeypatch):
    """A plain mean of the inputs instead of one weighted by √d, or a kernel that is forgotten."""
    right = theory.harmonic_limit

    def unweighted(graph: Graph, W: torch.Tensor, F0: torch.Tensor) -> torch.Tensor:
        return right(graph, torch.eye(3, dtype=torch.float64), F0)

    monkeypatch.setattr(theory, "harmonic_limit", unweighted)
    assert examine(theory.equal_inputs_end_equal, COUNT)["deviation"] > 0.1


def test_a_rate_that_is_too_good_is_seen(monkeypatch):
    """Twice the rate in the bound: E_Dir(F(t)) ≤ e^{−4t gap gap}‖F(0)‖² does not hold."""
    right = theory.harmonic_flow
    monkeypatch.setattr(theory, "harmonic_flow", lambda s, W, F0, t: right(s, W, F0, t / 2))
    assert examine(theory.equal_inputs_end_equal, COUNT)["deviation"] > 1e-3


def test_the_energy_bound_is_met_with_equality_on_the_single_edge():
    edge = double("path?n=2")
    F0, t = torch.tensor([[1.0], [-1.0]], dtype=torch.float64), 0.7
    W = torch.tensor([[1.5]], dtype=torch.float64)
    E = dirichlet_energy(edge, theory.harmonic_flow(Spectrum.of(edge), W, F0, t))
    assert E.item() == pytest.approx(np.exp(-2 * t * 1.5**2 * 2) * 2, rel=1e-12)


def test_two_edges_are_the_smallest_exception_to_g10():
    """Equal degree, equal input, different components: the limits differ, so the condition is needed."""
    pair = Graph.from_edges("two edges", [[0, 2], [1, 3]], dtype=torch.float64)
    F0 = torch.tensor([[1.0], [0.0], [1.0], [5.0]], dtype=torch.float64)
    limit = theory.harmonic_limit(pair, torch.eye(1, dtype=torch.float64), F0)
    np.testing.assert_allclose(limit.flatten(), [0.5, 0.5, 3, 3], atol=1e-12)


def test_a_kernel_of_w_keeps_nodes_of_equal_degree_apart():
    """What G11 needs: with a kernel, nodes of equal degree keep what lies in it."""
    cycle, F0 = double("cycle?n=5"), features(double("cycle?n=5"), rng(1))
    W = theory.mixing(rng(2), rank=2)
    late = theory.harmonic_flow(Spectrum.of(cycle), W, F0, 1e4)
    kernel = F0 - F0 @ torch.linalg.pinv(W) @ W
    assert torch.pdist(late).min() > 1e-3
    np.testing.assert_allclose(late - late[0], kernel - kernel[0], atol=1e-9)


# --- G12: with a step --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach, high", [(0.5, False), (1.9, False), (2.1, True), (5.0, True)])
def test_a_step_smooths_inside_its_bound_and_sharpens_outside(reach, high):
    """The iteration itself, step by step: F ← F − τΔFH tends to E_Dir(F/‖F‖) = 0 or to ρ_Δ/2."""
    graph, W = random_graph(9, 3), conditioned()
    τ = reach / (graph.rho * torch.linalg.matrix_norm(W, 2).square().item())
    F = features(graph, rng(5))
    for _ in range(3000):
        F = F - τ * (graph.laplacian @ F) @ (W.T @ W)
        F = F / F.norm()
    assert normalised_energy(graph, F).item() == pytest.approx(graph.rho / 2 if high else 0, abs=1e-6)
    assert theory.harmonic_smooths(graph, rng(), "residual", reach).true == (not high)


def test_at_the_bound_the_step_neither_smooths_nor_sharpens():
    energies = [
        theory.harmonic_smooths(double("path?n=4"), rng(seed), "residual", 2.0).deviation for seed in range(8)
    ]
    assert all(1e-6 < E < 1 - 1e-6 for E in energies)


def test_exceptions_of_g12_are_long_steps_and_bipartite_graphs_without_residual():
    def strict(form: str, **fixed: float) -> dict:
        return examine(
            lambda graph, own: replace(theory.harmonic_smooths(graph, own, form, **fixed), covered=True),
            COUNT,
        )

    assert strict("continuous")["counterexamples"] == 0
    assert strict("residual", reach=1.99)["counterexamples"] == 0
    assert strict("residual", reach=2.5)["counterexamples"] == COUNT
    plain = examine(lambda graph, own: theory.harmonic_smooths(graph, own, "plain"), COUNT)
    assert plain["counterexamples"] == 0 < plain["exceptions"]


# --- G8 -------------------------------------------------------------------------------------------------------------


def test_a_factor_from_the_gap_alone_is_refuted(monkeypatch):
    """(1 − gap)² is too small a factor where ρ_Δ − 1 exceeds 1 − gap, on a star for instance."""
    monkeypatch.setattr(theory, "contraction", lambda s: 1 - s.gap)
    assert examine(theory.gcn_contracts, COUNT)["counterexamples"] > 0


def test_the_contraction_is_that_of_the_largest_other_eigenvalue():
    graph = random_graph(8, 1).with_self_loops()
    eigenvalues = np.linalg.eigvalsh(graph.norm_adjacency.to_dense().numpy())
    assert theory.contraction(Spectrum.of(graph)) == pytest.approx(np.sort(abs(eigenvalues))[-2], rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 10), st.integers(0, 10**6))
def test_relu_never_raises_the_energy_but_a_shifted_one_can(n, seed):
    graph = theory.looped(random_graph(n, seed), rng(seed))
    F = features(graph, rng(seed + 1))
    before, after = dirichlet_energy(graph, F), dirichlet_energy(graph, F.relu())
    assert after <= before * (1 + 1e-12)


def test_a_bias_raises_the_energy_of_a_smooth_signal_on_an_irregular_graph():
    """Why G8 says: without bias. √d has no energy, √d + 1 has some where degrees differ."""
    star = double("star?n=5")
    smooth = star.degree.sqrt().unsqueeze(1)
    assert dirichlet_energy(star, smooth).item() == pytest.approx(0, abs=1e-12)
    assert dirichlet_energy(star, (smooth + 1).relu()).item() > 0.1


def test_a_finding_of_g8_counts_an_excess():
    spoiled = double("barbell?m=4")
    spoiled.__dict__["norm_adjacency"] = (1.5 * spoiled.norm_adjacency.to_dense()).to_sparse_csr()
    found = theory.gcn_contracts(spoiled, rng(1))  # Δ knows nothing of the factor
    assert isinstance(found, Finding) and not found.true
