"""Figures of the chapter on the sign of W."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from matplotlib.figure import Figure
from torch import Tensor

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import Spectrum, linear_flow
from flowprune.graphs import Graph
from flowprune.study.figures import COLOUR, INK

CLASSES = ("#c08424", "#5478d8")  # two classes as particles: amber circles, blue diamonds
MARKS = ("o", "D")


def pulled(graph: Graph, F0: Tensor, λ_minus: float, time: float) -> tuple[np.ndarray, float]:
    """Positions at time t in the plane under Ḟ = ĀFW, W = diag(1, λ₋), scaled to unit size, and E_Dir(F/‖F‖)."""
    W = torch.diag(torch.tensor([1.0, λ_minus], dtype=torch.float64))
    F, _ = linear_flow(Spectrum.of(graph), W, F0, time)
    return (F / F.abs().max()).numpy(), normalised_energy(graph, F).item()


def attraction(graph: Graph, F0: Tensor, values: Sequence[float], time: float) -> tuple[go.Figure, Figure]:
    """Two classes as particles while λ₋ moves: the interactive figure, and its static picture of three positions."""
    label = graph.labels.numpy()
    frames = []
    for λ in values:
        xy, energy = pulled(graph, F0, λ, time)
        dots = [
            go.Scatter(
                x=xy[label == c, 0],
                y=xy[label == c, 1],
                mode="markers",
                name=f"class {c + 1}",
                marker={"color": CLASSES[c], "symbol": ("circle", "diamond")[c], "size": 10, "opacity": 0.85},
            )
            for c in (0, 1)
        ]
        title = f"λ₋ = {λ:.2f}: normalised energy {energy:.2f} of at most {graph.rho / 2:.2f}"
        frames.append(go.Frame(data=dots, name=f"{λ:.2f}", layout={"title": {"text": title}}))
    axis = {"range": [-1.1, 1.1], "zeroline": True}
    fig = go.Figure(frames[0].data, frames=frames)
    fig.update_layout(
        title=frames[0].layout.title,
        xaxis=axis | {"title": "attracted channel (λ₊ = 1)"},
        yaxis=axis | {"title": "repelled channel (λ₋)"},
        width=640,
        height=480,
        margin={"t": 60},
    )
    return fig, three_positions(graph, F0, (values[0], values[len(values) // 2], values[-1]), time)


def three_positions(graph: Graph, F0: Tensor, values: Sequence[float], time: float) -> Figure:
    """The particles at ``time`` for three values of λ₋ side by side."""
    label = graph.labels.numpy()
    fig, axes = plt.subplots(1, 3, figsize=(7, 2.9), sharex=True, sharey=True)
    for axis, λ in zip(axes, values, strict=True):
        xy, energy = pulled(graph, F0, λ, time)
        for c in (0, 1):
            axis.scatter(*xy[label == c].T, color=CLASSES[c], marker=MARKS[c], s=22, alpha=0.85)
        axis.set(title=f"λ₋ = {λ:.2f}, energy {energy:.2f}", xlim=(-1.15, 1.15), ylim=(-1.15, 1.15))
    axes[0].set_ylabel("repelled channel")
    axes[1].set_xlabel("attracted channel")
    return fig


def homophily_curves(summary: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Mean accuracy with its 95 % interval over homophily; ``summary``: variant, level, mean, low, high (points)."""
    fig, axis = plt.subplots(figsize=(7, 4.4))
    ends = {}
    for variant, part in summary.groupby("variant", sort=False):
        name = names[variant]
        axis.plot(part.level, part["mean"], marker="o", ms=3.5, color=COLOUR[name])
        axis.fill_between(part.level, part.low, part.high, color=COLOUR[name], alpha=0.18, lw=0)
        ends[name] = part["mean"].iloc[-1]
    axis.set(
        xlabel="edge homophily (target)",
        ylabel="test accuracy (%)",
        xticks=sorted(set(summary.level.round(1))),
    )
    axis.set_xlim(summary.level.min() - 0.02, summary.level.max() + 0.26)
    bottom, top = axis.get_ylim()
    for name, y in _spread(ends, 0.055 * (top - bottom), top).items():
        axis.annotate(
            name,
            (summary.level.max(), y),
            (8, 0),
            textcoords="offset points",
            color=COLOUR[name],
            va="center",
        )
    return fig


def moves(summary: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Edge homophily of the labels decoded before and after the evolution, an arrow a level, beside the true one.

    ``summary``: variant, level and the means of before, after and true.
    """
    variants = [v for v in names if v in set(summary.variant)]
    rows = -(-len(variants) // 3)
    fig, axes = plt.subplots(rows, 3, figsize=(7, 2.6 * rows), sharex=True, sharey=True, squeeze=False)
    for axis, variant in zip(axes.flat, variants, strict=False):
        part, colour = summary[summary.variant == variant], COLOUR[names[variant]]
        axis.plot(part.true, part.true, color=INK, lw=0.9, ls="--", zorder=1)
        for _, point in part.iterrows():
            if abs(point.after - point.before) > 0.01:
                ends = {"xytext": (point.true, point.before), "xy": (point.true, point.after)}
                axis.annotate("", **ends, arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkB": 0})
        axis.plot(part.true, part.before, "o", ms=4, mfc="white", mec=colour, zorder=3)
        axis.set_title(names[variant], color=colour)
    for axis in axes.flat[len(variants) :]:
        axis.axis("off")
    axes[0, 0].annotate("true", (1, 1), (-30, -4), textcoords="offset points", color=INK)
    fig.supxlabel("true edge homophily", fontsize=10.5)
    fig.supylabel("of the predictions", fontsize=10.5)
    return fig


def _spread(values: Mapping[str, float], least: float, top: float) -> dict[str, float]:
    """Label heights moved apart so that none lies closer than ``least`` to the next, nor above ``top``."""
    placed: dict[str, float] = {}
    ceiling = top
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        placed[name] = min(value, ceiling)
        ceiling = placed[name] - least
    return placed
