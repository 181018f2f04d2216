"""Generated graphs: small named ones for theory, preferential attachment with a target homophily, cSBM.

Every generator is a function of plain numbers with a seed. Randomness comes from numpy's PCG64 stream, so
that a graph is the same on every machine. ``generate("path?n=10")`` calls a generator by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from urllib.parse import parse_qsl

import networkx as nx
import numpy as np

from .checks import GraphError
from .graph import Graph

# ---- small named graphs

def _named(name: str, graph: nx.Graph, about: str) -> Graph:
    edges = np.array(graph.edges, dtype=np.int64).reshape(-1, 2).T
    return Graph.from_edges(name, edges, graph.number_of_nodes(), about=about)


def path(n: int = 10) -> Graph:
    """Path on n nodes: Δ has the eigenvalues 1 − cos(πj/(n−1)), j = 0..n−1."""
    _at_least(1, n=n)
    return _named("path", nx.path_graph(n), f"The path on {n} nodes.")


def cycle(n: int = 10) -> Graph:
    """Cycle on n nodes: Δ has the eigenvalues 1 − cos(2πj/n), j = 0..n−1; bipartite exactly for even n."""
    _at_least(3, n=n)
    return _named("cycle", nx.cycle_graph(n), f"The cycle on {n} nodes.")


def star(n: int = 10) -> Graph:
    """Star of one centre (node 0) and n − 1 leaves: Δ has the eigenvalues 0, 1 (n − 2 times) and 2."""
    _at_least(2, n=n)
    return _named("star", nx.star_graph(n - 1), f"The star of one centre and {n - 1} leaves.")


def complete(n: int = 10) -> Graph:
    """Complete graph on n nodes: Δ has the eigenvalues 0 and n/(n−1) (n − 1 times)."""
    _at_least(2, n=n)
    return _named("complete", nx.complete_graph(n), f"The complete graph on {n} nodes.")


def bipartite(a: int = 5, b: int = 5) -> Graph:
    """Complete bipartite graph K_{a,b}: Δ has the eigenvalues 0, 1 (a + b − 2 times) and 2."""
    _at_least(1, a=a, b=b)
    return _named("bipartite", nx.complete_bipartite_graph(a, b), f"The complete bipartite graph K({a},{b}).")


def barbell(m: int = 5, bridge: int = 0) -> Graph:
    """Two complete graphs on m nodes each, joined by an edge or by a path of ``bridge`` further nodes."""
    _at_least(2, m=m)
    _at_least(0, bridge=bridge)
    return _named("barbell", nx.barbell_graph(m, bridge),
                  f"Two complete graphs on {m} nodes joined through {bridge} further nodes.")


# ---- by name

GENERATORS: dict[str, Callable[..., Graph]] = {
    "path": path, "cycle": cycle, "star": star, "complete": complete, "bipartite": bipartite,
    "barbell": barbell,
}


def generate(name: str) -> Graph:
    """The generated graph of this name, parameters as in a web address: ``"cycle?n=12"``.

    Raises:
        GraphError: for an unknown generator or parameter, or a value of the wrong type or range.

    >>> generate("bipartite?a=2&b=3")
    Graph('bipartite?a=2&b=3', n=5, edges=6, features=0, classes=0, splits=0)
    """
    kind, _, query = name.partition("?")
    if kind not in GENERATORS:
        raise GraphError(f"{kind!r} is not a generated graph; allowed are {', '.join(GENERATORS)}.")
    graph = GENERATORS[kind](**parameters(name, query, GENERATORS[kind]))
    object.__setattr__(graph, "name", name)  # ours alone until returned
    return graph


def parameters(name: str, query: str, function: Callable) -> dict[str, int | float | str]:
    """Parse ``"n=10&seed=1"`` into arguments of ``function``, each of the type of its default."""
    defaults = {key: p.default for key, p in inspect.signature(function).parameters.items()}
    values = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise GraphError(f"{name}: {query!r} is not a list of parameters; write name?a=1&b=2.") from None
    for key, text in pairs:
        if key not in defaults:
            raise GraphError(f"{name}: parameter {key!r} is unknown; allowed are "
                             f"{', '.join(f'{k} (default {v})' for k, v in defaults.items())}.")
        if key in values:
            raise GraphError(f"{name}: parameter {key!r} is given twice; once is allowed.")
        kind = type(defaults[key])
        try:
            values[key] = kind(text)
        except ValueError:
            raise GraphError(f"{name}: parameter {key} = {text!r} is not of type {kind.__name__}; "
                             f"its default is {defaults[key]}.") from None
    return values


def _at_least(low: float, **values: float) -> None:
    for key, value in values.items():
        if not value >= low:
            raise GraphError(f"parameter {key} = {value} is out of range; it must be at least {low}.")
