"""Three networks for the chapter on diagnosis, one that is well and two that are deep, and the reader's own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn.models import GAT, GCN

from flowprune.dynamics.diagnose import diagnose
from flowprune.graphs import Graph
from flowprune.pruning.attach import attach
from flowprune.pruning.dynamo import Dynamo


def as_data(graph: Graph, split: int = 0) -> Data:
    """The graph as torch-geometric has it: x (one-hot nodes where there are no features), y and one split's masks."""
    x = torch.eye(graph.n) if graph.features is None else graph.features.to_dense()
    data = Data(x=x, edge_index=graph.edge_index, y=graph.labels)
    for name in ("train", "test") if graph.num_splits else ():
        data[f"{name}_mask"] = getattr(graph, name)[split]
    return data


def own(path: str | Path) -> nn.Module:
    """The module in a file of one's own. Reading it runs code from the file.

    Raises ValueError when there is no such file, its class cannot be imported, or it holds no module.
    """
    if not Path(path).is_file():
        raise ValueError(f"model {path} is missing; allowed is a file written by torch.save(model, path)")
    try:
        model = torch.load(path, weights_only=False, map_location="cpu")
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"model {path} names a class that cannot be imported ({error}); allowed is one from a module in the "
            "folder where you start, installed, or on PYTHONPATH"
        ) from error
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"model {path} holds a {type(model).__name__}; allowed is a whole module, torch.save(model, path)"
        )
    return model


def network(kind: str, data: Data, channels: int, seed: int) -> nn.Module:
    """``kind`` is "GCN, 2 layers" or the like: a GCN or a GAT of that depth, as torch-geometric has it.

    Raises ValueError for data without labels and splits.
    """
    if "train_mask" not in data or data.y is None:
        raise ValueError(
            f"{kind}: the graph has no labels to train on; allowed is a graph with labels and splits"
        )
    torch.manual_seed(seed)
    name, depth = kind.split(", ")
    layers = int(depth.split()[0])
    return {"GCN": GCN, "GAT": GAT}[name](data.num_features, channels, layers, int(data.y.max()) + 1)


def train(model: nn.Module, data: Data, epochs: int, seed: int) -> float:
    """Train all nodes at once with Adam; returns the mean milliseconds of an epoch, the first left out."""
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    model.train()
    times = []
    for _ in range(epochs):
        start = time.perf_counter()
        optimiser.zero_grad()
        scores = model(data.x, data.edge_index)
        nn.functional.cross_entropy(scores[data.train_mask], data.y[data.train_mask]).backward()
        optimiser.step()
        times.append(1e3 * (time.perf_counter() - start))
    model.eval()
    return sum(times[1:]) / max(len(times) - 1, 1)


@torch.no_grad()
def accuracy(model: nn.Module, data: Data) -> float:
    """The share of test nodes that is right."""
    right = model.eval()(data.x, data.edge_index).argmax(1) == data.y
    return right[data.test_mask].float().mean().item()


def with_and_without(
    kind: str, data: Data, channels: int, epochs: int, rule: Dynamo, seeds: Sequence[int]
) -> pd.DataFrame:
    """The same network trained plainly and with the rule attached: two rows a seed.

    Columns: pruning, seed, accuracy (test), diagnosis, removed (share of edges), ms (an epoch).
    """
    rows = []
    for seed in seeds:
        for pruning in ("none", "DYNAMO"):
            model = network(kind, data, channels, seed)
            pruner = attach(model, rule) if pruning == "DYNAMO" else None
            rows.append(
                {
                    "pruning": pruning,
                    "seed": seed,
                    "ms": train(model, data, epochs, seed),
                    "accuracy": accuracy(model, data),
                    "diagnosis": diagnose(model, data),
                    "removed": pruner.removed().mean().item() if pruner else 0.0,
                }
            )
    return pd.DataFrame(rows)


def summary(compared: pd.DataFrame) -> pd.DataFrame:
    """A row for each pruning: means over seeds, least and largest accuracy, and how many networks over-smooth."""
    smooths = compared.diagnosis.map(lambda found: "over-smoothing" in found.findings)
    by = compared.assign(smooths=smooths).groupby("pruning", sort=False)
    accuracy = 100 * by.accuracy.agg(["mean", "min", "max"])
    return pd.DataFrame(
        {
            "test accuracy, %": accuracy["mean"],
            "least": accuracy["min"],
            "largest": accuracy["max"],
            "over-smoothing": [f"{k} of {n}" for k, n in zip(by.smooths.sum(), by.size(), strict=True)],
            "edges removed, %": 100 * by.removed.mean(),
            "ms an epoch": by.ms.mean(),
        }
    ).reset_index()
