"""Figures of the chapter on the graph transformer."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from flowprune.experiments.transformer import AT_ONCE, CONTROL, REPORTED, setting
from flowprune.study.figures import COLOUR, INK, READING
from flowprune.study.stats import mean_interval

STYLE = {  # colour and marker
    "minus": (READING["minus"], "o"),
    "plus": (READING["plus"], "^"),
    "correlation": (READING["correlation"], "v"),
    CONTROL: (COLOUR["MLP"], "s"),
    AT_ONCE: (COLOUR["DYNAMO-GAT"], "D"),
}


def masks(labels: Tensor, hops: Tensor, shares: Mapping[str, Tensor]) -> Figure:
    """How far apart the nodes of every pair are, and in a panel for each reading which pairs are gone, dark where more
    blocks lost the pair; nodes sorted by class."""
    fig, axes = plt.subplots(1, 1 + len(shares), figsize=(7, 2.35), sharey=True)
    ends = np.flatnonzero(np.diff(labels.numpy())) + 0.5
    axes[0].imshow(hops.numpy(), cmap="cividis_r", interpolation="nearest")
    for axis, share in zip(axes[1:], shares.values(), strict=True):
        axis.imshow(share.numpy(), cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    for axis, name in zip(axes, ("distance", *shares), strict=True):
        for end in ends:
            axis.axhline(end, color=COLOUR["GRAFF prod"], lw=0.8)
            axis.axvline(end, color=COLOUR["GRAFF prod"], lw=0.8)
        axis.set_title(name)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(visible=False)
    axes[0].set_ylabel("nodes, sorted by class")
    return fig


def gains(found: pd.DataFrame) -> Figure:
    """Gain over the same network unpruned with its 95 % interval, a row a setting; filled where the adjusted p is below
    0.05, and a line at the gain that the source reports for that graph."""
    settings = list(dict.fromkeys(zip(found.graph, found.pairs, strict=True)))
    names = list(dict.fromkeys(found.variant))
    fig, axis = plt.subplots(figsize=(7, 0.9 + 0.7 * len(settings)))
    offsets = np.linspace(0.3, -0.3, len(names))
    for place, (graph, pairs) in enumerate(reversed(settings)):
        part = found[(found.graph == graph) & (found.pairs == pairs)].set_index("variant")
        for name, offset in zip(names, offsets, strict=True):
            (colour, marker), line = STYLE[name], part.loc[name]
            y = place + offset
            axis.hlines(y, line.lower, line.upper, color=colour, lw=1.5)
            face = colour if line["adj. p"] < 0.05 else "white"
            label = name if place == 0 else None
            axis.scatter(
                line.difference,
                y,
                s=30,
                marker=marker,
                facecolors=face,
                edgecolors=colour,
                zorder=3,
                label=label,
            )
        if graph in REPORTED:
            axis.vlines(REPORTED[graph], place - 0.4, place + 0.4, color=INK, lw=1.6, ls="--")
    axis.axvline(0, color=INK, lw=0.8, ls=":")
    axis.set_yticks(range(len(settings)), [setting(*s) for s in reversed(settings)])
    axis.set_xlabel("accuracy, points against the same network without pruning")
    fig.legend(loc="outside lower center", ncols=len(names))
    return fig


def distances(rows: pd.DataFrame) -> Figure:
    """Share of pairs removed by their distance in the graph, of networks over all pairs, with 95 % intervals over
    runs; a panel a graph."""
    pruned = rows[(rows.pairs == "all") & rows.variant.isin(STYLE)]
    graphs = list(dict.fromkeys(pruned.graph))
    fig, axes = plt.subplots(1, len(graphs), figsize=(7, 3.2), sharey=True, squeeze=False)
    for axis, graph in zip(axes[0], graphs, strict=True):
        parts = pruned[pruned.graph == graph].groupby("variant", sort=False)
        for offset, (name, part) in zip(np.linspace(-0.16, 0.16, len(parts)), parts, strict=True):
            means = [mean_interval(x) for x in 100 * np.array(part.removed_by_hop.tolist()).T]
            (colour, marker), x = STYLE[name], np.arange(1, len(means) + 1) + offset
            axis.vlines(x, [i.lower for i in means], [i.upper for i in means], color=colour, lw=0.9)
            y, label = [i.mean for i in means], name if graph == graphs[0] else None
            axis.plot(x, y, marker=marker, color=colour, lw=1.2, ms=4, label=label)
        last = len(means)
        axis.set_xticks(range(1, last + 1), [*map(str, range(1, last)), f"≥{last}"])
        axis.set_title(graph.split("?")[0])
        axis.set_xlabel("distance of the pair")
    axes[0, 0].set_ylabel("pairs removed, %")
    fig.legend(loc="outside lower center", ncols=len(STYLE))
    return fig
