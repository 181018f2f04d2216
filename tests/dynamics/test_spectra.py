"""Frequencies against closed forms, and exact flows against the matrix exponential."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import double, random_graph

from flowprune.dynamics.energy import total_energy
from flowprune.dynamics.spectra import (
    Spectrum,
    extremes,
    heat_flow,
    limit_energy,
    linear_flow,
    linear_steps,
    margin,
    project,
    rates,
    top_modes,
)
from flowprune.graphs import Graph, load

examples = settings(max_examples=30, deadline=None)
sizes, seeds, times = st.integers(2, 10), st.integers(0, 2**16), st.floats(0, 4)

CLOSED = {  # eigenvalues of Δ in closed form, Chung 1997, examples 1.1 to 1.5
    "complete?n=7": [0] + [7 / 6] * 6,
    "cycle?n=8": [1 - math.cos(2 * math.pi * j / 8) for j in range(8)],
    "cycle?n=9": [1 - math.cos(2 * math.pi * j / 9) for j in range(9)],
    "path?n=6": [1 - math.cos(math.pi * j / 5) for j in range(6)],
    "star?n=5": [0, 1, 1, 1, 2],
    "bipartite?a=3&b=4": [0, 1, 1, 1, 1, 1, 2],
}


def drawn(seed: int, n: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    """F(0) ``[n, d]`` and a symmetric W ``[d, d]``."""
    g = torch.Generator().manual_seed(seed)
    W = torch.randn(d, d, generator=g, dtype=torch.float64)
    return torch.randn(n, d, generator=g, dtype=torch.float64), (W + W.T) / 2


@pytest.mark.parametrize("name", CLOSED)
def test_named_graphs_have_their_closed_form_spectrum(name):
    s, expected = Spectrum.of(double(name)), np.sort(CLOSED[name])
    np.testing.assert_allclose(s.λ, expected, atol=1e-12)
    assert expected[-1] == pytest.approx(s.ρ, abs=1e-12)
    assert int(s.lowest.sum()) == 1
    assert int(s.highest.sum()) == int(np.isclose(expected, expected[-1]).sum())
    assert s.gap == pytest.approx(expected[1], abs=1e-12)
    below = expected[expected < expected[-1] - 1e-6][-1]
    assert s.top_gap == pytest.approx(expected[-1] - below, abs=1e-12)


def test_gaps_are_infinite_where_nothing_lies_beyond():
    s = Spectrum.of(Graph.from_edges("no edge", np.empty((2, 0), int), 3, dtype=torch.float64))
    assert (s.gap, s.top_gap, s.ρ) == (math.inf, math.inf, 0.0)
    assert s.lowest.all() and s.highest.all()


def test_zero_eigenvalues_count_components():
    """A triangle, an edge and two isolated nodes: four components, 3/2 (twice) and 2 above them."""
    edges = [[0, 1, 2, 3], [1, 2, 0, 4]]
    s = Spectrum.of(Graph.from_edges("parts", edges, 7, dtype=torch.float64))
    np.testing.assert_allclose(s.λ, [0, 0, 0, 0, 1.5, 1.5, 2], atol=1e-12)
    assert int(s.lowest.sum()) == 4
    assert (s.gap, s.top_gap) == (pytest.approx(1.5), pytest.approx(0.5))


def test_an_isolated_node_does_not_move():
    """Its rows of Ā and of Δ are zero: λ = 0 as for a component's smoothest vector, but ν = 0 where that has 1."""
    graph = Graph.from_edges("parts", [[0, 1, 3], [1, 3, 0]], 6, dtype=torch.float64)
    s, (F0, W) = Spectrum.of(graph), drawn(3, 6, 2)
    np.testing.assert_allclose(s.λ, [0, 0, 0, 0, 1.5, 1.5], atol=1e-12)
    np.testing.assert_allclose(s.ν, [0, 0, 0, 1, -0.5, -0.5], atol=1e-12)
    np.testing.assert_allclose(s.φ @ torch.diag(s.ν) @ s.φ.T, graph.norm_adjacency.to_dense(), atol=1e-12)
    direction, log_norm = linear_flow(s, W, F0, 1.7)
    torch.testing.assert_close((direction * math.exp(log_norm))[[2, 4, 5]], F0[[2, 4, 5]], rtol=0, atol=1e-12)


def test_a_spectrum_is_in_double_precision_whatever_the_graph_is():
    s = Spectrum.of(load("cycle?n=12"))
    assert s.λ.dtype == s.φ.dtype == torch.float64


@examples
@given(n=sizes, seed=seeds)
def test_shares_of_a_partition_sum_to_one_and_frequencies_have_all_of_themselves(n, seed):
    s, (F, _) = Spectrum.of(random_graph(n, seed)), drawn(seed, n, 3)
    low = s.λ < 0.7
    assert s.share(F, low).item() + s.share(F, ~low).item() == pytest.approx(1, abs=1e-12)
    assert s.share(s.φ[:, [-1]], s.highest).item() == pytest.approx(1, abs=1e-12)
    assert s.share(s.φ[:, [-1]], s.lowest).item() == pytest.approx(0, abs=1e-12)


