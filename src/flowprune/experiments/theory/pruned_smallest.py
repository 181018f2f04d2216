"""The smallest pruned layers on which the parts of Lemmas 5 and 6 fail: graphs, attention and strengths by size."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations

import networkx as nx
import torch

from flowprune.experiments.theory.pruned_spectrum import Layer, Part, even
from flowprune.graphs import Graph

LOOPS = (1.0, 0.5, 2.0)  # weights of the loops; those of edges are 1
STRENGTHS = (Fraction(1, 2), Fraction(1, 3), Fraction(1))


def layers() -> Iterator[tuple[str, Layer]]:
    """Every connected graph of 2 to 5 nodes with even attention, one strength on some of its edges, and X = I.

    Fewer nodes come first, then fewer edges, fewer pruned edges, loops of weight 1, and p = ½. The name says it all.
    """
    for drawn in nx.graph_atlas_g()[:53]:
        if drawn.number_of_edges() == 0 or not nx.is_connected(drawn):
            continue
        edges = list(drawn.edges)
        graph = Graph.from_edges("atlas", torch.tensor(edges).T, len(drawn), dtype=torch.float64)
        for size in range(1, len(edges) + 1):
            for chosen in combinations(edges, size):
                for loop in LOOPS:
                    for strength in STRENGTHS:
                        p = torch.zeros(graph.n, graph.n, dtype=torch.float64)
                        for i, j in chosen:
                            p[i, j] = p[j, i] = float(strength)
                        yield (
                            f"{graph.n} nodes, edges {_list(edges)}, loops of weight {loop:g}, p = {strength} on "
                            f"{_list(chosen)}",
                            Layer(even(graph, loop), p, torch.eye(graph.n, dtype=torch.float64)),
                        )


def _list(edges: list | tuple) -> str:
    return ", ".join(f"{i}–{j}" for i, j in edges)


def smallest(part: Part, recalibrated: bool) -> tuple[str, Layer]:
    """The first layer on which ``part`` is false, with its description.

    Raises LookupError when there is none.
    """
    for name, layer in layers():
        if not part(layer, layer.pruned(recalibrated)):
            return name, layer
    raise LookupError("no counterexample among connected graphs of 2 to 5 nodes")


def breaks(part: Part, recalibrated: bool) -> bool:
    """Whether some layer of :func:`layers` breaks ``part``."""
    return any(not part(layer, layer.pruned(recalibrated)) for _, layer in layers())
