"""G18 and G19: which frequency wins in steps F ← τĀFW without the residual, and the exception of bipartite graphs."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import TOLERANCE, Spectrum
from flowprune.experiments.theory.frequencies import REACHED, any_mixing, iterate, late, looped
from flowprune.experiments.theory.instances import Finding, features
from flowprune.graphs import Graph


def edge_apart(graph: Graph) -> Graph:
    """The graph and, apart from it, two more nodes that an edge joins."""
    edges = torch.cat([graph.edge_index, torch.tensor([[graph.n], [graph.n + 1]])], dim=1)
    weight = torch.cat([graph.adjacency.values(), torch.ones(1, dtype=torch.float64)])
    name = f"{graph.name} and an edge"
    return Graph.from_edges(name, edges, graph.n + 2, weight=weight, self_loops=True, dtype=torch.float64)


def plain_steps(graph: Graph, rng: np.random.Generator) -> Finding:
    """G18: F ← τĀFW on graphs that are not bipartite; every fourth one has an edge apart.

    Covered: no component with an edge is bipartite, which is to say ρ_Δ < 2.
    """
    graph = looped(graph, rng)
    graph = graph.with_self_loops(10.0 ** rng.uniform(-1, 0)) if graph.is_bipartite else graph
    graph = graph if rng.integers(4) else edge_apart(graph)
    s, F0 = Spectrum.of(graph), features(graph, rng)
    E = normalised_energy(graph, late(graph, s, any_mixing(s.ρ, rng), F0, 0.7, residual=False)).item()
    return Finding(E, E < REACHED, covered=s.ρ < 2 - TOLERANCE)


def double_cover(graph: Graph) -> Graph:
    """The bipartite graph with adjacency [[0, A], [A, 0]]: nodes i and n + i are the two copies of node i."""
    rows, cols = graph.edge_index
    edges, weight = torch.stack([rows, cols + graph.n]), graph.adjacency.values()
    return Graph.from_edges(f"cover of {graph.name}", edges, 2 * graph.n, weight=weight, dtype=torch.float64)


def sides_energy(graph: Graph, W: Tensor, F0: Tensor) -> float:
    """The limit of E_Dir(F/‖F‖) under F ← τĀFW on a double cover, from sums over the two sides of each component C.

    With s_A, s_B = Σ √d_i Uᵀf_i over the sides, U the eigenvectors of W of largest |w|, and vol the sum of degrees, it
    is Σ_C ‖s_A − s_B‖²/vol divided by Σ_C 2(‖s_A‖² + ‖s_B‖²)/vol.
    """
    _, label = connected_components(graph.adjacency.to_dense().numpy())
    member = torch.nn.functional.one_hot(torch.from_numpy(label).long()).double()
    w, U = torch.linalg.eigh(W)
    weighted = graph.degree.sqrt().unsqueeze(1) * (F0 @ U[:, w.abs() > w.abs().max() - TOLERANCE])
    n, vol = graph.n // 2, member.T @ graph.degree
    scale = vol.clamp_min(TOLERANCE).sqrt().unsqueeze(1)  # an isolated node carries nothing
    A, B = member[:n].T @ weighted[:n] / scale, member[n:].T @ weighted[n:] / scale
    return ((A - B).square().sum() / (2 * (A.square().sum() + B.square().sum()))).item()


def bipartite_exception(graph: Graph, rng: np.random.Generator) -> Finding:
    """G19 on the double cover of every graph: the energy ends strictly between 0 and 1, the direction has period 2."""
    graph = double_cover(looped(graph, rng))
    s, F0 = Spectrum.of(graph), features(graph, rng)
    W = any_mixing(s.ρ, rng)
    F = late(graph, s, W, F0, 0.7, residual=False)
    odd, even = (iterate(graph, W, F, 0.7, m, residual=False)[0] for m in (1, 2))
    E, expected = normalised_energy(graph, F).item(), sides_energy(graph, W, F0)
    returns = (even - F).norm().item()
    between = REACHED < E < 1 - REACHED and min((odd - F).norm(), (odd + F).norm()) > REACHED
    return Finding(max(abs(E - expected), returns), between)