@examples
@given(n=sizes, seed=seeds, t=times)
def test_heat_flow_is_the_matrix_exponential(n, seed, t):
    graph, (F0, _) = random_graph(n, seed), drawn(seed, n, 2)
    exact = scipy.linalg.expm(-t * graph.laplacian.to_dense().numpy()) @ F0.numpy()
    np.testing.assert_allclose(heat_flow(Spectrum.of(graph), F0, t), exact, atol=1e-11)


@examples
@given(n=sizes, seed=seeds, a=times, b=times)
def test_heat_may_pause(n, seed, a, b):
    s, (F0, _) = Spectrum.of(random_graph(n, seed)), drawn(seed, n, 2)
    torch.testing.assert_close(
        heat_flow(s, heat_flow(s, F0, a), b), heat_flow(s, F0, a + b), rtol=0, atol=1e-11
    )


@examples
@given(n=sizes, seed=seeds, t=times, d=st.integers(1, 3))
def test_linear_flow_is_the_matrix_exponential(n, seed, t, d):
    """vec F(t) = exp(t W ⊗ Ā) vec F(0), columns stacked."""
    graph, (F0, W) = random_graph(n, seed), drawn(seed, n, d)
    generator = np.kron(W.numpy(), graph.norm_adjacency.to_dense().numpy())
    exact = (scipy.linalg.expm(t * generator) @ F0.numpy().flatten("F")).reshape(n, d, order="F")
    direction, log_norm = linear_flow(Spectrum.of(graph), W, F0, t)
    assert log_norm == pytest.approx(np.log(np.linalg.norm(exact)), abs=1e-9)
    np.testing.assert_allclose(direction, exact / np.linalg.norm(exact), atol=1e-9)


@examples
@given(n=sizes, seed=seeds, t=st.sampled_from([1e3, 1e5, 1e7]))
def test_long_times_do_not_overflow(n, seed, t):
    """e^{tμ} is far beyond a float; the direction is a unit vector, the norm grows at the largest rate μ."""
    s, (F0, W) = Spectrum.of(random_graph(n, seed)), drawn(seed, n, 3)
    μ = ((1 - s.λ).unsqueeze(1) * torch.linalg.eigvalsh(W)).max().item()
    direction, log_norm = linear_flow(s, W, F0, t)
    assert direction.isfinite().all()
    assert direction.norm().item() == pytest.approx(1, abs=1e-12)
    later = linear_flow(s, W, F0, 2 * t)[1]
    assert (later - log_norm) / t == pytest.approx(μ, abs=20 / t + 1e-9)


@pytest.mark.parametrize(("sign", "end"), [(1.0, "lowest"), (-1.0, "highest")])
def test_the_sign_of_w_decides_which_end_of_the_spectrum_wins(sign, end):
    s, (F0, _) = Spectrum.of(double("barbell?m=5")), drawn(0, 10, 3)
    direction, _ = linear_flow(s, sign * torch.eye(3, dtype=torch.float64), F0, 1e4)
    assert s.share(direction, getattr(s, end)).item() == pytest.approx(1, abs=1e-9)


@examples
@given(n=sizes, seed=seeds)
def test_a_linear_flow_descends_its_energy(n, seed):
    """E_tot with Ω = 0 never rises along Ḟ = ĀFW, its gradient flow."""
    graph, (F0, W) = random_graph(n, seed), drawn(seed, n, 3)
    s, zero = Spectrum.of(graph), torch.zeros_like(W)
    energies = []
    for t in np.linspace(0, 2, 9):
        direction, log_norm = linear_flow(s, W, F0, t)
        energies.append(total_energy(graph, direction * math.exp(log_norm), W, zero).item())
    assert np.all(np.diff(energies) <= 1e-10 * np.abs(energies).max())


def test_a_start_without_the_dominating_component_still_has_a_direction():
    """F(0) is zero in the attracted channel, whose growth would take all digits of the other."""
    spectrum = Spectrum.of(load("complete?n=5").to(dtype=torch.float64))
    F0 = torch.zeros(5, 2, dtype=torch.float64)
    F0[0, 1] = 1.0
    F, _ = linear_flow(spectrum, torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64)), F0, 2000.0)
    assert F.norm().item() == pytest.approx(1)
    assert spectrum.share(F, spectrum.highest).item() == pytest.approx(1)


# --- rates, steps and limits -----------------------------------------------------------------------


def with_isolated(n: int, seed: int) -> Graph:
    """A random graph and two isolated nodes after it."""
    graph = random_graph(n, seed)
    return Graph.from_edges("apart", graph.edge_index, n + 2, dtype=torch.float64)


