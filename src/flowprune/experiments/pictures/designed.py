"""Figures of the chapter on designed masks and on paths of masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter
from numpy import ndarray

from flowprune.experiments.pictures.masks import METHOD_COLOURS
from flowprune.experiments.pruned_training import TOLD
from flowprune.study.figures import COLOUR, FAINT, INK, PAPER

COLOURS = METHOD_COLOURS | {
    "synflow graphon": COLOUR["GRAFF diag"],
    "narrow": COLOUR["GAT"],
    "speed": COLOUR["GRAFF DD"],
    "alignment": COLOUR["GRAND"],
    "learned": COLOUR["CGNN"],
    "top5": COLOUR["residual GCN"],
}
NAMES = {
    "snip": "SNIP",
    "synflow": "SynFlow",
    "synflow graphon": "SynFlow's graphon",
    "speed": "one rate",
    "learned": "tuned rate",
    "top5": "five modes",
}
MARK = {"speed": "o", "learned": "D", "alignment": "s", "top5": "^"}
WALK = {
    ("rounds", 1e-3): (COLOUR["MLP"], "o"),
    ("rounds", 2e-2): (COLOUR["GRAFF prod"], "D"),
    ("rewiring", 1e-3): (COLOUR["GCN"], "^"),
}


def name(method: str) -> str:
    """What a method is called in a figure."""
    return NAMES.get(method, method)


def unfold(row: Mapping, cells: int, inputs: int, outputs: int) -> list[ndarray]:
    """The graphons of a stored row, each layer's units by falling sum of what they receive: ``[K, d]``, …"""
    layers = row["hidden"] + 1
    shapes = [(cells, inputs), *[(cells, cells)] * (layers - 2), (outputs, cells)]
    W = [np.reshape(row[f"graphon_{i}"], shape) / 1e3 for i, shape in enumerate(shapes)]
    for i in range(layers - 1):
        order = np.argsort(-W[i].sum(1), kind="stable")
        W[i], W[i + 1] = W[i][order], W[i + 1][:, order]
    return W


def graphons(found: Mapping[str, Sequence[ndarray]], side: int) -> Figure:
    """A column a method: which inputs are connected, as an image of side × side pixels, then the graphons of the
    hidden layers; black is density 1.
    """
    layers = len(next(iter(found.values()))) - 1
    fig, axes = plt.subplots(layers, len(found), figsize=(7, 0.5 + 1.45 * layers), squeeze=False)
    for column, (method, W) in zip(axes.T, found.items(), strict=True):
        column[0].set_title(f"for {name(method)}" if method in MARK else name(method))
        column[0].imshow(W[0].mean(0).reshape(side, side), cmap="Greys", vmin=0, vmax=1)
        for axis, w in zip(column[1:], W[1:-1], strict=True):
            axis.imshow(w, cmap="Greys", vmin=0, vmax=1, extent=(0, 1, 1, 0))
        for axis in column:
            axis.grid(visible=False)
            axis.set(xticks=(), yticks=())
            for spine in axis.spines.values():
                spine.set(visible=True, color=FAINT)
    for number, axis in enumerate(axes[:, 0]):
        axis.set_ylabel("pixels" if number == 0 else f"hidden {number} → {number + 1}")
    return fig


def leads(panels: Mapping[str, pd.DataFrame], beyond: str) -> Figure:
    """Differences with 95 % intervals, a row each rival and sparsity, a colour each design, filled where p < 0.05.

    Panels: by title the tables of :func:`flowprune.experiments.designed_study.leads`.
    """
    first = next(iter(panels.values()))
    rows = list(dict.fromkeys(zip(first.sparsity, first.rival, strict=True)))
    methods = list(dict.fromkeys(first.method))
    fig, axes = plt.subplots(1, len(panels), figsize=(7, 1.4 + 0.3 * len(rows)), sharey=True, squeeze=False)
    for axis, (title, found) in zip(axes[0], panels.items(), strict=True):
        axis.axvline(0, color=INK, lw=1, ls=":")
        for r in found.itertuples():
            at = methods.index(r.method) - (len(methods) - 1) / 2
            y = rows.index((r.sparsity, r.rival)) + 0.6 * at / len(methods)
            colour = COLOURS[r.method]
            axis.plot([r.lower, r.upper], [y, y], color=colour, lw=1.2)
            axis.plot(
                r.difference, y, MARK[r.method], ms=5, color=colour, mfc=colour if r.p < 0.05 else PAPER
            )
        axis.set(title=title, xlabel=beyond)
        axis.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(range(len(rows)), [f"{name(rival)}, {100 * s:g} %" for s, rival in rows])
    axes[0, 0].invert_yaxis()
    handles = [
        plt.Line2D([], [], color=COLOURS[m], marker=MARK[m], ms=5, lw=1.2, label=f"design for {name(m)}")
        for m in methods
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=4)
    return fig


