"""Figures of the chapter on what asynchronous networks learn while they lose edges."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowprune.experiments.logic import GATES, PIECES
from flowprune.experiments.logic_study import MODES as ORDER
from flowprune.experiments.logic_study import NAMES
from flowprune.experiments.logic_tables import reported
from flowprune.experiments.logic_trace import Trace
from flowprune.experiments.pictures.arrowhead import MODES
from flowprune.experiments.pictures.digraph import digraph
from flowprune.study.figures import COLOUR, FAINT, INK, PAPER

MODE = {"none": COLOUR["MLP"], **MODES, "clear": COLOUR["heat"]}
MARK = {"none": "s:", "D": "o-", "DW": "^--", "clear": "v-."}
STYLE = {"and": ":", "or": "--", "xor": "-"}
NODE = [COLOUR[name] for name in ("GRAFF prod", "GRAFF neg-prod", "GAT", "GRAFF sum", "heat", "CGNN")]


def figure_three(nets: pd.DataFrame) -> Figure:
    """Errors of every gate over hidden nodes, and how many edges go, by mode: means and 95 % intervals over networks.

    ``nets``: of :func:`flowprune.experiments.logic_study.networks`. Crosses and the bar: the paper's figure 3.
    """
    said = reported().set_index(["quantity", "hidden", "gate"])
    fig = plt.figure(figsize=(7, 6))
    top, bottom = fig.subfigures(2, 1)
    panels = top.subplots(1, 3, sharey=True)
    for axis, gate in zip(panels, GATES, strict=True):
        part = nets[nets.gate == gate]
        for mode in ORDER:
            _means(axis, part[part["mode"] == mode], "miss", mode)
        axis.plot(0, said.low["miss", 0, gate], "x", color=INK, ms=8, mew=2, label="the paper, h = 0")
        axis.set(title=gate.upper(), xlabel="hidden nodes h", ylim=(0, 0.62))
    panels[0].set_ylabel("mean error")
    top.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    count, share = bottom.subplots(1, 2)
    for mode in ("D", "DW"):
        part = nets[nets["mode"] == mode]
        _means(count, part, "removed", mode)
        _means(share, part.assign(share=100 * part.share), "share", mode)
    h = np.arange(nets.hidden.max() + 1)
    count.plot(h, h, color=INK, lw=1, ls="-.", label="edges with a name, k + 1 → k")
    ends = said.loc[("removed", 5, " ".join(GATES)), ["low", "high"]].iloc[0]
    count.plot([5, 5], ends, color=INK, lw=3, label="the paper, h = 5")
    share.plot(h, 100 * h / ((h + 1) * (h + 2)), color=INK, lw=1, ls="-.")
    count.set(xlabel="hidden nodes h", ylabel="edges removed, all gates")
    share.set(xlabel="hidden nodes h", ylabel="removed, % of edges")
    handles, labels = count.get_legend_handles_labels()
    bottom.legend(handles[:2], labels[:2], loc="outside upper center", ncols=2)
    return fig


def _means(axis: Axes, part: pd.DataFrame, value: str, mode: str) -> None:
    by = part.groupby("hidden")[value]
    mean, half = by.mean().to_numpy(), 1.96 * by.sem().to_numpy()
    h = sorted(part.hidden.unique())
    axis.errorbar(h, mean, yerr=half, fmt=MARK[mode], color=MODE[mode], ms=4, lw=1.4, label=NAMES[mode])


def far(nets: pd.DataFrame) -> Figure:
    """Removed edges for each hidden node, and their share of all edges, up to the largest networks, by mode."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.4))
    part = nets[(nets.hidden > 0) & (nets["mode"] != "none")]
    part = part.assign(each=part.removed / part.hidden, share=100 * part.share)
    for mode, own in part.groupby("mode", sort=False):
        for axis, value in zip(axes, ("each", "share"), strict=True):
            _means(axis, own, value, str(mode))
    h = np.geomspace(1, part.hidden.max(), 50)
    axes[0].axhline(1, color=INK, lw=1, ls="-.")
    axes[1].plot(h, 100 * h / ((h + 1) * (h + 2)), color=INK, lw=1, ls="-.", label="all k + 1 → k")
    axes[0].set(xscale="log", xlabel="hidden nodes h", ylabel="removed edges / h", ylim=(0, 1.08))
    axes[1].set(xscale="log", yscale="log", xlabel="hidden nodes h", ylabel="removed, % of edges")
    fig.legend(*axes[1].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    for axis in axes:
        axis.set_xticks(sorted(part.hidden.unique()), [str(h) for h in sorted(part.hidden.unique())])
        axis.minorticks_off()
    axes[1].yaxis.set_major_formatter("{x:g}")
    return fig


def timing(table: pd.DataFrame) -> Figure:
    """Mean error and share of removed edges over the training of every gate, one column a number of hidden nodes.

    ``table``: collected trials.
    """
    sizes = sorted(table.hidden.unique())
    fig, axes = plt.subplots(2, len(sizes), figsize=(7, 4.6), sharex=True, sharey="row", squeeze=False)
    for row in table.itertuples():
        top, bottom = axes[:, sizes.index(row.hidden)]
        inputs = (np.arange(PIECES) + 1) * row.inputs / PIECES
        line = {"color": MODE[row.mode], "ls": STYLE[row.table], "lw": 1.3}
        top.plot(inputs, row.curve_miss, **line)
        if row.mode != "none":
            bottom.plot(inputs, 100 * (1 - np.array(row.curve_left)), **line)
    for axis, h in zip(axes[0], sizes, strict=True):
        axis.set_title(f"h = {h}")
    axes[0, 0].set_ylabel("mean error")
    axes[1, 0].set_ylabel("removed, % of edges")
    for axis in axes[1]:
        axis.set_xlabel("inputs shown")
    handles = [plt.Line2D([], [], color=MODE[m], label=NAMES[m]) for m in ORDER]
    handles += [
        plt.Line2D([], [], color=INK, ls=s, label=g.upper())
        for g, s in zip(GATES, (":", "--", "-"), strict=True)
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=6)
    return fig


def tables(nets: pd.DataFrame) -> Figure:
    """Errors and removed shares of larger truth tables, one group of bars a table, at each number of hidden nodes."""
    sizes = sorted(nets.hidden.unique())
    fig, axes = plt.subplots(1, len(sizes), figsize=(7, 3.4), sharey=True, squeeze=False)
    names = list(dict.fromkeys(nets.gate))
    for axis, h in zip(axes[0], sizes, strict=True):
        for i, mode in enumerate(ORDER):
            by = nets[(nets.hidden == h) & (nets["mode"] == mode)].groupby("gate").miss
            y = np.arange(len(names)) + 0.25 * (i - 1)
            mean, half = (x[names].to_numpy() for x in (by.mean(), 1.96 * by.sem()))
            axis.errorbar(
                mean, y, xerr=half, fmt=MARK[mode][0], color=MODE[mode], ms=5, lw=1.4, label=NAMES[mode]
            )
        axis.set(
            yticks=range(len(names)), yticklabels=names, xlabel="mean error", title=f"h = {h}", xlim=(0, None)
        )
        axis.grid(axis="y", visible=False)
    axes[0, 0].invert_yaxis()
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig


# --- one network -------------------------------------------------------------------------------------


def one_network(trace: Trace) -> Figure:
    """The graph before and after, and the largest imaginary part at every node's visits with the removals marked."""
    fig = plt.figure(figsize=(7, 5.2))
    top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1.25))
    last = len(trace.errors) - 1
    for axis, input_, title in zip(
        top.subplots(1, 2), (-1, last), ("before", f"after {last + 1} inputs"), strict=True
    ):
        _graph(axis, trace, input_)
        axis.set_title(title)
    seen, first = trace.imaginary(), trace.nets.inputs
    axes = bottom.subplots(len(set(seen.node)), 1, sharex=True)
    for axis, (node, part) in zip(axes, seen.groupby("node"), strict=True):
        axis.plot(part.input, part.imaginary, ".", color=NODE[node - first], ms=2, rasterized=True)
        for x in trace.removals:
            if x.node == node:
                axis.axvline(x.input, color=INK, lw=1)
                axis.annotate(
                    f" {x.source} → {x.target} goes", (x.input, 0.8), xycoords=("data", "axes fraction")
                )
        axis.set(ylabel=f"node {node}", ylim=(-0.1, None))
    axes[-1].set_xlabel("inputs shown")
    bottom.supylabel("largest Im λ", fontsize=10.5)
    return fig


