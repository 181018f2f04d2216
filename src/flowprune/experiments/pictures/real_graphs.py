"""Figures of the chapter on real graphs."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from flowprune.experiments.nodes import reported
from flowprune.experiments.summaries import has_report
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


def forms(summary: pd.DataFrame) -> Figure:
    """Accuracy of each form of GRAFF, one row a data set, beside the reported means of D and DD.

    ``summary``: dataset, model, mean, low, high, as of :func:`flowprune.experiments.ranking.scores`.
    """
    names, models = list(dict.fromkeys(summary.dataset)), list(dict.fromkeys(summary.model))
    fig, axis = plt.subplots(figsize=(7, 1.4 + 0.55 * len(names)))
    for k, (model, mark) in enumerate(zip(models, "oD^v", strict=False)):
        part = summary[summary.model == model]
        y = [0.3 - 0.2 * k - names.index(d) for d in part.dataset]
        error = [part["mean"] - part.low, part.high - part["mean"]]
        axis.errorbar(part["mean"], y, xerr=error, fmt=mark, color=COLOUR[model], ms=5, lw=1.2, label=model)
        told = [
            (reported(model, d), height)
            for d, height in zip(part.dataset, y, strict=True)
            if has_report(model, d)
        ]
        for (mean, std), height in told:
            axis.plot([mean - std, mean + std], [height - 0.08] * 2, color=INK, lw=0.8)
            axis.plot(mean, height - 0.08, "s", mfc="none", color=INK, ms=5)
    axis.plot([], [], "s", mfc="none", color=INK, label="reported")
    axis.set_yticks([-i for i in range(len(names))], names)
    axis.set_ylim(-len(names) + 0.5, 0.5)
    axis.set_xlabel("test accuracy (%)")
    fig.legend(loc="outside upper center", ncols=3)
    return fig
