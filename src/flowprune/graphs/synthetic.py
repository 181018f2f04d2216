"""Generated graphs: small named ones for theory, preferential attachment with a target homophily, cSBM, mixed.

Every generator is a function of plain numbers with a seed. Randomness comes from numpy's PCG64 stream, so
that a graph is the same on every machine. ``generate`` reads the parameters from a name like ``"path?n=10"``.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qsl

import networkx as nx
import numpy as np

from .checks import GraphError
from .graph import Graph, compact, random_splits
from .sampling import (
    attachment_edges,
    balanced_labels,
    block_edges,
    compatibility,
    gaussian_features,
    word_features,
)

SPLITS = 10
WORDS_DRAWN = 19  # of which about 18 differ, as in Cora

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
    return _named(
        "barbell",
        nx.barbell_graph(m, bridge),
        f"Two complete graphs on {m} nodes joined through {bridge} further nodes.",
    )


# ---- random graphs with labels


def syn_cora(
    n: int = 1490,
    classes: int = 5,
    m: int = 2,
    homophily: float = 0.5,
    words: int = 1433,
    signal: float = 0.3,
    seed: int = 0,
) -> Graph:
    """A graph like syn-cora (Zhu et al. 2020): preferential attachment, target homophily, bags of words.

    Every new node brings m edges; ``homophily`` is the probability that an edge joins equal labels. Features
    are generated bags of words; ``signal`` is the share of words drawn from the class's own pool. With the
    default a logistic regression on them is right about as often as on the published graphs (3 of 4 nodes).
    """
    rng = _generator(seed)
    labels, edges = _attached(n, classes, m, homophily, rng)
    _in_unit_interval(signal=signal)
    _at_least(classes, words=words)
    features = word_features(labels, words, WORDS_DRAWN, signal, rng)
    how = f"grown by preferential attachment (m = {m}) with target homophily {homophily} and bags of words"
    return _labelled("syn-cora", labels, edges, features, how, seed)


def syn_products(
    n: int = 10000,
    classes: int = 10,
    m: int = 6,
    homophily: float = 0.5,
    features: int = 100,
    signal: float = 2.5,
    seed: int = 0,
) -> Graph:
    """A graph like syn-products (Zhu et al. 2020): preferential attachment, target homophily, dense features.

    As ``syn_cora``, with Gaussian features: ``signal`` is the length of a class mean in units of the noise.
    """
    rng = _generator(seed)
    labels, edges = _attached(n, classes, m, homophily, rng)
    _at_least(1, features=features)
    how = f"grown by preferential attachment (m = {m}) with target homophily {homophily}, Gaussian features"
    x = gaussian_features(labels, features, signal, rng)
    return _labelled("syn-products", labels, edges, x, how, seed)


def csbm(
    n: int = 1000,
    classes: int = 2,
    degree: float = 5.0,
    homophily: float = 0.8,
    features: int = 50,
    signal: float = 1.0,
    seed: int = 0,
) -> Graph:
    """Contextual stochastic block model (Deshpande et al. 2018) with classes of equal size.

    ``degree`` is the expected mean degree, ``homophily`` the expected share of edges within classes; features
    are Gaussian, ``signal`` is the length of a class mean in units of the noise.
    """
    rng = _generator(seed)
    _in_unit_interval(homophily=homophily)
    _at_least(2, classes=classes)
    _at_least(2 * classes, n=n)
    _at_least(1, features=features)
    _at_least(0, degree=degree, signal=signal)
    labels = balanced_labels(n, classes, rng)
    edges = block_edges(labels, *_probabilities(labels, degree, homophily), rng)
    how = f"a contextual block model with mean degree {degree} and target homophily {homophily}"
    return _labelled("csbm", labels, edges, gaussian_features(labels, features, signal, rng), how, seed)


def mixed(
    n: int = 800,
    classes: int = 3,
    degree: float = 8.0,
    homophily_high: float = 0.9,
    homophily_low: float = 0.1,
    across: float = 0.05,
    features: int = 16,
    signal: float = 1.3,
    hint: float = 0.0,
    seed: int = 0,
) -> Graph:
    """A graph whose homophily is a matter of place: a homophilic region beside a heterophilic one.

    The first half of the nodes is a block model with ``homophily_high``, the second half one with ``homophily_low``,
    both of expected mean degree ``degree``. ``across`` times as many edges again join the regions, whatever the
    labels. Features are those of ``csbm``; ``hint`` adds ± a vector of that length (in units of the noise), the
    sign telling the region, so that with 0 no node's own features say where it lies.
    """
    rng = _generator(seed)
    _in_unit_interval(homophily_high=homophily_high, homophily_low=homophily_low, across=across)
    _at_least(2, classes=classes)
    _at_least(4 * classes, n=n)
    _at_least(1, features=features)
    _at_least(0, degree=degree, signal=signal, hint=hint)
    region = np.repeat([0, 1], [n // 2, n - n // 2])
    labels = np.concatenate([balanced_labels(size, classes, rng) for size in np.bincount(region)])
    edges = [
        np.flatnonzero(region == r)[block_edges(labels[region == r], *p, rng)]
        for r, homophily in enumerate((homophily_high, homophily_low))
        for p in [_probabilities(labels[region == r], degree, homophily)]
    ]
    edges.append(block_edges(region, *_probabilities(region, across * degree, 0.0), rng))
    x = gaussian_features(labels, features, signal, rng)
    towards = rng.standard_normal(features)
    x += np.outer(1 - 2 * region, hint * towards / np.linalg.norm(towards)).astype(np.float32)
    how = f"block models of homophily {homophily_high} and {homophily_low} and mean degree {degree}, side by side"
    return _labelled("mixed", labels, np.concatenate(edges, axis=1), x, how, seed)


def _probabilities(labels: np.ndarray, degree: float, homophily: float) -> np.ndarray:
    """With which a block model joins a pair of equal, and of different labels [2]; GraphError above one."""
    n, size = len(labels), np.bincount(labels)
    pairs = np.array([(size * (size - 1)).sum(), n * n - (size**2).sum()]) / 2
    p = np.array([homophily, 1 - homophily]) * degree * n / 2 / pairs
    if not (p >= 0).all() or not (p <= 1).all():
        raise GraphError(
            f"parameter degree = {degree} is out of range; with n = {n} and homophily = "
            f"{homophily} it must be between 0 and {degree / p.max():.4g}."
        )
    return p


def _generator(seed: int) -> np.random.Generator:
    _at_least(0, seed=seed)
    return np.random.Generator(np.random.PCG64(seed))


def _attached(
    n: int, classes: int, m: int, homophily: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    _in_unit_interval(homophily=homophily)
    _at_least(2, classes=classes)
    _at_least(1, m=m)
    first = classes * (m + 1)
    _at_least(first, n=n)
    labels = np.arange(n) % classes
    labels[first:] = labels[first:][np.argsort(rng.random(n - first), kind="stable")]
    return labels, attachment_edges(labels, m, compatibility(classes, homophily), rng)


def _labelled(
    name: str, labels: np.ndarray, edges: np.ndarray, features: object, how: str, seed: int
) -> Graph:
    train, val, test = random_splits(labels, SPLITS, seed=seed)
    return Graph.from_edges(
        name,
        edges,
        features=compact(features),
        labels=labels,
        train=train,
        val=val,
        test=test,
        about=f"{name}, {how}, seed {seed}; {SPLITS} random stratified splits of 48/32/20 %.",
    )


# ---- by name

GENERATORS: dict[str, Callable[..., Graph]] = {
    "path": path,
    "cycle": cycle,
    "star": star,
    "complete": complete,
    "bipartite": bipartite,
    "barbell": barbell,
    "syn-cora": syn_cora,
    "syn-products": syn_products,
    "csbm": csbm,
    "mixed": mixed,
}


def generate(name: str, function: Callable[..., Graph]) -> Graph:
    """The graph that ``function`` makes, its parameters read from the name as in a web address.

    Raises:
        GraphError: for an unknown parameter, or a value of the wrong type or range.

    >>> generate("bipartite?a=2&b=3", bipartite)
    Graph('bipartite?a=2&b=3', n=5, edges=6, features=0, classes=0, splits=0)
    """
    return replace(function(**parameters(name, function)), name=name)


def parameters_of(function: Callable) -> dict[str, int | float | str]:
    """The parameters that a name may set, with their defaults."""
    return {
        key: p.default
        for key, p in inspect.signature(function).parameters.items()
        if p.default is not p.empty
    }


def parameters(name: str, function: Callable) -> dict[str, int | float | str]:
    """Read ``"path?n=10&seed=1"`` as arguments of ``function``, each of the type of its default."""
    query, defaults = name.partition("?")[2], parameters_of(function)
    values = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise GraphError(f"{name}: {query!r} is not a list of parameters; write name?a=1&b=2.") from None
    for key, text in pairs:
        if key not in defaults:
            allowed = ", ".join(f"{k} (default {v})" for k, v in defaults.items()) or "none"
            raise GraphError(f"{name}: parameter {key!r} is unknown; allowed: {allowed}.")
        if key in values:
            raise GraphError(f"{name}: parameter {key!r} is given twice; once is allowed.")
        kind = type(defaults[key])
        try:
            values[key] = kind(text)
        except ValueError:
            raise GraphError(
                f"{name}: parameter {key} = {text!r} is not of type {kind.__name__}; "
                f"its default is {defaults[key]}."
            ) from None
    return values


def _at_least(low: float, **values: float) -> None:
    for key, value in values.items():
        if not low <= value < math.inf:
            raise GraphError(f"parameter {key} = {value} is out of range; it must be at least {low}.")


def _in_unit_interval(**values: float) -> None:
    for key, value in values.items():
        if not 0 <= value <= 1:
            raise GraphError(f"parameter {key} = {value} is out of range; it must be between 0 and 1.")
