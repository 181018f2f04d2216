"""Figures of the chapter on the parts and settings of the DYNAMO rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from flowprune.pruning.dynamo import Dynamo
from flowprune.study.figures import COLOUR, INK


def strengths(rules: Mapping[str, Dynamo]) -> Figure:
    """The score of each reading for an edge whose two ends have equal variance, over their correlation."""
    ρ = torch.linspace(-1, 1, 201)
    one = torch.ones_like(ρ)
    fig, axis = plt.subplots(figsize=(7, 3))
    for (name, rule), line in zip(rules.items(), ("-", "--", ":"), strict=False):
        axis.plot(ρ, rule.score((one, one, ρ)), line, color=COLOUR["DYNAMO-GAT"], label=name)
    axis.set_xlabel("correlation of the two ends")
    axis.set_ylabel("score of the edge")
    axis.legend(loc="upper center")
    return fig


def ablation(found: Mapping[str, pd.DataFrame]) -> Figure:
    """What taking out one part does to accuracy, a panel a network: mean difference with its 95 % interval."""
    fig, axes = plt.subplots(1, len(found), figsize=(7, 2.9), sharey=True, squeeze=False)
    for axis, (name, table) in zip(axes[0], found.items(), strict=True):
        places = range(len(table))[::-1]
        clear = table["adj. p"] < 0.05
        axis.hlines(places, table.lower, table.upper, color=COLOUR["DYNAMO-GAT"], lw=1.6)
        faces = [COLOUR["DYNAMO-GAT"] if c else "none" for c in clear]
        axis.scatter(
            table.difference, places, s=30, facecolors=faces, edgecolors=COLOUR["DYNAMO-GAT"], zorder=3
        )
        axis.axvline(0, color=INK, lw=0.8, ls=":")
        axis.set_yticks(list(places), table.change)
        axis.set_title(name)
        axis.set_xlabel("accuracy, points against the full rule")
    return fig


def grids(
    rows: pd.DataFrame, names: tuple[str, str], values: Sequence[str] = ("accuracy", "removed", "mu")
) -> Figure:
    """Means over a grid of two settings, one panel a quantity."""
    told = {"accuracy": "test accuracy, %", "removed": "edges removed, %", "mu": "μ left, %"}
    parts = rows.assign(first=[c[0] for c in rows.cell], second=[c[1] for c in rows.cell])
    fig, axes = plt.subplots(1, len(values), figsize=(7, 2.9), sharey=True, squeeze=False)
    for axis, value in zip(axes[0], values, strict=True):
        grid = parts.pivot_table(index="second", columns="first", values=value, aggfunc="mean")
        shown = grid.to_numpy() * (1 if value == "accuracy" else 100)
        axis.imshow(shown, cmap="cividis", aspect="auto", origin="lower")
        middle = (shown.min() + shown.max()) / 2
        for (i, j), x in np.ndenumerate(shown):
            axis.text(
                j,
                i,
                f"{x:.0f}",
                ha="center",
                va="center",
                fontsize=9,
                color="#fafafa" if x < middle else "#111111",  # the same in both themes
            )
        axis.set_xticks(range(grid.shape[1]), [f"{x:g}" for x in grid.columns])
        axis.set_yticks(range(grid.shape[0]), [f"{x:g}" for x in grid.index])
        axis.set_title(told[value])
        axis.set_xlabel(names[0])
        axis.grid(visible=False)
    axes[0, 0].set_ylabel(names[1])
    return fig
