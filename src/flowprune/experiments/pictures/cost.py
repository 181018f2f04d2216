"""Figures of the chapter on what a layer costs."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from flowprune.experiments.cost import GCNS, GRAFFS, ends
from flowprune.experiments.speed import geometric
from flowprune.experiments.theory.counting import STRUCTURES
from flowprune.study.figures import COLOUR, INK

KINDS = {"edges": "along edges", "channels": "mixing channels", "entries": "entry by entry"}
LIBRARIES = {"ours": "ours", "PyG": "PyTorch Geometric"}


def layers(counted: pd.DataFrame) -> Figure:
    """Multiplications of one layer as stacked bars by kind, one bar a model.

    ``counted``: model, edges, channels, entries.
    """
    fig, axis = plt.subplots(figsize=(7, 0.9 + 0.5 * len(counted)))
    left = np.zeros(len(counted))
    for (kind, words), shade, hatch in zip(KINDS.items(), (1.0, 0.55, 0.25), ("", "//", ".."), strict=True):
        value = counted[kind].to_numpy() / 1e6
        colours = [COLOUR[model] for model in counted.model]
        bars = axis.barh(
            counted.model, value, left=left, color=colours, alpha=shade, hatch=hatch, ec=INK, lw=0.6
        )
        bars[0].set_label(words)
        left += value
    handles = [
        plt.Rectangle((0, 0), 1, 1, fc=INK, alpha=a, ec=INK, hatch=h)
        for a, h in ((1, ""), (0.55, "//"), (0.25, ".."))
    ]
    fig.legend(handles, KINDS.values(), loc="outside upper center", ncols=3)
    for place, total in enumerate(left):
        axis.annotate(f"{total:.2f}", (total, place), (4, -4), textcoords="offset points")
    axis.set_xlim(0, 1.12 * left.max())
    axis.set_xlabel("million multiplications of one layer")
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    return fig


def growth(edges: pd.DataFrame, nodes: pd.DataFrame) -> Figure:
    """Milliseconds of one step over the number of edges, and of nodes; bars from the fastest round to the slowest.

    ``edges``, ``nodes``: of :func:`flowprune.experiments.scaling.medians`.
    """
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.6), width_ratios=(3, 2), sharey=True)
    for axis, timed, size in zip(axes, (edges, nodes), ("edges", "nodes"), strict=True):
        for (structure, shuffled), part in timed.groupby(["structure", "shuffled"], sort=False):
            name = STRUCTURES[structure]
            low, high = (part.milliseconds.map(end) for end in (min, max))
            axis.errorbar(
                part[size], part["median"], yerr=[part["median"] - low, high - part["median"]],
                fmt="s--" if shuffled else "o-", color=COLOUR[name], ms=4, lw=1.2,
                label=f"{name}, neighbours {'anywhere' if shuffled else 'near'}",
            )  # fmt: skip
        first = timed.sort_values(size).iloc[0]
        guide = np.array([timed[size].min(), timed[size].max()])
        axis.plot(guide, 0.2 * first["median"] * guide / guide[0], ":", color=INK, lw=1)
        axis.annotate(
            "slope 1",
            (middle := np.sqrt(guide.prod()), 0.2 * first["median"] * middle / guide[0]),
            (4, -14),
            textcoords="offset points",
        )
        axis.set(xscale="log", yscale="log", xlabel=f"{size} of the graph")
    axes[0].set_ylabel("ms a step")
    axes[0].set_title("nodes in proportion")
    axes[1].set_title(f"{nodes.edges.iloc[0]} edges")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=2)
    return fig


def side_by_side(times: pd.DataFrame, phase: str, depth: int, width: int) -> Figure:
    """Milliseconds over depth (at one width) and over width (at one depth), one row a library; 95 % intervals.

    ``times``: of :func:`flowprune.experiments.cost.times`.
    """
    fig, axes = plt.subplots(2, 2, figsize=(7, 5.6), sharey=True)
    for row, (library, words) in zip(axes, LIBRARIES.items(), strict=True):
        own = times[(times.library == library) & (times.phase == phase)]
        _lines(row[0], own[own.width == width], "depth")
        _lines(row[1], own[own.depth == depth], "width")
        row[0].set(ylabel=f"ms, {words}", title=f"width {width}")
        row[1].set_title(f"depth {depth}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return fig


def _lines(axis: Axes, times: pd.DataFrame, along: str) -> None:
    marks = {"GRAFF diag": "o-", "GRAFF DD": "D-", "GCN": "s-", "plain GCN": "s--", "GAT": "^-"}
    for model, mark in marks.items():
        part = times[times.model == model].groupby(along).milliseconds.agg(geometric)
        if part.empty:
            continue
        mean, low, high = (np.array([getattr(i, end) for i in part]) for end in ("mean", "lower", "upper"))
        colour = COLOUR["GCN" if model == "plain GCN" else model]
        axis.errorbar(
            part.index,
            mean,
            yerr=[mean - low, high - mean],
            fmt=mark,
            color=colour,
            ms=4,
            lw=1.2,
            label=model,
        )
    axis.set(xscale="log", yscale="log", xlabel=along)
    axis.set_xticks(sorted(times[along].unique()), sorted(times[along].unique()), minor=False)
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()


def ratio_maps(ratios: pd.DataFrame) -> Figure:
    """How many times faster GRAFF's inference is than a GCN's, by depth and width; "=" where 1 is in the interval.

    ``ratios``: of :func:`flowprune.experiments.cost.ratios`. Each cell shows the least ratio over GCNs and libraries.
    """
    against = ratios[(ratios.phase == "inference") & ratios.other.isin(GCNS)]
    found = {
        graff: {end: ends(against, graff, end) for end in ("lower", "mean", "upper")} for graff in GRAFFS
    }
    reach = max(1.5, *(max(m["mean"].max().max(), 1 / m["mean"].min().min()) for m in found.values()))
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
    for axis, (graff, part) in zip(axes, found.items(), strict=True):
        mean = part["mean"]
        picture = axis.imshow(mean, cmap="PuOr", norm=LogNorm(1 / reach, reach), aspect="auto")
        for i, j in np.ndindex(mean.shape):
            undecided = part["lower"].iloc[i, j] <= 1 <= part["upper"].iloc[i, j]
            edge = abs(np.log(mean.iloc[i, j])) > 0.55 * np.log(reach)
            axis.text(
                j, i, f"{mean.iloc[i, j]:.2f}{' =' if undecided else ''}",
                ha="center", va="center", color="#fafafa" if edge else "#1a1a1a", fontsize=9,
            )  # fmt: skip
        axis.set_xticks(range(mean.shape[1]), mean.columns)
        axis.set_yticks(range(mean.shape[0]), mean.index)
        axis.set(title=graff, xlabel="width")
        axis.grid(visible=False)
    axes[0].set_ylabel("depth")
    bar = fig.colorbar(picture, ax=axes, label="times faster than a GCN, the least")
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    return fig


def integrators(found: pd.DataFrame, layers: int) -> Figure:
    """Relative error of F(T) over the number of velocities, one line a method, Euler with ``layers`` steps ringed.

    ``found``: method, velocities, error.
    """
    fig, axis = plt.subplots(figsize=(7, 3.6))
    for (method, part), style in zip(found.groupby("method", sort=False), ("o-", "s--", "^:"), strict=True):
        axis.loglog(part.velocities, part.error, style, color=INK, ms=5, lw=1.3)
        axis.annotate(
            method, (part.velocities.iloc[-1], part.error.iloc[-1]), (8, -3), textcoords="offset points"
        )
    network = found[(found.method == "Euler") & (found.velocities == layers)].iloc[0]
    axis.plot(network.velocities, network.error, "o", ms=13, mfc="none", mec=COLOUR["GRAFF diag"], mew=2)
    axis.annotate(
        f"the network: {layers} layers",
        (network.velocities, network.error),
        (4, 12),
        textcoords="offset points",
    )
    axis.set(xlabel="velocities, the cost", ylabel="‖F − F(T)‖ / ‖F(T)‖")
    axis.set_xlim(right=2 * found.velocities.max())
    return fig
