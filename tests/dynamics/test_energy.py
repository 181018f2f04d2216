"""Energies against double sums, automatic differentiation and each other, over random weighted graphs with loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph

from flowprune.dynamics.energy import (
    dirichlet_energy,
    dirichlet_energy_by_edges,
    dirichlet_energy_by_frequency,
    edge_gradient,
    normalised_energy,
    total_energy,
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
