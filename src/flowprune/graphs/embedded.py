"""Two real graphs that come with the packages: Zachary's karate club and scikit-learn's digits."""

from __future__ import annotations

import numpy as np
from torch_geometric.datasets import KarateClub

from .checks import GraphError
from .graph import Graph, random_splits

SPLITS = 10


def karate() -> Graph:
    """Zachary's karate club (1977): 34 members, 78 friendships, 4 communities found by modularity.

    Features are the identity: a member is known by nothing but who it is.
    """
    data = KarateClub()[0]
    train, val, test = random_splits(data.y, SPLITS)
    return Graph.from_edges(
        "karate",
        data.edge_index,
        features=data.x,
        labels=data.y,
        train=train,
        val=val,
        test=test,
        about="Zachary's karate club with 4 modularity classes and identity features; undirected, no "
        "self-loops; 10 random stratified splits of 48/32/20 %.",
    )


def digits(k: int = 10) -> Graph:
    """Handwritten digits of scikit-learn (1797 images of 8 × 8) joined to their k nearest neighbours.

    Features are the 64 pixels in [0, 1]; distances are Euclidean; an edge needs one direction only.
    """
    if not 1 <= k < 1797:
        raise GraphError(f"parameter k = {k} is out of range; it must be between 1 and 1796.")
    from sklearn.datasets import load_digits  # here, as it takes most of a second to import
    from sklearn.neighbors import kneighbors_graph

    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    neighbours = kneighbors_graph(images, k, mode="connectivity").tocoo()
    train, val, test = random_splits(labels, SPLITS)
    return Graph.from_edges(
        "digits",
        np.stack([neighbours.row, neighbours.col]),
        features=images,
        labels=labels,
        train=train,
        val=val,
        test=test,
        about=f"scikit-learn's digits as a graph of {k} nearest neighbours in pixel space, symmetrised, "
        "no self-loops; 10 random stratified splits of 48/32/20 %.",
    )
