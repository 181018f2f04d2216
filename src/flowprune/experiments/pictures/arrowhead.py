"""Figures of the chapter on the spectra of asynchronous networks' nodes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from flowprune.argnn import kernels
from flowprune.experiments.theory import nameable
from flowprune.experiments.theory.arrowhead import INPUTS, full, masses
from flowprune.study.figures import COLOUR, FAINT, INK

MODES = {"D": COLOUR["GCN"], "DW": COLOUR["GRAFF prod"]}
SAID = {"D": "mode D", "DW": "mode D_W"}
PLUS, MINUS = COLOUR["GRAFF prod"], COLOUR["GCN"]
REACH = np.linspace(-4, 12, 641)  # of λ, in figures of the secular equation
HEIGHT = 14.0


def pair(L: ndarray, c: int) -> Figure:
    """LAPACK's eigenvalues of one star with their places, and beside it the masses of the pair's two eigenvectors."""
    values, fig = np.linalg.eigvals(L), plt.figure(figsize=(7, 3.1))
    plane, bars = fig.subplots(1, 2)
    colour = np.where(values.imag > 0, PLUS, np.where(values.imag < 0, MINUS, INK))
    plane.scatter(values.real, values.imag, c=colour, s=36, zorder=3)
    near = 0.1 * np.ptp(values.real)
    for k, λ in enumerate(values):
        below = (abs(values[:k] - λ) < near).any()  # the second of two neighbours
        spot = (6, -13) if below else (6, 5)
        plane.annotate(f"{k}", (λ.real, λ.imag), spot, textcoords="offset points", fontsize=9.5)
    plane.axhline(0, color=INK, lw=0.8, ls=":")
    plane.set(xlabel="Re λ", ylabel="Im λ", title="eigenvalues, with their places in the list")
    plane.margins(0.2)
    for mass, shift, tint, sign in zip(masses(L), (-0.2, 0.2), (PLUS, MINUS), ("+", "−"), strict=True):
        bars.bar(np.arange(len(L)) + shift, mass, 0.36, color=tint, label=f"eigenvector of {sign}a")
    names = [f"{i}" if i != c else f"{i}\nvisited" for i in range(len(L))]
    bars.set_xticks(range(len(L)), names)
    bars.set(xlabel="node", title="mass |x_i|² of the pair's eigenvectors")
    bars.set_ylim(0, 1.35 * max(mass))
    bars.legend(loc="upper right")
    return fig


def _curve(d: Sequence[float], b: Sequence[float], d_c: float) -> ndarray:
    """λ − d_c − Σ b_i/(λ − d_i) over ``REACH``, cut off where it leaves the picture, so that poles stay open."""
    away = REACH[:, None] - np.array(d)
    value = REACH - d_c - (np.array(b) / np.where(away == 0, np.nan, away)).sum(1)
    return np.where(np.abs(value) <= HEIGHT, value, np.nan)


def _eigenvalues(d: Sequence[float], b: Sequence[float], d_c: float) -> ndarray:
    """Of the arrowhead with this diagonal and feedback, centre first."""
    L = np.diag([d_c, *d]).astype(float)
    L[0, 1:], L[1:, 0] = 1, b
    return np.linalg.eigvals(L)


def _heading(values: ndarray) -> str:
    top = values.imag.max()
    return f"a pair: {values[values.imag.argmax()].real:.2f} ± {top:.2f}i" if top else "all real"


def secular(d: Sequence[float], b: Sequence[float], d_c: float, scales: Sequence[float]) -> Figure:
    """The secular function for feedback b times each scale, with its poles and its real zeros."""
    fig, axes = plt.subplots(1, len(scales), figsize=(7, 2.9), sharey=True)
    for axis, scale in zip(axes, scales, strict=True):
        values = _eigenvalues(d, np.multiply(b, scale), d_c)
        axis.plot(REACH, _curve(d, np.multiply(b, scale), d_c), color=INK, lw=1.4)
        for pole in d:
            axis.axvline(pole, color=FAINT, lw=1, ls="--")
        axis.axhline(0, color=INK, lw=0.8, ls=":")
        real = values[values.imag == 0].real
        axis.plot(real, 0 * real, "o", color=MODES["DW"], ms=6)
        axis.set_title(f"factor {scale:g}\n{_heading(values)}", fontsize=10)
        axis.set_xlabel("λ")
    return fig


def secular_slider(d: Sequence[float], b: Sequence[float], d_c: float, scales: Sequence[float]) -> go.Figure:
    """:func:`secular` with one frame a scale."""

    def drawn(scale: float) -> list[go.Scatter]:
        values = _eigenvalues(d, np.multiply(b, scale), d_c)
        real = values[values.imag == 0].real.tolist()
        curve = [None if np.isnan(y) else float(y) for y in _curve(d, np.multiply(b, scale), d_c)]
        return [
            go.Scatter(
                x=REACH.tolist(), y=curve, mode="lines", name="secular function", line={"color": "#888"}
            ),
            go.Scatter(
                x=real, y=[0] * len(real), mode="markers", name="real eigenvalues", marker={"size": 10}
            ),
        ]

    fig = go.Figure(data=drawn(scales[0]))
    fig.frames = [go.Frame(data=drawn(scale), name=f"{scale:g}") for scale in scales]
    fig.update_xaxes(title="λ", range=[REACH[0], REACH[-1]])
    fig.update_yaxes(title="secular function", range=[-HEIGHT, HEIGHT])
    fig.update_layout(showlegend=False)
    return fig


def _edges(axis: Axes, share: ndarray, top: float, title: str) -> None:
    """A matrix of edges, source by row and target by column; pairs that are no edges stay blank."""
    n = len(share)
    shown = np.where(full(n - INPUTS - 1), share, np.nan)
    image = axis.imshow(shown, cmap="viridis_r", vmin=0, vmax=top)
    axis.set_xticks(range(n))
    axis.set_yticks(range(n))
    axis.grid(visible=False)
    axis.set(xlabel="to node", ylabel="from node", title=title)
    axis.figure.colorbar(image, ax=axis, shrink=0.75)


def names(hidden: int, L: ndarray) -> Figure:
    """Which edges can be named at all; and how often each is, over all numberings, by one and the same matrix."""
    can = np.zeros((len(L), len(L)))
    for edge in nameable.edges(hidden):
        can[edge] = 1
    often = nameable.by_numbering(L, hidden)
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.3))
    _edges(axes[0], can, 1, f"can be named: {len(nameable.edges(hidden))} of {full(hidden).sum()}")
    _edges(axes[1], often, often.max(), "one node, every numbering:\nshare that names the edge")
    return fig


def counts(predicted: pd.DataFrame, measured: pd.DataFrame) -> Figure:
    """Edges removed over h, in number and in percent: the ceiling by counting, both modes with standard deviation."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.3))
    share = measured.assign(percent=100 * measured.removed / measured.edges)
    for axis, ceiling, column in ((axes[0], "most", "removed"), (axes[1], "share", "percent")):
        axis.plot(predicted.h, predicted[ceiling], "--", color=INK, lw=1.2, label="most that can be named")
        for (mode, group), shift in zip(share.groupby("mode"), (-0.06, 0.06), strict=True):
            by = group.groupby("h")[column].agg(["mean", "std"]).fillna(0)
            axis.errorbar(
                by.index + shift, by["mean"], by["std"], color=MODES[mode], marker="o", ms=4, label=SAID[mode]
            )
        axis.set_xlabel("hidden nodes h")
    axes[0].set_title("edges removed")
    axes[1].set_title("percent of all edges")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


