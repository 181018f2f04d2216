"""Figures of the chapter that ranks the models."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from flowprune.study.figures import COLOUR, INK
from flowprune.study.stats import Ranking


def critical_difference(ranking: Ranking) -> Figure:
    """Mean ranks on a line, best to the left; a bar joins models that differ by less than the critical difference."""
    names = sorted(ranking.ranks, key=ranking.ranks.__getitem__)
    half = (len(names) + 1) // 2
    groups = ranking.groups()
    fig, axis = plt.subplots(figsize=(7, 1.5 + 0.27 * half + 0.16 * len(groups)))
    low, high = 1, len(names)
    below = 0.45 * (len(groups) + 1)
    for place, name in enumerate(names):
        left, x = place < half, ranking.ranks[name]
        row = place if left else len(names) - 1 - place
        y, end = -below - 0.75 * row, low - 0.3 if left else high + 0.3
        axis.plot([x, x, end], [0, y, y], color=COLOUR[name], lw=1.2)
        text = f"{name}  {x:.1f}" if left else f"{x:.1f}  {name}"
        axis.text(end, y, f"{text} " if left else f" {text}", va="center", ha="right" if left else "left")
    for k, group in enumerate(groups):
        ends = [ranking.ranks[group[0]] - 0.06, ranking.ranks[group[-1]] + 0.06]
        axis.plot(ends, [-0.45 * (k + 0.6)] * 2, color=INK, lw=4, solid_capstyle="round")
    axis.plot([low, high], [0, 0], color=INK, lw=1)
    for tick in range(low, high + 1):
        axis.plot([tick, tick], [0, 0.2], color=INK, lw=1)
        axis.text(tick, 0.35, str(tick), ha="center", va="bottom", fontsize=9)
    axis.plot([low, low + ranking.difference], [1.6, 1.6], color=INK, lw=2)
    axis.text(low + ranking.difference, 1.6, f"  critical difference {ranking.difference:.1f}", va="center")
    axis.set_xlim(low - 3.2, high + 3.2)
    axis.axis("off")
    return fig


def accuracies(summary: pd.DataFrame) -> Figure:
    """Each model's mean above or below the data set's median, one row a data set, with 95 % intervals."""
    names = list(dict.fromkeys(summary.dataset))
    models = list(dict.fromkeys(summary.model))
    fig, axis = plt.subplots(figsize=(7, 1.4 + 0.62 * len(names)))
    for row, name in enumerate(names):
        part = summary[summary.dataset == name]
        centre = part["mean"].median()
        axis.axhspan(-row - 0.45, -row + 0.45, color=INK, alpha=0.04 * (row % 2), lw=0)
        for k, model in enumerate(models):
            r = part[part.model == model].iloc[0]
            y = -row + 0.36 - 0.72 * k / max(1, len(models) - 1)
            x = r["mean"] - centre
            axis.plot([r.low - centre, r.high - centre], [y, y], color=COLOUR[model], lw=1.2)
            axis.plot(
                x,
                y,
                marker=MARKS[k % len(MARKS)],
                color=COLOUR[model],
                ms=4.5,
                label=model if not row else None,
            )
    axis.axvline(0, color=INK, lw=1)
    axis.set_yticks(-np.arange(len(names)), names)
    axis.set_ylim(-len(names) + 0.5, 0.5)
    axis.set_xlabel("test accuracy minus the median over models (points)")
    axis.grid(axis="y", visible=False)
    fig.legend(loc="outside upper center", ncols=5, columnspacing=1.2, handletextpad=0.3)
    return fig


MARKS = "osD^vP*Xp<"


def published_orders(pairs: pd.DataFrame) -> Figure:
    """Measured against published differences of pairs of models; what survives is filled, what is open is hollow."""
    fig, axis = plt.subplots(figsize=(7, 4))
    look = {"survives": ("o", COLOUR["GCN"]), "open": ("s", INK), "reversed": ("X", COLOUR["GRAFF prod"])}
    for verdict, (mark, colour) in look.items():
        part = pairs[pairs.verdict == verdict]
        fill = "none" if verdict == "open" else colour
        axis.scatter(
            part.published, part.measured, marker=mark, s=34, edgecolors=colour, facecolors=fill,
            label=f"{verdict} ({len(part)})",
        )  # fmt: skip
    top = max(pairs.published.max(), pairs.measured.max()) + 2 if len(pairs) else 1
    axis.plot([0, top], [0, top], color=INK, lw=1, ls="--")
    axis.axhline(0, color=INK, lw=1)
    axis.set(xlabel="published difference (points)", ylabel="measured on new splits (points)")
    axis.legend(loc="upper left")
    return fig
