"""Which trials a chapter asks for: published settings, a declared search, and the sweep over homophily.

A grid is a list of specs. Nothing here computes; ``collect`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from flowprune.experiments.evolution import EvolutionTrial
from flowprune.experiments.nodes import NodeTrial, published_settings
from flowprune.experiments.speed import SpeedTrial

LABELS = {"graff": "GRAFF", "graff-frozen": "frozen GRAFF", "gcn": "GCN", "mlp": "MLP"}


def published(
    dataset: str, model: str, *, settings: str = "", splits: int = 10, seeds: int = 5, epochs: int = 250
) -> list[NodeTrial]:
    """A data set's published GRAFF settings, the flow as named and everything around it unchanged.

    ``settings`` names another data set whose settings to use, for a graph that has none of its own.

    ``graff``: W trained, Ω diagonal, source learned, as in the paper's text. ``graff-frozen``: W as drawn, Ω = 0, no
    source, as in parts of the public code. ``gcn`` and ``mlp``: the same frame and training with another flow.
    """
    fields = _settings(dataset, settings, epochs)
    if model == "graff-frozen":
        fields |= {"trained": False, "omega": "zero", "source_term": False}
    elif model in ("gcn", "mlp"):
        fields = frame(fields) | {"model": model}
    elif model != "graff":
        raise ValueError(f"unknown model {model!r}; it must be one of {', '.join(LABELS)}")
    return runs(fields, splits, seeds)


def search(
    dataset: str, model: str, *, settings: str = "", budget: int = 8, splits: int = 10, epochs: int = 250
) -> list[NodeTrial]:
    """The declared search: ``budget`` random settings of a model, each on every split with one seed of its own.

    Drawn alike for every data set and model: learning rate and weight decay log-uniform in [10⁻³, 10⁻²] and
    [10⁻³, 10⁻¹], both dropouts uniform in [0.2, 0.6], and what belongs to the flow (GRAFF: structure diag or dd, T in
    1, 2, 3, τ in ½, 1; GCN: depth 1 or 2, residual or not). Width and epochs are the published ones.
    """
    rng = np.random.default_rng(2206)
    base = frame(_settings(dataset, settings, epochs)) | {"model": model}
    trials = []
    for _ in range(budget):
        drawn: dict[str, Any] = {
            "lr": float(f"{10 ** rng.uniform(-3, -2):.4g}"),
            "weight_decay": float(f"{10 ** rng.uniform(-3, -1):.4g}"),
            "dropout": round(rng.uniform(0.2, 0.6), 4),
            "input_dropout": round(rng.uniform(0.2, 0.6), 4),
        }
        structure, time, step = (
            rng.choice(["diag", "dd"]),
            rng.choice([1.0, 2.0, 3.0]),
            rng.choice([0.5, 1.0]),
        )
        depth, residual = rng.choice([1, 2]), rng.choice([True, False])
        if model == "graff":
            drawn |= {"structure": str(structure), "time": float(time), "step": float(step)}
        if model == "gcn":
            drawn |= {"depth": int(depth), "residual": bool(residual)}
        trials += runs(base | drawn, splits, seeds=1, first=SEARCH_SEED)
    return trials


SEARCH_SEED = 100  # the seeds of the final runs are 0, 1, …: a choice is never tested on the run that made it


def chosen(searched: pd.DataFrame, *, splits: int = 10, seeds: int = 3) -> list[NodeTrial]:
    """The searched setting of the highest validation metric, averaged over splits, with fresh seeds."""
    names = [name for name in NodeTrial.__pydantic_fields__ if name not in ("split", "seed")]
    metric = f"val_{searched.metric.iloc[0]}"
    means = searched.groupby(names, sort=False, dropna=False)[metric].mean()
    best = dict(zip(names, means.idxmax(), strict=True))
    best = {name: value.item() if hasattr(value, "item") else value for name, value in best.items()}
    best["patience"] = None if pd.isna(best["patience"]) else int(best["patience"])
    return runs(best, splits, seeds)


SIGNS = {
    "prod": {"model": "graff", "structure": "prod"},
    "neg-prod": {"model": "graff", "structure": "neg-prod"},
    "sum": {"model": "graff", "structure": "sum"},
    "dd": {"model": "graff", "structure": "dd"},
    "gcn": {"model": "gcn", "depth": 3},
    "mlp": {"model": "mlp"},
}


def homophily(
    levels: Sequence[float],
    *,
    n: int = 800,
    graphs: int = 3,
    splits: int = 10,
    epochs: int = 200,
    step: float = 1.0,
) -> dict[tuple[str, float], list[EvolutionTrial]]:
    """The sweep over homophily on generated syn-cora graphs: trials by (variant, level).

    GRAFF is the bare flow, F + τĀFW with Ω = 0 and no source, so that the sign of W alone speaks; T = 3 and τ = 1, as
    deep as GCN's three layers. All variants train alike; graph g and split s are the same for every variant.
    """
    names = {h: [f"syn-cora?homophily={h}&n={n}&seed={g}" for g in range(graphs)] for h in levels}
    return _sweep(names, splits, epochs, step)


def short_steps(levels: Sequence[float], **size: int) -> dict[tuple[str, float], list[EvolutionTrial]]:
    """Of the same sweep neg-prod alone, τ = 0.1 in place of 1: is it the length of its step that lets it smooth?"""
    return {at: cell for at, cell in homophily(levels, step=0.1, **size).items() if at[0] == "neg-prod"}


def syn_cora(
    levels: Sequence[float], *, splits: int = 10, epochs: int = 200
) -> dict[tuple[str, float], list[EvolutionTrial]]:
    """The same sweep on the published syn-cora graphs, one replicate a level, with random splits of our own."""
    return _sweep({h: [f"syn-cora-published?homophily={h:.2f}"] for h in levels}, splits, epochs)


def _sweep(
    names: Mapping[float, Sequence[str]], splits: int, epochs: int, step: float = 1.0
) -> dict[tuple[str, float], list[EvolutionTrial]]:
    training = {"lr": 0.005, "weight_decay": 0.0005, "dropout": 0.3, "input_dropout": 0.3, "epochs": epochs}
    bare = {"omega": "zero", "source_term": False, "time": 3.0, "step": step}
    cells = {}
    for variant, flow in SIGNS.items():
        fields = flow | training | (bare if flow["model"] == "graff" else {})
        for level, graphs in names.items():
            parts = [runs(fields | {"dataset": g}, splits, seeds=1, kind=EvolutionTrial) for g in graphs]
            cells[variant, level] = [trial for part in parts for trial in part]
    return cells


def _settings(dataset: str, settings: str, epochs: int) -> dict[str, Any]:
    """The published settings of ``settings`` (by default the data set's own) for this data set."""
    fields = published_settings(settings or dataset)
    component = "all" if settings else fields["component"]
    return fields | {"dataset": dataset, "component": component, "epochs": epochs}


def speed(
    dataset: str,
    *,
    chunks: Sequence[int] = (0, 1, 2, 5, 10),
    splits: int = 10,
    epochs: int = 20,
    repetitions: int = 3,
) -> list[SpeedTrial]:
    """Both ways of training side by side, for each number of replicas in one pass; 0 is the number that fits."""
    return [
        SpeedTrial(dataset=dataset, splits=splits, epochs=epochs, chunk=chunk, repetition=i)
        for chunk in chunks
        for i in range(repetitions)
    ]


def frame(fields: dict[str, Any]) -> dict[str, Any]:
    """What surrounds the flow: data, width and training."""
    around = ("dataset", "component", "hidden", "lr", "weight_decay", "dropout", "input_dropout", "epochs")
    return {name: fields[name] for name in around}


def runs(
    fields: dict[str, Any], splits: int, seeds: int, first: int = 0, kind: type[NodeTrial] = NodeTrial
) -> list[Any]:
    return [kind(**fields, split=s, seed=first + i) for s in range(splits) for i in range(seeds)]
