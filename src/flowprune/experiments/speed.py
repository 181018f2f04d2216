"""How much faster the replica axis trains: one GRAFF model, ours against one on PyTorch Geometric, in turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import spmm, to_torch_csr_tensor

from flowprune.experiments.nodes import GraphTrial, NodeTrial, build, prepared, published_settings
from flowprune.flows.classifier import NodeClassifier
from flowprune.flows.gradient import steps_of
from flowprune.graphs import Graph
from flowprune.study.passes import threads
from flowprune.study.specs import Count, spec
from flowprune.study.stats import Interval, mean_interval
from flowprune.training.fit import chunk_size, fit


@spec
class SpeedTrial(GraphTrial):
    """Train the first ``splits`` splits with published settings, evaluating every epoch, both ways in turn.

    The plain way runs split by split, with dense features, ``torch.nn.functional.dropout`` and PyTorch Geometric's
    default gather and scatter. Every chunk of ours is timed beside the same splits of the plain way. ``chunk`` is the
    number of replicas in one pass; 0 takes what :func:`~flowprune.training.fit.chunk_size` says.
    """

    experiment: ClassVar[str] = "speed"
    version: ClassVar[int] = 1

    dataset: str
    splits: Count = 10
    epochs: Count = 20
    chunk: Annotated[int, Field(ge=0)] = 0
    repetition: Annotated[int, Field(ge=0)] = 0
    settings: str = "cora"

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, trial.measure()

    def measure(self) -> dict[str, Any]:
        """Seconds of both ways for each chunk, their ratio, and the ratio of the totals."""
        fields = published_settings(self.settings) | {"dataset": self.dataset, "epochs": self.epochs}
        replicas = [NodeTrial(**fields, split=k, seed=0) for k in range(self.splits)]
        graph = prepared(self.dataset, replicas[0].component)
        size = self.chunk or chunk_size(graph.n, replicas[0].hidden, torch.device("cpu"))
        train_ours(graph, [NodeTrial(**fields | {"epochs": 2}, split=0, seed=0)])  # loads the compiled loops
        ours, plain = [], []
        for at in range(0, self.splits, size):
            part = replicas[at : at + size]
            ours.append(_seconds(train_ours, graph, part))
            plain.append(sum(_seconds(train_plain, graph, replica) for replica in part))
        return {
            "chunk_size": size,
            "ours_seconds": ours,
            "plain_seconds": plain,
            "ratio": sum(plain) / sum(ours),
            "ratios": [b / a for a, b in zip(ours, plain, strict=True)],
        }


def _seconds(function, *args) -> float:
    start = perf_counter()
    function(*args)
    return perf_counter() - start


def train_ours(graph: Graph, trials: Sequence[NodeTrial]) -> None:
    """Train our replicas of these trials, all of one group, in one pass."""
    t, index = trials[0], [trial.split for trial in trials]
    masks = (m[index] for m in (graph.train, graph.val, graph.test))
    decay, lr = [t.weight_decay] * len(trials), [t.lr] * len(trials)
    fit(build(graph, trials), graph.labels, *masks, lr=lr, weight_decay=decay, epochs=t.epochs)


def pairs(table: pd.DataFrame) -> pd.DataFrame:
    """Collected speed trials pair by pair: a pass of ours beside the same splits trained the plain way.

    Columns: dataset, chunk (0 where the number that fits was asked for), repetition, replicas in the pass, ours and
    plain (milliseconds an epoch and replica), and ratio (plain over ours). Raises ValueError when all trials failed.
    """
    done = table[table.status == "done"]
    if done.empty:
        raise ValueError(
            f"none of {len(table)} speed trials is done; the first failed with {table.error.iloc[0]}"
        )
    rows = []
    for trial in done.itertuples():
        left = trial.splits
        for ours, plain in zip(trial.ours_seconds, trial.plain_seconds, strict=True):
            replicas = min(trial.chunk_size, left)
            left -= replicas
            share = 1000 / (trial.epochs * replicas)
            rows.append([trial.dataset, trial.chunk, trial.repetition, replicas, share * ours, share * plain])
    columns = ["dataset", "chunk", "repetition", "replicas", "ours", "plain"]
    return pd.DataFrame(rows, columns=columns).assign(ratio=lambda rows: rows.plain / rows.ours)


def geometric(values: ArrayLike) -> Interval:
    """Geometric mean of positive numbers with its 95 % interval; a ratio and its inverse then say the same."""
    i = mean_interval(np.log(values))
    return replace(i, mean=math.exp(i.mean), lower=math.exp(i.lower), upper=math.exp(i.upper))


def by_replicas(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row a data set and number of replicas in a pass: intervals of ours, plain (ms) and ratio, and their count."""
    groups = pairs.groupby(["dataset", "replicas"], sort=False)
    found = groups[["ours", "plain", "ratio"]].agg(geometric)
    return found.assign(pairs=groups.size()).sort_index(level="replicas", sort_remaining=False).reset_index()


