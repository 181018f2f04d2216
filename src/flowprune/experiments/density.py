"""Density × homophily: networks with and without pruning on generated graphs (the trials of D9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from flowprune.experiments import depth_study
from flowprune.experiments.nodes import NodeTrial, prepared
from flowprune.experiments.theory import neighbourhood
from flowprune.graphs import load

Place = tuple[str, float, float, int]  # family, wanted mean degree, homophily, number of the graph
Cells = Mapping[Place, Mapping[str, NodeTrial]]

CLASSES = {"syn-products": 10, "syn-cora": 5}
NODES = {"syn-products": 1500, "syn-cora": 800}
SIGNAL = {"syn-products": 2.2, "syn-cora": 0.25}  # features alone are right about six times in ten
DEGREES, LEVELS = (12.0, 36.0, 69.0), (0.0, 0.2, 0.4, 0.7, 1.0)
LAYERS = 2
TRAINING = {
    "hidden": 16,
    "heads": 2,
    "lr": 0.03,
    "dropout": 0.2,
    "input_dropout": 0.2,
    "epochs": 80,
    "patience": 25,
}
NETWORKS = {  # of so few layers "small steps" are steps of one: F plus its update
    "GCN": "GCN",
    "GAT": "GAT",
    "DYNAMO (−)": "DYNAMO (−)",
    "DYNAMO (corr)": "DYNAMO (corr)",
    "residual GAT": "residual GAT",
    "residual DYNAMO (−)": "DYNAMO (−), small steps",
}


def joined(nodes: int, classes: int, degree: float) -> int:
    """Edges m that every new node brings so that the mean degree comes nearest to the wanted one.

    The C(m + 1) first nodes bring one each, so that the mean degree is 2 (m (n − C(m+1)) + C(m+1))/n, which is bounded.
    Raises ValueError when the wanted one lies more than a tenth from what can be had.

    >>> joined(1500, 10, 36), joined(800, 5, 69)
    (21, 50)
    """
    m = np.arange(1, nodes // classes)
    first = classes * (m + 1)
    had = 2 * (m * (nodes - first) + first) / nodes
    best = int(np.abs(had - degree).argmin())
    if abs(had[best] - degree) > 0.1 * degree:
        raise ValueError(
            f"mean degree {degree:g} is out of reach with {nodes} nodes of {classes} classes; "
            f"it may lie between {had.min():.3g} and {had.max():.3g}"
        )
    return int(m[best])


def name(family: str, nodes: int, degree: float, homophily: float, graph: int) -> str:
    """The generated graph of a place, by name."""
    m = joined(nodes, CLASSES[family], degree)
    return f"{family}?n={nodes}&m={m}&homophily={homophily:g}&signal={SIGNAL[family]}&seed={graph}"


def grid(
    families: Sequence[str] = tuple(NODES),
    nodes: Sequence[int] = tuple(NODES.values()),
    degrees: Sequence[float] = DEGREES,
    levels: Sequence[float] = LEVELS,
    graphs: int = 5,
    **fields: Any,
) -> dict[Place, dict[str, NodeTrial]]:
    """All networks at every place: the perceptron, GCN, and attention with and without pruning, each on the same split
    of the same graph."""
    chosen = TRAINING | fields
    cells = {}
    for (family, n), degree, h, g in _places(families, nodes, degrees, levels, graphs):
        dataset = name(family, n, degree, h, g)
        cells[family, degree, h, g] = {"MLP": _perceptron(dataset, g, chosen)} | {
            label: depth_study.trial(dataset, variant, LAYERS, seed=g, **chosen)
            for label, variant in NETWORKS.items()
        }
    return cells


def _places(
    families: Sequence[str],
    nodes: Sequence[int],
    degrees: Sequence[float],
    levels: Sequence[float],
    graphs: int,
) -> Iterator[tuple[tuple[str, int], float, float, int]]:
    return product(zip(families, nodes, strict=True), degrees, levels, range(graphs))


def _perceptron(dataset: str, seed: int, chosen: Mapping[str, Any]) -> NodeTrial:
    known = {k: v for k, v in chosen.items() if k in NodeTrial.__pydantic_fields__ and k != "heads"}
    decay = depth_study.TRAINING["weight_decay"]
    return NodeTrial(dataset=dataset, model="mlp", split=0, seed=seed, weight_decay=decay, **known)


def study() -> list[NodeTrial]:
    """The published trials."""
    return [t for part in grid().values() for t in part.values()]


# --- what is read from the rows --------------------------------------------------------------------------------------

PLACE = ["family", "degree", "homophily", "graph"]


def read(cells: Cells, table: pd.DataFrame) -> pd.DataFrame:
    """One row a finished run: its place, ``network``, ``accuracy`` and ``learned`` (points, on test and training
    nodes), and of pruned networks ``removed``, ``same_removed`` and ``same_kept`` (shares)."""
    done = table[table.status == "done"].drop_duplicates("key").set_index("key")
    told = [
        dict(zip(PLACE, place, strict=True)) | {"network": network, "key": t.key}
        for place, part in cells.items()
        for network, t in part.items()
        if t.key in done.index
    ]
    columns = ["test_accuracy", "train_accuracy", "removed", "same_removed", "same_kept"]
    rows = pd.DataFrame(told).join(done[columns].astype(float), on="key")
    return rows.assign(accuracy=100 * rows.test_accuracy, learned=100 * rows.train_accuracy)


def realised(cells: Cells) -> pd.DataFrame:
    """The mean degree and the homophily that the generated graphs have, averaged over the graphs of a place."""
    told = []
    for place, part in cells.items():
        graph = prepared(part["MLP"].dataset)
        had = {"mean degree": 2 * graph.num_edges / graph.n, "had": graph.homophily()}
        told.append(dict(zip(PLACE, place, strict=True)) | had)
    return pd.DataFrame(told).groupby(PLACE[:3], sort=False)[["mean degree", "had"]].mean().reset_index()


def by_neighbours(
    families: Sequence[str],
    nodes: Sequence[int],
    degrees: Sequence[float],
    levels: Sequence[float],
    signal: float,
    *,
    graphs: int = 1,
    draws: int = 5,
) -> pd.DataFrame:
    """Accuracy of the mean over neighbours by place, ``measured`` on generated graphs and ``predicted``."""
    told = []
    for (family, n), degree, h, g in _places(families, nodes, degrees, levels, graphs):
        graph = load(name(family, n, degree, h, g))
        had = (graph.num_classes, graph.homophily(), graph.degree.numpy(), signal)
        found = {
            "measured": neighbourhood.measured(graph, signal, draws, g),
            "predicted": neighbourhood.predicted(*had),
        }
        told.append(dict(zip(PLACE, (family, degree, h, g), strict=True)) | found)
    return pd.DataFrame(told).groupby(PLACE[:3], sort=False)[["measured", "predicted"]].mean().reset_index()
