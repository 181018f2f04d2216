"""Graphs in double precision, for the tests of every wing."""

from __future__ import annotations

import numpy as np
import torch

from flowprune.graphs import Graph, load


def double(name: str) -> Graph:
    return load(name).to(dtype=torch.float64)


def random_graph(n: int, seed: int, p: float = 0.3) -> Graph:
    """A connected graph: a path over all nodes, and every further pair with probability p."""
    rng = np.random.default_rng(seed)
    pairs = np.argwhere(np.triu(rng.random((n, n)) < p, 1))
    edges = np.vstack([pairs, [[i, i + 1] for i in range(n - 1)]])
    return Graph.from_edges("random", torch.from_numpy(edges.T), n, dtype=torch.float64)
