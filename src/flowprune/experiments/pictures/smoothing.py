"""Figures of the chapter on what always smooths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from matplotlib.figure import Figure
from torch import Tensor

from flowprune.dynamics.spectra import Spectrum
from flowprune.experiments.theory.never_high import attention, constant_vector, core_and_rim, log_gain
from flowprune.experiments.theory.smoothing import harmonic_limit
from flowprune.graphs import Graph, load
from flowprune.study.figures import COLOUR, INK


def late_states(graph: Graph, seed: int) -> dict[str, Tensor]:
    """One random signal ``[n, 1]`` and what four flows make of it in the end."""
    rng, s = np.random.default_rng(seed), Spectrum.of(graph)
    F0 = torch.from_numpy(rng.standard_normal((graph.n, 1)))
    c, λ = s.φ.T @ F0, s.λ.unsqueeze(1)
    walk = attention(graph, F0.expand(2, -1, 1), rng)[1] - torch.eye(graph.n, dtype=torch.float64)
    return {
        "start": F0,
        "harmonic": harmonic_limit(graph, torch.ones(1, 1, dtype=torch.float64), F0),
        "GRAND": torch.linalg.matrix_exp(1e3 * walk) @ F0,
        "CGNN, Ω̃ = −½": s.φ @ (log_gain(-0.5 - λ, 1e3).exp() * c),
        "long step": s.φ @ ((1 - 2.5 / s.ρ * λ) ** 40 * c),
    }


def states(graph: Graph, signals: Mapping[str, Tensor]) -> Figure:
    """Signals ``[n, 1]`` as node colours, each on its own scale, with its relative energy E_Dir(F/‖F‖)/(ρ_Δ/2)."""
    drawn = nx.Graph((i, j) for i, j in graph.edge_index.T.tolist() if i != j)
    place = nx.spring_layout(drawn, seed=1, iterations=200)
    xy = np.array([place[i] for i in range(graph.n)])
    fig, axes = plt.subplots(1, len(signals), figsize=(7, 2.1))
    for axis, (name, signal) in zip(axes, signals.items(), strict=True):
        x = signal.flatten() / signal.norm() * signal.sum().sign()
        energy = abs((x @ (graph.laplacian @ x)).item()) / graph.rho
        for i, j in drawn.edges:
            axis.plot(*xy[[i, j]].T, color=INK, alpha=0.2, lw=0.5, zorder=1)
        bound = x.abs().max().item()
        axis.scatter(*xy.T, c=x, cmap="PuOr", vmin=-bound, vmax=bound, s=30, edgecolors=INK, lw=0.5, zorder=2)
        axis.set_title(f"{name}\n{energy:.2f}", fontsize=9.5)
        axis.axis("off")
    return fig


def step_gain(s: Spectrum, reaches: Sequence[float]) -> Figure:
    """What one Euler step of the harmonic flow multiplies each frequency by, for several τρ_Δ‖W‖²."""
    fig, axes = plt.subplots(1, len(reaches), figsize=(7, 2.9), sharey=True)
    for axis, reach in zip(axes, reaches, strict=True):
        gain = (1 - reach / s.ρ * s.λ).abs()
        axis.axhline(1, color=INK, lw=0.8, ls=":")
        axis.vlines(s.λ, 0, gain, color=COLOUR["heat"], lw=1.2)
        axis.plot(s.λ, gain, "o", ms=4, color=COLOUR["heat"])
        axis.set_title(f"τρ_Δ‖W‖² = {reach:g}")
        axis.set_xlabel("frequency λ")
    axes[0].set_ylabel("factor |1 − τλ‖W‖²|")
    return fig


def step_gain_slider(s: Spectrum, reaches: Sequence[float]) -> go.Figure:
    """:func:`step_gain` with one frame a value of τρ_Δ‖W‖²."""

    def bars(reach: float) -> go.Bar:
        gain = (1 - reach / s.ρ * s.λ).abs()
        return go.Bar(x=s.λ.tolist(), y=gain.tolist(), width=0.02, marker_color=COLOUR["heat"])

    fig = go.Figure(data=[bars(reaches[0])])
    fig.frames = [go.Frame(data=[bars(reach)], name=f"{reach:g}") for reach in reaches]
    top = max(1.0, max(reaches) - 1) * 1.05
    fig.update_yaxes(title="factor |1 − τλ‖W‖²|", range=[0, top])
    fig.update_xaxes(title="frequency λ")
    fig.add_hline(y=1, line_dash="dot")
    fig.update_layout(barmode="overlay")  # else the bars of an eigenvalue that repeats stand on each other
    return fig


def relative_energies(found: pd.DataFrame) -> Figure:
    """Sorted relative energies in the end of all covered instances of each model; 1 would be HFD."""
    fig, axis = plt.subplots(figsize=(7, 3.2))
    for (model, group), style in zip(found.groupby("model", sort=False), ("-", "--", ":"), strict=True):
        values = np.sort(group.relative.to_numpy())
        share = 100 * (np.arange(len(values)) + 1) / len(values)
        axis.plot(
            share, np.maximum(values, 1e-16), style, color=COLOUR[model.removeprefix("linear ")], label=model
        )
    axis.axhline(1, color=INK, lw=0.8, ls=":")
    axis.set_yscale("log")
    axis.set_xlabel("instances, % (sorted)")
    axis.set_ylabel("relative energy in the end")
    axis.legend(loc="lower right")
    return fig


def constant_vectors(stars: Sequence[int], cores: Sequence[int]) -> Figure:
    """The relative energy of the constant vector, GRAND's limit, on stars and on heavy cores with a light rim."""
    star = [load(f"star?n={n}").to(dtype=torch.float64) for n in stars]
    families = {"star": (star, "o-"), "core and rim": ([core_and_rim(core) for core in cores], "s--")}
    fig, axis = plt.subplots(figsize=(7, 3.2))
    for name, (graphs, style) in families.items():
        values = [constant_vector(graph)[0] for graph in graphs]
        axis.semilogx([graph.n for graph in graphs], values, style, color=INK, ms=4)
        axis.annotate(name, (graphs[-1].n, values[-1]), (-6, 8), textcoords="offset points", ha="right")
    for level, text in ((0.5, "limit of stars"), (1.0, "HFD")):
        axis.axhline(level, color=INK, lw=0.8, ls=":")
        axis.annotate(text, (axis.get_xlim()[0], level), (4, 3), textcoords="offset points")
    axis.set_ylim(0, 1.1)
    axis.set_xlabel("nodes n")
    axis.set_ylabel("relative energy")
    return fig


def layers(trained: pd.DataFrame) -> Figure:
    """E_Dir(F) and E_Dir(F/‖F‖)/(ρ_Δ/2) by layer for each depth, before (dashed) and after training (solid)."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharex=True)
    names = dict(zip(("energy", "direction"), axes, strict=True))
    for depth, group in trained.groupby("depth"):
        for name, axis in names.items():
            for column, style in ((f"{name}_at_first", "--"), (name, "-")):
                values = np.maximum(np.array(group[column].tolist()), 1e-16)
                axis.semilogy(range(depth + 1), np.median(values, 0), style, color=COLOUR["GCN"], lw=1.4)
                axis.fill_between(
                    range(depth + 1), values.min(0), values.max(0), color=COLOUR["GCN"], alpha=0.12, lw=0
                )
            axis.annotate(str(depth), (depth, np.median(values, 0)[-1]), (4, -3), textcoords="offset points")
    axes[0].set_title("E_Dir(F)")
    axes[1].set_title("E_Dir(F/‖F‖) / (ρ_Δ/2)")
    for axis in axes:
        axis.set_xlabel("layer")
    return fig
