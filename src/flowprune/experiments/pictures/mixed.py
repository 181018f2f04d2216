"""Figures of the chapter on mixed homophily."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from flowprune.experiments.gates import kinds, region, separation
from flowprune.experiments.mixed import NAMES
from flowprune.graphs import Graph
from flowprune.study.figures import COLOUR, INK, PAPER

EQUAL, DIFFERENT = "#c08424", "#5478d8"  # edges between equal and different labels
MARKS = ("o", "D", "s", "^")


def regions(graph: Graph) -> Figure:
    """A ``mixed`` graph, homophilic region left, heterophilic right; colours say which edges join equal labels."""
    first, label = region(graph).numpy(), graph.labels.numpy()
    whole = nx.Graph(graph.edge_index.T.tolist())
    whole.add_nodes_from(range(graph.n))
    xy = np.zeros((graph.n, 2))
    for side, nodes in ((-1.2, np.flatnonzero(first)), (1.2, np.flatnonzero(~first))):
        place = nx.spring_layout(whole.subgraph(nodes), seed=3, iterations=100)
        for node, (x, y) in place.items():
            xy[node] = x + side, y
    i, j = graph.edge_index.numpy()
    equal = label[i] == label[j]
    fig, axis = plt.subplots(figsize=(7, 3.6))
    for which, colour in ((~equal, DIFFERENT), (equal, EQUAL)):
        lines = np.stack([xy[i[which]], xy[j[which]]], axis=1)
        axis.add_collection(LineCollection(lines, colors=colour, linewidths=0.9, alpha=0.7, zorder=1))
    for c in range(graph.num_classes):
        axis.scatter(*xy[label == c].T, marker=MARKS[c], s=30, color=PAPER, edgecolors=INK, zorder=2)
    for side, name in ((-1.2, "homophilic region"), (1.2, "heterophilic region")):
        axis.annotate(name, (side, 1.12), ha="center", color=INK)
    for y, name, colour in ((-1.12, "equal labels", EQUAL), (-1.28, "different labels", DIFFERENT)):
        axis.annotate(f"edge between {name}", (0, y), ha="center", va="center", color=colour)
    axis.set(xlim=(-2.4, 2.4), ylim=(-1.4, 1.3))
    axis.axis("off")
    return fig


def accuracy_by_design(rows: pd.DataFrame) -> Figure:
    """A panel for each design, a point with its interval for each variant; rows: variant, design, mean, low, high."""
    designs, variants = list(dict.fromkeys(rows.design)), [v for v in NAMES if v in set(rows.variant)]
    deep = (len(designs) + 1) // 2
    fig, axes = plt.subplots(deep, 2, figsize=(7, 2.5 * deep), sharey=True, squeeze=False)
    at = {v: len(variants) - k for k, v in enumerate(variants)}
    for axis, design in zip(axes.flat, designs, strict=False):
        for _, row in rows[rows.design == design].iterrows():
            colour, y = COLOUR[NAMES[row.variant]], at[row.variant]
            axis.plot([row.low, row.high], [y, y], color=colour, lw=2)
            axis.plot(row["mean"], y, marker="o", ms=5, color=colour)
        axis.set_title(design)
        axis.set_yticks(list(at.values()), [NAMES[v] for v in at])
        axis.tick_params(axis="y", labelsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("test accuracy (%)")
    for axis in axes.flat[len(designs) :]:
        axis.set_visible(False)
    return fig


def gates_by_kind(found: Mapping[str, tuple[Graph, Tensor]]) -> Figure:
    """How one replica's gates are distributed on edges between equal and different labels, a panel for each name.

    The sign of S is chosen such that its area under the ROC curve is at least ½: W₁ may change sign with it.
    """
    fig, axes = plt.subplots(1, len(found), figsize=(7, 3), sharey=True, squeeze=False)
    bins = np.linspace(-1, 1, 21)
    for axis, (name, (graph, S)) in zip(axes[0], found.items(), strict=True):
        equal, s = kinds(graph)[0], S[:, 0].numpy()
        s = s if s[equal].mean() >= s[~equal].mean() else -s
        for which, kind, colour in ((equal, "equal labels", EQUAL), (~equal, "different labels", DIFFERENT)):
            share = np.full(which.sum(), 1 / which.sum())
            axis.hist(s[which], bins, weights=share, histtype="step", lw=1.8, color=colour, label=kind)
        area = separation(graph, S[:, :1])["label"][0]
        axis.set(title=f"{name}: AUC {area:.2f}", xlabel="gate s on an edge", xlim=(-1, 1))
    axes[0][0].set_ylabel("share of the edges of a kind")
    axes[0][0].legend(loc="upper center", labelcolor="linecolor", handlelength=1, frameon=False)
    return fig
