"""Figures of the chapter on growing graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowprune.experiments.growth import MODELS, nodes
from flowprune.experiments.growth_study import ANYWHERE, KEPT, NAMES, NEAR, PHASES
from flowprune.study.figures import COLOUR, INK

MODEL = {"gat": COLOUR["GAT"], "dynamo": COLOUR["DYNAMO-GAT"]}
LINES = {ANYWHERE: "o-", NEAR: "s--", KEPT: "^-."}
LEARNERS = {  # label and line of every model whose accuracy is drawn
    "mlp": ("MLP", COLOUR["MLP"], "v:"),
    "gat": (NAMES["gat"], COLOUR["GAT"], "s-"),
    "dynamo": (NAMES["dynamo"], COLOUR["DYNAMO-GAT"], "o-"),
    "one shot": ("pruned at once", COLOUR["DYNAMO-GAT"], "^--"),
}


def ways(gigabytes: float, width: int) -> Figure:
    """4-byte numbers over the number of edges, for three ways to hold one attention layer, and where memory ends."""
    E = np.geomspace(1e3, 1e9, 200)
    n = nodes(E)  # type: ignore[arg-type]
    held = {"every pair of nodes, N²": n**2, "a message an edge, 2|E|d": 2 * E * width}
    held["a number an edge, 2|E| + Nd"] = 2 * E + n * width
    fig, axis = plt.subplots(figsize=(7, 3.4))
    for (words, count), line in zip(held.items(), ("-.", "--", "-"), strict=True):
        axis.plot(E, 4 * count / 1e9, line, color=INK, lw=1.6, label=words)
    _end(axis, gigabytes)
    axis.set(xscale="log", yscale="log", xlabel="edges", ylabel="GB", ylim=(1e-6, 1e5))
    axis.legend(loc="lower right")
    return fig


def _end(axis: Axes, gigabytes: float) -> None:
    axis.axhline(gigabytes, color=COLOUR["GRAFF prod"], lw=1.2, ls=":")
    axis.annotate(
        f"{gigabytes:g} GB",
        (0, gigabytes),
        (4, 4),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
    )


def times(timed: pd.DataFrame) -> Figure:
    """Milliseconds over edges, of a layer and of a training step; bars from the fastest round to the slowest.

    ``timed``: of :func:`flowprune.experiments.growth_study.times`, one width.
    """
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.7), sharey=True)
    titles = {"layer": "one layer, forward", "step": "one training step"}
    for axis, phase in zip(axes, PHASES, strict=True):
        part = timed[timed.phase == phase]
        for (model, place), line in part.groupby(["model", "place"], sort=False):
            line = line.sort_values("edges")
            axis.errorbar(
                line.edges,
                line["median"],
                yerr=[line["median"] - line.low, line.high - line["median"]],
                fmt=LINES[place],
                color=MODEL[model],
                mfc=MODEL[model] if place == ANYWHERE else "none",
                ms=4,
                lw=1.2,
                label=f"{NAMES[model]}, neighbours {place}",
            )
        _slope(axis, part)
        axis.set(xscale="log", yscale="log", xlabel="edges", title=titles[phase])
    axes[0].set_ylabel("ms")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=2)
    return fig


def _slope(axis: Axes, part: pd.DataFrame) -> None:
    ends = np.array([part.edges.min(), part.edges.max()])
    guide = 0.3 * part[part.edges == ends[0]]["median"].min() * ends / ends[0]
    axis.plot(ends, guide, ":", color=INK, lw=1)
    middle = np.sqrt(ends.prod()), np.sqrt(guide.prod())
    axis.annotate("slope 1", middle, (6, -10), textcoords="offset points")


def memory(held: pd.DataFrame, widths: pd.DataFrame, room: Mapping[str, float], gigabytes: float) -> Figure:
    """Peak memory over edges, drawn on to where it fills the machine, and bytes an edge over the width.

    ``held``, ``widths``: of :func:`flowprune.experiments.growth_study.per_edge`, one width and one size.
    """
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.5), width_ratios=(3, 2))
    for model, line in zip(MODELS, ("s", "o"), strict=True):
        part = held[held.model == model].sort_values("edges")
        last = part.iloc[-1]
        axes[0].plot(part.edges, part.bytes / 1e9, f"{line}-", color=MODEL[model], ms=4, label=NAMES[model])
        axes[0].plot(
            [last.edges, room[model]], [last.bytes / 1e9, gigabytes], ":", color=MODEL[model], lw=1.2
        )
        axes[0].plot(room[model], gigabytes, line, color=MODEL[model], mfc="none", ms=7)
        part = widths[widths.model == model].sort_values("width")
        axes[1].plot(part.width, part.per_edge, f"{line}-", color=MODEL[model], ms=4)
    _end(axes[0], gigabytes)
    axes[0].set(xscale="log", yscale="log", xlabel="edges", ylabel="peak memory, GB")
    axes[0].legend(loc="lower right")
    axes[1].set(xlabel="channels d", ylabel="bytes an edge", ylim=(0, None), xlim=(0, None))
    axes[1].set_title(f"{widths.edges.iloc[0]:,} edges")
    return fig


def passes(found: pd.DataFrame) -> Figure:
    """Time of a pass after pruning over the share removed, a line a size; the band is 20 % around proportion.

    ``found``: of :func:`flowprune.experiments.growth_study.passes`.
    """
    fig, axis = plt.subplots(figsize=(7, 3.6))
    share = np.linspace(0, 1, 50)
    axis.fill_between(share, 1 - 1.2 * share, 1 - 0.8 * share, color=INK, alpha=0.12, lw=0)
    axis.plot(share, 1 - share, ":", color=INK, lw=1)
    sizes = sorted(found.edges.unique())
    shades = plt.get_cmap("cividis")(np.linspace(0.3, 0.75, len(sizes)))
    marks = "ovs^D<>Pp*hX"
    for i, (E, colour) in enumerate(zip(sizes, shades, strict=True)):
        part = found[found.edges == E].sort_values("removed")
        mean, low, high = (
            np.array([1.0, *(getattr(t, end) for t in part.time)]) for end in ("mean", "lower", "upper")
        )
        axis.errorbar(
            [0, *part.removed],
            mean,
            yerr=[mean - low, high - mean],
            fmt=f"{marks[i % len(marks)]}-",
            color=colour,
            ms=4,
            lw=1.2,
            label=f"{E:,} edges",
        )
    axis.set(xlabel="share of edges removed", ylabel="time of a pass / before", xlim=(0, 1), ylim=(0, 1.15))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def accuracy(reached: pd.DataFrame) -> Figure:
    """Test accuracy over edges, a panel a homophily: the mean over graphs, bars from the lowest to the highest.

    ``reached``: of :func:`flowprune.experiments.growth_study.reached`.
    """
    levels = sorted(reached.homophily.unique(), reverse=True)
    fig, axes = plt.subplots(1, len(levels), figsize=(7, 3.6), sharey=True, squeeze=False)
    for axis, h in zip(axes[0], levels, strict=True):
        part = reached[reached.homophily == h]
        for model, (words, colour, style) in LEARNERS.items():
            if model not in part:
                continue
            by = part.dropna(subset=[model]).groupby("edges")[model].agg(["mean", "min", "max"])
            spread = [by["mean"] - by["min"], by["max"] - by["mean"]]
            axis.errorbar(
                by.index, by["mean"], yerr=spread, fmt=style, color=colour, ms=4, lw=1.3, label=words
            )
        axis.set(xscale="log", xlabel="edges", title=f"homophily {h:g}")
    axes[0, 0].set_ylabel("test accuracy, %")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=4)
    return fig


def self_weight(degrees: Sequence[int]) -> Figure:
    """What a node gives itself, 1/(1 + kw), while its k neighbours, all alike, weaken together from w = 1 to 0."""
    w = np.linspace(1, 0, 201)
    fig, axis = plt.subplots(figsize=(7, 2.9))
    for k, line in zip(degrees, ("-", "--", "-.", ":"), strict=False):
        axis.plot(w, 1 / (1 + k * w), line, color=MODEL["dynamo"], label=f"{k} neighbour{'s' * (k > 1)}")
    axis.set(xlabel="multiplier w of every neighbour", ylabel="weight of the node itself", ylim=(0, 1.05))
    axis.invert_xaxis()
    axis.legend(loc="upper left")
    return fig


def in_words(found: pd.DataFrame) -> str:
    """Exponents (of :func:`flowprune.experiments.growth_study.exponents`) for a figure's alternative text."""
    parts = [
        f"{r.of} of {NAMES[r.model]}{'' if r.place == ANYWHERE else f', neighbours {r.place}'} {r.exponent.mean:.2f}"
        for r in found.itertuples()
    ]
    return "Fitted slopes: " + "; ".join(parts) + "."


def saved_in_words(found: pd.DataFrame) -> str:
    """Time left at the largest size by share removed, for a figure's alternative text."""
    last = found[found.edges == found.edges.max()]
    parts = [f"{t.mean:.2f} at {100 * s:g} %" for t, s in zip(last.time, last.removed, strict=True)]
    return f"With {last.edges.iloc[0]:,} edges: {', '.join(parts)}."


def reached_in_words(reached: pd.DataFrame) -> str:
    """Mean accuracies at the largest size, for a figure's alternative text."""
    last = reached[reached.edges == reached.edges.max()]
    means = last.groupby("homophily")[list(MODELS)].mean()
    parts = [
        f"at homophily {h:g} GAT {m.gat:.0f} and DYNAMO-GAT {m.dynamo:.0f} %" for h, m in means.iterrows()
    ]
    return f"With {last.edges.iloc[0]:,} edges: {', '.join(parts)}."
