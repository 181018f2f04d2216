"""Density × homophily: networks with and without pruning on generated graphs, and what the differences say (D9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from flowprune.experiments import depth_study
from flowprune.experiments.nodes import NodeTrial, prepared
from flowprune.experiments.theory.neighbourhood import left
from flowprune.study.stats import Comparison, holm, mean_interval, paired

Place = tuple[str, float, float, int]  # family, wanted mean degree, homophily, number of the graph
Cells = Mapping[Place, Mapping[str, NodeTrial]]

CLASSES = {"syn-products": 10, "syn-cora": 5}
NODES = {"syn-products": 1500, "syn-cora": 800}
SIGNAL = {"syn-products": 2.2, "syn-cora": 0.25}  # features alone are right about six times in ten
DEGREES, LEVELS = (12.0, 36.0, 69.0), (0.0, 0.2, 0.4, 0.7, 1.0)
LAYERS, HALF = 2, 0.5
DENSER = (12.0, 36.0, 0.4)  # two mean degrees and the homophily at which the source prints numbers of GCN
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
READINGS = ("DYNAMO (−)", "DYNAMO (corr)")
BASELINES = ("GAT", "GCN")
CONTROL = ("residual DYNAMO (−)", "residual GAT")
CONTRASTS = [*((a, b) for b in BASELINES for a in READINGS), CONTROL]


def joined(nodes: int, classes: int, degree: float) -> int:
    """Edges m that every new node brings so that the mean degree comes nearest to the wanted one.

    The C(m + 1) first nodes bring one each, so that the mean degree is 2 (m (n − C(m+1)) + C(m+1))/n, which is bounded.
    Raises ValueError when the wanted one lies more than a tenth from what can be had.

    >>> joined(1500, 10, 36), joined(800, 5, 69)
    (21, 49)
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
    for family, n in zip(families, nodes, strict=True):
        for degree in degrees:
            for h in levels:
                for g in range(graphs):
                    dataset = name(family, n, degree, h, g)
                    cells[family, degree, h, g] = {"MLP": _perceptron(dataset, g, chosen)} | {
                        label: depth_study.trial(dataset, variant, LAYERS, seed=g, **chosen)
                        for label, variant in NETWORKS.items()
                    }
    return cells


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


