"""The figures of the chapters; each takes results and returns a figure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from torch import Tensor

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import Spectrum, linear_flow
from flowprune.graphs import Graph
from flowprune.study.figures import COLOUR, INK
from flowprune.study.stats import Interval

CLASSES = ("#c08424", "#5478d8")  # two classes as particles: amber circles, blue diamonds
MARKS = ("o", "D")


def eigenvectors(graph: Graph, which: Sequence[int]) -> Figure:
    """Laplacian eigenvectors φ_ℓ as node colours, from the smoothest to the roughest."""
    s = Spectrum.of(graph)
    drawn = nx.Graph(graph.edge_index.T.tolist())
    drawn.add_nodes_from(range(graph.n))
    place = nx.spring_layout(drawn, seed=1, iterations=200)
    xy = np.array([place[i] for i in range(graph.n)])
    fig, axes = plt.subplots(1, len(which), figsize=(7, 2.7))
    for axis, index in zip(axes, which, strict=True):
        value = s.φ[:, index].numpy()
        value = value * np.sign(value[np.abs(value).argmax()])
        for i, j in drawn.edges:
            axis.plot(*xy[[i, j]].T, color=INK, alpha=0.25, lw=0.7, zorder=1)
        bound = np.abs(value).max()
        axis.scatter(
            *xy.T, c=value, cmap="PuOr", vmin=-bound, vmax=bound, s=46, edgecolors=INK, lw=0.6, zorder=2
        )
        axis.set_title(f"ℓ = {index % graph.n},  λ = {abs(s.λ[index]):.2f}")
        axis.axis("off")
    return fig


def two_energies(graphs: Mapping[str, Graph], time: float, seed: int) -> Figure:
    """E_Dir(F(t)) and E_Dir(F(t)/‖F(t)‖) along Ḟ = ĀF: one may grow while the other vanishes."""
    times = np.linspace(0, time, 80)
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.2), sharex=True)
    for (name, graph), style in zip(graphs.items(), ("-", "--", ":"), strict=False):
        s = Spectrum.of(graph)
        F0 = torch.randn(graph.n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        states = [linear_flow(s, torch.eye(3, dtype=torch.float64), F0, t) for t in times]
        normalised = np.array([normalised_energy(graph, direction).item() for direction, _ in states])
        log_norm = np.array([log_norm for _, log_norm in states])
        for axis, values in zip(axes, (normalised * np.exp(2 * log_norm), normalised), strict=True):
            axis.semilogy(times, np.maximum(values, 1e-16), style, color=INK)
            axis.annotate(
                name, (times[-1], max(values[-1], 1e-16)), (-4, 5), textcoords="offset points", ha="right"
            )
    axes[0].set_title("E_Dir(F(t))")
    axes[1].set_title("E_Dir(F(t) / ‖F(t)‖)")
    for axis in axes:
        axis.set_xlabel("time t")
    return fig


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
    return fig, _three_positions(graph, F0, (values[0], values[len(values) // 2], values[-1]), time)


def _three_positions(graph: Graph, F0: Tensor, values: Sequence[float], time: float) -> Figure:
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
    axis.set(xlabel="edge homophily (target)", ylabel="test accuracy (%)", xticks=sorted(set(summary.level)))
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


def _spread(values: Mapping[str, float], least: float, top: float) -> dict[str, float]:
    """Label heights moved apart so that none lies closer than ``least`` to the next, nor above ``top``."""
    placed: dict[str, float] = {}
    ceiling = top
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        placed[name] = min(value, ceiling)
        ceiling = placed[name] - least
    return placed


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


def speedups(pairs: pd.DataFrame, mean: Interval) -> Figure:
    """How many times faster, pair by pair in the order measured, with the geometric mean and its interval as a band.

    ``pairs``: repetition and ratio, of one data set.
    """
    fig, axis = plt.subplots(figsize=(7, 3.4))
    x = np.arange(1, len(pairs) + 1)
    axis.axhspan(mean.lower, mean.upper, color=COLOUR["GRAFF diag"], alpha=0.18, lw=0)
    axis.axhline(mean.mean, color=COLOUR["GRAFF diag"], lw=1.4)
    axis.axhline(1, color=INK, lw=1, ls="--")
    for repetition, mark in zip(pairs.repetition.unique(), itertools.cycle("oDs^v")):
        part = (pairs.repetition == repetition).to_numpy()
        axis.scatter(x[part], pairs.ratio[part], marker=mark, s=26, color=INK, zorder=3)
    axis.annotate(f"mean {mean.mean:.1f}", (x[-1], mean.mean), (10, 3), textcoords="offset points")
    axis.annotate("as fast", (x[-1], 1), (10, 3), textcoords="offset points")
    axis.set_xlim(0.5, x[-1] + 0.18 * len(x) + 0.5)
    axis.set_ylim(0, 1.12 * max(pairs.ratio.max(), mean.upper))
    axis.set(xlabel="pair, in the order measured", ylabel="times faster", xticks=x if len(x) < 12 else x[::5])
    return fig


def times_by_replicas(rows: pd.DataFrame) -> Figure:
    """Milliseconds an epoch and replica over the replicas in one pass, one panel a data set, with 95 % intervals.

    ``rows``: dataset, replicas, and the intervals ours and plain.
    """
    names = list(dict.fromkeys(rows.dataset))
    fig, axes = plt.subplots(1, len(names), figsize=(7, 3.6), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        part = rows[rows.dataset == name]
        for way, colour, style in (("plain", INK, "s--"), ("ours", COLOUR["GRAFF diag"], "o-")):
            mean, low, high = (
                np.array([getattr(i, end) for i in part[way]]) for end in ("mean", "lower", "upper")
            )
            axis.errorbar(
                part.replicas, mean, yerr=[mean - low, high - mean], fmt=style, color=colour, ms=4.5, lw=1.3
            )
            axis.annotate(
                way,
                (part.replicas.iloc[-1], mean[-1]),
                (-7, 6),
                textcoords="offset points",
                color=colour,
                ha="right",
            )
        axis.set(xscale="log", yscale="log", title=name, xlabel="replicas in one pass")
        axis.set_xticks(part.replicas, part.replicas.astype(str), minor=False)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
    axes[0, 0].set_ylabel("ms an epoch and replica")
    return fig
