"""Figures of the page on speed."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from flowprune.study.figures import COLOUR, INK
from flowprune.study.stats import Interval


def speedups(pairs: pd.DataFrame, mean: Interval) -> Figure:
    """How many times faster, pair by pair in the order measured, with the geometric mean and its interval as a band.

    ``pairs``: repetition and ratio, of one data set.
    """
    fig, axis = plt.subplots(figsize=(7, 3.4))
    x = np.arange(1, len(pairs) + 1)
    axis.axhspan(mean.lower, mean.upper, color=COLOUR["GRAFF diag"], alpha=0.18, lw=0)
    axis.axhline(mean.mean, color=COLOUR["GRAFF diag"], lw=1.4)
    axis.axhline(1, color=INK, lw=1, ls="--")
    for repetition, mark in zip(pairs.repetition.unique(), itertools.cycle("oDs^v")):
        part = (pairs.repetition == repetition).to_numpy()
        axis.scatter(x[part], pairs.ratio[part], marker=mark, s=26, color=INK, zorder=3)
    axis.annotate(f"mean {mean.mean:.1f}", (x[-1], mean.mean), (10, 3), textcoords="offset points")
    axis.annotate("as fast", (x[-1], 1), (10, 3), textcoords="offset points")
    axis.set_xlim(0.5, x[-1] + 0.18 * len(x) + 0.5)
    axis.set_ylim(0, 1.12 * max(pairs.ratio.max(), mean.upper))
    axis.set(xlabel="pair, in the order measured", ylabel="times faster", xticks=x if len(x) < 12 else x[::5])
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
                (part.replicas.iloc[-1], mean[-1]),
                (-7, 6),
                textcoords="offset points",
                color=colour,
                ha="right",
            )
        axis.set(xscale="log", yscale="log", title=name, xlabel="replicas in one pass")
        axis.set_xticks(part.replicas, part.replicas.astype(str), minor=False)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
    axes[0, 0].set_ylabel("ms an epoch and replica")
    return fig
