"""Figures of the chapter on smoothness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import torch
from matplotlib.figure import Figure

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import Spectrum, linear_flow
from flowprune.graphs import Graph
from flowprune.study.figures import INK


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
            axis.semilogy(times, np.maximum(values, 1e-16), style, color=INK, label=name)
    axes[0].legend(loc="upper left")
    axes[0].set_title("E_Dir(F(t))")
    axes[1].set_title("E_Dir(F(t) / ‖F(t)‖)")
    for axis in axes:
        axis.set_xlabel("time t")
    return fig
