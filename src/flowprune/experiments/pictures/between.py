"""Figures of the chapter on what lies between low and high frequency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter
from torch import Tensor

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import Spectrum, linear_flow
from flowprune.graphs import Graph
from flowprune.study.figures import COLOUR, FAINT, INK, number
from flowprune.study.stats import mean_interval

LOW, MIDDLE, HIGH = "#c08424", "#c9c9c9", "#5478d8"  # thirds of the spectrum
MARKS = ("o", "s", "D", "^", "v", "P", "X", "*", "<", ">", "p", "h")  # a data set each


def courses(graph: Graph, F0: Tensor, values: Sequence[float], time: float) -> tuple[go.Figure, Figure]:
    """The energy of F(t)/‖F(t)‖ under Ḟ = ĀFW, W = diag(1, λ₋), while λ₋ moves: interactive, and a still of all."""
    s, times = Spectrum.of(graph), np.geomspace(0.05, time, 60)
    tie = -1 / (s.ρ - 1)
    lines = {
        λ: [normalised_energy(graph, linear_flow(s, _diag(λ), F0, t)[0]).item() / (s.ρ / 2) for t in times]
        for λ in sorted({*values, tie}, reverse=True)
    }
    frames = [
        go.Frame(
            data=[go.Scatter(x=times, y=line, mode="lines", line={"color": COLOUR["GRAFF sum"], "width": 3})],
            name=f"{λ:.3f}" + (" (tie)" if λ == tie else ""),
            layout={"title": {"text": f"λ₋ = {λ:.3f}, tie at {tie:.3f}: {_words(line[-1])}"}},
        )
        for λ, line in lines.items()
    ]
    fig = go.Figure(frames[0].data, frames=frames)
    fig.update_layout(
        title=frames[0].layout.title,
        xaxis={"title": "time t", "type": "log"},
        yaxis={"title": "energy of F(t)/‖F(t)‖, share of its range", "range": [-0.03, 1.03]},
        width=640,
        height=420,
        margin={"t": 60},
    )
    return fig, _still(times, lines, tie)


def _diag(λ_minus: float) -> Tensor:
    return torch.diag(torch.tensor([1.0, λ_minus], dtype=torch.float64))


def _words(energy: float) -> str:
    return "low frequencies" if energy < 0.05 else "high frequencies" if energy > 0.95 else "neither yet"


def _still(times: np.ndarray, lines: Mapping[float, Sequence[float]], tie: float) -> Figure:
    fig, axis = plt.subplots(figsize=(7, 3.6))
    for λ, line in lines.items():
        width, colour = (3, INK) if λ == tie else (1.2, HIGH if λ < tie else LOW)
        axis.semilogx(times, line, color=colour, lw=width)
    axis.annotate("at the tie", (times[-1], lines[tie][-1]), (6, 0), textcoords="offset points", va="center")
    for y, text, colour in ((1, "λ₋ below the tie", HIGH), (0, "λ₋ above the tie", LOW)):
        axis.annotate(text, (times[-1], y), (6, 0), textcoords="offset points", va="center", color=colour)
    axis.set(
        xlabel="time t",
        ylabel="energy, share of its range",
        xlim=(times[0], 9 * times[-1]),
        ylim=(-0.05, 1.05),
    )
    return fig


def layers(states: pd.DataFrame) -> Figure:
    """State by state: frequency content in thirds (areas), energy (line with band over splits), that of the labels.

    ``states`` as :func:`flowprune.experiments.between.layers` gives, of one variant.
    """
    datasets = list(dict.fromkeys(states.dataset))
    rows = -(-len(datasets) // 4)
    fig, axes = plt.subplots(rows, 4, figsize=(7, 1.95 * rows), sharey=True, squeeze=False)
    for axis, dataset in zip(axes.flat, datasets, strict=False):
        by_time = states[states.dataset == dataset].groupby("t")
        mean = by_time[["energy", "low", "high", "labels"]].mean()
        if mean.low.notna().all():
            parts = (mean.low, 1 - mean.low - mean.high, mean.high)
            axis.stackplot(mean.index, *parts, colors=(LOW, MIDDLE, HIGH), alpha=0.35, lw=0)
        low, high = by_time.energy.quantile(0.1), by_time.energy.quantile(0.9)
        axis.fill_between(mean.index, low, high, color=INK, alpha=0.25, lw=0)
        axis.plot(mean.index, mean.energy, color=INK, marker="o", ms=2.5)
        axis.plot(mean.index, mean.labels, color=INK, ls="--", lw=1)
        axis.set_title(dataset.replace("?", "\n"), fontsize=8.5)
        axis.set(ylim=(0, 1), xlim=(0, mean.index.max()))
        axis.grid(False)
    for axis in axes.flat[len(datasets) :]:
        axis.axis("off")
    fig.supxlabel("time t", fontsize=10.5)
    fig.supylabel("share", fontsize=10.5)
    return fig


def phase_diagram(places: pd.DataFrame) -> Figure:
    """Trained W in the phase diagram, and the rates with Ω: filled marks after training, faint ones as drawn.

    ``places`` as :func:`flowprune.experiments.between.phases` gives, of one variant; means over splits.
    """
    fig, axes = plt.subplots(1, 2, figsize=(7, 4.1))
    means = places.groupby("dataset", sort=False).mean(numeric_only=True)
    pairs = (("attraction", "repulsion"), ("rate_low", "rate_high"))
    labels = (("λ₊", "|λ₋|(ρ_Δ − 1)"), ("largest rate at λ = 0", "largest rate at λ = ρ_Δ"))
    for axis, (x, y), (xlabel, ylabel) in zip(axes, pairs, labels, strict=True):
        axis.loglog()
        for mark, (dataset, row) in zip(MARKS * 2, means.iterrows(), strict=False):
            ends = [row[f"{x}_drawn"], row[x]], [row[f"{y}_drawn"], row[y]]
            axis.plot(*ends, color=FAINT, lw=1, zorder=1)
            axis.plot(ends[0][0], ends[1][0], mark, mfc="none", mec=INK, ms=5, alpha=0.45)
            axis.plot(ends[0][1], ends[1][1], mark, color=COLOUR[dataset], ms=6.5, label=dataset)
        bounds = min(*axis.get_xlim(), *axis.get_ylim()) / 1.2, 1.2 * max(*axis.get_xlim(), *axis.get_ylim())
        axis.plot(bounds, bounds, color=INK, lw=0.9, ls="--")
        axis.set(xlim=bounds, ylim=bounds, xlabel=xlabel, ylabel=ylabel, aspect="equal")
        for side in (axis.xaxis, axis.yaxis):
            side.set(
                major_locator=LogLocator(subs=(1, 2, 5)),
                major_formatter=ScalarFormatter(),
                minor_locator=NullLocator(),
            )
        axis.annotate("high", (0.06, 0.92), xycoords="axes fraction", color=HIGH)
        axis.annotate("low", (0.84, 0.05), xycoords="axes fraction", color=LOW)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8.5)
    return fig


def leaning(rows: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Over homophily: the tilt of W, and the energies at the end beside that of the labels; 95 % bands.

    ``rows`` as :func:`flowprune.experiments.sweep.tidy` gives.
    """
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.7))
    for axis, value, variants in ((axes[0], "tilt", ("sum", "dd")), (axes[1], "end", tuple(names))):
        for variant in variants:
            table = _bands(rows[rows.variant == variant], value)
            axis.plot(table.index, table["mean"], color=COLOUR[names[variant]], marker="o", ms=3)
            axis.fill_between(
                table.index, table.low, table.high, color=COLOUR[names[variant]], alpha=0.2, lw=0
            )
            if axis is axes[0]:
                near = {"textcoords": "offset points", "ha": "right", "color": COLOUR[names[variant]]}
                axis.annotate(names[variant], (table.index[-1], table["mean"].iloc[-1]), (-4, 6), **near)
    axes[0].axhline(0, color=INK, lw=0.9, ls="--")
    axes[0].set(ylabel="tilt of W (above 0: to repulsion)", xlabel="edge homophily (target)")
    labels = rows.groupby("level").labels.mean()
    axes[1].plot(labels.index, labels, color=INK, ls="--", lw=1.2, label="labels")
    axes[1].set(ylabel="energy at the end, share of its range", xlabel="edge homophily (target)", ylim=(0, 1))
    handles = [plt.Line2D([], [], color=COLOUR[names[v]], label=names[v]) for v in names]
    fig.legend(handles=[*handles, axes[1].lines[-1]], loc="outside lower center", ncols=5)
    return fig


def _bands(part: pd.DataFrame, value: str) -> pd.DataFrame:
    found = {level: mean_interval(group[value]) for level, group in part.groupby("level")}
    return pd.DataFrame({h: {"mean": i.mean, "low": i.lower, "high": i.upper} for h, i in found.items()}).T


def in_words(stops: pd.DataFrame) -> str:
    """The energies of :func:`flowprune.experiments.between.stopping` as a sentence, for alternative text."""
    parts = (f"{r['data set']} from {number(r.start)} to {number(r.end)}" for _, r in stops.iterrows())
    return f"Energy from the start to the end of the flow, as a share of its range: {'; '.join(parts)}."
