"""Figures of the chapter on oscillating networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from matplotlib.figure import Figure
from torch import Tensor

from flowprune.dynamics.spectra import Spectrum, heat_flow
from flowprune.experiments.deep import marks
from flowprune.experiments.theory.waves import Swing, network, solved
from flowprune.graphs import Graph, load
from flowprune.study.figures import COLOUR, INK

STYLES = ("-", "--", "-.", ":")
SHADE = {"oscillate": "GraphCON", "creep": "heat", "alternate": "GRAFF neg-prod"}


def energies_over_time(graph: Graph, swings: Mapping[str, Swing], seed: int, end: float = 30.0) -> Figure:
    """E_Dir(F)/E_Dir(F(0)) and the relative energy of one random signal under W = 1, and under the heat equation."""
    s, times = Spectrum.of(graph), np.linspace(0, end, 241)
    F0 = torch.from_numpy(np.random.default_rng(seed).standard_normal((graph.n, 1)))
    one = torch.ones(1, 1, dtype=torch.float64)
    flows = {"heat": [heat_flow(s, F0, t) for t in times]}
    flows |= {name: [solved(s, one, F0, swing, t) for t in times] for name, swing in swings.items()}
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.3), sharex=True)
    for (name, states), style in zip(flows.items(), STYLES, strict=False):
        energy = np.array([0.5 * (s.λ @ (s.φ.T @ F).square()).item() for F in states])
        size = np.array([F.square().sum().item() for F in states])
        colour = COLOUR["heat" if name == "heat" else "GraphCON"]
        axes[0].semilogy(
            times, np.maximum(energy / energy[0], 1e-16), style, color=colour, lw=1.3, label=name
        )
        axes[1].plot(times, energy / size * 2 / s.ρ, style, color=colour, lw=1.3)
    axes[0].set_title("E_Dir(F) / E_Dir(F(0))")
    axes[1].set_title("E_Dir(F/‖F‖) / (ρ_Δ/2)")
    for axis in axes:
        axis.set_xlabel("time")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(flows))
    return fig


def _roots(μ: Tensor, α: float, γ: float) -> np.ndarray:
    """Both roots of s² + αs + γ − μ of every mode, ``[2n]``."""
    return torch.linalg.eigvals(Swing(α, γ).matrix(μ)).T.flatten().numpy()


def roots(s: Spectrum, w: float, γ: float, dampings: Sequence[float]) -> Figure:
    """The roots of all frequencies in the complex plane, a panel a damping α; the colour is λ."""
    fig, axes = plt.subplots(1, len(dampings), figsize=(7, 2.9), sharex=True, sharey=True)
    for axis, α in zip(axes, dampings, strict=True):
        z = _roots(w * s.ν, α, γ)
        drawn = axis.scatter(z.real, z.imag, c=s.λ.repeat(2), cmap="viridis", s=14)
        axis.axvline(0, color=INK, lw=0.8, ls=":")
        axis.set_title(f"α = {α:g}")
        axis.set_xlabel("growth, Re s")
    axes[0].set_ylabel("frequency in time, Im s")
    fig.colorbar(drawn, ax=axes[-1], label="frequency λ on the graph")
    return fig


def roots_slider(s: Spectrum, w: float, γ: float, dampings: Sequence[float]) -> go.Figure:
    """:func:`roots` with one frame a damping."""
    rim = {"width": 1, "color": "#808080"}  # the darkest points are seen on dark paper, too
    shade = {"color": s.λ.repeat(2).tolist(), "colorscale": "Viridis", "colorbar": {"title": "λ"}}
    size = {"size": 8, "showscale": True, "line": rim, **shade}

    def points(α: float) -> go.Scatter:
        z = _roots(w * s.ν, α, γ)
        return go.Scatter(x=z.real.tolist(), y=z.imag.tolist(), mode="markers", marker=size)

    fig = go.Figure(data=[points(dampings[0])])
    fig.frames = [go.Frame(data=[points(α)], name=f"{α:g}") for α in dampings]
    every = np.concatenate([_roots(w * s.ν, α, γ) for α in dampings])
    for update, part, title in (
        (fig.update_xaxes, every.real, "growth, Re s"),
        (fig.update_yaxes, every.imag, "frequency in time, Im s"),
    ):
        update(title=title, range=[part.min() - 0.1, part.max() + 0.1])
    fig.add_vline(x=0, line_dash="dot")
    return fig


def regions(swings: Mapping[str, Swing]) -> Figure:
    """Where one step of GraphCON oscillates, creeps, alternates or grows, over τ²(γ − μ) and ατ.

    A bar for each of ``swings``: the modes −1 ≤ μ ≤ 1, which W = 1 has.
    """
    y = np.linspace(0, 2, 401)
    p, edge = np.sqrt(np.clip(1 - y, 0, None)), 2 * (2 - y)
    low, high = np.where(y < 1, (1 - p) ** 2, 2 - y), np.where(y < 1, (1 + p) ** 2, 2 - y)
    fig, axis = plt.subplots(figsize=(7, 3.8))
    for name, (a, b) in {"creep": (0 * y, low), "oscillate": (low, high), "alternate": (high, edge)}.items():
        axis.fill_betweenx(y, a, b, color=COLOUR[SHADE[name]], alpha=0.22, lw=0)
    for text, x, at in (
        ("all moduli √(1−ατ):\nno frequency wins", 1.5, 0.22),
        ("larger μ wins", 0.06, 1.55),
        ("smaller μ wins", 1.02, 1.12),
        ("grows", -0.75, 1.7),
        ("grows", 3.0, 1.7),
    ):
        axis.annotate(text, (x, at), fontsize=9.5)
    for (name, swing), at in zip(swings.items(), np.linspace(0.02, -0.02, len(swings)), strict=True):
        x = swing.τ**2 * (swing.γ + np.array([-1.0, 1.0]))
        axis.plot(x, [swing.α * swing.τ + at] * 2, color=INK, lw=2, marker="|")
        axis.annotate(name, (x[1], swing.α * swing.τ + at), (5, 2), textcoords="offset points", fontsize=8.5)
    axis.axvline(0, color=INK, lw=0.8, ls=":")
    axis.set_xlim(-1.1, 4.2)
    axis.set_ylim(-0.06, 2)
    axis.set_xlabel("τ²(γ − μ)")
    axis.set_ylabel("ατ")
    return fig


def one_edge(swings: Mapping[str, Swing], start: tuple[float, float], layers: int) -> Figure:
    """The features of the two ends of one edge, layer by layer, in the library's GraphCON with W = 1 and ReLU."""
    graph = load("path?n=2").to(dtype=torch.float64)
    one, F0 = torch.ones(1, 1, dtype=torch.float64), torch.tensor(start).double().view(2, 1, 1)
    fig, axes = plt.subplots(1, len(swings), figsize=(7, 2.7), sharex=True)
    for axis, (name, swing) in zip(np.atleast_1d(axes), swings.items(), strict=True):
        states = [F0] + [network(one, swing, m)(F0, graph.norm_adjacency) for m in range(1, layers + 1)]
        for node, style in ((0, "-o"), (1, "--s")):
            axis.plot([F[node].item() for F in states], style, ms=3, lw=1.2, color=COLOUR["GraphCON"])
        axis.set_title(name)
        axis.set_xlabel("layer")
    np.atleast_1d(axes)[0].set_ylabel("feature of each node")
    return fig


