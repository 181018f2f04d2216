"""Figures of the chapter on particles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from flowprune.experiments.pictures.sign import CLASSES, MARKS
from flowprune.study.figures import COLOUR, INK

Followed = Mapping[
    str, tuple[list[np.ndarray], pd.DataFrame]
]  # by name of W: positions and measures over time
LINES = (COLOUR["GRAFF neg-prod"], COLOUR["GRAFF prod"])  # with repulsion, without
MEASURES = {"total": "E_tot(F/‖F‖)", "dirichlet": "E_Dir(F/‖F‖)", "accuracy": "accuracy (%)"}


def moving(followed: Followed, label: np.ndarray) -> tuple[go.Figure, Figure]:
    """Particles under each W over time with what is measured below: the interactive figure and its static picture."""
    names = [*followed, *MEASURES.values()]
    layout = [[{"colspan": 3}, None, None] * 2, [{"colspan": 2}, None] * 3]
    fig = make_subplots(2, 6, specs=layout, row_heights=[0.66, 0.34], subplot_titles=names)
    for k, (_, frame) in enumerate(followed.values()):
        for column, measure in zip((1, 3, 5), MEASURES, strict=True):
            line = go.Scatter(x=frame.time, y=frame[measure], mode="lines", line={"color": LINES[k]})
            fig.add_trace(line, 2, column)
    fixed = len(fig.data)
    spots = [(1, 1 + 3 * k) for k in (0, 0, 1, 1)] + [(2, column) for column in (1, 3, 5)]
    for trace, (row, column) in zip(_traces(followed, label, 0), spots, strict=True):
        fig.add_trace(trace, row, column)
    moved = list(range(fixed, len(fig.data)))
    times = next(iter(followed.values()))[1].time
    fig.frames = [
        go.Frame(data=_traces(followed, label, index), traces=moved, name=f"{t:.2f}")
        for index, t in enumerate(times)
    ]
    for title, colour in zip(fig.layout.annotations, LINES, strict=False):
        title.font.color = colour
    fig.update_layout(width=680, height=620, showlegend=False, margin={"t": 40})
    for column in (1, 4):
        fig.update_xaxes(range=[-1.1, 1.1], row=1, col=column)
        fig.update_yaxes(range=[-1.1, 1.1], row=1, col=column)
    return fig, _still(followed, label)


def _traces(followed: Followed, label: np.ndarray, index: int) -> list[go.Scatter]:
    """What moves: for each W the two classes, then one pair of marks in each of the three measures."""
    traces = [
        go.Scatter(
            x=places[index][label == c, 0],
            y=places[index][label == c, 1],
            mode="markers",
            marker={"color": CLASSES[c], "symbol": ("circle", "diamond")[c], "size": 7, "opacity": 0.85},
        )
        for places, _ in followed.values()
        for c in (0, 1)
    ]
    for measure in MEASURES:
        now = [frame.iloc[index] for _, frame in followed.values()]
        marks = {"x": [row.time for row in now], "y": [row[measure] for row in now]}
        traces.append(go.Scatter(**marks, mode="markers", marker={"color": LINES, "size": 9}))
    return traces


def _still(followed: Followed, label: np.ndarray) -> Figure:
    fig = plt.figure(figsize=(7, 7.2))
    grid = fig.add_gridspec(3, 3)
    for row, (name, (places, frame)) in enumerate(followed.items()):
        for column, index in enumerate((0, len(places) // 3, len(places) - 1)):
            axis = fig.add_subplot(grid[row, column])
            for c in (0, 1):
                axis.scatter(
                    *places[index][label == c].T, color=CLASSES[c], marker=MARKS[c], s=12, alpha=0.85
                )
            axis.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[])
            axis.set_title(f"t = {frame.time[index]:.1f}")
            if not column:
                axis.set_ylabel(name, color=LINES[row])
    for column, (measure, title) in enumerate(MEASURES.items()):
        axis = fig.add_subplot(grid[2, column])
        for k, (_, frame) in enumerate(followed.values()):
            axis.plot(frame.time, frame[measure], color=LINES[k], ls=("-", "--")[k])
        axis.set(title=title, xlabel="time t")
    fig.axes[-1].set_ylim(30, 102)
    return fig


def edges_over_time(followed: Followed) -> Figure:
    """Share of single edges that obey over time under each W: attraction (Θ₊) and, where W has it, repulsion (Θ₋)."""
    fig, axis = plt.subplots(figsize=(7, 3))
    for k, (name, (_, frame)) in enumerate(followed.items()):
        for part, style, what in (("shrink", "-", "Θ₊ shrinks"), ("grow", "--", "Θ₋ grows")):
            if frame[part].notna().all():
                axis.plot(frame.time, frame[part], style, color=LINES[k])
                end = (frame.time.iloc[-1], frame[part].iloc[-1])
                axis.annotate(f"{name}: {what}", end, (5, 0), textcoords="offset points", va="center")
    axis.set(xlabel="time t", ylabel="edges that obey (%)", ylim=(0, 104))
    axis.set_xlim(0, 1.55 * frame.time.max())
    axis.set_xticks(np.linspace(0, frame.time.max(), 4).round(2))
    return fig


def pairs(tables: Mapping[str, pd.DataFrame], columns: Sequence[str]) -> Figure:
    """Accuracy of each graph in three columns (with repulsion, start, without), a panel for each kind of graph."""
    fig, (axes,) = plt.subplots(1, len(tables), figsize=(7, 3.4), sharey=True, squeeze=False)
    for axis, (title, table) in zip(axes, tables.items(), strict=True):
        axis.plot(range(3), table[list(columns)].T, color=INK, lw=0.5, alpha=0.25)
        for x, (column, colour) in enumerate(zip(columns, (LINES[0], INK, LINES[1]), strict=True)):
            error = 1.96 * table[column].sem()
            axis.errorbar(x, table[column].mean(), error, fmt="o", color=colour, ms=7, capsize=4, lw=2)
        names = [column.replace(" and ", "\nand ") for column in columns]
        axis.set(title=title, xticks=range(3), xticklabels=names, xlim=(-0.4, 2.4))
    axes[0].set_ylabel("accuracy on the other half (%)")
    return fig
