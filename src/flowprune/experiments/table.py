"""The table of node classification: GRAFF with its published settings, every other model after one declared search.

The effort falls with the size of a graph: more nodes, fewer settings and splits in the search, for every model alike.
The choice is by validation; every final number comes from all splits, with a seed that the search never saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from flowprune.experiments.grids import SEARCH_SEED, chosen, runs
from flowprune.experiments.nodes import NodeTrial, published_settings

SETTINGS = {  # whose published GRAFF settings a data set uses
    "texas": "texas",
    "wisconsin": "wisconsin",
    "cornell-texas-features": "cornell-texas-features",
    "cornell-corrected": "cornell-corrected",
    "chameleon": "chameleon",
    "chameleon-filtered": "chameleon",
    "squirrel": "squirrel",
    "squirrel-filtered": "squirrel",
    "actor": "actor",
    "citeseer": "citeseer",
    "cora": "cora",
    "pubmed": "pubmed",
}
AREA = ("minesweeper", "tolokers")  # read by the area under the ROC curve, because one class is rare
DATASETS = tuple(SETTINGS)

GRAFFS: dict[str, dict[str, Any]] = {
    "GRAFF (D)": {"structure": "diag"},
    "GRAFF (DD)": {"structure": "dd"},
    "GRAFF (D, ReLU)": {"structure": "diag", "relu": True},
    "GRAFF (DD, ReLU)": {"structure": "dd", "relu": True},
}
OTHERS = {"GCN": "gcn", "GAT": "gat", "MLP": "mlp", "CGNN": "cgnn", "GRAND": "grand", "GraphCON": "graphcon"}
MODELS = (*GRAFFS, *OTHERS)


@dataclass(frozen=True)
class Effort:
    """What a data set is given: settings tried, splits each is tried on, the most epochs, and the patience of all runs.

    A validation set of 59 nodes takes few values, so the best epoch may come long after one as good: no patience there.
    """

    settings: int
    splits: int
    epochs: int
    patience: int | None


SMALL, MIDDLE, LARGE = Effort(6, 3, 250, None), Effort(4, 2, 200, 50), Effort(3, 1, 120, 30)
EFFORT = dict.fromkeys(SETTINGS, LARGE) | dict.fromkeys(("chameleon", "chameleon-filtered"), MIDDLE)
EFFORT |= dict.fromkeys(("texas", "wisconsin", "cornell-texas-features", "cornell-corrected"), SMALL)


def published(dataset: str, model: str, splits: int = 10) -> list[NodeTrial]:
    """GRAFF in one of its forms with the settings published for the data set (or for ``SETTINGS[dataset]``).

    Where the other structure was the published one, only the structure is exchanged.
    """
    form = GRAFFS[model]
    fields = published_settings(SETTINGS[dataset], relu=form.get("relu", False))
    component = fields["component"] if SETTINGS[dataset] == dataset else "all"
    training = {"component": component, "epochs": 250, "patience": EFFORT[dataset].patience}
    return runs(fields | form | training | {"dataset": dataset}, splits, 1)


def search(dataset: str, model: str, effort: Effort | None = None) -> list[NodeTrial]:
    """The settings a model is tried with: the same draws for every data set.

    Learning rate log-uniform in [10⁻³, 10⁻²], weight decay in [10⁻⁴, 10⁻¹·⁵], both dropouts uniform in [0.2, 0.6]; the
    flow's own settings from ``FLOWS``. Width 64.
    """
    effort = effort or EFFORT.get(dataset, LARGE)
    rng = np.random.default_rng(20106)
    base = {
        "dataset": dataset,
        "component": "largest" if dataset in ("cora", "citeseer") else "all",
        "epochs": effort.epochs,
        "patience": effort.patience,
        "metric": "auc" if dataset in AREA else "accuracy",
    }
    trials = []
    for i in range(effort.settings):
        drawn = {
            "lr": float(f"{10 ** rng.uniform(-3, -2):.4g}"),
            "weight_decay": float(f"{10 ** rng.uniform(-4, -1.5):.4g}"),
            "dropout": round(rng.uniform(0.2, 0.6), 4),
            "input_dropout": round(rng.uniform(0.2, 0.6), 4),
        }
        trials += runs(base | drawn | _flow(model, *FLOWS[i % len(FLOWS)]), effort.splits, 1, SEARCH_SEED)
    return trials


FLOWS = (  # T and τ of flows with a time, depth of GCN and GAT, and a flag that each model reads in its own way
    (2.0, 1.0, 2, True),
    (1.0, 0.5, 1, False),
    (4.0, 1.0, 2, False),
    (2.0, 0.5, 1, True),
    (1.0, 1.0, 2, True),
    (4.0, 0.5, 2, False),
)


def _flow(model: str, time: float, step: float, depth: int, flag: bool) -> dict[str, Any]:
    """The fields of a model's flow. The flag: a residual connection (GCN, GAT), attention recomputed at every step
    (GRAND), α = γ = 1 instead of ½ (GraphCON). CGNN, GRAND and GraphCON run for 2T.
    """
    if model in GRAFFS:
        return {"model": "graff", "time": time, "step": step, **GRAFFS[model]}
    name = OTHERS[model]
    if name in ("gcn", "gat"):
        return {"model": name, "depth": depth, "residual": flag}
    if name == "mlp":
        return {"model": name}
    longer = {"model": name, "time": 2 * time, "step": step}
    if name == "grand":
        return longer | {"recomputed": flag}
    if name == "graphcon":
        return longer | {"damping": 1.0 if flag else 0.5, "stiffness": 1.0 if flag else 0.5}
    return longer


def searches(
    datasets: Sequence[str] = DATASETS, effort: Effort | None = None
) -> dict[tuple[str, str], list[NodeTrial]]:
    """The search of every model that is searched, by (data set, model)."""
    return {(d, m): search(d, m, effort) for d in datasets for m in (OTHERS if d in SETTINGS else MODELS)}


def finals(
    searched: pd.DataFrame,
    datasets: Sequence[str] = DATASETS,
    splits: int = 10,
    effort: Effort | None = None,
) -> dict[tuple[str, str], list[NodeTrial]]:
    """The runs that the table is read from, by (data set, model); ``searched``: the rows of :func:`searches`."""
    cells = {(d, m): published(d, m, splits) for d in datasets if d in SETTINGS for m in GRAFFS}
    for cell, trials in searches(datasets, effort).items():
        rows = searched[searched.key.isin([t.key for t in trials])]
        cells[cell] = chosen(rows, splits=splits, seeds=1)
    return {(d, m): cells[d, m] for d in datasets for m in MODELS}


def _settings(trial: NodeTrial) -> dict[str, Any]:
    return {name: value for name, value in trial.fields.items() if name not in ("split", "seed")}


WEBKB = ("texas", "wisconsin", "cornell-texas-features")


def resplit(
    cells: dict[tuple[str, str], list[NodeTrial]], draws: Sequence[int] = (1, 2), splits: int = 10
) -> dict[tuple[str, str], list[NodeTrial]]:
    """The final settings again on new random splits, ten a draw, of the graphs with few test nodes; one seed each."""
    again = {}
    for (d, m), trials in cells.items():
        if d in WEBKB:
            fields, names = _settings(trials[0]), [f"{d}?resplit={draw}" for draw in draws]
            again[d, m] = [t for name in names for t in runs(fields | {"dataset": name}, splits, 1)]
    return again


CHANGES: dict[str, dict[str, Any]] = {  # what may lie between a published accuracy and ours, one change each
    "as published": {},
    "W frozen": {"trained": False},
    "Ω = 0": {"omega": "zero"},
    "no source": {"source_term": False},
    "frozen, Ω = 0, no source": {"trained": False, "omega": "zero", "source_term": False},
    "W of its own for each step": {"time_dependent": True},
    "256 channels": {"hidden": 256},
    "twice the epochs": {"epochs": 500},
    "feature rows of sum one": {"dataset": "?features=rows"},
}


# where GRAFF falls short of the report: splits, and seeds of each
EXPLAINED = {"wisconsin": (10, 2), "chameleon": (10, 1), "actor": (10, 1), "squirrel": (5, 1)}


def explanations(dataset: str) -> dict[str, list[NodeTrial]]:
    """The published settings of a data set with one change each, on the same splits and seeds, without patience.

    On a large graph only those changes that cost no more than the settings themselves. A change that the settings have
    already is left out.
    """
    fields = published_settings(dataset) | {"epochs": 250}
    loops = {"self_loops": not fields["self_loops"]}
    changes = CHANGES | {"no self-loops" if fields["self_loops"] else "self-loops": loops}
    if EFFORT[dataset] is LARGE:
        changes = dict(list(changes.items())[:5])
    cells: dict[str, list[NodeTrial]] = {}
    for change, new in changes.items():
        name = dataset + new.get("dataset", "")
        cell = runs(fields | new | {"dataset": name}, *EXPLAINED[dataset])
        if cell not in cells.values():
            cells[change] = cell
    return cells
