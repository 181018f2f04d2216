"""Figures of the chapter on masks; the colours of pruning methods for the whole book."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)
from numpy import ndarray

from flowprune.experiments.masks import COARSE, NULL
from flowprune.experiments.masks_study import picture
from flowprune.limits.graphon import average
from flowprune.study.figures import COLOUR, INK

METHOD_COLOURS = {
    "random": COLOUR["MLP"],
    "magnitude": COLOUR["GRAFF sum"],
    "snip": COLOUR["GCN"],
    "grasp": COLOUR["GRAFF neg-prod"],
    "synflow": COLOUR["GRAFF prod"],
}
MARK = {"random": "o", "magnitude": "s", "snip": "^", "grasp": "D", "synflow": "v"}
NAMES = {"snip": "SNIP", "grasp": "GraSP", "synflow": "SynFlow", NULL: "no network"}


def name(method: str) -> str:
    """A method as it is written."""
    return NAMES.get(method, method)


def sorting(masks: Mapping[str, ndarray]) -> Figure:
    """Masks by title, each above its average over 8 × 8 cells, coloured from zero to its largest density."""
    fig, axes = plt.subplots(2, len(masks), figsize=(7, 4.9))
    for (above, below), (title, M) in zip(axes.T, masks.items(), strict=True):
        W = average(M.astype(float), COARSE)
        above.imshow(M, cmap="Greys", interpolation="antialiased")
        below.imshow(W, cmap="viridis", vmin=0, vmax=W.max())
        above.set_title(title)
        below.set_xlabel(f"density {W.min():.2f} to {W.max():.2f}")
        for axis in (above, below):
            _bare(axis)
    axes[0, 0].set_ylabel("neurons after the mask")
    axes[1, 0].set_ylabel("the same, averaged")
    axes[0, 0].set_xlabel("neurons before the mask")
    return fig


def limits(cells: pd.DataFrame) -> Figure:
    """Mean pictures of every method, a row for the narrowest and one for the widest networks; one scale for all."""
    widths = sorted({cells.width.min(), cells.width.max()})
    methods = [m for m in METHOD_COLOURS if m in set(cells.method)]
    fig, axes = plt.subplots(len(widths), len(methods), figsize=(7, 0.3 + 1.3 * len(widths)), squeeze=False)
    for row, width in zip(axes, widths, strict=True):
        for axis, method in zip(row, methods, strict=True):
            (one,) = cells[(cells.method == method) & (cells.width == width)].itertuples()
            image = axis.imshow(picture(one), cmap="viridis", vmin=0, vmax=1)
            _bare(axis)
            if width == widths[0]:
                axis.set_title(name(method))
        row[0].set_ylabel(f"width {width}")
    fig.colorbar(image, ax=axes, label="density", shrink=0.9)
    return fig


def convergence(to_widest: pd.DataFrame, constant: pd.DataFrame, null: pd.DataFrame) -> Figure:
    """Left the distance to the widest picture, right the distance from a mask's own constant; dotted: flat masks.

    Args:
        to_widest: columns method, width, distance, error, null, of one mask.
        constant: columns method, width, mean, lower, upper.
        null: columns width and distance, the formula for flat masks.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.6))
    for method, part in to_widest.groupby("method", sort=False):
        low = np.maximum(part.distance - 1.96 * part.error, 0)
        seen = part.distance.where(part.distance > 0)  # a logarithmic axis has no zero
        bars = [(seen - low).clip(upper=0.95 * seen).fillna(0), 1.96 * part.error]
        _line(left, part.width, seen, bars, method)
    one = to_widest.drop_duplicates("width")
    left.plot(one.width, one.null, color=INK, ls=":", label="flat mask, formula")
    left.set(title="to the widest", ylabel="L2 distance of mean pictures")
    for method, part in constant.groupby("method", sort=False):
        _line(right, part.width, part["mean"], [part["mean"] - part.lower, part.upper - part["mean"]], method)
    right.plot(null.width, null.distance, color=INK, ls=":")
    right.set(title="from the mask's own constant", ylabel="L2 distance of one network")
    for axis, table in ((left, to_widest), (right, constant)):
        axis.set(xscale="log", yscale="log", xlabel="width")
        _widths(axis, table.width)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    seen = pd.concat([to_widest.distance[to_widest.distance > 0], to_widest.null])
    left.set_ylim(0.6 * seen.min(), 1.6 * to_widest.distance.max())
    fig.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig


def beyond(table: pd.DataFrame) -> Figure:
    """What degrees leave, and what factors predict, over the width.

    ``table``: of :func:`flowprune.experiments.masks_study.beyond`; bars reach from the smallest to the largest mask.
    """
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.5))
    titles = {"rest": "structure beyond degrees", "error": "error of the factorised prediction"}
    labels = {"rest": "over that of equal degrees", "error": "over that of a constant"}
    for axis, value in zip(axes, titles, strict=True):
        axis.axhline(1, color=INK, lw=1, ls=":")
        for method, part in table.groupby("method", sort=False):
            bars = [part[value] - part[f"{value}_least"], part[f"{value}_most"] - part[value]]
            _line(axis, part.width, part[value], bars, method)
        axis.set(xscale="log", title=titles[value], ylabel=labels[value], xlabel="width")
        axis.set_ylim(0, 1.08 * max(1, table[f"{value}_most"].max()))
        _widths(axis, table.width)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return fig


def _line(axis: Axes, x: pd.Series, y: pd.Series, bars: list[pd.Series], method: str) -> None:
    look = {"color": METHOD_COLOURS[method], "marker": MARK[method], "ms": 5, "label": name(method)}
    axis.errorbar(x, y, bars, lw=1.4, elinewidth=1, **look)


def _widths(axis: Axes, widths: pd.Series) -> None:
    axis.xaxis.set_major_locator(FixedLocator(sorted(set(widths))))
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_minor_formatter(NullFormatter())


def _bare(axis: Axes) -> None:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