def layers(trained: pd.DataFrame) -> Figure:
    """Energies by layer in the deepest networks, a row a damping and a column a stiffness.

    Dashed before training, solid after: E_Dir(F)/E_Dir(F(0)) in grey, the relative energy in GraphCON's colour; medians
    with their range.
    """
    deepest = trained[trained.depth == trained.depth.max()]
    αs, γs = sorted(deepest.damping.unique()), sorted(deepest.stiffness.unique())
    m = np.maximum(marks(int(deepest.depth.max())), 0.5)  # layer 0 has no place on a logarithmic axis
    fig, axes = plt.subplots(
        len(αs), len(γs), figsize=(7, 0.8 + 1.9 * len(αs)), sharex=True, sharey=True, squeeze=False
    )
    for (α, γ), group in deepest.groupby(["damping", "stiffness"]):
        axis = axes[αs.index(α), γs.index(γ)]
        for name, colour in (("energy", INK), ("direction", COLOUR["GraphCON"])):
            for column, style in ((f"{name}_at_first", "--"), (name, "-")):
                values = np.array(group[column].tolist())
                values = np.clip(values / (values[:, :1] if name == "energy" else 1), 1e-12, 1e12)
                axis.loglog(m, np.median(values, 0), style, color=colour, lw=1.3)
                axis.fill_between(m, values.min(0), values.max(0), color=colour, alpha=0.1, lw=0)
        axis.set_title(f"α = {α:g}, γ = {γ:g}", fontsize=9.5)
        axis.tick_params(labelsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("layer")
        axis.set_xticks([0.5, *(x for x in m if x in (1, 4, 16, 64))])
        axis.set_xticklabels(["0", *(f"{x:g}" for x in m if x in (1, 4, 16, 64))])
        axis.minorticks_off()
    axes[-1][0].set_ylim(1e-13, 1e13)
    return fig
