"""GRAFF, GCN and GAT side by side: time of inference and of a training step against depth and width (G21)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GATConv, GCNConv

from flowprune.experiments.nodes import GraphTrial, prepared
from flowprune.experiments.scaling import clocked
from flowprune.experiments.speed import geometric
from flowprune.flows.attention import GAT
from flowprune.flows.classifier import NodeClassifier
from flowprune.flows.convolution import GCN
from flowprune.flows.gradient import GRAFF
from flowprune.flows.module import GRAFFConv
from flowprune.graphs import Graph
from flowprune.study.specs import spec
from flowprune.training.replicas import propagate

DEPTHS, WIDTHS = (2, 4, 8, 16, 32), (16, 32, 64, 128, 256)
HEADS = 4  # of GAT, side by side in the width
PHASES = ("inference", "training")
GRAFFS, GCNS = ("GRAFF diag", "GRAFF DD"), ("GCN", "plain GCN")


@spec
class CostTrial(GraphTrial):
    """Time every model of one depth and width in turn, ``rounds`` times, each round beginning with another model.

    Inference is one pass from features to logits; training is one step of Adam on the first split's training nodes.
    Nothing is dropped out. A warm-up pass of each is not counted.
    """

    experiment: ClassVar[str] = "cost"
    version: ClassVar[int] = 1

    dataset: str
    depth: Annotated[int, Field(ge=2)]
    width: Annotated[int, Field(ge=HEADS, multiple_of=HEADS)]
    rounds: Annotated[int, Field(ge=2)] = 10

    def weight(self) -> float:
        return 1e-6 * self.depth * self.width**2 * self.rounds

    @classmethod
    def device(cls) -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, trial.measure()

    def measure(self) -> dict[str, list[float]]:
        """Milliseconds of each round: one list a library, model and phase, named ``library/model/phase``."""
        graph = prepared(self.dataset).to(self.device())
        calls = {}
        for (library, name), model in models(graph, self.depth, self.width).items():
            ways = (inference(model), training(model.to(self.device()), graph))
            calls |= {f"{library}/{name}/{phase}": way for phase, way in zip(PHASES, ways, strict=True)}
        for call in calls.values():
            call()
        times: dict[str, list[float]] = {name: [] for name in calls}
        for i in range(self.rounds):
            turn = list(calls)
            for name in turn[i % len(turn) :] + turn[: i % len(turn)]:
                times[name].append(clocked(calls[name]))
        return times


def grid(
    dataset: str, *, depths: Sequence[int] = DEPTHS, widths: Sequence[int] = WIDTHS, rounds: int = 10
) -> list[CostTrial]:
    """One trial for each depth and width."""
    return [CostTrial(dataset=dataset, depth=m, width=d, rounds=rounds) for m in depths for d in widths]


# --- the models --------------------------------------------------------------------------------------


class PlainGCN(NodeClassifier):
    """A GCN as Kipf and Welling wrote it: encoder and decoder are the weights of its first and last layer."""

    def forward(self) -> Tensor:
        F = self.flow(propagate(self.operator, self.encoder()).relu(), self.operator)
        return propagate(self.operator, self.decode(F))


class Layers(nn.Module):
    """PyTorch Geometric's layers as the flow of one replica; ``apply(layer, x, x_0)`` says how one is called."""

    def __init__(self, layers: Sequence[nn.Module], apply: Callable[[nn.Module, Tensor, Tensor], Tensor]):
        super().__init__()
        self.layers, self.apply_layer = nn.ModuleList(layers), apply

    def forward(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """``[n, 1, d] → [n, 1, d]``; the layers hold their graph themselves."""
        x = x_0 = F[:, 0]
        for layer in self.layers:
            x = self.apply_layer(layer, x, x_0)
        return x.unsqueeze(1)


def models(graph: Graph, depth: int, d: int) -> dict[tuple[str, str], NodeClassifier]:
    """All models of one depth and width by (library, name), in one frame: only what lies between encoder and decoder
    differs. GRAFF's graph has no self-loops, those of the others have. The plain GCN has the frame's weights inside.
    """
    loops, seeds, rate = graph.with_self_loops(), [0], [0.0]
    edges, looped = graph.edge_index, loops.edge_index
    steps = {"time": float(depth), "step": 1.0}

    def layers(make: Callable[[], nn.Module], apply: Callable, shared: bool = False) -> Layers:
        return Layers([make()] * depth if shared else [make() for _ in range(depth)], apply)

    def graff(layer: GRAFFConv, x: Tensor, x_0: Tensor) -> Tensor:
        return layer(x, edges, x_0=x_0)

    flows: dict[tuple[str, str], tuple[type[NodeClassifier], Graph, nn.Module]] = {
        ("ours", "GRAFF diag"): (NodeClassifier, graph, GRAFF(seeds, d, "diag", **steps)),
        ("ours", "GRAFF DD"): (NodeClassifier, graph, GRAFF(seeds, d, "dd", **steps)),
        ("ours", "GCN"): (NodeClassifier, loops, GCN(seeds, d, depth, dropout=rate)),
        ("ours", "plain GCN"): (PlainGCN, loops, GCN(seeds, d, depth - 2, dropout=rate)),
        ("ours", "GAT"): (NodeClassifier, loops, GAT(seeds, d, depth, dropout=rate, heads=HEADS)),
    }
    library = {
        "GRAFF diag": layers(lambda: GRAFFConv(d, "diag", cached=True), graff, shared=True),
        "GRAFF DD": layers(lambda: GRAFFConv(d, "dd", cached=True), graff, shared=True),
        "GCN": layers(lambda: GCNConv(d, d, cached=True), lambda layer, x, _: layer(x, edges).relu()),
        "GAT": layers(
            lambda: GATConv(d, d // HEADS, HEADS, add_self_loops=False),
            lambda layer, x, _: functional.elu(layer(x, looped)),
        ),
    }
    flows |= {("PyG", name): (NodeClassifier, graph, flow) for name, flow in library.items()}
    size = {"d": d, "classes": graph.num_classes, "dropout": rate, "input_dropout": rate}
    return {
        key: frame(graph.features, on.norm_adjacency, flow, seeds, **size).to(graph.adjacency.device)
        for key, (frame, on, flow) in flows.items()
    }


def inference(model: NodeClassifier) -> Callable[[], None]:
    """One pass from features to logits without gradients."""

    def call() -> None:
        with torch.no_grad():
            model.eval()()

    return call


def training(model: NodeClassifier, graph: Graph) -> Callable[[], None]:
    """One step of Adam on the training nodes of the first split."""
    optimiser, nodes = torch.optim.Adam(model.parameters(), lr=1e-4), graph.train[0]

    def call() -> None:
        optimiser.zero_grad()
        functional.cross_entropy(model.train()()[nodes, 0], graph.labels[nodes]).backward()
        optimiser.step()

    return call


# --- what was measured -------------------------------------------------------------------------------


def times(table: pd.DataFrame) -> pd.DataFrame:
    """Collected cost trials, one row a measurement: depth, width, library, model, phase, round, milliseconds.

    Raises ValueError when no trial is done.
    """
    done = table[table.status == "done"]
    if done.empty:
        raise ValueError(
            f"none of {len(table)} cost trials is done; the first failed with {table.error.iloc[0]}"
        )
    ways = [name for name in done.columns if name.count("/") == 2]
    cells = done[["depth", "width", *ways]].melt(
        ["depth", "width"], var_name="way", value_name="milliseconds"
    )
    cells[["library", "model", "phase"]] = cells.way.str.split("/", expand=True)
    cells = cells.assign(round=cells.milliseconds.map(lambda row: list(range(len(row))))).drop(columns="way")
    cells = cells.explode(["milliseconds", "round"], ignore_index=True)
    return cells.astype({"milliseconds": float, "round": int})


def ratios(times: pd.DataFrame) -> pd.DataFrame:
    """How many times faster GRAFF is than each other model of the same library, paired within rounds.

    Columns: depth, width, library, phase, graff, other, ratio (geometric mean with its 95 % interval, other over
    GRAFF).
    """
    rows = []
    for (depth, width, library, phase), part in times.groupby(["depth", "width", "library", "phase"]):
        by_round = part.pivot(index="round", columns="model", values="milliseconds")
        for graff in GRAFFS:
            for other in by_round.columns.difference(GRAFFS):
                ratio = geometric(by_round[other] / by_round[graff])
                rows.append([depth, width, library, phase, graff, other, ratio])
    return pd.DataFrame(rows, columns=["depth", "width", "library", "phase", "graff", "other", "ratio"])


def verdict(ratios: pd.DataFrame, rounds: int) -> dict[str, Any]:
    """The evidence of G21: in which cells GRAFF's inference is faster than that of every GCN, or slower than one."""
    against = ratios[(ratios.phase == "inference") & ratios.other.isin(GCNS)]
    evidence: dict[str, Any] = {"cells": len(against[["depth", "width"]].drop_duplicates()), "rounds": rounds}
    for name, graff in zip(("diag", "dd"), GRAFFS, strict=True):
        own = against[against.graff == graff].ratio
        lower, upper = (ends(against, graff, end) for end in ("lower", "upper"))
        evidence |= {
            f"{name}_wins": (lower > 1).to_numpy().mean(),
            f"{name}_losses": (upper < 1).to_numpy().mean(),
            f"{name}_ratio": float(np.exp(np.mean([np.log(i.mean) for i in own]))),
        }
    won = ends(against, GRAFFS[0], "lower") > 1
    lost = [f"{depth} × {width}" for (depth, width), wins in won.stack().items() if not wins]
    return evidence | {
        "condition": "W is diagonal" + (f", and not at depth × width {', '.join(lost)}" if lost else "")
    }


def ends(against: pd.DataFrame, graff: str, end: str) -> pd.DataFrame:
    """The least "lower", "mean" or "upper" end of one GRAFF's ratios to the others, by depth (rows) and width."""
    own = against[against.graff == graff]
    return own.assign(end=own.ratio.map(lambda i: getattr(i, end))).pivot_table(
        index="depth", columns="width", values="end", aggfunc="min"
    )
