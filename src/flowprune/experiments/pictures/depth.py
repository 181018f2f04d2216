"""Figures of the chapter on depth."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowprune.experiments.deep import marks
from flowprune.experiments.depth_study import ADDED, READINGS, by_depth
from flowprune.study.figures import COLOUR, INK, READING

PANELS = {  # which networks share a panel; GAT is in all of them
    "plain": ("GCN", "GAT"),
    "remedies": ("GAT", "residual GAT", "PairNorm", "DropEdge", "G²-GAT"),
    "other flows": ("GAT", "GAT, small steps", "GraphCON", "DAGNN", "GRAFF"),
    "pruned": ("GAT", *READINGS, "DYNAMO (−), small steps"),
} | ({"added": ("GAT", *ADDED)} if ADDED else {})
STYLE = {  # the colour of the model, and line and marker of each of its variants
    "GCN": ("GCN", "-o"),
    "GAT": ("GAT", "-s"),
    "residual GAT": ("residual GAT", "-o"),
    "PairNorm": ("PairNorm", "--^"),
    "DropEdge": ("DropEdge", ":v"),
    "G²-GAT": ("G²-GAT", "-D"),
    "GAT, small steps": ("residual GAT", "--X"),
    "GraphCON": ("GraphCON", "-^"),
    "DAGNN": ("DAGNN", "-v"),
    "GRAFF": ("GRAFF diag", "-D"),
    "DYNAMO (−)": ("DYNAMO-GAT", "-o"),
    "DYNAMO (+)": ("DYNAMO-GAT", "--^"),
    "DYNAMO (corr)": ("DYNAMO-GAT", ":v"),
    "DYNAMO (−), small steps": ("DYNAMO-GAT", "-.X"),
}

SIGNS = dict(zip(READINGS, READING, strict=True))  # the colour of each, where readings are compared


def _style(variant: str) -> dict[str, object]:
    """Of a network that was added: the colour of its name, and a marker that no other has."""
    model, line = STYLE.get(variant, (variant, "-P"))
    return {"color": COLOUR[model], "linestyle": line[:-1], "marker": line[-1], "markersize": 4}


def _by_depth(axis: Axes, layers: Sequence[int]) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(layers, [str(m) for m in layers])
    axis.minorticks_off()


def accuracy(rows: pd.DataFrame) -> Figure:
    """Test accuracy over depth, a row a graph and a panel a family; bars from the lowest to the highest run."""
    summary = by_depth(rows)
    graphs, layers = list(dict.fromkeys(rows.graph)), sorted(rows.layers.unique())
    fig, axes = plt.subplots(
        len(graphs),
        len(PANELS),
        figsize=(7, 0.6 + 2.5 * len(graphs)),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for line, graph in zip(axes, graphs, strict=True):
        for axis, (title, variants) in zip(line, PANELS.items(), strict=True):
            for variant in variants:
                part = summary[(summary.graph == graph) & (summary.variant == variant)].sort_values("layers")
                axis.plot(part.layers, part["mean"], label=variant, lw=1.4, **_style(variant))
                axis.vlines(part.layers, part.low, part.high, color=_style(variant)["color"], lw=0.9)
            _by_depth(axis, layers)
            axis.tick_params(labelsize=8)
            if graph == graphs[0]:
                axis.set_title(title)
            if graph == graphs[-1]:
                axis.set_xlabel("layers")
                axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.28), handlelength=2.4)
        line[0].set_ylabel(f"{graph}\ntest accuracy, %", fontsize=9)
    return fig


def alike(rows: pd.DataFrame) -> Figure:
    """μ by layer of the deepest networks, one run each: dashed before training, solid after."""
    deepest = rows[(rows.layers == rows.layers.max()) & (rows.run == 0)]
    graphs = list(dict.fromkeys(rows.graph))
    layers = marks(int(rows.layers.max()))
    fig, axes = plt.subplots(
        len(graphs),
        len(PANELS),
        figsize=(7, 0.6 + 2.3 * len(graphs)),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    places = np.arange(len(layers))
    for line, graph in zip(axes, graphs, strict=True):
        for axis, (title, variants) in zip(line, PANELS.items(), strict=True):
            for variant in variants:
                for _, row in deepest[(deepest.graph == graph) & (deepest.variant == variant)].iterrows():
                    style = _style(variant) | {"linestyle": "-"}
                    axis.plot(places, np.maximum(row.mu_at_first, 1e-8), "--", color=style["color"], lw=1)
                    axis.plot(places, np.maximum(row.mu, 1e-8), lw=1.4, label=variant, **style)
            axis.set_yscale("log")
            axis.set_xticks(places[::2], [str(m) for m in layers[::2]])
            axis.tick_params(labelsize=8)
            if graph == graphs[0]:
                axis.set_title(title)
            if graph == graphs[-1]:
                axis.set_xlabel("after layer")
                axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.3))
        line[0].set_ylabel(f"{graph}\nμ", fontsize=9)
    return fig


def failure(rows: pd.DataFrame) -> Figure:
    """Each network before training: how much of μ is left at its end, and of the gradient at its beginning; filled
    marks are networks that later fit nine tenths of their training nodes."""
    left = np.array([μ[-1] / max(μ[0], 1e-12) for μ in rows.mu_at_first])
    gradient = rows.gradient_at_first.astype(float).to_numpy()
    learned = (rows.train_accuracy >= 0.9).to_numpy()
    fig, axis = plt.subplots(figsize=(7, 3.8))
    for variant in dict.fromkeys(rows.variant):
        here = (rows.variant == variant).to_numpy()
        colour, marker = _style(variant)["color"], _style(variant)["marker"]
        for filled in (True, False):
            part = here & (learned == filled)
            x, y = np.maximum(left[part], 1e-10), np.clip(gradient[part], 1e-20, 1e20)
            axis.scatter(
                x, y, s=24, marker=marker, edgecolors=colour, facecolors=colour if filled else "none"
            )
        axis.scatter([], [], s=24, marker=marker, color=colour, label=variant)
    axis.axhline(1, color=INK, lw=0.8, ls=":")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("μ after the last layer / μ of the input, before training")
    axis.set_ylabel("gradient at the first state / at the last")
    axis.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def efficiency(table: pd.DataFrame) -> Figure:
    """Accuracy over the operations of an inference pass, a line a network over its depths, a panel a graph."""
    graphs = list(dict.fromkeys(table.graph))
    lines = -(-len(graphs) // 2)
    fig, axes = plt.subplots(
        lines,
        min(2, len(graphs)),
        figsize=(7, 0.7 + 3.2 * lines),
        squeeze=False,
    )
    for axis, graph in zip(axes.flat, graphs, strict=False):
        for variant, part in table[table.graph == graph].groupby("variant", sort=False):
            part = part.sort_values("layers")
            axis.plot(part.inference, part.accuracy, lw=1.2, label=variant, **_style(variant))
        axis.set_xscale("log")
        axis.set_title(graph)
        axis.set_xlabel("operations of a pass, 10⁹")
        axis.set_ylabel("test accuracy, %")
    for axis in axes.flat[len(graphs) :]:
        axis.set_axis_off()
    fig.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=7.5, loc="outside right center")
    return fig


def saving(saved: pd.DataFrame) -> Figure:
    """Time and stored entries of a pass after pruning over those before, against the share of edges removed."""
    fig, axis = plt.subplots(figsize=(7, 3.2))
    share = np.linspace(0, 1, 50)
    axis.plot(share, 1 - share, color=INK, lw=1)
    axis.fill_between(share, 0.8 * (1 - share), 1.2 * (1 - share), color=INK, alpha=0.12, lw=0)
    axis.plot(saved.removed, saved.entries, "x", color=INK, label="stored entries")
    axis.plot(saved.removed, saved.time, "o", color=COLOUR["DYNAMO-GAT"], alpha=0.8, label="time")
    axis.set_xlabel("share of edges removed")
    axis.set_ylabel("after pruning / before")
    axis.set_ylim(0, 1.25)
    axis.legend(loc="lower left")
    return fig


def removed(pruned: pd.DataFrame) -> Figure:
    """Removed minus kept edges, a point a network and a row a reading on a graph: cosine of the input features, and
    share that joins one class."""
    names = {"cosine": "cosine of features", "same": "share within one class"}
    lines = [(graph, name) for graph in dict.fromkeys(pruned.graph) for name in READINGS]
    fig, axes = plt.subplots(1, 2, figsize=(7, 1 + 0.28 * len(lines)), sharey=True)
    for axis, (what, title) in zip(axes, names.items(), strict=True):
        for place, (graph, variant) in enumerate(lines):
            x = pruned[(pruned.graph == graph) & (pruned.variant == variant)][what].astype(float)
            colour = READING[SIGNS[variant]]
            axis.plot(x, np.full(len(x), -place), "o", ms=4, mec=colour, mfc="none")
            if len(x):
                axis.plot([x.mean()] * 2, [-place - 0.35, -place + 0.35], color=INK, lw=2)
        axis.axvline(0, color=INK, lw=0.8, ls=":")
        axis.set_xlabel(f"{title}, removed − kept")
    axes[0].set_yticks(
        [-place for place in range(len(lines))], [f"{g}  {v[7:]}" for g, v in lines], fontsize=8.5
    )
    return fig
