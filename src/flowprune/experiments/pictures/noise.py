"""Figures of the chapter on what noise reveals about an edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from flowprune.experiments.theory.noise import laplacian, noisy_layers, pair_scores, walk
from flowprune.experiments.theory.pruning_rate import Scene, turning_point
from flowprune.graphs import Graph
from flowprune.study.figures import COLOUR, INK, PAPER, READING

RULE = {  # line and colour of every rule of keeping edges
    "noise-prune": ("o-", "#247884"),
    "by weight": ("s--", "#8a6d00"),
    "evenly": ("D:", "#846060"),
    "removed by noise-prune's score": ("^-.", "#b4546c"),
}
SIGN = dict(zip(READING, zip(("o-", "s--", "D:"), READING.values(), strict=True), strict=True))


def scores_by_layer(graph: Graph, layers: Sequence[int], channels: int, seed: int) -> Figure:
    """Who is joined to whom, and the score of every pair after so many noisy layers of random attention."""
    rng = np.random.default_rng(seed)
    J = walk(graph, rng)
    fig, axes = plt.subplots(1, 1 + len(layers), figsize=(7, 2.2))
    axes[0].imshow(graph.adjacency.to_dense().numpy(), cmap="Greys", vmin=0, vmax=1.4)
    axes[0].set_title("edges")
    for axis, T in zip(axes[1:], layers, strict=True):
        S = pair_scores(noisy_layers(J, T, channels, rng))
        S = (S / S[~torch.eye(graph.n, dtype=torch.bool)].mean()).fill_diagonal_(torch.nan)
        axis.imshow(S.numpy(), cmap="PuOr", vmin=0, vmax=2)
        axis.set_title(f"{T} layer{'s' if T != 1 else ''}" if T else "fresh noise")
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.grid(visible=False)
    return fig


def convergence(rates: pd.DataFrame, z: Sequence[float]) -> Figure:
    """Left the relative error of sampled scores by length; right standardised errors against normal quantiles."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2))
    left.fill_between(rates["T"], rates.low, rates.high, color=COLOUR["GAT"], alpha=0.2, lw=0)
    left.loglog(rates["T"], rates.measured, "o", color=COLOUR["GAT"], label="measured")
    left.loglog(rates["T"], rates.exact, color=INK, lw=1.2, label="exact")
    left.set(xlabel="layers T", ylabel="relative error of a score")
    left.set_xticks(rates["T"][::2], [str(T) for T in rates["T"][::2]])
    left.minorticks_off()
    left.legend()
    z = np.sort(z)
    normal = stats.norm.ppf((np.arange(len(z)) + 0.5) / len(z))
    right.plot(normal, normal, color=INK, lw=1.2)
    right.plot(normal, z, ".", color=COLOUR["GAT"], ms=4)
    right.set(xlabel="normal quantile", ylabel="error in standard errors")
    return fig


def told_apart(found: pd.DataFrame) -> Figure:
    """The chance that an edge has the lower score, by the number of layers: an instance a dot, with the median."""
    layers = [column for column in found.columns if column != "family"]
    fig, axis = plt.subplots(figsize=(7, 3))
    spread = np.random.default_rng(0).uniform(-0.25, 0.25, len(found))
    for x, T in enumerate(layers):
        axis.plot(x + spread, found[T], ".", color=COLOUR["GAT"], ms=4, alpha=0.6)
        axis.hlines(found[T].median(), x - 0.35, x + 0.35, color=INK, lw=2)
    axis.axhline(0.5, color=INK, lw=0.8, ls=":")
    axis.set_xticks(range(len(layers)), [str(T) if T else "fresh noise" for T in layers])
    axis.set(xlabel="layers", ylabel="chance that an edge scores lower")
    return fig


def resistances(graph: Graph) -> Figure:
    """The graph with w_ij R_ij on its edges by width: the probability that a random spanning tree uses the edge."""
    R = pair_scores(torch.linalg.pinv(laplacian(graph), hermitian=True)) * graph.adjacency.to_dense()
    drawn = nx.Graph((i, j) for i, j in graph.edge_index.T.tolist())
    place = nx.spring_layout(drawn, seed=1, iterations=300)
    fig, axis = plt.subplots(figsize=(7, 2.8))
    shown = set()
    for i, j in drawn.edges:
        (x0, y0), (x1, y1), r = place[i], place[j], R[i, j].item()
        axis.plot([x0, x1], [y0, y1], color=COLOUR["GAT"], lw=0.6 + 5 * r, zorder=1)
        if round(r, 2) not in shown:  # each value is written once
            axis.annotate(
                f"{r:.2f}", ((x0 + x1) / 2, (y0 + y1) / 2), ha="center", va="center", fontsize=9,
                bbox={"fc": PAPER, "ec": "none", "pad": 1.5},
            )  # fmt: skip
            shown.add(round(r, 2))
    xy = np.array([place[i] for i in drawn])
    axis.scatter(*xy.T, s=24, color=INK, zorder=2)
    axis.axis("off")
    return fig


