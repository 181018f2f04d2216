"""Figures of the chapter on which frequency wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import plotly.graph_objects as go
import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

from flowprune.dynamics.energy import dirichlet_energy, normalised_energy
from flowprune.dynamics.spectra import Spectrum, linear_flow, project, rates, top_modes
from flowprune.experiments.theory.frequencies import iterate, late, log_growth
from flowprune.experiments.theory.instances import features
from flowprune.graphs import Graph, load
from flowprune.study.figures import INK, PAPER

LOW, MIDDLE, HIGH = (
    "#e08214",
    "#f0eeee",
    "#8073ac",
)  # smooth is orange, rough is purple; ink reads on both in both themes
ENERGY = LinearSegmentedColormap.from_list("energy", [LOW, MIDDLE, HIGH])
ON_MAP = "#1a1a1a"  # marks on a pale map, dark in both themes, where INK would turn light
OUTLINE = [withStroke(linewidth=5, foreground=PAPER)]


def _diagonal(*w: float) -> Tensor:
    return torch.diag(torch.tensor(w, dtype=torch.float64))


def modes(graph: Graph, mixings: Sequence[Sequence[float]]) -> Figure:
    """Every mode of Ḟ = ĀFW as a point (λ_ℓ, w_k) over its rate w(1 − λ), and the one that wins, for each W."""
    s = Spectrum.of(graph)
    λ, w = np.meshgrid(np.linspace(0, 2, 80), np.linspace(-1.3, 1.3, 80))
    fig, axes = plt.subplots(1, len(mixings), figsize=(7, 3.3), sharey=True)
    for axis, eigenvalues in zip(axes, mixings, strict=True):
        axis.pcolormesh(λ, w, w * (1 - λ), cmap="RdBu", vmin=-2.6, vmax=2.6, rasterized=True)
        axis.contour(
            λ, w, w * (1 - λ), levels=np.arange(-1.2, 1.3, 0.3), colors=ON_MAP, linewidths=0.4, alpha=0.5
        )
        μ = rates(s, _diagonal(*eigenvalues))
        row, k = divmod(int(μ.argmax()), μ.shape[1])
        for value in sorted(eigenvalues):
            axis.plot(s.λ, np.full(s.λ.shape, value), "o", color=ON_MAP, ms=3.2)
        at = (s.λ[row].item(), sorted(eigenvalues)[k])
        axis.plot(*at, "o", ms=15, mfc="none", mec=ON_MAP, mew=1.8)
        end = "high" if s.highest[row] else "low"
        axis.set(
            title=f"{end} frequency wins, rate {μ.max().item():.2f}",
            xlabel="frequency λ of Δ",
            xlim=(-0.15, 2),
        )
        axis.grid(visible=False)
    axes[0].set_ylabel("eigenvalue w of W")
    return fig


def atlas() -> dict[str, Graph]:
    """Graphs of falling ρ_Δ, from bipartite to a clique with heavy self-loops."""
    edges = load("bipartite?a=4&b=4").edge_index
    nearly = Graph.from_edges("nearly", torch.cat([edges, torch.tensor([[0], [1]])], 1), 8)
    clique = load("complete?n=6")
    loops = {f"clique, loops of {w:g}": clique.with_self_loops(w) for w in (0.5, 1.0, 2.0, 5.0)}
    made = {
        "bipartite": load("bipartite?a=4&b=4"),
        "nearly bipartite": nearly,
        "random": load("csbm?n=20&degree=5&seed=1"),
        "complete": clique,
    }
    return {name: graph.to(dtype=torch.float64) for name, graph in (made | loops).items()}


def phases(graph: Graph, largest: np.ndarray, smallest: np.ndarray, time: float) -> np.ndarray:
    """E_Dir(F/‖F‖)/(ρ_Δ/2) at a late time, for W = diag(smallest, largest): ``[len(smallest), len(largest)]``.

    All from one random F(0) around 1; not a number where the smallest would exceed the largest.
    """
    s, F0 = Spectrum.of(graph), 1 + features(graph, np.random.default_rng(0), 2)
    z = np.full((len(smallest), len(largest)), np.nan)
    for row, low in enumerate(smallest):
        for column, high in enumerate(largest):
            if low <= high:
                F, _ = linear_flow(s, _diagonal(low, high), F0, time)
                z[row, column] = abs(2 * normalised_energy(graph, F).item() / s.ρ)  # rounding may leave −0
    return z


def _line(ρ: float, low: float, high: float) -> tuple[list[float], list[float]]:
    """The printed border |λ₋|(ρ_Δ − 1) = λ₊ in the window, empty for ρ_Δ < 1."""
    if ρ < 1 - 1e-9:
        return [], []
    slope = max(ρ - 1, 1e-12)
    end = min(-low, high / slope)
    return [0.0, end * slope], [0.0, -end]


def phase_diagram(graphs: Mapping[str, Graph], points: int, time: float) -> tuple[go.Figure, Figure]:
    """The phase diagram over the two extreme eigenvalues of W, one position of the slider a graph; and four of them."""
    largest, smallest = np.linspace(-1, 2, points), np.linspace(-2, 1, points)
    found = {name: phases(graph, largest, smallest, time) for name, graph in graphs.items()}
    frames = []
    for name, graph in graphs.items():
        z = [[None if np.isnan(x) else round(float(x), 2) for x in row] for row in found[name]]
        x, y = _line(graph.rho, smallest[0], largest[-1])
        data = [
            go.Heatmap(
                x=largest.round(3),
                y=smallest.round(3),
                z=z,
                zmin=0,
                zmax=1,
                colorscale=[[0, LOW], [0.5, MIDDLE], [1, HIGH]],
                colorbar={"title": {"text": "energy / (ρ/2)", "side": "right"}},
                hovertemplate="largest %{x}, smallest %{y}: %{z}<extra></extra>",
            ),
            go.Scatter(x=x, y=y, mode="lines", line={"color": INK, "width": 3}, hoverinfo="skip"),
        ]
        title = f"{name}: ρ_Δ = {graph.rho:.2f}" + ("" if x else ", no printed border")
        frames.append(
            go.Frame(data=data, name=f"{name}, ρ_Δ = {graph.rho:.2f}", layout={"title": {"text": title}})
        )
    fig = go.Figure(frames[0].data, frames=frames)
    fig.update_layout(
        title=frames[0].layout.title,
        xaxis={"title": "largest eigenvalue of W", "range": [-1, 2], "zeroline": True},
        yaxis={"title": "smallest eigenvalue of W", "range": [-2, 1], "zeroline": True},
        width=640,
        height=500,
        margin={"t": 60},
    )
    return fig, _four_phases(graphs, found, largest, smallest)


def _four_phases(
    graphs: Mapping[str, Graph], found: Mapping[str, np.ndarray], largest: np.ndarray, smallest: np.ndarray
) -> Figure:
    names = list(graphs)
    fig, axes = plt.subplots(2, 2, figsize=(7, 6.2), sharex=True, sharey=True)
    for axis, name in zip(axes.flat, (names[0], names[2], names[3], names[-1]), strict=True):
        image = axis.pcolormesh(largest, smallest, found[name], cmap=ENERGY, vmin=0, vmax=1, rasterized=True)
        axis.plot(*_line(graphs[name].rho, smallest[0], largest[-1]), color=INK, lw=2.2, path_effects=OUTLINE)
        axis.axhline(0, color=INK, lw=0.5)
        axis.axvline(0, color=INK, lw=0.5)
        axis.set_title(f"{name}: ρ_Δ = {graphs[name].rho:.2f}")
        axis.grid(visible=False)
    fig.supxlabel("largest eigenvalue of W", fontsize=10.5)
    fig.supylabel("smallest eigenvalue of W", fontsize=10.5)
    fig.colorbar(image, ax=axes, label="E_Dir(F/‖F‖) / (ρ_Δ/2)", shrink=0.8)
    return fig


def step_sizes(graph: Graph, most: float) -> Figure:
    """Growth per step of both ends of the spectrum for W = (λ₋), τ = 1, and what real steps measure."""
    s, F0 = Spectrum.of(graph), features(graph, np.random.default_rng(0), 1)
    size = np.linspace(0.05, most, 200)
    fig, (axis, other) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, height_ratios=(3, 2))
    axis.plot(size, np.abs(1 - size), "--", color=LOW)
    axis.plot(size, 1 + size * (s.ρ - 1), color=HIGH)
    axis.annotate("lowest: |1 − τ|λ₋||", (2.2, 1.2), (2, -14), textcoords="offset points")
    axis.annotate("highest: 1 + τρ₋", (1.0, s.ρ), (-36, 30), textcoords="offset points")
    for x in np.linspace(0.3, most - 0.1, 25):
        W = _diagonal(-x)
        F = late(graph, s, W, F0, 1.0)
        growth = (F + graph.norm_adjacency @ F @ W).norm().item()
        axis.plot(x, growth, "o", color=INK, ms=4)
        other.plot(x, 2 * normalised_energy(graph, F).item() / s.ρ, "o", color=INK, ms=4)
    for part in (axis, other):
        part.axvline(2 / (2 - s.ρ), color=INK, lw=1, ls=":")
    axis.set_ylabel("growth per step")
    other.set(xlabel="τ|λ₋|", ylabel="energy / (ρ_Δ/2)", ylim=(-0.1, 1.1))
    other.annotate("printed bound", (2 / (2 - s.ρ), 0.5), (-6, 0), textcoords="offset points", ha="right")
    return fig


def second_rate(graph: Graph, W: Tensor, τ: float, steps: int) -> Figure:
    """‖(I−P)F(mτ)‖/‖PF(mτ)‖ of real steps between its two bounds qᵐ, q = (1 + τδ)/(1 + τρ₋), and E_Dir's growth."""
    s, F = Spectrum.of(graph), features(graph, np.random.default_rng(0), len(W))
    top, growth = top_modes(s, W), log_growth(rates(s, W), τ, residual=True)
    second = (growth > growth[~top].max() - 1e-9) & ~top
    q = (growth[~top].max() - growth[top].max()).exp().item()
    high = 2 * growth[top].max().item()
    rest, slowest, excess = [], [], []
    for _ in range(steps + 1):
        P = project(s, W, F, top)
        rest.append(((F - P).norm() / P.norm()).item())
        slowest.append((project(s, W, F, second).norm() / P.norm()).item())
        after = F + τ * (graph.norm_adjacency @ F @ W)
        excess.append(abs((dirichlet_energy(graph, after) / dirichlet_energy(graph, F)).log().item() - high))
        F = iterate(graph, W, F, τ, 1)[0]
    m = np.arange(steps + 1)
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.3), sharex=True)
    axes[0].fill_between(m, slowest[0] * q**m, rest[0] * q**m, color=HIGH, alpha=0.25, lw=0)
    axes[0].semilogy(m, rest, color=INK)
    axes[0].set_title("‖(I−P)F‖ / ‖PF‖ within its bounds")
    axes[1].semilogy(m, excess, color=INK)
    axes[1].semilogy(m, excess[0] * q ** (2.0 * m), ":", color=HIGH)
    axes[1].set_title("|log growth of E_Dir − 2 log(1+τρ₋)|")
    for axis in axes:
        axis.set_xlabel("step m")
    return fig