@examples
@given(n=sizes, seed=seeds, d=st.integers(1, 3))
def test_rates_are_the_eigenvalues_of_the_vectorised_system(n, seed, d):
    graph, (_, W) = with_isolated(n, seed), drawn(seed, n, d)
    expected = np.linalg.eigvalsh(np.kron(W.numpy(), graph.norm_adjacency.to_dense().numpy()))
    found = rates(Spectrum.of(graph), W)
    assert found.shape == (n + 2, d)
    np.testing.assert_allclose(np.sort(found.flatten()), expected, atol=1e-12)


@examples
@given(
    n=sizes,
    seed=seeds,
    d=st.integers(1, 3),
    steps=st.integers(0, 15),
    τ=st.floats(0.05, 3),
    residual=st.booleans(),
)
def test_linear_steps_are_the_steps(n, seed, d, steps, τ, residual):
    graph, (F0, W) = with_isolated(n, seed), drawn(seed, n + 2, d)
    Ā, F = graph.norm_adjacency.to_dense().numpy(), F0.numpy()
    for _ in range(steps):
        F = residual * F + τ * Ā @ F @ W.numpy()
    direction, log_norm = linear_steps(Spectrum.of(graph), W, F0, τ, steps, residual)
    assert log_norm == pytest.approx(np.log(np.linalg.norm(F)), abs=1e-9)
    np.testing.assert_allclose(direction, F / np.linalg.norm(F), atol=1e-9)


def test_many_steps_do_not_overflow_and_keep_their_sign():
    """On the triangle with W = (−5) and τ = 1 the constant mode is multiplied by −4, the others by 3.5."""
    s, W = Spectrum.of(double("complete?n=3")), torch.tensor([[-5.0]], dtype=torch.float64)
    F0 = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    even, odd = (linear_steps(s, W, F0, 1.0, m) for m in (10**6, 10**6 + 1))
    torch.testing.assert_close(even[0], torch.full_like(F0, 3**-0.5), rtol=0, atol=1e-9)
    torch.testing.assert_close(odd[0], -even[0], rtol=0, atol=1e-9)
    assert odd[1] - even[1] == pytest.approx(math.log(4), abs=1e-8)


@pytest.mark.parametrize(
    ("w", "expected"), [((-2, 1, 3), (-2, 3)), ((1, 2), (0, 2)), ((-3, -1), (-3, 0)), ((0,), (0, 0))]
)
def test_extreme_eigenvalues_are_clipped_at_zero(w, expected):
    assert extremes(torch.diag(torch.tensor(w, dtype=torch.float64))) == pytest.approx(expected)


@examples
@given(n=sizes, seed=seeds)
def test_a_projection_and_its_rest_are_orthogonal_and_stay_where_they_are(n, seed):
    graph, (F, W) = random_graph(n, seed), drawn(seed, n, 3)
    s = Spectrum.of(graph)
    modes = top_modes(s, W)
    P = project(s, W, F, modes)
    assert int(modes.sum()) == int(s.highest.sum())
    assert (P * (F - P)).sum().item() == pytest.approx(0, abs=1e-10)
    torch.testing.assert_close(project(s, W, P, modes), P, rtol=0, atol=1e-12)
    top = s.ρ * torch.linalg.eigvalsh(W)[0]  # ΔPW = ρ_Δ w₋ P, the eigenvector equation of both sides
    torch.testing.assert_close(graph.laplacian @ P @ W, top * P, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("high", "expected"), [(0.19, "HFD"), (0.21, "LFD"), (0.2, "tie")])
def test_the_margin_changes_sign_at_the_line(high, expected):
    """Complete graph with 6 nodes: ρ_Δ − 1 = 1/5, so λ₋ = −1 balances λ₊ = 1/5; at a tie the limit is in between."""
    graph = double("complete?n=6")
    s, W = Spectrum.of(graph), torch.diag(torch.tensor([-1.0, high], dtype=torch.float64))
    F0, _ = drawn(1, 6, 2)
    μ = rates(s, W)
    assert margin(s, μ) == pytest.approx(0.2 - high, abs=1e-12)
    W_, Ā = W.numpy(), graph.norm_adjacency.to_dense().numpy()
    F = (scipy.linalg.expm(2000 * np.kron(W_, Ā) / 2) @ F0.numpy().flatten("F")).reshape(6, 2, order="F")
    F = F / np.linalg.norm(F)
    measured = 0.5 * np.sum(F * (graph.laplacian.to_dense().numpy() @ F))
    assert limit_energy(s, W, F0, μ) == pytest.approx(measured, abs=1e-6)
    assert measured == pytest.approx({"HFD": s.ρ / 2, "LFD": 0, "tie": measured}[expected], abs=1e-6)
    assert (0.01 < measured < 0.59) == (expected == "tie")
