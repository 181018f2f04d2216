"""Figures of the chapter on the Graphon NTK."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, ScalarFormatter
from numpy import ndarray

from flowprune.experiments.kernels_study import SHAPES
from flowprune.experiments.pictures.masks import MARK, METHOD_COLOURS, name
from flowprune.study.figures import COLOUR, FAINT, INK, PAPER

SHAPE = {
    "constant": ("s", COLOUR["MLP"]),
    "product": ("o", COLOUR["GCN"]),
    "near": ("^", COLOUR["GRAFF sum"]),
    "corner": ("D", COLOUR["GRAFF prod"]),
}
ACTIVATION = {
    "relu": ("o", COLOUR["GCN"], "ReLU"),
    "linear": ("s", COLOUR["MLP"], "linear"),
    "erf": ("^", COLOUR["GRAFF prod"], "erf"),
    "tanh": ("D", COLOUR["GRAFF neg-prod"], "tanh"),
}
DEPTH = {1: ("o", COLOUR["GRAFF prod"]), 2: ("s", COLOUR["GCN"]), 3: ("^", COLOUR["MLP"])}
CASES = {"own": "own weights", "fresh": "other weights", "sampled": "sampled masks"}


def limit(graphon: ndarray, kernels: dict[str, ndarray], classes: Sequence[int]) -> Figure:
    """Left a graphon; then kernels of the same samples, sorted by class, by title. One scale for all kernels."""
    fig, axes = plt.subplots(1, 1 + len(kernels), figsize=(7, 2.3), width_ratios=[1.05, *[1] * len(kernels)])
    axes[0].imshow(graphon, cmap="Greys", vmin=0, vmax=1, extent=(0, 1, 1, 0))
    axes[0].set(title="graphon W(u, v)", xlabel="v, side of inputs", ylabel="u", xticks=(0, 1), yticks=(0, 1))
    order = np.argsort(classes, kind="stable")
    top = max(K.max() for K in kernels.values())
    for axis, (title, K) in zip(axes[1:], kernels.items(), strict=True):
        axis.imshow(K[np.ix_(order, order)], cmap="viridis", vmin=0, vmax=top)
        axis.set(title=title, xticks=(), yticks=())
    for axis in axes:
        axis.grid(visible=False)
    return fig


def approach(bias: pd.DataFrame) -> Figure:
    """Distance to the limit over the width, a panel a shape; dashed: what is left when networks are averaged."""
    shapes = [s for s in SHAPES if ((bias.hidden == s[0]) & (bias.activation == s[1])).any()]
    fig, axes = plt.subplots(1, len(shapes), figsize=(7, 3.1), sharey=True, squeeze=False)
    for axis, (hidden, activation) in zip(axes[0], shapes, strict=True):
        part = bias[(bias.hidden == hidden) & (bias.activation == activation)]
        for graphon, cell in part.groupby("graphon", sort=False):
            cell = cell.sort_values("width")
            mark, colour = SHAPE[str(graphon)]
            axis.plot(cell.width, cell["apart"], marker=mark, ms=4, color=colour, label=graphon)
            seen = cell[cell.bias > 0]
            axis.plot(seen.width, seen.bias, ls="--", lw=1, marker=mark, ms=3, mfc=PAPER, color=colour)
        ends = np.array([part.width.min(), part.width.max()], float)
        first = part[part.width == ends[0]]["apart"].max()
        axis.plot(ends, 1.6 * first * (ends / ends[0]) ** -0.5, color=INK, lw=1, ls=":")
        _widths(axis, sorted(set(part.width)))
        axis.set(
            yscale="log",
            title=f"{hidden} hidden, {ACTIVATION[activation][2]}",
            xlabel="width n",
        )
    axes[0, 0].set_ylabel("relative distance")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles.append(plt.Line2D([], [], color=INK, lw=1, ls=":"))
    fig.legend(handles, [*labels, "n^(−1/2)"], loc="outside upper center", ncols=5)
    return fig


def _widths(axis: plt.Axes, widths: Sequence[int]) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(list(widths)[:: 2 if len(widths) > 3 else 1]))
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_formatter(NullFormatter())


def powers(table: pd.DataFrame) -> Figure:
    """Implied powers of c by the number of hidden layers, all layers masked: a panel a count; bars: all entries."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3), sharey=True, sharex=True)
    titles = {"all": "all weights are parameters", "kept": "kept weights are parameters"}
    for axis, (counted, title) in zip(axes, titles.items(), strict=True):
        part = table[(table.counted == counted) & (table.masked == "all")]
        depth = np.array(sorted(set(part.hidden)))
        axis.plot(depth, depth + (counted == "kept"), color=FAINT, lw=6, solid_capstyle="round", zorder=0)
        for index, (activation, (mark, colour, word)) in enumerate(ACTIVATION.items()):
            rows = part[part.activation == activation]
            x = rows.hidden + 0.13 * (index - 1.5)
            axis.vlines(x, rows.least, rows.largest, color=colour, lw=1)
            axis.plot(x, (rows.least + rows.largest) / 2, mark, ms=3.5, color=colour, label=word)
        axis.set(title=title, xlabel="hidden layers L", xticks=depth)
    axes[0].set_ylabel("implied power of c")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return fig


