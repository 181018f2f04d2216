"""Energies against double sums, automatic differentiation and each other, over random weighted graphs with loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph

from flowprune.dynamics.energy import (
    attraction_repulsion,
    dirichlet_energy,
    dirichlet_energy_by_edges,
    dirichlet_energy_by_frequency,
    edge_gradient,
    edge_norms,
    edge_signs,
    energy_field,
    field_jacobian,
    harmonic_energy,
    largest_step,
    normalised_energy,
    total_energy,
    total_energy_by_edges,
)
from flowprune.graphs import Graph

FORMS = (dirichlet_energy, dirichlet_energy_by_edges, dirichlet_energy_by_frequency)
examples = settings(max_examples=30, deadline=None)
sizes, seeds = st.integers(2, 12), st.integers(0, 2**16)
EXACT = {"rtol": 1e-11, "atol": 1e-11}


def weighted_graph(n: int, seed: int, isolated: int = 0) -> Graph:
    """A connected graph with weights in [0.2, 3], a loop at about every third node, and isolated nodes after them."""
    rng, base = np.random.default_rng(seed), random_graph(n, seed)
    loops = np.flatnonzero(rng.random(n) < 0.3)
    edges = np.hstack([base.edge_index.numpy(), [loops, loops]])
    weight = rng.uniform(0.2, 3.0, edges.shape[1])
    return Graph.from_edges(
        "weighted", edges, n + isolated, weight=weight, self_loops=True, dtype=torch.float64
    )


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def symmetric(seed: int, d: int) -> torch.Tensor:
    W = normal(seed, d, d)
    return (W + W.T) / 2


def double_sum(graph: Graph, F: torch.Tensor) -> float:
    """¼ Σ_i Σ_j a_ij ‖f_i/√d_i − f_j/√d_j‖², written as the definition reads."""
    A, F = graph.adjacency.to_dense().numpy(), F.numpy()
    d, energy = A.sum(1), 0.0
    for i in range(graph.n):
        for j in range(graph.n):
            if A[i, j] > 0:
                energy += 0.25 * A[i, j] * np.square(F[i] / np.sqrt(d[i]) - F[j] / np.sqrt(d[j])).sum()
    return energy


@pytest.mark.parametrize("form", FORMS)
@examples
@given(n=sizes, seed=seeds, isolated=st.integers(0, 2))
def test_every_form_of_the_dirichlet_energy_is_the_double_sum(form, n, seed, isolated):
    graph = weighted_graph(n, seed, isolated)
    F = normal(seed, graph.n, 3)
    assert form(graph, F).item() == pytest.approx(double_sum(graph, F), rel=1e-11)


@examples
@given(n=sizes, seed=seeds)
def test_edge_gradient_vanishes_on_loops_and_changes_sign_with_the_order(n, seed):
    graph = weighted_graph(n, seed)
    rows, cols = graph.edge_index
    gradient = edge_gradient(graph, normal(seed, n, 2))
    assert gradient[rows == cols].abs().sum() == 0
    other = torch.argsort(cols * n + rows)  # the entry (j, i) of each entry (i, j)
    torch.testing.assert_close(gradient[other], -gradient, **EXACT)


@examples
@given(n=sizes, seed=seeds, R=st.integers(1, 4))
def test_replicas_have_the_energies_they_have_alone(n, seed, R):
    graph, F = weighted_graph(n, seed), normal(seed, n, R, 3)
    for energy in (dirichlet_energy, normalised_energy):
        together = energy(graph, F)
        assert together.shape == (R,)
        alone = torch.stack([energy(graph, F[:, r]) for r in range(R)])
        torch.testing.assert_close(together, alone, **EXACT)


@examples
@given(n=sizes, seed=seeds, scale=st.floats(1e-6, 1e6))
def test_normalised_energy_forgets_the_size_and_stays_in_its_range(n, seed, scale):
    graph, F = weighted_graph(n, seed), normal(seed, n, 3)
    energy = normalised_energy(graph, F)
    assert -1e-12 <= energy <= graph.rho / 2 + 1e-12
    torch.testing.assert_close(normalised_energy(graph, scale * F), energy, **EXACT)
    torch.testing.assert_close(normalised_energy(graph, F), dirichlet_energy(graph, F / F.norm()), **EXACT)


@examples
@given(n=sizes, seed=seeds)
def test_heat_is_the_descent_of_the_dirichlet_energy(n, seed):
    graph, F = weighted_graph(n, seed), normal(seed, n, 3).requires_grad_()
    for form in FORMS:
        (gradient,) = torch.autograd.grad(form(graph, F), F)
        torch.testing.assert_close(-gradient, -(graph.laplacian @ F.detach()), **EXACT)


@examples
@given(n=sizes, seed=seeds, d=st.integers(1, 4))
def test_graff_is_the_descent_of_the_total_energy(n, seed, d):
    """−∇E_tot = −FΩ + ĀFW for symmetric W and Ω; of others only the symmetric part is felt."""
    graph, F = weighted_graph(n, seed), normal(seed, n, d).requires_grad_()
    W, Ω = normal(seed + 1, d, d), normal(seed + 2, d, d)
    (gradient,) = torch.autograd.grad(total_energy(graph, F, W, Ω), F)
    X = F.detach()
    felt = -X @ (Ω + Ω.T) / 2 + graph.norm_adjacency @ X @ (W + W.T) / 2
    torch.testing.assert_close(-gradient, felt, **EXACT)


@examples
@given(n=sizes, seed=seeds, d=st.integers(1, 4))
def test_total_energy_is_its_double_sum(n, seed, d):
    graph, F, W, Ω = (
        weighted_graph(n, seed),
        normal(seed, n, d),
        symmetric(seed + 1, d),
        symmetric(seed + 2, d),
    )
    Ā = graph.norm_adjacency.to_dense()
    pairs = sum(Ā[i, j] * (F[i] @ W @ F[j]) for i in range(n) for j in range(n))
    own = sum(F[i] @ Ω @ F[i] for i in range(n))
    torch.testing.assert_close(total_energy(graph, F, W, Ω), (own - pairs) / 2, **EXACT)


@examples
@given(n=sizes, seed=seeds)
def test_total_energy_of_identities_is_the_dirichlet_energy(n, seed):
    graph, F, identity = weighted_graph(n, seed), normal(seed, n, 3), torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(
        total_energy(graph, F, identity, identity), dirichlet_energy(graph, F), **EXACT
    )


# --- along edges, and the field ------------------------------------------------------------------


@examples
@given(n=sizes, seed=seeds, m=st.integers(1, 4))
def test_edge_norms_are_written_as_the_definition_reads(n, seed, m):
    graph, F, Θ = weighted_graph(n, seed), normal(seed, n, 3), normal(seed + 1, m, 3)
    norms, (rows, cols) = edge_norms(graph, F, Θ), graph.edge_index
    for e in range(len(norms)):
        i, j = int(rows[e]), int(cols[e])
        gradient = F[i] / graph.degree[i].sqrt() - F[j] / graph.degree[j].sqrt()
        expected = graph.adjacency.values()[e] * (Θ @ gradient).square().sum()
        torch.testing.assert_close(norms[e], expected, **EXACT)
    torch.testing.assert_close(harmonic_energy(graph, F, Θ), dirichlet_energy(graph, F @ Θ.T), **EXACT)


@examples
@given(seed=seeds, d=st.integers(1, 5))
def test_attraction_and_repulsion_give_w_back_and_do_not_meet(seed, d):
    W = symmetric(seed, d)
    Θp, Θm = attraction_repulsion(W)
    torch.testing.assert_close(Θp.T @ Θp - Θm.T @ Θm, W, **EXACT)
    torch.testing.assert_close(Θp.T @ Θp @ Θm.T @ Θm, torch.zeros_like(W), **EXACT)


@examples
@given(n=sizes, seed=seeds, isolated=st.integers(0, 2), d=st.integers(1, 4))
def test_total_energy_by_edges_is_the_total_energy(n, seed, isolated, d):
    graph, W, Ω = weighted_graph(n, seed, isolated), symmetric(seed + 1, d), symmetric(seed + 2, d)
    F = normal(seed, graph.n, d)
    torch.testing.assert_close(
        total_energy_by_edges(graph, F, W, Ω), total_energy(graph, F, W, Ω), rtol=1e-10, atol=1e-10
    )


@examples
@given(n=sizes, seed=seeds, d=st.integers(1, 4))
def test_field_is_linear_with_its_jacobian_on_stacked_columns(n, seed, d):
    graph, F, W, Ω = (
        weighted_graph(n, seed),
        normal(seed, n, d),
        normal(seed + 1, d, d),
        normal(seed + 2, d, d),
    )
    stacked = field_jacobian(graph, W, Ω) @ F.T.reshape(-1)
    torch.testing.assert_close(stacked.view(d, n).T, energy_field(graph, F, W, Ω), **EXACT)


@examples
@given(n=sizes, seed=seeds)
def test_largest_step_without_ω_has_a_closed_form(n, seed):
    """2/max(|λ₋|, λ₊(ρ_Δ − 1)): Ā has the eigenvalues 1 and 1 − ρ_Δ at its ends."""
    graph, W = weighted_graph(n, seed), symmetric(seed, 3)
    w = torch.linalg.eigvalsh(W)
    top = max(-w[0].item(), w[-1].item() * (graph.rho - 1))
    expected = 2 / top if top > 0 else np.inf
    assert largest_step(graph, W, torch.zeros_like(W)) == pytest.approx(expected, rel=1e-9)


def test_no_step_is_too_long_where_the_energy_is_nowhere_convex():
    graph, identity = weighted_graph(5, 1), torch.eye(2, dtype=torch.float64)
    assert largest_step(graph, 0.1 * identity, -identity) == np.inf


@examples
@given(n=sizes, seed=seeds)
def test_edge_signs_are_those_of_finite_differences(n, seed):
    graph, F, V, W = weighted_graph(n, seed), normal(seed, n, 3), normal(seed + 1, n, 3), symmetric(seed, 3)
    joins = graph.edge_index[0] != graph.edge_index[1]
    shares = edge_signs(graph, F, V, W)
    for Θ, sign, share in zip(attraction_repulsion(W), (-1, 1), shares, strict=True):
        change = (edge_norms(graph, F + 1e-6 * V, Θ) - edge_norms(graph, F - 1e-6 * V, Θ))[joins]
        if Θ.any():
            assert share == pytest.approx((sign * change >= 0).double().mean().item(), abs=1e-12)
        else:
            assert np.isnan(share)
