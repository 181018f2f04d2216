"""The smallest linear systems on which statements of G15, G17 and G18 fail: graphs and W by size, until one does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement, groupby

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import Spectrum, extremes
from flowprune.experiments.theory.frequencies import REACHED, late, not_high, off_criterion, printed
from flowprune.experiments.theory.instances import features
from flowprune.graphs import Graph

EIGENVALUES = sorted(
    range(-5, 6), key=lambda w: (abs(w), -w)
)  # tried for W; each W is diagonal in its own basis
LOOPS = (0.0, 0.5, 1.0, 2.0)


def systems(loops: Sequence[float] = (0.0,)) -> Iterator[tuple[Graph, Tensor]]:
    """Every graph of 2 to 5 nodes with an edge, with loops of these weights at all nodes, and every small diagonal W.

    Fewer nodes come first, then fewer channels, then fewer edges, then smaller eigenvalues.
    """
    atlas = [g for g in nx.graph_atlas_g()[:53] if g.number_of_edges()]
    for n, group in groupby(atlas, key=len):
        drawn = [_with_loops(g, n, weight) for g in group for weight in loops]
        for d in (1, 2):
            mixings = [w for w in combinations_with_replacement(EIGENVALUES, d) if any(w)]
            for w in sorted(mixings, key=lambda w: sum(map(abs, w))):
                for graph in drawn:
                    yield graph, torch.diag(torch.tensor(w, dtype=torch.float64))


def _with_loops(g: nx.Graph, n: int, weight: float) -> Graph:
    edges = torch.tensor(list(g.edges)).T
    name = f"{n} nodes, edges {', '.join(f'{i}–{j}' for i, j in g.edges)}"
    graph = Graph.from_edges(name, edges, n, dtype=torch.float64)
    if not weight:
        return graph
    return replace(graph.with_self_loops(weight), name=f"{name}, a loop of weight {weight:g} at every node")


def smallest(
    fails: Callable[[Graph, Tensor], bool], loops: Sequence[float] = LOOPS
) -> tuple[Graph, Tensor, str]:
    """The first system on which ``fails`` is true, and its description in words.

    Raises:
        LookupError: when there is none among all of :func:`systems`.
    """
    for graph, W in systems(loops):
        if fails(graph, W):
            w = ", ".join(f"{x:g}" for x in W.diagonal().tolist())
            return graph, W, f"{graph.name}; W = diag({w})"
    raise LookupError("no counterexample among the graphs of 2 to 5 nodes with integer W of 1 or 2 channels")


def _start(graph: Graph, W: Tensor) -> Tensor:
    return features(graph, np.random.default_rng(0), len(W))


def criterion_fails(graph: Graph, W: Tensor) -> bool:
    """G15: the limit is not the printed one."""
    return off_criterion(graph, W, _start(graph, W)) > REACHED


def step_too_long(graph: Graph, W: Tensor) -> bool:
    """G17 beyond its upper bound, τ = 1: λ₊ < ρ₋ and |λ₋| > 2/(2 − ρ_Δ), and not high-frequency dominant."""
    ρ = graph.rho
    beyond = ρ > 1 and printed(ρ, W) > REACHED and abs(extremes(W)[0]) * (2 - ρ) > 2 + REACHED
    return beyond and not_high(graph, W, _start(graph, W), 1.0)


def bounds_fail(graph: Graph, W: Tensor) -> bool:
    """G17, τ = 1: λ₋ < 0 and λ₊/(ρ_Δ − 1) < |λ₋| < 2/(2 − ρ_Δ) as printed, and yet not high-frequency dominant."""
    (λ_minus, λ_plus), ρ = extremes(W), graph.rho
    if λ_minus == 0 or min(abs(ρ - 1), 2 - ρ) < REACHED:
        return False
    inside = λ_plus / (ρ - 1) < abs(λ_minus) - REACHED and abs(λ_minus) < 2 / (2 - ρ) - REACHED
    return inside and not_high(graph, W, _start(graph, W), 1.0)


def not_smoothed(graph: Graph, W: Tensor) -> bool:
    """Steps F ← ĀFW do not end in the lowest frequency."""
    F = late(graph, Spectrum.of(graph), W, _start(graph, W), 1.0, residual=False)
    return normalised_energy(graph, F).item() > REACHED


def plain_fails(graph: Graph, W: Tensor) -> bool:
    """G18: the graph is not bipartite, and yet steps without the residual do not smooth."""
    return not graph.is_bipartite and not_smoothed(graph, W)
