"""Node classification: one model on one graph, one split and one seed is a trial; splits and seeds share a pass."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Literal, Self

import pandas as pd
import torch
from pydantic import Field
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from flowprune.flows.attention import GAT
from flowprune.flows.classifier import NodeClassifier
from flowprune.flows.convolution import GCN
from flowprune.flows.diffusion import CGNN, GRAND
from flowprune.flows.gradient import GRAFF
from flowprune.flows.local import LocalGRAFF
from flowprune.flows.wave import GraphCON
from flowprune.graphs import Graph, fingerprint, load
from flowprune.study import project
from flowprune.study.specs import Count, Trial, spec
from flowprune.training.fit import chunk_size, evaluated, fit

Rate = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]

BARE = ("graff", "graff-local", "mlp")  # no unit self-loops, unless a trial asks for them
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

    ``structure``, ``trained`` (whether W is), ``omega``, ``source_term``, ``relu``, ``time_dependent`` and
    ``batch_norm`` speak of GRAFF; ``structure`` and ``gate`` of GRAFF with a local W; ``time`` and ``step`` of every
    flow with a time; ``depth`` and ``residual`` of GCN and GAT; ``heads`` of GAT; ``heads`` and ``recomputed`` of
    GRAND; ``damping`` and ``stiffness`` of GraphCON. ``component`` "largest" trains on the largest connected component
    alone. ``self_loops`` adds unit loops to the Ā of both GRAFFs; GCN, GAT, GRAND and GraphCON always have them, CGNN
    never. ``metric`` "auc", for two classes, chooses the best epoch by the area under the ROC curve on validation nodes
    and reports it besides.
    """

    experiment: ClassVar[str] = "nodes"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"test_accuracy": 0.06, "val_accuracy": 0.04}

    dataset: str
    model: Literal["graff", "graff-local", "gcn", "gat", "mlp", "cgnn", "grand", "graphcon"]
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
    gate: Literal["fixed", "recomputed", "energy"] = "recomputed"
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
    batch_norm: bool = False
    recomputed: bool = False
    damping: Annotated[float, Field(ge=0)] = 1.0
    stiffness: Annotated[float, Field(ge=0)] = 1.0
    metric: Literal["accuracy", "auc"] = "accuracy"

    def group(self) -> Hashable:
        """Trials that differ only in split, seed, rates and decay are replicas of one pass."""
        return tuple(value for name, value in self.fields.items() if name not in PER_REPLICA)

    def weight(self) -> float:
        if self.unavailable():
            return 0.0
        graph = prepared(self.dataset, self.component)
        return 1e-6 * self.epochs * graph.n * self.hidden

    def flow(self, seeds: Sequence[int], rates: Sequence[float], operator: Tensor) -> nn.Module | None:
        """Its flow over ``operator``, one replica a seed with its rate of dropout; None for the perceptron."""
        d, euler = self.hidden, {"time": self.time, "step": self.step}
        if self.model == "graff":
            options = {"trained": self.trained, "omega": self.omega, "source": self.source_term}
            options |= {"relu": self.relu, "time_dependent": self.time_dependent}
            return GRAFF(seeds, d, self.structure, batch_norm=self.batch_norm, **options, **euler)
        if self.model == "graff-local":
            return LocalGRAFF(seeds, d, self.structure, gate=self.gate, **euler)
        if self.model == "gcn":
            return GCN(seeds, d, self.depth, dropout=rates, residual=self.residual)
        if self.model == "gat":
            return GAT(seeds, d, self.depth, dropout=rates, heads=self.heads, residual=self.residual)
        if self.model == "cgnn":
            return CGNN(seeds, d, **euler)
        if self.model == "grand":
            return GRAND(seeds, d, heads=self.heads, recomputed=self.recomputed, **euler)
        if self.model == "graphcon":
            swing = {"damping": self.damping, "stiffness": self.stiffness}
            return GraphCON(seeds, d, dropout=rates, **swing, **euler)
        return None

    def share(self, model: NodeClassifier) -> dict[Tensor, float]:
        """The parameters that have only so much of the weight decay."""
        return {}

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
        _, _, rows = cls.fitted(trials)
        yield from zip(trials, rows, strict=True)

    @classmethod
    def fitted(cls, trials: Sequence[Self]) -> tuple[Graph, NodeClassifier, list[dict[str, Any]]]:
        """Train these trials (all of one group) in one pass: graph, model with its best weights, one row a trial."""
        t, device = trials[0], torch.device(cls.device())
        graph = prepared(t.dataset, t.component).to(device)
        model = build(graph, trials).to(device)
        index = [trial.split for trial in trials]
        train, val, test = (masks[index] for masks in (graph.train, graph.val, graph.test))
        auc = t.metric == "auc"
        fits = fit(
            model,
            graph.labels,
            train,
            val,
            test,
            lr=[trial.lr for trial in trials],
            weight_decay=[trial.weight_decay for trial in trials],
            share=t.share(model),
            epochs=t.epochs,
            patience=t.patience,
            criterion=(lambda logits: areas(logits, graph.labels, val)) if auc else None,
        )
        rows = [
            {
                "test_accuracy": replica.test_accuracy,
                "val_accuracy": replica.val_accuracy,
                "train_accuracy": replica.train_accuracy,
                "train_loss": replica.train_loss,
                "best_epoch": replica.best_epoch,
                "epochs_run": replica.epochs,
            }
            for replica in fits
        ]
        if t.model == "graff":
            low, high = spectrum(model.flow)
            rows = [r | {"w_min": a, "w_max": b} for r, a, b in zip(rows, low, high, strict=True)]
        if auc:
            logits = evaluated(model)
            found = (areas(logits, graph.labels, masks).tolist() for masks in (val, test))
            rows = [r | {"val_auc": v, "test_auc": u} for r, v, u in zip(rows, *found, strict=True)]
        return graph, model, rows

    @classmethod
    def read_and_fitted(
        cls, trials: Sequence[Self], read: Callable[[NodeClassifier], Mapping[str, Tensor]]
    ) -> Iterator[tuple[Self, dict[str, Any], dict[str, Tensor]]]:
        """Train these trials as :meth:`fitted`, and read the model, replica by replica, before and after on the CPU.

        Yields trial, row, and the trial's readings by name, those before training as ``…_at_first``.
        """
        t = trials[0]
        before = read(build(prepared(t.dataset, t.component), trials))
        _, model, rows = cls.fitted(trials)
        seen = {f"{name}_at_first": values for name, values in before.items()} | read(model.cpu())
        for r, (trial, row) in enumerate(zip(trials, rows, strict=True)):
            yield trial, row, {name: values[r] for name, values in seen.items()}


