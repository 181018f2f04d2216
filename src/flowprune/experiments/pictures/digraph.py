"""A small directed graph, its nodes on a circle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from flowprune.study.figures import INK, PAPER


def digraph(axis: Axes, nodes: Sequence[str], edges: Mapping[tuple[int, int], Mapping[str, Any]]) -> None:
    """Draw it with node 0 at the top and the others clockwise; an edge and its reverse bend away from each other.

    nodes: the colour of each; edges: by source and target how each arrow is drawn, as matplotlib's ``arrowprops``.
    """
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(nodes)) / len(nodes)
    place = np.stack([np.cos(angle), np.sin(angle)], 1)
    arrow = {"arrowstyle": "-|>", "shrinkA": 12, "shrinkB": 12, "connectionstyle": "arc3,rad=0.12"}
    for (source, target), style in edges.items():
        axis.annotate("", place[target], place[source], arrowprops=arrow | style)
    for v, colour in enumerate(nodes):
        axis.plot(*place[v], "o", ms=19, mfc=colour, mec=INK)
        axis.annotate(str(v), place[v], ha="center", va="center", color=INK if colour == PAPER else "#fafafa")
    axis.set(xlim=(-1.35, 1.35), ylim=(-1.2, 1.3), aspect="equal")
    axis.axis("off")
