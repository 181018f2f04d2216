"""Figures of the chapter that asks whether attention is a contraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial import ConvexHull
from torch import Tensor

from flowprune.dynamics.jacobian import Jacobian
from flowprune.experiments.theory.attention import Layer, drawn, looped
from flowprune.experiments.theory.contraction import settled, steepest
from flowprune.graphs import Graph, load
from flowprune.study.figures import COLOUR, INK

STYLES = ("-", "--", ":", "-.", (0, (9, 2)), (0, (1, 4)))


def trails(graph: Graph, seed: int, layers: Sequence[int]) -> dict[str, dict[int, Tensor]]:
    """One start ``[n, 2]`` and its states after so many layers: W a rotation times 0.9, and tanh with W = 3I."""
    rng = np.random.default_rng(seed)
    turn = 0.9 * torch.tensor([[np.cos(0.5), np.sin(0.5)], [-np.sin(0.5), np.cos(0.5)]])
    small = replace(drawn(graph, rng, 2, 0.9), W=turn)
    zero = torch.zeros(2, dtype=torch.float64)
    large = Layer(
        small.edge, 3 * torch.eye(2).double(), 0.02 * small.target, 0.02 * small.source, zero, torch.tanh
    )
    X0 = torch.from_numpy(rng.uniform(-2, 2, (graph.n, 2)))
    found: dict[str, dict[int, Tensor]] = {}
    for name, layer in (("‖W‖ = 0.9, with bias", small), ("W = 3I, tanh", large)):
        X = X0
        found[name] = {0: X}
        for t in range(1, max(layers) + 1):
            X = layer(X)
            if t in layers:
                found[name][t] = X
    return found


def hulls(trails: Mapping[str, Mapping[int, Tensor]]) -> Figure:
    """All nodes as points in the plane after a number of layers, inside their convex hull; a panel each layer."""
    fig, axes = plt.subplots(1, len(trails), figsize=(7, 3.6))
    for axis, (name, states) in zip(axes, trails.items(), strict=True):
        for place, (t, X) in enumerate(states.items()):
            colour = plt.get_cmap("viridis")(0.3 + 0.5 * place / len(states))  # seen on both papers
            axis.plot(*X.T.numpy(), ".", ms=5, color=colour, label=f"layer {t}")
            if np.ptp(X.numpy(), axis=0).min() > 1e-3:
                hull = ConvexHull(X.numpy())
                axis.fill(*X.numpy()[hull.vertices].T, color=colour, alpha=0.18)
        axis.set_title(name)
        axis.set_aspect("equal", adjustable="datalim")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8.5)
    return fig


def path_of_three() -> tuple[Graph, Tensor, Tensor]:
    """A path of three nodes with uniform attention: the direction that averaging stretches most, before and after."""
    graph = load("path?n=3").to(dtype=torch.float64)
    A = looped(graph).double()
    A = A / A.sum(1, keepdim=True)
    x = steepest(A, torch.ones(1, 1, dtype=torch.float64))
    return graph, x * x.sum().sign(), A @ (x * x.sum().sign())


def two_nodes(sizes: Sequence[float], norm: float = 0.5) -> list[float]:
    """‖J‖₂ of a layer on one edge with two channels and W = ‖W‖ I, over the size of the second channel.

    The first channel decides who is attended to, the second is what is read; ‖W‖(1 + K) = 0.99 for every size.
    """
    edge = torch.ones(2, 2, dtype=torch.bool)
    zero = torch.zeros(2, dtype=torch.float64)
    source = torch.tensor([1.0, 0.0], dtype=torch.float64)
    layer = Layer(edge, norm * torch.eye(2, dtype=torch.float64), zero, source, zero)
    layer = replace(layer, source=source * (0.99 / norm - 1) / (2**0.5 * layer.sensitivity))
    return [Jacobian(layer, torch.tensor([[0.0, s], [0.0, 0.0]]).double()).norm() for s in sizes]


def path_of_four() -> tuple[Graph, Tensor, Tensor]:
    """Uniform attention, tanh and W = 3 on a path of four nodes: a start and where it settles, not at one value."""
    graph, zero = load("path?n=4").to(dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    layer = Layer(looped(graph), torch.full((1, 1), 3.0).double(), zero, zero, zero, torch.tanh)
    start = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]], dtype=torch.float64)
    return graph, start, settled(layer, start)


def counterexamples(sizes: Sequence[float]) -> Figure:
    """Three counterexamples: averaging that stretches, attention that is not Lipschitz, nodes that stay apart."""
    fig, axes = plt.subplots(1, 3, figsize=(7, 2.9))
    for axis, (graph, before, after), title in (
        (axes[0], path_of_three(), "averages grow longer"),
        (axes[2], path_of_four(), "settled, not equal"),
    ):
        _signal(axis, graph, before, 1.0, "before")
        _signal(axis, graph, after, 0.0, "after")
        axis.set_title(f"{title}\n‖x‖: {before.norm():.3f} to {after.norm():.3f}", fontsize=9.5)
        axis.axis("off")
    axes[1].loglog(sizes, two_nodes(sizes), color=COLOUR["GAT"])
    axes[1].axhline(1, color=INK, lw=0.8, ls=":")
    axes[1].set_xlabel("size of the read channel")
    axes[1].set_title("one edge, two channels\n‖J‖₂ of the layer", fontsize=9.5)
    return fig


def _signal(axis: Axes, graph: Graph, x: Tensor, height: float, name: str) -> None:
    """A path drawn level, each node with its value."""
    place = np.arange(graph.n)
    axis.plot(place, np.full(graph.n, height), color=INK, lw=0.8, zorder=1)
    values = x.flatten().numpy()
    axis.scatter(
        place, np.full(graph.n, height), c=values, cmap="PuOr", vmin=-1, vmax=1, s=150, edgecolors=INK
    )
    for i, value in zip(place, values, strict=True):
        axis.annotate(
            f"{value:.2f}", (i, height), (0, -18), textcoords="offset points", ha="center", fontsize=8.5
        )
    axis.annotate(name, (0, height), (-4, 12), textcoords="offset points", fontsize=8.5)
    axis.set_ylim(-0.6, 1.5)
    axis.set_xlim(-0.6, graph.n - 0.4)


READ = {
    "norm": "‖W‖₂, largest layer",
    "radius": "ρ(J), largest layer",
    "omitted": "left out of J, largest layer",
}


def training(trained: pd.DataFrame, epochs: Sequence[int]) -> Figure:
    """By epoch and data set, the largest over the layers: ‖W‖₂, ρ(J), and the share of J that is left out."""
    fig, axes = plt.subplots(1, len(READ), figsize=(7, 3.2))
    for (name, title), axis in zip(READ.items(), axes, strict=True):
        for (dataset, group), style in zip(trained.groupby("dataset", sort=False), STYLES, strict=False):
            values = np.array([[max(v) for v in group[f"{name}_at_{e}"]] for e in epochs])
            axis.plot(
                range(len(epochs)), values.mean(1), ls=style, color=COLOUR["GAT"], label=dataset, lw=1.5
            )
            axis.fill_between(
                range(len(epochs)), values.min(1), values.max(1), color=COLOUR["GAT"], alpha=0.12, lw=0
            )
        if name != "omitted":
            axis.axhline(1, color=INK, lw=0.8, ls=":")
        axis.set_xticks(range(len(epochs)), [str(e) for e in epochs])
        axis.set_xlabel("epoch")
        axis.set_title(title, fontsize=9.5)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8.5)
    return fig


def decays(deep: pd.DataFrame) -> Figure:
    """μ over layers of GCN and GAT, before (upper row) and after training; one line a network."""
    fig, axes = plt.subplots(2, 2, figsize=(7, 5), sharex=True, sharey="row")
    datasets = dict(zip(dict.fromkeys(deep.dataset), STYLES, strict=False))
    for column, model in enumerate(("gcn", "gat")):
        rows = deep[deep.model == model]
        for axis, name in zip(axes[:, column], ("mu_at_first", "mu"), strict=True):
            for place, row in enumerate(rows.itertuples()):
                label = row.dataset if place % (len(rows) // len(datasets)) == 0 else None
                values = np.maximum(getattr(row, name), 1e-16)
                axis.semilogy(
                    values, ls=datasets[row.dataset], color=COLOUR[model.upper()], lw=1.1, label=label
                )
            axis.set_title(f"{model.upper()}, {'at first' if name == 'mu_at_first' else 'trained'}")
        for dataset, group in rows.groupby("dataset", sort=False):
            if model == "gcn":
                axes[0, 0].axhline(group.plateau.iloc[0], color=INK, lw=0.8, ls=datasets[dataset])
    for axis in axes[1]:
        axis.set_xlabel("layer")
    for axis in axes[:, 0]:
        axis.set_ylabel("μ")
    axes[0, 1].legend(fontsize=8.5)
    return fig