def areas(logits: Tensor, labels: Tensor, masks: Tensor) -> Tensor:
    """Area under the ROC curve of each replica on its own nodes: ``[R]`` from logits ``[n, R, 2]``, masks ``[R, n]``.

    Raises ValueError when there are not two classes.
    """
    if logits.shape[-1] != 2:
        raise ValueError(f"the area under the ROC curve needs two classes, the graph has {logits.shape[-1]}")
    score, truth, masks = (logits[..., 1] - logits[..., 0]).T.cpu(), labels.cpu(), masks.cpu()
    return torch.tensor(
        [roc_auc_score(truth[m], s[m]) for s, m in zip(score, masks, strict=True)], device=logits.device
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
    moved_over = operator(graph, t)
    return NodeClassifier(
        graph.features,
        moved_over,
        t.flow(seeds, rates, moved_over),
        seeds,
        d=t.hidden,
        classes=graph.num_classes,
        dropout=rates,
        input_dropout=[trial.input_dropout for trial in trials],
    )


def operator(graph: Graph, trial: NodeTrial) -> Tensor:
    """What the trial's flow moves over: Δ for CGNN, Ā for the others, with unit self-loops where the trial has them."""
    if trial.model == "cgnn":
        return graph.laplacian
    loops = trial.model not in BARE or trial.self_loops
    return (graph.with_self_loops() if loops else graph).norm_adjacency


def spectrum(flow: GRAFF) -> tuple[list[float], list[float]]:
    """Smallest and largest eigenvalue of the (first) channel mixing W of each replica."""
    eigenvalues = torch.linalg.eigvalsh(flow.W[0].matrix().double().cpu())
    return eigenvalues[:, 0].tolist(), eigenvalues[:, -1].tolist()


def published_settings(dataset: str, *, relu: bool = False) -> dict[str, Any]:
    """The fields of a GRAFF trial with the settings that were published for a data set.

    Of the linear model the paper printed them; of the one with ``relu`` its public code holds them.
    Raises ValueError for a data set without published settings.
    """
    name = "graff_relu_settings.csv" if relu else "graff_settings.csv"
    table = pd.read_csv(project.root() / "data" / "reported" / name).set_index("dataset")
    if dataset not in table.index:
        raise ValueError(
            f"no published GRAFF settings for {dataset!r}; there are some for {', '.join(table.index)}"
        )
    row = table.loc[dataset].to_dict()
    row = {name: value.item() if hasattr(value, "item") else value for name, value in row.items()}
    floats = {name: float(row[name]) for name in ("time", "step", "weight_decay")}
    component = "largest" if dataset in ("cora", "citeseer") else "all"
    return {"dataset": dataset, "model": "graff", "component": component, **row, **floats, "relu": relu}


def reported(model: str, dataset: str) -> tuple[float, float]:
    """Mean and standard deviation of the test accuracy (%) that the source printed."""
    table = pd.read_csv(project.root() / "data" / "reported" / "node_classification.csv")
    row = table[(table.model == model) & (table.dataset == dataset)]
    if len(row) != 1:
        raise ValueError(f"no reported accuracy of {model} on {dataset}")
    return float(row["mean"].iloc[0]), float(row["std"].iloc[0])