def preservation(compared: pd.DataFrame) -> Figure:
    """Error of the slow eigenvalues and angle of their eigenvectors by share kept: medians and quartiles by rule."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.6))
    for axis, column, label in zip(
        axes, ("error", "angle"), ("error of λ'/λ, slow modes", "angle of the slow subspace, °"), strict=True
    ):
        for rule, group in compared.groupby("rule", sort=False):
            by_share = group.groupby("kept")[column]
            style, colour = RULE[rule]
            low, middle, high = (by_share.quantile(q) for q in (0.25, 0.5, 0.75))
            axis.fill_between(middle.index, low, high, color=colour, alpha=0.15, lw=0)
            axis.plot(middle.index, middle, style, color=colour, ms=4, label=rule)
        axis.set(xlabel="share of edges kept", ylabel=label)
    axes[0].set_yscale("log")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return fig


def collapse(
    rates: np.ndarray, one_state: Mapping[float, Sequence[np.ndarray]], draws: Mapping[float, np.ndarray]
) -> Figure:
    """Share removed: left over r₀, one state, measured (dots) and closed form (lines); right over r₀σ², draws.

    one_state: σ to (measured, closed) over ``rates``. draws: σ to measured over ``rates``/σ².
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
    shade = dict(zip(one_state, plt.cm.viridis(np.linspace(0.3, 0.8, len(one_state))), strict=True))
    for σ, (measured, closed) in one_state.items():
        left.semilogx(rates, closed, color=shade[σ], lw=1.2)
        left.semilogx(rates, measured, "o", color=shade[σ], ms=3, label=f"σ = {σ:g}")
    for (σ, measured), mark in zip(draws.items(), cycle("os^Dv<>"), strict=False):
        right.semilogx(rates, measured, mark, mfc="none", color=INK, ms=4, label=f"σ = {σ:g}")
    left.set(xlabel="r₀", ylabel="share of edges removed", title="one state")
    right.set(xlabel="r₀σ²", title="draws")
    left.legend()
    right.legend()
    return fig


def wanted_rates(scene: Scene, found: pd.DataFrame) -> Figure:
    """The r₀ that removes the wanted share over σ, both readings: dots measured, lines derived.

    Columns of ``found``: reading, σ, measured, closed.
    """
    fig, axis = plt.subplots(figsize=(7, 3.4))
    for (reading, group), (style, colour) in zip(
        found.groupby("reading", sort=False), (("o", "#247884"), ("s", "#b4546c")), strict=True
    ):
        axis.loglog(group.σ, group.closed, color=colour, lw=1.2)
        axis.loglog(group.σ, group.measured, style, color=colour, ms=4, label=reading)
    for σ, text in (
        ((scene.signal.mean().item() / 2) ** 0.5, "2σ² = mean score"),
        (turning_point(scene.signal, scene.d), "σ*"),
    ):
        axis.axvline(σ, color=INK, lw=0.8, ls=":")
        _beside(axis, σ, text)
    axis.set(xlabel="noise σ", ylabel="r₀ for the wanted share")
    axis.legend(loc="lower left")
    return fig


def _beside(axis: Axes, x: float, text: str) -> None:
    axis.annotate(
        text, (x, 0.97), (3, 0), xycoords=("data", "axes fraction"), textcoords="offset points", rotation=90,
        va="top", fontsize=9,
    )  # fmt: skip


def best_share(shares: Sequence[float], found: Mapping[tuple[float, str], np.ndarray]) -> Figure:
    """Accuracy by share removed, a panel for each homophily; means over splits with one standard error.

    found: (homophily, sign) to ``[splits, shares]``.
    """
    levels = sorted({level for level, _ in found})
    fig, axes = plt.subplots(1, len(levels), figsize=(7, 3.2), sharey=True, squeeze=False)
    for axis, level in zip(axes[0], levels, strict=True):
        for sign, (style, colour) in SIGN.items():
            values = 100 * found[level, sign]
            error = values.std(0, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0
            axis.errorbar(shares, values.mean(0), error, fmt=style, color=colour, ms=3.5, lw=1.2, label=sign)
        axis.set(title=f"homophily {level:g}", xlabel="share removed")
    axes[0, 0].set_ylabel("test accuracy, %")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig
