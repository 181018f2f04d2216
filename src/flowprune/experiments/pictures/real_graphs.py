"""Figures of the chapter on real graphs."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from flowprune.study.figures import COLOUR, INK


def against_reported(rows: pd.DataFrame) -> Figure:
    """Measured means with intervals beside reported means with one standard deviation, one row a data set.

    ``rows``: dataset, what, mean, low, high; ``what`` is a model's name or "reported".
    """
    fig, axis = plt.subplots(figsize=(7, 1.5 + 0.7 * rows.dataset.nunique()))
    kinds = list(dict.fromkeys(rows.what))
    marks = dict(zip((k for k in kinds if k != "reported"), "oD^v", strict=False)) | {"reported": "s"}
    places = {name: -i for i, name in enumerate(dict.fromkeys(rows.dataset))}
    for k, kind in enumerate(kinds):
        part = rows[rows.what == kind]
        y = part.dataset.map(places) + 0.28 - 0.56 * k / max(1, len(kinds) - 1)
        colour = INK if kind == "reported" else COLOUR[kind]
        error = [part["mean"] - part.low, part.high - part["mean"]]
        fill = "none" if kind == "reported" else colour
        axis.errorbar(
            part["mean"], y, xerr=error, fmt=marks[kind], color=colour, mfc=fill, ms=5, lw=1.3, label=kind
        )
    axis.set_yticks(list(places.values()), list(places))
    axis.set_ylim(min(places.values()) - 0.5, 0.5)
    axis.set_xlabel("test accuracy (%)")
    fig.legend(loc="outside upper center", ncols=len(kinds))
    return fig