def parts(graph: Graph, t: NodeTrial, repetitions: int = 7) -> pd.DataFrame:
    """One pass forward and backward taken apart, for one replica on one thread: milliseconds of all ways.

    Columns: part, gather, CSR, ours. The ways are measured in turn, and of each the least of its times is kept, because
    what else the machine does can only add to it. Only the flow knows edges: elsewhere, CSR is what gather is.
    """
    x, edge_index, weight = plain_inputs(graph)
    adjacency = plain_inputs(graph, csr=True)[1]
    ours = build(graph, [t]).train()
    plain = same_weights(ours, 0, t).train()
    F = torch.randn(graph.n, t.hidden, requires_grad=True)
    encode, decode = (lambda: plain.encode(x)), (lambda: plain.decode(F))
    ways = {
        "input dropout and encoder": (encode, encode, ours.encoder),
        "flow": (
            lambda: plain.evolve(F, edge_index, weight),
            lambda: plain.evolve(F, adjacency, None),
            lambda: ours.flow(F.unsqueeze(1), ours.operator),
        ),
        "dropout and decoder": (decode, decode, lambda: ours.decode(F.unsqueeze(1))),
    }
    rows = []
    with threads(1):
        for part, each in ways.items():
            times = [[_seconds(_forth_and_back, way) for way in each] for _ in range(repetitions)]
            rows.append([part, *1000 * np.min(times, axis=0)])
    return pd.DataFrame(rows, columns=["part", "gather", "CSR", "ours"])


def _forth_and_back(way: Callable[[], Tensor]) -> None:
    way().square().mean().backward()


class PlainGRAFF(MessagePassing):
    """GRAFF with diagonal W and Ω on PyTorch Geometric's message passing, the way one writes it first.

    Along an ``edge_index [2, E]`` with its weights it gathers and scatters, the default; along a sparse CSR matrix
    ``[n, n]``, whose weights are its values, the library multiplies by it.
    """

    def __init__(self, features: int, classes: int, t: NodeTrial):
        super().__init__(aggr="add")
        self.encoder, self.decoder = nn.Linear(features, t.hidden), nn.Linear(t.hidden, classes)
        self.w = nn.Parameter(torch.empty(t.hidden).uniform_(-1, 1))
        self.ω = nn.Parameter(torch.empty(t.hidden).uniform_(-1, 1))
        self.β = nn.Parameter(torch.zeros(1))
        self.settings, self.steps = t, steps_of(t.time, t.step)

    def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
        return weight.view(-1, 1) * x_j

    def message_and_aggregate(self, edge_index: Tensor, x: Tensor) -> Tensor:
        return spmm(edge_index, x)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(functional.dropout(x, self.settings.input_dropout, self.training))

    def evolve(self, F0: Tensor, edge_index: Tensor, weight: Tensor | None) -> Tensor:
        F = F0
        for τ in self.steps:
            F = F + τ * (-F * self.ω + self.propagate(edge_index, x=F * self.w, weight=weight) + self.β * F0)
        return F

    def decode(self, F: Tensor) -> Tensor:
        return self.decoder(functional.dropout(F.relu(), self.settings.dropout, self.training))

    def forward(self, x: Tensor, edge_index: Tensor, weight: Tensor | None) -> Tensor:
        return self.decode(self.evolve(self.encode(x), edge_index, weight))


def same_weights(model: NodeClassifier, replica: int, t: NodeTrial) -> PlainGRAFF:
    """The plain model with the weights of one replica of ours."""
    encoder, decoder = model.encoder.linear, model.decoder
    plain = PlainGRAFF(encoder.weight.shape[1], decoder.weight.shape[2], t)
    with torch.no_grad():
        for theirs, ours in ((plain.encoder, encoder), (plain.decoder, decoder)):
            theirs.weight.copy_(ours.weight[replica].T)
            theirs.bias.copy_(ours.bias[replica])
        plain.w.copy_(model.flow.W[0].w[replica])
        plain.ω.copy_(model.flow.ω[replica])
        plain.β.copy_(model.flow.β[replica])
    return plain


def plain_inputs(graph: Graph, csr: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
    """Dense features ``[n, p]``, edge_index ``[2, E]`` and the entries of Ā on it ``[E]``; or Ā as CSR, and None."""
    x = graph.features.to_dense() if graph.features.layout == torch.sparse_csr else graph.features
    Ā = graph.norm_adjacency.to_sparse_coo().coalesce()
    if csr:
        return x, to_torch_csr_tensor(Ā.indices(), Ā.values(), Ā.shape, is_coalesced=True), None
    return x, Ā.indices(), Ā.values()


def train_plain(graph: Graph, t: NodeTrial, csr: bool = False) -> float:
    """Train one split the plain way; returns the test accuracy at the best validation epoch."""
    x, edge_index, weight = plain_inputs(graph, csr)
    model = PlainGRAFF(x.shape[1], graph.num_classes, t)
    optimiser = torch.optim.Adam(model.parameters(), lr=t.lr, weight_decay=t.weight_decay)
    train, val, test = (masks[t.split] for masks in (graph.train, graph.val, graph.test))
    best, reached = -1.0, 0.0
    for _ in range(t.epochs):
        model.train()
        optimiser.zero_grad()
        logits = model(x, edge_index, weight)
        functional.cross_entropy(logits[train], graph.labels[train]).backward()
        optimiser.step()
        model.eval()
        with torch.no_grad():
            correct = model(x, edge_index, weight).argmax(-1) == graph.labels
        accuracy = correct[val].float().mean().item()
        if accuracy > best:
            best, reached = accuracy, correct[test].float().mean().item()
    return reached
