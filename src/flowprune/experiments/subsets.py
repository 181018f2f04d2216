"""What a data set's splits hide: accuracy on test nodes with a twin in training, and off the largest component."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from flowprune.experiments.grids import frame, runs
from flowprune.experiments.nodes import NodeTrial, prepared, published_settings
from flowprune.graphs import Graph
from flowprune.study.specs import spec
from flowprune.study.stats import paired
from flowprune.training.fit import evaluated


@spec
class SubsetTrial(NodeTrial):
    """A node trial that also reads the accuracy on two sets of nodes, ``inside`` and ``outside`` a subset.

    ``twins``: test nodes with a twin in training, against the other test nodes. ``elsewhere``: nodes off the largest
    component, against the test nodes. An empty set has accuracy 0 and a count of 0. Each row also says whether the
    split covers exactly the largest component of a graph with several (``covers``), and what share of the nodes it
    leaves out.
    """

    experiment: ClassVar[str] = "subsets"
    version: ClassVar[int] = 1

    subset: Literal["twins", "elsewhere"]

    @property
    def tolerance(self) -> dict[str, float]:
        """As a node trial's, but one node may always tip: on the filtered graphs some sets have two or three.

        What the sets are does not depend on training, so their sizes must come out exactly.
        """
        sets = zip(("inside", "outside"), members(prepared(self.dataset, self.component), self), strict=True)
        allowed = {name: max(0.06, 1.5 / max(1, int(nodes.sum()))) for name, nodes in sets}
        return NodeTrial.tolerance | allowed | {"inside_nodes": 0, "outside_nodes": 0}

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        graph, model, rows = cls.fitted(trials)
        right = (evaluated(model).argmax(-1) == graph.labels.view(-1, 1)).T.cpu()  # [R, n]
        for trial, row, correct in zip(trials, rows, right, strict=True):
            inside, outside = members(graph, trial)
            told = {}
            for name, nodes in (("inside", inside), ("outside", outside)):
                share = correct[nodes].float().mean().item() if nodes.any() else 0.0
                told |= {name: share, f"{name}_nodes": int(nodes.sum())}
            part = (graph.train | graph.val | graph.test)[trial.split].cpu()
            apart = bool((part == largest(graph)).all() and not part.all())
            yield trial, row | told | {"covers": apart, "left_out": 1 - part.float().mean().item()}


def members(graph: Graph, trial: SubsetTrial) -> tuple[Tensor, Tensor]:
    """The two sets of nodes of a trial, boolean ``[n]``."""
    test = graph.test[trial.split].cpu()
    if trial.subset == "elsewhere":
        return ~largest(graph), test
    twin = torch.from_numpy(twinned(graph, trial.split))
    return test & twin, test & ~twin


def largest(graph: Graph) -> Tensor:
    """Which nodes belong to the largest connected component: ``[n]`` bool."""
    label = torch.from_numpy(graph.component_of)
    return label == label.bincount().argmax()


def twinned(graph: Graph, split: int) -> np.ndarray:
    """Which nodes have a twin among the training nodes of a split: another node with the same neighbours and label.

    Nodes without neighbours have no twin.
    """
    crow, col = (x.cpu().numpy() for x in (graph.adjacency.crow_indices(), graph.adjacency.col_indices()))
    labels, train = graph.labels.cpu().numpy(), graph.train[split].cpu().numpy()
    signs = [(int(labels[i]), col[crow[i] : crow[i + 1]].tobytes()) for i in range(graph.n)]
    seen: dict[tuple[int, bytes], int] = {}
    for i in np.flatnonzero(train):
        seen[signs[i]] = seen.get(signs[i], 0) + 1
    return np.array([bool(s[1]) and seen.get(s, 0) > train[i] for i, s in enumerate(signs)])


TWINS = ("chameleon", "squirrel", "chameleon-filtered", "squirrel-filtered")
PIECES = ("cora", "citeseer")


def grid(
    twins: Sequence[str] = TWINS,
    pieces: Sequence[str] = PIECES,
    *,
    settings: str = "",
    splits: int = 10,
    epochs: int = 200,
) -> dict[tuple[str, str], list[SubsetTrial]]:
    """GRAFF and a perceptron on graphs with twins, and on the whole of graphs whose splits leave components out.

    All with the settings published for GRAFF on the data set (the filtered versions: on the original), or on
    ``settings``; the perceptron always with 64 channels.
    """
    cells = {}
    for dataset in (*twins, *pieces):
        fields = published_settings(settings or dataset.removesuffix("-filtered"))
        fields |= {"dataset": dataset, "component": "all", "epochs": epochs, "patience": 50}
        fields |= {"subset": "twins" if dataset in twins else "elsewhere"}
        plain = frame(fields) | {"model": "mlp", "hidden": 64}
        plain |= {name: fields[name] for name in ("patience", "subset")}
        cells[dataset, "GRAFF"] = runs(fields, splits, 1, kind=SubsetTrial)
        cells[dataset, "MLP"] = runs(plain, splits, 1, kind=SubsetTrial)
    return cells


def shares(table: pd.DataFrame) -> dict[str, float]:
    """The share of test nodes with a twin in training, averaged over splits, by data set."""
    rows = table[(table.subset == "twins") & (table.status == "done")].drop_duplicates(["dataset", "split"])
    share = rows.inside_nodes / (rows.inside_nodes + rows.outside_nodes)
    return share.groupby(rows.dataset, sort=False).mean().to_dict()


def coverage(table: pd.DataFrame) -> pd.DataFrame:
    """By data set: the splits that cover exactly the largest component, all splits, the nodes left out (per cent)."""
    rows = table[(table.subset == "elsewhere") & (table.status == "done")].drop_duplicates(
        ["dataset", "split"]
    )
    by = rows.groupby("dataset", sort=False)
    found = pd.DataFrame(
        {"cover just that": by.covers.sum(), "splits": by.size(), "left out (%)": 100 * by.left_out.mean()}
    )
    return found.rename_axis("graph").reset_index()


def contrasts(cells: Mapping[tuple[str, str], Sequence[SubsetTrial]], table: pd.DataFrame) -> pd.DataFrame:
    """One row a data set and model: accuracy (points) inside and outside the subset, and the difference by split.

    Splits where one of the two sets is empty are left out.
    """
    rows = []
    for (dataset, model), trials in cells.items():
        part = table[table.key.isin([t.key for t in trials]) & (table.status == "done")]
        part = part[(part.inside_nodes > 0) & (part.outside_nodes > 0)]
        if len(part) < 2:
            continue
        difference = paired(100 * part.inside, 100 * part.outside)
        rows.append(
            {
                "data set": dataset,
                "model": model,
                "inside": 100 * part.inside.mean(),
                "outside": 100 * part.outside.mean(),
                "difference": difference.mean,
                "low": difference.lower,
                "high": difference.upper,
                "splits": len(part),
            }
        )
    return pd.DataFrame(rows)


def share_table(found: Mapping[str, float]) -> pd.DataFrame:
    """:func:`shares` in per cent, for reading."""
    return pd.DataFrame(
        {"graph": list(found), "test nodes with a twin (%)": [100 * x for x in found.values()]}
    )


def in_words(rows: pd.DataFrame, inside: str, outside: str) -> str:
    """The contrasts as a sentence, for a figure's alternative text."""
    told = (
        f"{r['data set']}, {r.model}: {r.inside:.1f} {inside}, {r.outside:.1f} {outside}"
        for _, r in rows.iterrows()
    )
    return f"Accuracy in per cent. {'; '.join(told) or 'No split has nodes of both kinds'}."


