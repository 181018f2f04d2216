"""Figures of the page on speed."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from flowprune.study.figures import COLOUR, INK, number


def overview(rows: pd.DataFrame) -> Figure:
    """How many times faster, with 95 % intervals: a line for each comparison, a mark for each graph, on one log axis.

    ``rows``: comparison, graph ("" where none is meant), and the interval ratio.
    """
    lines = list(dict.fromkeys(rows.comparison))
    graphs = [name for name in dict.fromkeys(rows.graph) if name]
    fig, axis = plt.subplots(figsize=(7, 1.1 + 0.42 * len(lines)))
    for graph, mark in zip(["", *graphs], itertools.cycle("Dos^v"), strict=False):
        part = rows[rows.graph == graph]
        shift = 0.22 * (graphs.index(graph) - (len(graphs) - 1) / 2) if graph else 0
        y = [lines.index(name) + shift for name in part.comparison]
        mean, low, high = (
            np.array([getattr(i, end) for i in part.ratio]) for end in ("mean", "lower", "upper")
        )
        look = {"fmt": mark, "ms": 5.5, "lw": 1.3, "label": graph or "_"}
        colour = COLOUR["GRAFF diag"] if graph else INK
        axis.errorbar(mean, y, xerr=[mean - low, high - mean], color=colour, **look)
    axis.axvline(1, color=INK, lw=1, ls="--")
    axis.set(xscale="log", xlabel="times faster", ylim=(len(lines) - 0.4, -0.6))
    axis.set_yticks(range(len(lines)), lines)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    if graphs:
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(graphs))
    return fig


def times_by_replicas(rows: pd.DataFrame) -> Figure:
    """Milliseconds an epoch and replica over the replicas in one pass, one panel a data set, with 95 % intervals.

    ``rows``: dataset, replicas, and the intervals ours and plain.
    """
    names = list(dict.fromkeys(rows.dataset))
    fig, axes = plt.subplots(1, len(names), figsize=(7, 3.6), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        part = rows[rows.dataset == name]
        for way, colour, style in (("plain", INK, "s--"), ("ours", COLOUR["GRAFF diag"], "o-")):
            mean, low, high = (
                np.array([getattr(i, end) for i in part[way]]) for end in ("mean", "lower", "upper")
            )
            axis.errorbar(
                part.replicas, mean, yerr=[mean - low, high - mean], fmt=style, color=colour, ms=4.5, lw=1.3
            )
            axis.annotate(
                way,
                (part.replicas.iloc[0], mean[0]),
                (6, 7),
                textcoords="offset points",
                color=colour,
            )
        axis.set(xscale="log", yscale="log", title=name, xlabel="replicas in one pass")
        axis.set_xticks(part.replicas, part.replicas.astype(str), minor=False)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
    axes[0, 0].set_ylabel("ms an epoch and replica")
    return fig


def in_words(rows: pd.DataFrame) -> str:
    """What :func:`times_by_replicas` shows, for its alternative text: milliseconds at both ends of every line."""
    ends = [
        f"on {name}, {way} goes from {' to '.join(number(i.mean) for i in part[way].iloc[[0, -1]])} ms"
        for name, part in rows.groupby("dataset")
        for way in ("ours", "plain")
    ]
    return f"Time an epoch and replica over the replicas in one pass: {'; '.join(ends)}."
