"""Node classification: one model on one graph, one split and one seed is a trial; splits and seeds share a pass."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Literal, Self

import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from flowprune.flows.attention import GAT
from flowprune.flows.classifier import NodeClassifier
from flowprune.flows.convolution import GCN
from flowprune.flows.gradient import GRAFF
from flowprune.graphs import Graph, fingerprint, load
from flowprune.study import project
from flowprune.study.specs import Trial, spec
from flowprune.training.fit import chunk_size, fit

Rate = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]

PER_REPLICA = ("split", "seed", "lr", "weight_decay", "dropout", "input_dropout")


class GraphTrial(Trial):
    """A trial on the graph that its field ``dataset`` names."""

    dataset: str

    @property
    def key(self) -> str:
        """As every trial's; of a graph of one's own the content counts, because a file may change under its name."""
        content = fingerprint(self.dataset)
        return sha256(f"{super().key}/{content}".encode()).hexdigest()[:16] if content else super().key

    def unavailable(self) -> str | None:
        return missing(self.dataset)


@spec
class NodeTrial(GraphTrial):
    """Train one model on one split of one graph.

    ``structure``, ``trained`` (whether W is), ``omega``, ``source_term``, ``relu``, ``time``, ``step`` and
    ``time_dependent`` speak of GRAFF;
    ``depth`` and ``residual`` of GCN; ``depth`` and ``heads`` of GAT. ``component`` "largest" trains on the largest
    connected component alone. ``self_loops`` adds unit loops to GRAFF's Ā; GCN and GAT always have them.
    """

    experiment: ClassVar[str] = "nodes"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"test_accuracy": 0.06, "val_accuracy": 0.04}

    dataset: str
    model: Literal["graff", "gcn", "gat", "mlp"]
    split: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]
    lr: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    dropout: Rate
    input_dropout: Rate
    hidden: Count = 64
    epochs: Count = 250
    patience: Count | None = None
    component: Literal["all", "largest"] = "all"
    self_loops: bool = False
    structure: Literal["sum", "prod", "neg-prod", "diag", "dd"] = "diag"
    trained: bool = True
    omega: Literal["diag", "zero"] = "diag"
    source_term: bool = True
    relu: bool = False
    time_dependent: bool = False
    time: Positive = 3.0
    step: Positive = 1.0
    depth: Count = 2
    residual: bool = False
    heads: Count = 4

    def group(self) -> Hashable:
        """Trials that differ only in split, seed, rates and decay are replicas of one pass."""
        return tuple(value for name, value in self.fields.items() if name not in PER_REPLICA)

    def weight(self) -> float:
        if self.unavailable():
            return 0.0
        graph = prepared(self.dataset, self.component)
        return 1e-6 * self.epochs * graph.n * self.hidden

    @classmethod
    def batch_size(cls, trials: Sequence[Self]) -> int:
        if trials[0].unavailable():
            return len(trials)
        graph = prepared(trials[0].dataset, trials[0].component)
        return chunk_size(graph.n, trials[0].hidden, torch.device(cls.device()))

    @classmethod
    def device(cls) -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        device = torch.device(cls.device())
        graph = prepared(trials[0].dataset, trials[0].component).to(device)
        model = build(graph, trials).to(device)
        index = [t.split for t in trials]
        fitted = fit(
            model,
            graph.labels,
            *(masks[index] for masks in (graph.train, graph.val, graph.test)),
            lr=[t.lr for t in trials],
            weight_decay=[t.weight_decay for t in trials],
            epochs=trials[0].epochs,
            patience=trials[0].patience,
        )
        readings = zip(*(reading.tolist() for reading in spectrum(model.flow, len(trials))), strict=True)
        for trial, replica, (low, high) in zip(trials, fitted, readings, strict=True):
            yield (
                trial,
                {
                    "test_accuracy": replica.test_accuracy,
                    "val_accuracy": replica.val_accuracy,
                    "train_accuracy": replica.train_accuracy,
                    "train_loss": replica.train_loss,
                    "best_epoch": replica.best_epoch,
                    "epochs_run": replica.epochs,
                    **({"w_min": low, "w_max": high} if trial.model == "graff" else {}),
                },
            )


@lru_cache(maxsize=8)
def prepared(dataset: str, component: str = "all") -> Graph:
    """The graph a trial runs on. Raises GraphError when it is unknown, not at hand or has no splits."""
    graph = load(dataset)
    if graph.features is None or graph.labels is None or not graph.num_splits:
        raise ValueError(f"{dataset}: node classification needs features, labels and at least one split")
    return graph.largest_component() if component == "largest" else graph


@cache
def missing(dataset: str) -> str | None:
    """Why a graph cannot be had, or None; asked once, because asking may go to the network."""
    try:
        prepared(dataset)
    except ValueError as error:
        return str(error)
    return None


def build(graph: Graph, trials: Sequence[NodeTrial]) -> NodeClassifier:
    """The replicas of these trials (all of one group) on their graph."""
    t = trials[0]
    # the split is part of the replica's identity: equal seeds on two splits draw independently
    seeds = [1000 * trial.seed + trial.split for trial in trials]
    rates = [trial.dropout for trial in trials]
    loops = t.model in ("gcn", "gat") or t.self_loops
    flow: nn.Module | None = None
    if t.model == "graff":
        flow = GRAFF(
            seeds,
            t.hidden,
            t.structure,
            trained=t.trained,
            time=t.time,
            step=t.step,
            omega=t.omega,
            source=t.source_term,
            relu=t.relu,
            time_dependent=t.time_dependent,
        )
    elif t.model == "gcn":
        flow = GCN(seeds, t.hidden, t.depth, dropout=rates, residual=t.residual)
    elif t.model == "gat":
        flow = GAT(seeds, t.hidden, t.depth, dropout=rates, heads=t.heads)
    return NodeClassifier(
        graph.features,
        (graph.with_self_loops() if loops else graph).norm_adjacency,
        flow,
        seeds,
        d=t.hidden,
        classes=graph.num_classes,
        dropout=rates,
        input_dropout=[trial.input_dropout for trial in trials],
    )


def spectrum(flow: nn.Module | None, R: int) -> tuple[Tensor, Tensor]:
    """Smallest and largest eigenvalue of the (first) channel mixing W of each replica; zeros where there is none."""
    if not isinstance(flow, GRAFF):
        return torch.zeros(R), torch.zeros(R)
    eigenvalues = torch.linalg.eigvalsh(flow.W[0].matrix().double().cpu())
    return eigenvalues[:, 0], eigenvalues[:, -1]


def published_settings(dataset: str) -> dict[str, Any]:
    """The fields of a GRAFF trial with the settings that the paper printed for a data set.

    Raises ValueError for a data set without printed settings, and where they ask for batch normalisation.
    """
    table = pd.read_csv(project.root() / "data" / "reported" / "graff_settings.csv").set_index("dataset")
    if dataset not in table.index:
        raise ValueError(
            f"no published GRAFF settings for {dataset!r}; there are some for {', '.join(table.index)}"
        )
    row = table.loc[dataset].to_dict()
    if row.pop("batch_norm"):
        raise ValueError(
            f"the published settings for {dataset} use batch normalisation, which GRAFF here does not"
        )
    row = {name: value.item() if hasattr(value, "item") else value for name, value in row.items()}
    floats = {name: float(row[name]) for name in ("time", "step", "weight_decay")}
    component = "largest" if dataset in ("cora", "citeseer") else "all"
    return {"dataset": dataset, "model": "graff", "component": component, **row, **floats}


def reported(model: str, dataset: str) -> tuple[float, float]:
    """Mean and standard deviation of the test accuracy (%) that the source printed."""
    table = pd.read_csv(project.root() / "data" / "reported" / "node_classification.csv")
    row = table[(table.model == model) & (table.dataset == dataset)]
    if len(row) != 1:
        raise ValueError(f"no reported accuracy of {model} on {dataset}")
    return float(row["mean"].iloc[0]), float(row["std"].iloc[0])
