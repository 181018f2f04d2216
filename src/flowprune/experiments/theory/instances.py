"""Instances for the statements of the theory: random graphs of many families, and what a check of them found.

A check takes one graph and a random generator and returns how far the statement is from true there. ``examine`` runs a
check over many instances and sums up the evidence that the ledger wants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from flowprune.graphs import Graph, load
from flowprune.study.passes import threads


def _random(n: int, rng: np.random.Generator, p: float, weighted: bool = False) -> Graph:
    pairs = np.argwhere(np.triu(rng.random((n, n)) < p, 1)).T
    weight = rng.uniform(0.2, 3.0, pairs.shape[1]) if weighted else None
    return Graph.from_edges("random", pairs, n, weight=weight, dtype=torch.float64)


def _named(pattern: str, low: int) -> Callable[[np.random.Generator], Graph]:
    def make(rng: np.random.Generator) -> Graph:
        sizes = {name: int(rng.integers(low, 12)) for name in ("n", "a", "b", "m")}
        return load(pattern.format(**sizes)).to(dtype=torch.float64)

    return make


FAMILIES: dict[str, Callable[[np.random.Generator], Graph]] = {
    "sparse random": lambda rng: _random(int(rng.integers(8, 25)), rng, 0.12),
    "dense random": lambda rng: _random(int(rng.integers(5, 20)), rng, 0.5),
    "weighted random": lambda rng: _random(int(rng.integers(5, 20)), rng, 0.3, weighted=True),
    "path": _named("path?n={n}", 2),
    "cycle": _named("cycle?n={n}", 3),
    "star": _named("star?n={n}", 3),
    "complete": _named("complete?n={n}", 2),
    "complete bipartite": _named("bipartite?a={a}&b={b}", 1),
    "barbell": _named("barbell?m={m}", 3),
}


def instances(count: int, seed: int) -> Iterator[tuple[str, Graph, np.random.Generator]]:
    """``count`` graphs, the families in turn, each with the generator that goes on to draw its features."""
    made = 0
    for index, (family, make) in enumerate(cycle(FAMILIES.items())):
        rng = np.random.default_rng([seed, index])
        graph = make(rng)
        if graph.num_edges:
            yield family, graph, rng
            made += 1
        if made == count:
            return


@dataclass(frozen=True)
class Finding:
    """One instance: the largest deviation from the statement, and whether the statement holds and should hold."""

    deviation: float
    true: bool = True
    covered: bool = True  # inside the condition that the evidence names


Check = Callable[[Graph, np.random.Generator], Finding]


def examine(check: Check, count: int, seed: int = 0, **said: Any) -> dict:
    """Evidence of a theorem-type claim: instances, families, deviation, counterexamples, exceptions.

    The deviation is the largest over covered instances; a covered instance where the statement fails is a
    counterexample, an uncovered one an exception.
    """
    with threads(1):
        findings = [(family, check(graph, rng)) for family, graph, rng in instances(count, seed)]
    covered = [f for _, f in findings if f.covered]
    return {
        "instances": len(findings),
        "families": ", ".join(dict.fromkeys(family for family, _ in findings)),
        "deviation": max(f.deviation for f in covered),
        "counterexamples": sum(not f.true for f in covered),
        "exceptions": sum(not f.true for _, f in findings if not f.covered),
        **said,
    }


def smallest(check: Check, tries: int = 24, *, edges: int = 0) -> str:
    """The smallest graph of up to five nodes, with as many ``edges``, that breaks the statement for some features.

    Raises LookupError when there is none.
    """
    for atlas in nx.graph_atlas_g()[1:53]:
        if atlas.number_of_edges() < edges:
            continue
        pairs = np.array(atlas.edges, dtype=int).reshape(-1, 2).T
        graph = Graph.from_edges("atlas", pairs, atlas.number_of_nodes(), dtype=torch.float64)
        if any(not check(graph, np.random.default_rng(seed)).true for seed in range(tries)):
            parts = " and ".join(f"{a}–{b}" for a, b in atlas.edges)
            return f"n = {graph.n}, {'edges ' + parts if parts else 'no edge'}"
    raise LookupError("no graph with up to five nodes breaks the statement")


def features(graph: Graph, rng: np.random.Generator, d: int = 3) -> Tensor:
    """Normal features ``[n, d]`` in float64."""
    return torch.from_numpy(rng.standard_normal((graph.n, d)))


def symmetric(rng: np.random.Generator, d: int = 3) -> Tensor:
    """A random symmetric W ``[d, d]`` with eigenvalues of both signs."""
    W = torch.from_numpy(rng.standard_normal((d, d)))
    return (W + W.T) / 2
