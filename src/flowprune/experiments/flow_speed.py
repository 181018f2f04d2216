"""GRAFF in training and in inference: ours beside PyTorch Geometric's two ways, replicas beside one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Self

import pandas as pd
import torch
from pydantic import Field

from flowprune.experiments.nodes import GraphTrial, NodeTrial, build, prepared, published_settings
from flowprune.experiments.roofline import limits, measured
from flowprune.experiments.speed import geometric, plain_inputs, same_weights, train_ours, train_plain
from flowprune.graphs import Graph
from flowprune.study.specs import Count, spec
from flowprune.training.fit import evaluated

PHASES = ("training", "inference")
WAYS = ("gather", "CSR", "ours", "side by side")
RATIOS = (("gather", "ours"), ("CSR", "ours"), ("ours", "side by side"))
"""The slower and the faster way of each comparison, as one would guess them."""
EMPTY = "csbm?n=20&features=1&seed=1"  # with one channel: a graph with next to nothing to compute


@spec
class FlowSpeedTrial(GraphTrial):
    """Train ``replicas`` splits, and infer with as many models, in each of WAYS in turn, ``rounds`` times.

    ``gather`` and ``CSR`` are PyTorch Geometric's, along an edge index and along a sparse matrix; they and ``ours``
    take one replica after another, and ``side by side`` takes all in one pass. Training is that of
    :class:`~flowprune.experiments.speed.SpeedTrial`; inference is a pass from features to logits, once for each epoch.

    Results: of each way and phase, named ``WAY/PHASE``, what :func:`~flowprune.experiments.roofline.measured` tells.
    """

    experiment: ClassVar[str] = "flow-speed"
    version: ClassVar[int] = 1

    dataset: str
    replicas: Count = 10
    epochs: Count = 10
    rounds: Annotated[int, Field(ge=2)] = 7
    settings: str = "cora"

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, trial.measure()

    def measure(self) -> dict[str, list[float]]:
        fields = published_settings(self.settings) | {"dataset": self.dataset, "epochs": self.epochs}
        trials = [NodeTrial(**fields, split=k, seed=0) for k in range(self.replicas)]
        empty = [replace(t, dataset=EMPTY, hidden=1) for t in trials]
        return measured(ways(trials), ways(empty), self.rounds)


def ways(trials: Sequence[NodeTrial]) -> dict[str, Callable[[], Any]]:
    """Training and inference in each of WAYS, by ``WAY/PHASE``."""
    graph = prepared(trials[0].dataset, trials[0].component)
    phases = dict(zip(PHASES, (training(graph, trials), inference(graph, trials)), strict=True))
    return {f"{way}/{phase}": calls[way] for phase, calls in phases.items() for way in WAYS}


def training(graph: Graph, trials: Sequence[NodeTrial]) -> dict[str, Callable[[], Any]]:
    """Training of all trials in each of WAYS, setting up included."""
    return {
        "gather": lambda: [train_plain(graph, t) for t in trials],
        "CSR": lambda: [train_plain(graph, t, csr=True) for t in trials],
        "ours": lambda: [train_ours(graph, [t]) for t in trials],
        "side by side": lambda: train_ours(graph, trials),
    }


def inference(graph: Graph, trials: Sequence[NodeTrial]) -> dict[str, Callable[[], Any]]:
    """Logits of all trials' models, again for every epoch, with the same weights in each of the ways that take one
    model after another: ``[n, k]`` or ``[n, R, k]`` of each."""
    passes = range(trials[0].epochs)
    together, alone = build(graph, trials), [build(graph, [t]) for t in trials]
    plain = [same_weights(model, 0, t).eval() for model, t in zip(alone, trials, strict=True)]

    def each(inputs: tuple) -> list[torch.Tensor]:
        with torch.no_grad():
            return [model(*inputs) for _ in passes for model in plain]

    return {
        "gather": partial(each, plain_inputs(graph)),
        "CSR": partial(each, plain_inputs(graph, csr=True)),
        "ours": lambda: [evaluated(model) for _ in passes for model in alone],
        "side by side": lambda: [evaluated(together) for _ in passes],
    }


def study() -> list[FlowSpeedTrial]:
    """The published trials."""
    return [FlowSpeedTrial(dataset=name) for name in ("cora", "karate", "digits")]


def ratios(table: pd.DataFrame) -> pd.DataFrame:
    """How many times faster the second way of each of RATIOS is, paired within rounds.

    Columns: dataset, phase, slow, fast, ratio (geometric mean with its 95 % interval). Raises ValueError when no trial
    is done.
    """
    rows = []
    for trial in _done(table):
        for phase in PHASES:
            for slow, fast in RATIOS:
                pairs = zip(trial[f"{slow}/{phase}"], trial[f"{fast}/{phase}"], strict=True)
                rows.append([trial["dataset"], phase, slow, fast, geometric([a / b for a, b in pairs])])
    return pd.DataFrame(rows, columns=["dataset", "phase", "slow", "fast", "ratio"])


def limited(table: pd.DataFrame) -> pd.DataFrame:
    """What limits each way on each data set, in milliseconds an epoch or a pass of one replica.

    Columns: what (graph and phase) and those of :func:`~flowprune.experiments.roofline.limits`.
    """
    parts = []
    for trial in _done(table):
        for phase in PHASES:
            part = limits(trial, [f"{way}/{phase}" for way in WAYS]).assign(way=WAYS)
            part["milliseconds"] /= trial["replicas"] * trial["epochs"]
            parts.append(part.assign(what=f"{trial['dataset']}, {phase}"))
    return pd.concat(parts, ignore_index=True)


def _done(table: pd.DataFrame) -> list[dict[str, Any]]:
    done = table[table.status == "done"]
    if done.empty:
        raise ValueError(
            f"none of {len(table)} speed trials is done; the first failed with {table.error.iloc[0]}"
        )
    return done.to_dict("records")