def dependence(cases: pd.DataFrame) -> Figure:
    """Distance to the limit over the width for masks of pruning rules, a panel a kind of weights; bars: 95 %."""
    fig, axes = plt.subplots(1, len(CASES), figsize=(7, 3.2), sharey=True)
    for axis, (case, title) in zip(axes, CASES.items(), strict=True):
        for method, part in cases.groupby("method", sort=False):
            colour = METHOD_COLOURS[str(method)]
            axis.errorbar(
                part.width,
                part[case],
                1.96 * part[f"{case}_se"],
                marker=MARK[str(method)],
                ms=4,
                lw=1.2,
                color=colour,
                label=name(str(method)),
            )
        _widths(axis, sorted(set(cases.width)))
        axis.set(yscale="log", title=title, xlabel="width n")
    axes[0].set_ylabel("relative distance")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return fig


def circle(energies: dict[int, ndarray], frequencies: int = 12) -> Figure:
    """Eigenvalues of the kernel on the circle by frequency, a colour a number of hidden layers; zeros at the bottom."""
    fig, axis = plt.subplots(figsize=(7, 2.9))
    floor = 1e-4
    for index, (hidden, λ) in enumerate(energies.items()):
        mark, colour = DEPTH[hidden]
        x = np.arange(frequencies) + 0.16 * (index - 1)
        y = np.maximum(λ[:frequencies], floor)
        axis.vlines(x, floor, y, color=colour, lw=1)
        zero = λ[:frequencies] < floor
        word = f"{hidden} hidden layer" + "s" * (hidden > 1)
        axis.plot(x[~zero], y[~zero], mark, ms=5, color=colour, label=word)
        axis.plot(x[zero], y[zero], mark, ms=6, color=colour, mfc=PAPER)
    axis.set(
        yscale="log",
        ylim=(floor / 1.6, 2),
        xlabel="frequency on the circle",
        ylabel="λ relative to λ₁",
        xticks=range(frequencies),
    )
    axis.legend()
    return fig


def bounds(table: pd.DataFrame) -> Figure:
    """Error over its bound, a colour a graphon, a shape a target; right of the dotted line a bound says nothing."""
    fig, axis = plt.subplots(figsize=(7, 3.2))
    marks = dict(zip(dict.fromkeys(table.target), "osD", strict=False))
    names = ("GCN", "GRAFF prod", "GRAFF sum", "GRAFF neg-prod")
    colours = {g: COLOUR[n] for g, n in zip(dict.fromkeys(table.graphon), names, strict=False)}
    for (graphon, target), part in table.groupby(["graphon", "target"], sort=False):
        axis.plot(part.bound, part["error"], marks[target], ms=5, color=colours[graphon], alpha=0.9)
    axis.axvline(1, color=INK, lw=1, ls=":")
    low = min(table["error"].min(), 0.9 * table.bound.min())
    axis.plot([low, 1], [low, 1], color=INK, lw=1)
    handles = [plt.Line2D([], [], color=c, lw=3, label=g) for g, c in colours.items()]
    handles += [plt.Line2D([], [], color=INK, ls="", marker=m, label=t) for t, m in marks.items()]
    axis.set(xscale="log", xlabel="bound", ylabel="error on other images")
    fig.legend(handles=handles, loc="outside upper center", ncols=4)
    return fig