def twin_evidence(found: Mapping[str, float], contrast: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim B2, but for the models of the table; graphs that were not asked for count as 0."""
    gain = contrast[contrast.model == "GRAFF"].set_index("data set").low
    return {
        "twins_chameleon": found.get("chameleon", 0.0),
        "twins_squirrel": found.get("squirrel", 0.0),
        "twins_filtered": max((x for name, x in found.items() if name.endswith("-filtered")), default=0.0),
        "gain_chameleon_lower": float(gain.get("chameleon", 0.0)),
        "gain_squirrel_lower": float(gain.get("squirrel", 0.0)),
    }


def piece_evidence(contrast: pd.DataFrame, table: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim B4; graphs that were not asked for count as 0."""
    found = coverage(table).set_index("graph")
    cora = contrast[(contrast["data set"] == "cora") & (contrast.model == "GRAFF")]
    low, high = (float(cora[end].iloc[0]) if len(cora) else 0.0 for end in ("low", "high"))
    counts = {name: int(found["cover just that"].get(name, 0)) for name in PIECES}
    return {
        "cora_splits": counts["cora"],
        "citeseer_splits": counts["citeseer"],
        "left_out": float(found["left out (%)"].get("cora", 0.0)) / 100,
        "difference_lower": low,
        "difference_upper": high,
        "citeseer_difference": _component_splits(table),
    }


def _component_splits(table: pd.DataFrame) -> float:
    """GRAFF's accuracy (points) on CiteSeer's splits of the component alone minus on its full splits."""
    rows = table[(table.dataset == "citeseer") & (table.model == "graff") & (table.status == "done")]
    if rows.empty:
        return 0.0
    alone = rows.covers.astype(bool)
    return float(100 * (rows[alone].test_accuracy.mean() - rows[~alone].test_accuracy.mean()))