def curves(rows: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """How far the loss has fallen, in the mean over networks with twice its standard error; left Adam, right at tuned
    rates, dashed as the kernel at the start predicts. Rows of one sparsity.
    """
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.4))
    for method in methods:
        row, colour = rows[rows.method == method].iloc[0], COLOURS[method]
        steps = np.array([t for t in TOLD if t <= row.steps])
        for axis, way in zip(axes, ("adam", "tuned"), strict=True):
            mean, error = np.array(row[f"curve_{way}"]), np.array(row[f"error_{way}"])
            axis.plot(steps, mean, color=colour, label=name(method))
            axis.fill_between(steps, mean - 2 * error, mean + 2 * error, color=colour, alpha=0.2, lw=0)
        axes[1].plot(steps, row["curve_predicted"], color=colour, lw=1, ls="--")
    axes[0].set(title="Adam at one rate", xlabel="step", ylabel="ln (loss of no answer / loss)")
    axes[1].set(
        title="gradient descent at N/2λ₁", xlabel="step", ylim=(max(axes[1].get_ylim()[0], -0.2), None)
    )
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return fig


def told(rows: pd.DataFrame, panels: Mapping[str, tuple[str, str, Sequence[str]]]) -> Figure:
    """What graphons say beside what networks do, a dot a method and sparsity.

    Panels: by title the column of what is said, that of what is measured (lists over networks), and the methods.
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(7, 3.4), squeeze=False)
    shapes = dict(zip(sorted(rows.sparsity.unique()), "osD^v", strict=False))
    shown: dict[str, None] = {}
    for axis, (title, (said, measured, methods)) in zip(axes[0], panels.items(), strict=True):
        for row in rows[rows.method.isin(methods)].to_dict("records"):
            values, colour = np.array(row[measured]), COLOURS[row["method"]]
            shown[row["method"]] = None
            axis.errorbar(
                row[said], values.mean(), 2 * values.std(ddof=1) / np.sqrt(values.size),
                fmt=shapes[row["sparsity"]], color=colour, ms=5, elinewidth=1,
            )  # fmt: skip
        axis.set(title=title, xlabel="said by the graphon", ylabel="done by networks")
    handles = [plt.Line2D([], [], color=COLOURS[m], marker="o", ls="", ms=5, label=name(m)) for m in shown]
    handles += [
        plt.Line2D([], [], color=INK, marker=v, ls="", ms=5, label=f"{100 * s:g} %")
        for s, v in shapes.items()
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=5)
    return fig


def walks(means: pd.DataFrame) -> Figure:
    """Distances from constant graphons over those of chance, along rounds and along rewirings; then densities of the
    layers along rounds.

    ``means``: of :func:`flowprune.experiments.designed_study.means`, with beyond, strange and the densities.
    """
    fig, axes = plt.subplots(1, 3, figsize=(7, 3.2))
    for (kind, sparsity, rate), part in means.groupby(["kind", "sparsity", "rate"], sort=False):
        wide = part.pivot(index="point", columns="value", values="mean")
        colour, mark = WALK[(kind, rate)] if (kind, rate) in WALK else (COLOUR["GAT"], "s")
        beyond = part[part.value == "beyond"].sort_values("point")
        axis, x = (axes[0], beyond.point + 1) if kind == "rounds" else (axes[1], beyond["at"])
        light = kind == "rewiring" and sparsity != means[means.kind == kind].sparsity.max()
        label = f"rate {rate:g}" if kind == "rounds" else f"{100 * sparsity:g} %"
        _line(axis, np.array(x), beyond, colour, mark, label, light)
        if kind == "rounds" and rate == means[means.kind == "rounds"].rate.min():
            last = int(max(c.removeprefix("density_") for c in wide if c.startswith("density_")))
            for i, style in zip((0, 1, last), ("-", "--", ":"), strict=True):
                word = {0: "input", 1: "hidden"}.get(i, "output")
                axes[2].plot(wide.index + 1, wide[f"density_{i}"], style, color=colour, label=word)
    for axis in axes[:2]:
        axis.axhline(1, color=INK, lw=1, ls=":")
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.legend(loc="best")
    top = max(axis.get_ylim()[1] for axis in axes[:2])
    axes[0].set(
        title="pruning in rounds", xlabel="round", ylabel="distance / that of chance", ylim=(0.8, top)
    )
    axes[1].set(title="rewiring", xlabel="step", ylim=(0.8, top))
    axes[2].set(title="densities, small rate", xlabel="round", yscale="log")
    axes[2].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[2].yaxis.set_major_formatter(ScalarFormatter())
    axes[2].yaxis.set_minor_formatter(NullFormatter())
    axes[2].legend(loc="best")
    return fig


def _line(
    axis: Axes, x: ndarray, part: pd.DataFrame, colour: str, mark: str, label: str, light: bool
) -> None:
    axis.plot(
        x, part["mean"], marker=mark, ms=4, color=colour, mfc=PAPER if light else colour, lw=1.4, label=label
    )
    axis.fill_between(x, part.lower, part.upper, color=colour, alpha=0.2, lw=0)