def leads(rows: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Accuracy of ``a`` minus that of ``b`` on every graph, points: the place and ``lead``."""
    by = rows.pivot(index=PLACE, columns="network", values="accuracy")[[a, b]].dropna()
    return (by[a] - by[b]).rename("lead").reset_index()


def contrast(rows: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """:func:`leads` by (degree, homophily) over the graphs of all families: mean, 95 % interval, p-value corrected over
    the cells (Holm), number of pairs."""
    told = []
    for (degree, h), part in leads(rows, a, b).groupby(["degree", "homophily"]):
        c = _zero(part.lead)
        told.append(
            {"degree": degree, "homophily": h, "lead": c.mean, "lower": c.lower, "upper": c.upper, "n": c.n}
            | {"p": c.p}
        )
    found = pd.DataFrame(told)
    return found.assign(p=holm(found.p))


def _zero(lead: pd.Series, level: float = 0.95) -> Comparison:
    return paired(lead, np.zeros(len(lead)), level)


def contrasts(rows: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """:func:`contrast` of every pair that is compared."""
    return {(a, b): contrast(rows, a, b) for a, b in CONTRASTS}


def slopes(rows: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """How the lead changes with density and with homophily: points for twice the degree, and for homophily from 0 to 1.

    A plane is fitted to the leads over log₂ degree and homophily, once for the graphs of each family and number; the
    interval is over these.
    """
    told = []
    for _, part in leads(rows, a, b).groupby(["family", "graph"]):
        design = np.column_stack([np.ones(len(part)), np.log2(part.degree), part.homophily])
        told.append(np.linalg.lstsq(design, part.lead.to_numpy(), rcond=None)[0][1:])
    found = [mean_interval(values) for values in np.array(told).T]
    return pd.DataFrame(
        [
            {"over": over, "slope": i.mean, "lower": i.lower, "upper": i.upper, "n": i.n}
            for over, i in zip(("degree", "homophily"), found, strict=True)
        ]
    )


def regions(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Where the source sees the lead: in the densest graphs, and in those of homophily below one half."""
    return {"dense": rows[rows.degree == rows.degree.max()], "unlike": rows[rows.homophily < HALF]}


def better(rows: pd.DataFrame) -> str:
    """The reading of the higher mean accuracy over both regions."""
    means = pd.concat(regions(rows).values()).groupby("network").accuracy.mean()
    return means[list(READINGS)].idxmax()


def evidence(rows: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim D9. Intervals of the better reading have level 97.5 %, because it was chosen of two."""
    ours = better(rows)
    found = {
        (place, base): _zero(leads(part, ours, base).lead, 0.975)
        for place, part in regions(rows).items()
        for base in BASELINES
    }
    tests = [contrast(rows, ours, base).set_index(["degree", "homophily"]) for base in BASELINES]
    clear = [t.p < 0.05 for t in tests]
    over = dict(zip(("degree", "homophily"), slopes(rows, ours, "GAT").to_dict("records"), strict=True))
    own = _zero(leads(rows, *CONTROL).lead)
    cells = rows.groupby(PLACE[:3]).graph.nunique()
    return {
        "cells": len(cells),
        "graphs": int(cells.min()),
        "reading": ours,
        "denser": denser(rows),
        **{f"{place}_{base.lower()}": c.lower for (place, base), c in found.items()},
        "lead": min(c.lower for c in found.values()),
        "part": _part({at: c.lower for at, c in found.items()}),
        "most": _part({at: c.upper for at, c in found.items()}),
        "ahead": int((clear[0] & clear[1] & (tests[0].lead > 0) & (tests[1].lead > 0)).sum()),
        "behind": int(sum(c & (t.lead < 0) for c, t in zip(clear, tests, strict=True)).gt(0).sum()),
        **{f"{what}_{end}": over[what][end] for what in over for end in ("lower", "upper")},
        "residual_lower": own.lower,
        "residual_upper": own.upper,
    }


def _part(ends: Mapping[tuple[str, str], float]) -> float:
    """The most that half of the statement reaches: over both networks in one region, or over one in both."""
    return max(
        min(value for at, value in ends.items() if half in at) for half in ("dense", "unlike", *BASELINES)
    )


def denser(rows: pd.DataFrame, family: str = "syn-products") -> float:
    """What GCN gains from the lower to the higher of the source's two degrees, lower end of the interval, points; where
    they were not asked for, from the lowest degree to the highest, over all levels and families."""
    gcn = rows[rows.network == "GCN"]
    low, high, level = DENSER
    here = gcn[(gcn.family == family) & (gcn.homophily == level)]
    if not {low, high} <= set(here.degree):
        low, high, here = gcn.degree.min(), gcn.degree.max(), gcn
    by = here.pivot(index=["family", "homophily", "graph"], columns="degree", values="accuracy")
    return paired(by[high], by[low]).lower


def worth(rows: pd.DataFrame) -> pd.DataFrame:
    """Pruned networks: share of removed minus kept edges within a class, and the signal over noise that the mean over
    neighbours has left, against what the same share removed at best, or by chance, would leave."""
    pruned = rows[rows.removed.fillna(0) > 0]
    told = [
        {
            "same": r.same_removed - r.same_kept,
            "left": left(C, r.removed, r.same_removed, r.same_kept),
            "chance": np.sqrt(1 - r.removed),
            "best": _best(C, r.removed, r.removed * r.same_removed + (1 - r.removed) * r.same_kept),
        }
        for r in pruned.itertuples()
        for C in [CLASSES[r.family]]
    ]
    return pruned[[*PLACE, "network", "removed"]].assign(**pd.DataFrame(told, index=pruned.index))


def _best(classes: int, removed: float, h: float) -> float:
    """Removing only edges across classes, or only edges within them, whichever leaves more."""
    across, within = min(1 - h, removed), min(h, removed)  # what there is to remove, of all edges
    ends = (1 - across / removed, within / removed)  # the share within a class of what goes
    return max(left(classes, removed, x, (h - removed * x) / (1 - removed)) for x in ends)
