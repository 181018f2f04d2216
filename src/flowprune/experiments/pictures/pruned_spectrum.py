"""Figures of the chapter on what pruning does to the spectrum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from matplotlib.figure import Figure

from flowprune.experiments.theory.noise import walk
from flowprune.experiments.theory.pruned_spectrum import SIGNS, Layer, gap, moduli, rank, state
from flowprune.graphs import Graph
from flowprune.pruning.dynamo import Dynamo, edge_covariance
from flowprune.study.figures import COLOUR, INK, READING

SIGN = dict(zip(READING, zip(("o", "s", "D"), READING.values(), strict=True), strict=True))
ROWS = ("full", "pruned", "recalibrated")


def pruned_layers(graph: Graph, rate: float, seed: int) -> dict[str, Layer]:
    """One step of the rule at this rate on one random attention and state, for each reading of the sign."""
    rng = np.random.default_rng(seed)
    A = walk(graph, rng)
    X, (row, col), layers = state(A, rng), graph.edge_index, {}
    for sign in SIGNS:
        p = torch.zeros_like(A)
        rule = Dynamo(sign=sign, rate=rate)
        p[row, col] = rule.strength(A[row, col], edge_covariance(X, row, col))
        layers[sign] = Layer(A, p, X)
    return layers


def _rows(layer: Layer) -> list[np.ndarray]:
    return [moduli(J).numpy() for J in (layer.A, layer.pruned(False), layer.pruned(True))]


def spectra(layers: Mapping[str, Layer]) -> Figure:
    """|λ_k| of the full, the pruned and the recalibrated layer as ticks, a panel for each reading; γ below each row."""
    fig, axes = plt.subplots(1, len(layers), figsize=(7, 3), sharey=True)
    for axis, (sign, layer) in zip(axes, layers.items(), strict=True):
        for y, values in enumerate(_rows(layer)):
            axis.vlines(values[2:], y - 0.22, y + 0.22, color=COLOUR["GAT"], lw=1)
            axis.vlines(values[:2], y - 0.22, y + 0.22, color=INK, lw=2.5)
            axis.annotate(f"γ = {1 - values[1] / values[0]:.2f}", (0.02, y + 0.4), fontsize=8.5, va="center")
        axis.set(title=f"{sign}, mean p = {layer.strength:.2f}", xlabel="|λ|", xlim=(0, 1.04))
        axis.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
        axis.title.set_fontsize(9.5)
        axis.grid(visible=False, axis="y")
    axes[0].set_yticks(range(3), ROWS)
    axes[0].set_ylim(2.6, -0.4)
    return fig


def spectra_slider(graph: Graph, rates: Sequence[float], seed: int, sign: str) -> go.Figure:
    """:func:`spectra` of one reading with one frame for each rate."""

    def marks(rate: float) -> go.Scatter:
        rows = _rows(pruned_layers(graph, rate, seed)[sign])
        return go.Scatter(
            x=np.concatenate(rows).tolist(),
            y=[name for name, values in zip(ROWS, rows, strict=True) for _ in values],
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 26, "color": COLOUR["GAT"], "line": {"width": 2}},
        )

    fig = go.Figure(data=[marks(rates[0])])
    fig.frames = [go.Frame(data=[marks(rate)], name=f"{rate:g}") for rate in rates]
    fig.update_xaxes(title="|λ|", range=[0, 1.04])
    fig.update_yaxes(autorange="reversed")
    fig.update_layout(height=300)
    return fig


def gaps(survey: pd.DataFrame) -> Figure:
    """The gap after pruning over the gap before, without and with recalibration; above the line it widened."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
    for axis, (again, group) in zip(axes, survey.groupby("recalibrated"), strict=True):
        axis.plot([0, 1], [0, 1], color=INK, lw=1)
        for sign, (mark, colour) in SIGN.items():
            part = group[group.sign == sign]
            axis.plot(part.gap, part.gap_pruned, mark, color=colour, ms=3, alpha=0.7, label=sign)
        axis.set(title="recalibrated" if again else "not recalibrated", xlabel="gap γ before", xlim=(0, 1))
    axes[0].set_ylabel("gap γ_P after")
    axes[0].legend()
    return fig


def counterexamples(cases: Mapping[str, tuple[Layer, bool]]) -> Figure:
    """Small graphs with their pruned edges dashed, and radius, gap and rank before and after.

    cases: title to (layer, recalibrated).
    """
    fig, axes = plt.subplots(1, len(cases), figsize=(7, 2.6))
    for axis, (title, (layer, again)) in zip(axes, cases.items(), strict=True):
        J, n = layer.pruned(again), len(layer.A)
        drawn = nx.Graph((i, j) for i, j in layer.edges.nonzero().tolist())
        place = nx.circular_layout(drawn) if n == 3 else {i: (i, 0.0) for i in range(n)}
        for i, j in drawn.edges:
            (x0, y0), (x1, y1) = place[i], place[j]
            pruned = layer.p[i, j] > 0
            axis.plot([x0, x1], [y0, y1], "--" if pruned else "-", color=INK, lw=1.6, zorder=1)
        axis.scatter(*np.array([place[i] for i in drawn]).T, s=60, color=COLOUR["GAT"], zorder=2)
        axis.set_title(title, fontsize=9.5)
        lines = (
            f"p = {layer.p.max():.3g}{', recalibrated' if again else ''}",
            f"ρ  {moduli(layer.A)[0]:.2f} → {moduli(J)[0]:.2f}",
            f"γ  {gap(layer.A):.2f} → {gap(J):.2f}",
            f"rank  {rank(layer.A @ layer.X)} → {rank(J @ layer.X)}",
        )
        axis.annotate(
            "\n".join(lines), (0.5, -0.02), xycoords="axes fraction", ha="center", va="top", fontsize=9
        )
        axis.margins(0.25)
        axis.axis("off")
    return fig


def floors(table: pd.DataFrame) -> Figure:
    """Median smallest eigenvalue of the covariance of noise in units of σ², the printed and the repaired floor."""
    fig, axis = plt.subplots(figsize=(7, 3))
    x = np.arange(len(table))
    axis.plot(x, 1 - 1 / table.N, "_", color=INK, ms=26, mew=2, label="printed, 1 − 1/N")
    axis.plot(x, table["median"], "o", color=COLOUR["GAT"], label="measured, median")
    axis.plot(x, table.floor, "_", color="#b4546c", ms=26, mew=2, label="repaired floor")
    axis.set_xticks(
        x, [f"N = {row.N}\nd = {row.d}\n‖X‖/σ = {row[2]:g}" for row in table.itertuples(index=False)]
    )
    axis.set(ylabel="λ_min / σ²", ylim=(0, 1.35))
    axis.tick_params(axis="x", labelsize=8.5)
    axis.legend(ncols=3, loc="upper center")
    return fig
