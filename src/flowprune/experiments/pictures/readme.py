"""The picture of the README, drawn again by ``make refresh``."""

from __future__ import annotations

import matplotlib as mpl
import torch

from flowprune.experiments.pictures.sign import three_positions
from flowprune.graphs import load
from flowprune.study import project
from flowprune.study.figures import theme


def draw() -> None:
    """Write ``book/_static/particles.svg``: two classes attracted along one channel and repelled along the other."""
    theme()
    graph = load("csbm?n=60&classes=2&degree=6&homophily=0.1&features=2&signal=0.8&seed=5").to(
        dtype=torch.float64
    )
    fig = three_positions(graph, graph.features, (0.0, -1.0, -2.0), time=6.0)
    with mpl.rc_context({"svg.hashsalt": "flowprune"}):
        fig.savefig(
            project.root() / "book" / "_static" / "particles.svg", metadata={"Date": None, "Creator": None}
        )


if __name__ == "__main__":
    draw()
