"""Figures of the chapter on density and homophily."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowprune.experiments.density import CLASSES
from flowprune.experiments.density_leads import CONTRASTS, READINGS, leads
from flowprune.experiments.theory.neighbourhood import critical, silent
from flowprune.study.figures import COLOUR, INK

STYLE = {  # colour of the model, line and marker
    "MLP": ("MLP", ":x"),
    "GCN": ("GCN", "-o"),
    "GAT": ("GAT", "-s"),
    "DYNAMO (−)": ("DYNAMO-GAT", "-o"),
    "DYNAMO (corr)": ("DYNAMO-GAT", ":v"),
    "residual GAT": ("residual GAT", "--s"),
    "residual DYNAMO (−)": ("DYNAMO-GAT", "-.D"),
}
DENSITY = ("#c08424", "#5478d8", "#7830fc", "#0c7800")  # one a mean degree, the same in every figure
LIGHT, DARK = "#fafafa", "#111111"  # on dark and on light cells, in both themes


def neighbours(table: pd.DataFrame) -> Figure:
    """What the mean over neighbours tells, over homophily: dots on generated graphs, lines by the model."""
    families = list(dict.fromkeys(table.family))
    fig, axes = plt.subplots(
        1, len(families), figsize=(7, 3.2), sharey=True, squeeze=False, constrained_layout=True
    )
    for axis, family in zip(axes[0], families, strict=True):
        for colour, (degree, part) in zip(
            DENSITY, table[table.family == family].groupby("degree"), strict=False
        ):
            axis.plot(part.homophily, 100 * part.predicted, color=colour, label=f"degree {degree:g}")
            axis.plot(part.homophily, 100 * part.measured, "o", ms=4.5, color=colour)
        _critical(axis, CLASSES[family])
        axis.set_title(f"{family}, {CLASSES[family]} classes")
        axis.set_xlabel("homophily")
    axes[0, 0].set_ylabel("right by the neighbours' mean, %")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(DENSITY))
    return fig


def _critical(axis: Axes, classes: int) -> None:
    """A dotted line at h*, and marks on the axis where single patterns of classes fall silent."""
    axis.axvline(critical(classes), color=INK, lw=0.9, ls=":")
    h = silent(classes)
    axis.plot(h[h >= 0], np.zeros((h >= 0).sum()), "|", color=INK, ms=11, clip_on=False)
    axis.set_ylim(0, 102)


def accuracies(rows: pd.DataFrame) -> Figure:
    """Test accuracy over homophily, a row a family, a panel a mean degree; bars from lowest to highest graph."""
    families, degrees = list(dict.fromkeys(rows.family)), sorted(rows.degree.unique())
    fig, axes = plt.subplots(
        len(families),
        len(degrees),
        figsize=(7, 0.9 + 2.5 * len(families)),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for line, family in zip(axes, families, strict=True):
        for axis, degree in zip(line, degrees, strict=True):
            part = rows[(rows.family == family) & (rows.degree == degree)]
            for network, (model, look) in STYLE.items():
                by = part[part.network == network].groupby("homophily").accuracy
                axis.plot(by.mean(), look, color=COLOUR[model], lw=1.3, ms=3.5, label=network)
                axis.vlines(by.mean().index, by.min(), by.max(), color=COLOUR[model], lw=0.8)
            axis.set_title(f"{family}, degree {degree:g}", fontsize=9.5)
        line[0].set_ylabel("test accuracy, %")
    for axis in axes[-1]:
        axis.set_xlabel("homophily")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8.5)
    return fig


def differences(rows: pd.DataFrame, pairs: Sequence[tuple[str, str]] = tuple(CONTRASTS)) -> Figure:
    """Mean leads by homophily and mean degree, a row a family and a panel a pair of networks."""
    pairs = [pair for pair in pairs if pair[1] != "GCN"]
    families = list(dict.fromkeys(rows.family))
    grids = {
        (family, pair): leads(rows[rows.family == family], *pair).pivot_table(
            index="degree", columns="homophily", values="lead"
        )
        for family in families
        for pair in pairs
    }
    most = max(1.0, *(np.abs(g.to_numpy()).max() for g in grids.values()))
    fig, axes = plt.subplots(
        len(families),
        len(pairs),
        figsize=(7, 0.7 + 1.7 * len(families)),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axis, ((family, (a, b)), grid) in zip(axes.flat, grids.items(), strict=True):
        axis.imshow(grid, cmap="PuOr", vmin=-most, vmax=most, aspect="auto", origin="lower")
        for (i, j), x in np.ndenumerate(grid.to_numpy()):
            colour = LIGHT if abs(x) > 0.6 * most else DARK
            axis.text(j, i, f"{round(x):+d}", ha="center", va="center", fontsize=9, color=colour)
        axis.set_xticks(range(grid.shape[1]), [f"{h:g}" for h in grid.columns])
        axis.set_yticks(range(grid.shape[0]), [f"{d:g}" for d in grid.index])
        axis.grid(visible=False)
        if family == families[0]:
            axis.set_title(f"{a}\n− {b}", fontsize=9.5)
        if family == families[-1]:
            axis.set_xlabel("homophily")
    for line, family in zip(axes, families, strict=True):
        line[0].set_ylabel(f"{family}\nmean degree", fontsize=9.5)
    return fig


def signal_left(worth: pd.DataFrame) -> Figure:
    """Signal over noise in the mean over the neighbours that are left, over that before: a dot a network, with what
    removal by chance and the best removal would leave."""
    fig, axes = plt.subplots(1, len(READINGS), figsize=(7, 3), sharey=True, squeeze=False)
    rng = np.random.default_rng(0)
    for axis, reading in zip(axes[0], READINGS, strict=True):
        part = worth[worth.network == reading]
        for look, (family, here) in zip(("-", "--"), part.groupby("family", sort=False), strict=False):
            best = here.groupby("homophily").best.mean()
            axis.plot(best.clip(upper=3), look, color=DENSITY[0], lw=1.2, label=f"best, {family}")
        x = part.homophily + rng.uniform(-0.02, 0.02, len(part))
        axis.plot(x, part.left, ".", color=COLOUR["DYNAMO-GAT"], alpha=0.6, label="removed by the rule")
        axis.plot(part.groupby("homophily").chance.mean(), ":", color=INK, label="removed by chance")
        axis.axhline(1, color=INK, lw=0.7)
        axis.set_title(reading)
        axis.set_xlabel("homophily")
    axes[0, 0].set_ylabel("signal over noise left")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    return fig


def lost_by_degree(degree: np.ndarray, lost: np.ndarray) -> Figure:
    """The share of its edges that a node has lost, over its degree: a dot a node, and means of fifths of them."""
    fig, axis = plt.subplots(figsize=(7, 2.8))
    axis.plot(degree, 100 * lost, ".", color=COLOUR["DYNAMO-GAT"], alpha=0.5, rasterized=len(degree) > 2000)
    for part in np.array_split(np.argsort(degree, kind="stable"), 5):
        ends = degree[part].min(), degree[part].max()
        axis.hlines(100 * lost[part].mean(), *ends, color=INK, lw=2)
    axis.set_xscale("log")
    axis.set_xlabel("neighbours of the node")
    axis.set_ylabel("of its edges removed, %")
    return fig
