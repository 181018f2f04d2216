"""Figures of the chapter on energies."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from flowprune.dynamics.energy import (
    attraction_repulsion,
    edge_norms,
    energy_field,
    largest_step,
    total_energy,
)
from flowprune.dynamics.spectra import Spectrum
from flowprune.experiments.pictures.sign import CLASSES
from flowprune.experiments.theory.energies import stiffest, trajectory
from flowprune.graphs import Graph
from flowprune.study.figures import INK


def turning(graph: Graph, b: float, time: float, seed: int) -> Figure:
    """Normalised features in the plane under W = I and under W with eigenvalues 1 ± ib, and E_tot(F/‖F‖) along both."""
    still = torch.eye(2, dtype=torch.float64)
    turned = still + b * torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    F0 = torch.randn(graph.n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    times, zero = np.linspace(0, time, 300), torch.zeros_like(still)
    fig, axes = plt.subplots(1, 3, figsize=(7, 2.9))
    for axis, W, title in zip(axes, (still, turned), ("W = I", f"W with 1 ± {b:g}i"), strict=False):
        states = [F / F.norm() for F in trajectory(graph, W, zero, F0, times)]
        _paths(axis, torch.stack(states).numpy(), title)
        energies = [total_energy(graph, G, W, zero).item() for G in states]
        style = {"lw": 5, "alpha": 0.35} if W is still else {"ls": "--", "lw": 1.6}
        axes[2].plot(times, energies, color=INK, label=title, **style)
    axes[0].set_ylabel("channel 2")
    axes[2].legend(loc="upper right", handlelength=1)
    axes[2].set(title="E_tot(F/‖F‖)", xlabel="time t")
    return fig


def _paths(axis: Axes, states: np.ndarray, title: str) -> None:
    for node in range(states.shape[1]):
        x, y = states[:, node].T
        axis.plot(x, y, color=CLASSES[1], lw=0.9, alpha=0.8)
        axis.plot(x[0], y[0], "o", color=INK, ms=3.5, mfc="none")
        axis.plot(x[-1], y[-1], "o", color=CLASSES[0], ms=6)
    axis.set(title=title, xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xlabel="channel 1", xticks=[-1, 0, 1])
    axis.set(yticks=[-1, 0, 1])


def step_sizes(
    graph: Graph, W: Tensor, Ω: Tensor, updates: Mapping[str, Callable[[Tensor], Tensor]]
) -> Figure:
    """E_tot after one step over E_tot before it, from the worst F, its largest velocity 2, while τ passes its bound."""
    bound, F = largest_step(graph, W, Ω), stiffest(graph, W, Ω)
    v = energy_field(graph, F, W, Ω)
    F = 2 * F / v.flatten()[v.abs().argmax()]  # so that the sign that LAPACK chose does not matter
    v, before, ratios = energy_field(graph, F, W, Ω), total_energy(graph, F, W, Ω), np.linspace(0, 2, 81)
    fig, axis = plt.subplots(figsize=(7, 3.2))
    for (name, σ), style in zip(updates.items(), ("-", "--", ":", "-."), strict=False):
        after = [(total_energy(graph, F + r * bound * σ(v), W, Ω) / before).item() for r in ratios]
        wide = {"lw": 5, "alpha": 0.35} if style == "-" else {}
        axis.plot(ratios, after, style, color=INK, label=name, **wide)
    axis.axhline(1, color=CLASSES[0], lw=1)
    axis.axvline(1, color=CLASSES[0], lw=1)
    axis.set(xlabel="step τ over its bound 2/λ_max", ylabel="E_tot after / before", xlim=(0, 2), ylim=(0, 3))
    axis.legend(loc="upper left")
    return fig


def smallest_exceptions(path4: Graph, path3: Graph) -> Figure:
    """Left: the attraction energy on the path of four nodes, Ω = W and Ω = 0, from its slowest frequency. Right: both
    edges of the path of three nodes, Ω = W, from features on one end alone."""
    W, times = torch.eye(1, dtype=torch.float64), np.linspace(0, 3, 100)
    Θ, slowest = attraction_repulsion(W)[0], Spectrum.of(path4).φ[:, 1:2]
    fig, axes = plt.subplots(1, 2, figsize=(7, 3))
    for Ω, name in ((W, "Ω = W"), (0 * W, "Ω = 0")):
        sums = [0.25 * edge_norms(path4, F, Θ).sum().item() for F in trajectory(path4, W, Ω, slowest, times)]
        axes[0].plot(times, sums, "-" if Ω.any() else "--", color=INK, label=name)
    start = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    norms = torch.stack([edge_norms(path3, F, Θ).sqrt() for F in trajectory(path3, W, W, start, times)])
    for edge, name, style in ((0, "edge 1–2", "-"), (2, "edge 2–3", "--")):
        axes[1].plot(times, norms[:, edge], style, color=INK, label=name)
    axes[0].set(title="four nodes: the sum over edges", ylabel="¼ Σ ‖Θ₊(∇F)_ij‖²")
    axes[1].set(title="three nodes: each edge", ylabel="‖Θ₊(∇F)_ij‖")
    for axis in axes:
        axis.set(xlabel="time t")
        axis.legend()
    return fig


def obedience(frame: pd.DataFrame) -> Figure:
    """Share of single edges that obey over time, mean over instances with its 95 % band; rows of ``single_edges``."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.1), sharey=True)
    for axis, part, title in zip(
        axes, ("shrink", "grow"), ("Θ₊ part does not grow", "Θ₋ part does not shrink"), strict=True
    ):
        for Ω, style in (("W", "-"), ("0", "--")):
            own = frame[frame["Ω"] == Ω].groupby("time")[part].agg(["mean", "sem"])
            axis.plot(own.index, own["mean"], style, color=INK)
            low, high = own["mean"] - 1.96 * own["sem"], own["mean"] + 1.96 * own["sem"]
            axis.fill_between(own.index, low, high, color=INK, alpha=0.18, lw=0)
            place = (own.index[1], own["mean"].iloc[1])
            axis.annotate(f"Ω = {Ω}", place, (0, 7 if Ω == "W" else -24), textcoords="offset points")
        axis.set(title=title, xlabel="time · ‖W‖", ylim=(0, 112), yticks=range(0, 101, 20))
    axes[0].set_ylabel("edges that obey (%)")
    return fig