def _graph(axis: Axes, trace: Trace, input_: int) -> None:
    left, inputs = trace.alive(input_), trace.nets.inputs
    there = {"lw": 1.2, "ls": "-", "color": INK}
    gone = {"lw": 1.2, "ls": ":", "color": COLOUR["GRAFF prod"]}
    edges = {(i, j): there if left[i, j] else gone for i, j in np.argwhere(trace.alive(-1))}
    digraph(axis, [PAPER] * inputs + NODE[: len(left) - inputs], edges)


def spectra(trace: Trace) -> Figure:
    """Every node's eigenvalues in the complex plane at its last visit: after the first input, the removals, the end."""
    last, first = len(trace.errors) - 1, trace.nets.inputs
    inputs = sorted({0, last, *(x.input for x in trace.removals[:2])})
    fig, axes = plt.subplots(1, len(inputs), figsize=(7, 2.7), sharex=True, sharey=True, squeeze=False)
    for axis, t in zip(axes[0], inputs, strict=True):
        for _, row in _latest(trace, t).iterrows():
            mark, colour = "osD^vP"[row.node - first], NODE[row.node - first]
            axis.plot(
                row["values"].real, row["values"].imag, mark, color=colour, ms=5, label=f"node {row.node}"
            )
        axis.set(title=f"{t + 1} inputs", xlabel="Re λ")
    axes[0, 0].set_ylabel("Im λ")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=6)
    return fig


def _latest(trace: Trace, input_: int) -> pd.DataFrame:
    """The last visit of every node until this input."""
    return trace.spectra[trace.spectra.input <= input_].groupby("node").tail(1).sort_values("node")


def spectra_slider(trace: Trace, stops: int = 25) -> go.Figure:
    """Every node's eigenvalues in the complex plane at its last visit, the slider sets the time."""
    first = trace.nets.inputs
    inputs = np.unique(np.linspace(0, len(trace.errors) - 1, stops).astype(int))
    frames = []
    for t in inputs:
        marks = [
            go.Scatter(
                x=row["values"].real,
                y=row["values"].imag,
                mode="markers",
                marker={"size": 11, "color": NODE[row.node - first], "symbol": row.node - first},
                name=f"node {row.node}",
            )
            for _, row in _latest(trace, t).iterrows()
        ]
        frames.append(go.Frame(data=marks, name=str(t)))
    fig = go.Figure(frames[0].data, frames=frames)
    values = np.concatenate(list(trace.spectra["values"]))
    reach = 1.1 * max(abs(values.imag).max(), 0.1)
    fig.update_xaxes(
        title="Re λ", range=[values.real.min() - 0.5, values.real.max() + 0.5], zerolinecolor=FAINT
    )
    fig.update_yaxes(title="Im λ", range=[-reach, reach], zerolinecolor=FAINT)
    return fig