def strengths(measured: pd.DataFrame) -> Figure:
    """|Im λ|/‖L‖ of every removal on a logarithmic axis, over h and by mode."""
    fig, axis = plt.subplots(figsize=(7, 3.1))
    for (mode, group), shift in zip(measured.groupby("mode"), (-0.14, 0.14), strict=True):
        points = group[["h", "strengths"]].explode("strengths").dropna()
        jitter = np.linspace(-0.08, 0.08, len(points))
        axis.plot(
            points.h + shift + jitter,
            points.strengths.astype(float),
            ".",
            color=MODES[mode],
            ms=5,
            label=SAID[mode],
        )
    axis.set_yscale("log")
    axis.axhline(np.finfo(float).eps, color=INK, lw=0.8, ls=":")
    axis.annotate(
        "rounding of one operation",
        (0.02, np.finfo(float).eps),
        (0, 4),
        textcoords="offset points",
        fontsize=9,
    )
    axis.set(xlabel="hidden nodes h", ylabel="|Im λ| / ‖L‖ at the removal", xlim=(0, None))
    axis.legend(loc="center left")
    return fig


def local_step(learning: pd.DataFrame) -> Figure:
    """The output's error with and without the slope of the sigmoid; and how updates point along the true gradient."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.1))
    z = np.linspace(-8, 8, 161)
    v = 1 / (1 + np.exp(-z))
    axes[0].plot(z, kernels.RATE * (1 - v), color=MODES["DW"], label="as published")
    axes[0].plot(
        z, kernels.RATE * (1 - v) * v * (1 - v), "--", color=MODES["D"], label="of the squared error"
    )
    axes[0].set(xlabel="what the output hears, z", title="length of the step for y = 1")
    axes[0].legend(loc="upper right")
    for (h, group), style in zip(learning.groupby("h"), ("-o", "--s", "-.^"), strict=False):
        by = group.groupby("update").cosine.quantile([0.25, 0.5, 0.75]).unstack()
        axes[1].plot(by.index, by[0.5], style, ms=4, lw=1.3, color=INK, label=f"h = {h}")
        axes[1].fill_between(by.index, by[0.25], by[0.75], color=INK, alpha=0.1, lw=0)
    axes[1].set(xlabel="update of one input", title="cosine with the gradient at rest", ylim=(None, 1.02))
    axes[1].legend(loc="lower right")
    return fig
