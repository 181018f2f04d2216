"""Figures of the chapter on the benchmarks."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from flowprune.study.figures import COLOUR, INK


def contrasts(rows: pd.DataFrame, inside: str, outside: str) -> Figure:
    """Accuracy inside and outside a subset of nodes, a line a data set and model from one to the other.

    ``rows``: data set, model, inside, outside, low, high (interval of the difference), in points.
    """
    fig, axis = plt.subplots(figsize=(7, 1.7 + 0.42 * len(rows)))
    names = []
    for k, (_, r) in enumerate(rows.iterrows()):
        colour = COLOUR["MLP"] if r.model == "MLP" else COLOUR["GRAFF diag"]
        axis.plot([r.outside, r.inside], [-k, -k], color=colour, lw=1.6)
        axis.errorbar(
            r.inside,
            -k,
            xerr=[[r.difference - r.low], [r.high - r.difference]],
            fmt="o",
            color=colour,
            ms=6,
            capsize=3,
        )
        axis.plot(r.outside, -k, "s", mfc="none", color=colour, ms=6)
        names.append(f"{r['data set']}, {r.model}")
    axis.plot([], [], "o", color=INK, label=inside)
    axis.plot([], [], "s", mfc="none", color=INK, label=outside)
    axis.set_yticks([-k for k in range(len(rows))], names)
    axis.set_ylim(-len(rows) + 0.4, 0.6)
    axis.set_xlabel("accuracy (%)")
    fig.legend(loc="outside upper center", ncols=2)
    return fig
