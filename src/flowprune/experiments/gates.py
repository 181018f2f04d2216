"""What the gates of a local W see once they are trained, what they could gain, and what they cost (claim G27)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from flowprune.experiments.mixed import CONSTANT, Cells, best, by_graph
from flowprune.experiments.nodes import NodeTrial, build, prepared
from flowprune.flows.local import LocalGRAFF
from flowprune.graphs import Graph
from flowprune.study.passes import threads
from flowprune.training.fit import fit


def region(graph: Graph) -> Tensor:
    """Which nodes of a ``mixed`` graph lie in its homophilic region: the first half ``[n]``."""
    return torch.arange(graph.n) < graph.n // 2


def gates_of(trials: Sequence[NodeTrial]) -> tuple[Graph, Tensor]:
    """Train these local trials and read the gates of their last step: the graph and S ``[E, R]`` on its CSR entries."""
    with threads(1):  # as every trial runs
        graph, model, _ = NodeTrial.fitted(trials)
    model.eval()
    with torch.no_grad():
        F0 = model.encoder()
        flow, F = model.flow, F0
        S = flow.gates(F0, model.operator)
        for τ in flow.steps[:-1]:
            F = F + τ * flow.velocity(F, F0, model.operator, S)
            S = S if flow.gate == "fixed" else flow.gates(F, model.operator)
    return graph, S


def kinds(graph: Graph) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every stored entry of Ā: does it join equal labels, does it lie within a region, and in the homophilic one."""
    A, first = graph.norm_adjacency, region(graph)
    row = torch.repeat_interleave(torch.arange(graph.n), A.crow_indices().diff())
    column = A.col_indices().long()
    masks = graph.labels[row] == graph.labels[column], first[row] == first[column], first[row]
    return tuple(mask.numpy() for mask in masks)


def separation(graph: Graph, S: Tensor) -> dict[str, list[float]]:
    """How well each replica's gate tells edges apart: area under the ROC curve, ½ for a gate that knows nothing.

    ``label``: equal from different labels. ``region``: homophilic from heterophilic region. (W₁ and S may change sign
    together, so an area below ½ is mirrored.)
    """
    same, within, high = kinds(graph)

    def areas(truth: np.ndarray, among: np.ndarray) -> list[float]:
        found = [roc_auc_score(truth[among], s[among]) for s in S.T.numpy()]
        return [max(area, 1 - area) for area in found]

    return {"label": areas(same, np.ones_like(same)), "region": areas(high, within)}


def mean_separations(seen: Mapping[tuple[str, str], Sequence[tuple[Graph, Tensor]]]) -> pd.DataFrame:
    """One row a gate and design: mean areas of :func:`separation` over all graphs and replicas."""
    rows = []
    for (gate, design), parts in seen.items():
        found = [separation(graph, S) for graph, S in parts]
        label, place = (float(np.mean([f[what] for f in found])) for what in ("label", "region"))
        rows.append([gate, design.removeprefix("mixed, "), label, place])
    return pd.DataFrame(rows, columns=["gate", "design", "equal labels", "region"])


def told(trials: Sequence[NodeTrial]) -> list[float]:
    """Test accuracies when nothing about the gate is learned: +1 inside the homophilic region, −1 elsewhere.

    What a local W could gain on a ``mixed`` graph if it knew the place. The trials are of one group, with the gate
    ``energy``, which has no parameters of its own that would stay unused.
    """
    graph, model = prepared(trials[0].dataset), build(prepared(trials[0].dataset), trials)
    _, within, high = kinds(graph)
    S = torch.from_numpy(np.where(within & high, 1.0, -1.0)).float().unsqueeze(1).repeat(1, len(trials))
    model.flow.gates = lambda F, adjacency: S
    masks = (mask[[t.split for t in trials]] for mask in (graph.train, graph.val, graph.test))
    rates = {name: [t.fields[name] for t in trials] for name in ("lr", "weight_decay")}
    with threads(1):
        fitted = fit(model, graph.labels, *masks, **rates, epochs=trials[0].epochs)
    return [f.test_accuracy for f in fitted]


def graph_by_graph(trials: Sequence[NodeTrial], graphs: int) -> list[list[NodeTrial]]:
    """The trials of the first so many graphs, each graph's together."""
    names = list(dict.fromkeys(t.dataset for t in trials))[:graphs]
    return [[t for t in trials if t.dataset == name] for name in names]


def room(cells: Cells, table: pd.DataFrame, design: str, graphs: int) -> float:
    """Mean gain in points of gates that are told the region, over the best constant W, on the first so many graphs."""
    constant = by_graph(cells[best(cells, table, design, CONSTANT), design], table)
    parts = graph_by_graph(cells["energy", design], graphs)
    return float(np.mean([100 * np.mean(told(part)) - constant[part[0].dataset] for part in parts]))


def asymmetry(flow: LocalGRAFF, F: Tensor, adjacency: Tensor) -> float:
    """‖J − Jᵀ‖/‖J‖ of the velocity's Jacobian in F, gates moving along; zero exactly for a gradient flow.

    For ``fixed`` gates those of F are held. One replica: F ``[n, 1, d]``.
    """
    S = flow.gates(F, adjacency)

    def velocity(flat: Tensor) -> Tensor:
        G = flat.view_as(F)
        return flow.velocity(
            G, F, adjacency, S if flow.gate == "fixed" else flow.gates(G, adjacency)
        ).flatten()

    J = torch.autograd.functional.jacobian(velocity, F.flatten())
    return ((J - J.T).norm() / J.norm()).item()


def costs(trials: Mapping[str, Sequence[NodeTrial]], repetitions: int = 20) -> pd.DataFrame:
    """Side by side on one thread: parameters a replica, milliseconds forth and back, and the ratio to GRAFF DD.

    The ways take turns, and the least time of each counts, because what else the machine does can only add to it.
    """
    models = {v: build(prepared(part[0].dataset), part).train() for v, part in trials.items()}
    with threads(1):
        seconds = {v: min(_forth_and_back(models[v]) for _ in range(2)) for v in models}  # the first compiles
        for _ in range(repetitions):
            seconds = {v: min(s, _forth_and_back(models[v])) for v, s in seconds.items()}
    rows = [
        {
            "variant": v,
            "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad) // len(trials[v]),
            "milliseconds": 1000 * seconds[v],
            "times GRAFF DD": seconds[v] / seconds["dd"],
        }
        for v, model in models.items()
    ]
    return pd.DataFrame(rows)


def _forth_and_back(model: torch.nn.Module) -> float:
    began = time.perf_counter()
    model().square().mean().backward()
    return time.perf_counter() - began