def without_residual(graphs: Mapping[str, Graph], steps: int) -> Figure:
    """E_Dir(F/‖F‖) over steps F ← ĀFW from one random start for each graph, W = (1)."""
    fig, axis = plt.subplots(figsize=(7, 3.6))
    for (name, graph), style in zip(graphs.items(), ("-", "--", "-.", ":"), strict=True):
        F = features(graph, np.random.default_rng(4), 1)
        energies = [normalised_energy(graph, F).item()]
        for _ in range(steps):
            F, _ = iterate(graph, _diagonal(1.0), F, 1.0, 1, residual=False)
            energies.append(normalised_energy(graph, F).item())
        axis.plot(energies, style, color=INK)
        axis.annotate(name, (steps, energies[-1]), (6, 0), textcoords="offset points", va="center")
    axis.set(xlabel="step", ylabel="E_Dir(F/‖F‖)", xlim=(0, 1.4 * steps), ylim=(-0.03, 1.03))
    return fig


def small_systems(systems: Mapping[str, tuple[Graph, Tensor]]) -> Figure:
    """The limit direction of each small system as node colours; its self-loops as rings."""
    fig, axes = plt.subplots(1, len(systems), figsize=(7, 2.6))
    for axis, (name, (graph, F)) in zip(axes, systems.items(), strict=True):
        drawn = nx.Graph([(i, j) for i, j in graph.edge_index.T.tolist() if i != j])
        place = nx.circular_layout(sorted(drawn))
        for i, j in drawn.edges:
            axis.plot(*np.array([place[i], place[j]]).T, color=INK, lw=1.2, zorder=1)
        xy = np.array([place[i] for i in sorted(drawn)])
        if (graph.edge_index[0] == graph.edge_index[1]).any():
            axis.plot(*(1.28 * xy).T, "o", ms=20, mfc="none", mec=INK, mew=1.2, zorder=0)
        value = (F[:, 0] / F[:, 0].abs().max()).numpy()
        axis.scatter(*xy.T, c=value, cmap=ENERGY, vmin=-1, vmax=1, s=260, edgecolors=INK, zorder=2)
        for (x, y), v in zip(xy, value, strict=True):
            away = (0, -24) if len(xy) == 2 else (28 * x, 24 * y - 4)
            axis.annotate(
                f"{v:+.1f}".replace("-", "−"), (x, y), away, textcoords="offset points", ha="center"
            )
        axis.set(title=name, xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), aspect="equal")
        axis.axis("off")
    return fig
