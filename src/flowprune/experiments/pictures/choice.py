"""Figures of the chapter on which edge goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from flowprune.experiments.choice_cycles import LENGTHS, planted
from flowprune.experiments.pictures.digraph import digraph
from flowprune.pruning.spectral import Mode, laplacian, local_laplacian
from flowprune.study.figures import COLOUR, FAINT, INK, PAPER

NAMES = {
    "lot": "a lot among k + 1 → k",
    "D": "D",
    "DW": "D_W",
    "real DW": "shift of Re λ, D_W",
    "real D": "shift of Re λ, D",
    "weight": "|w|",
}
SHAPE = {
    "lot": ("v", "GCN"),
    "random": ("o", "MLP"),
    "smallest": ("s", "GRAFF sum"),
    "feedback": ("^", "GRAFF neg-prod"),
    "eigenvector": ("D", "GRAFF prod"),
    "ego": ("v", "GCN"),
    "complex D": ("o", "GRAFF prod"),
    "complex DW": ("D", "GRAFF neg-prod"),
    "list D": ("s", "GRAFF sum"),
    "list DW": ("v", "GCN"),
    "opposite": ("^", "MLP"),
    "weight": ("s", "GRAFF sum"),
    "real DW": ("o", "GCN"),
    "real D": ("^", "MLP"),
}
KIND = {
    "from an input": ("s", COLOUR["MLP"]),
    "feedback > 0": ("^", COLOUR["GRAFF sum"]),
    "feedback < 0": ("o", COLOUR["GRAFF neg-prod"]),
}


def kinds(W: ndarray, A: ndarray) -> ndarray:
    """Of every edge: whether it comes from an input, or the sign of its feedback; ``[n, n]`` of words."""
    words = np.where(W * W.T < 0, "feedback < 0", "feedback > 0")
    return np.where(A & ~A.T, "from an input", words)


def one_network(W: ndarray, A: ndarray, change: ndarray, named: Sequence[tuple[int, int]]) -> Figure:
    """Left the graph, each edge as wide as its loss changes the function; right that change over |w|; named: ringed."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.7), width_ratios=(1, 1.25))
    kind, widest = kinds(W, A), np.nanmax(change)
    edges = {
        (i, j): {"lw": 0.6 + 5 * change[i, j] / widest, "color": KIND[kind[i, j]][1]}
        for i, j in np.argwhere(A)
    }
    digraph(left, [PAPER] * len(A), edges)
    for word, (mark, colour) in KIND.items():
        here = A & (kind == word)
        right.plot(np.abs(W[here]), change[here], mark, color=colour, ms=6, label=word)
    for i, j in named:
        right.plot(abs(W[i, j]), change[i, j], "o", ms=13, mfc="none", mec=INK)
        spot = abs(W[i, j]), change[i, j]
        right.annotate(f"{i} → {j}", spot, (9, 5), textcoords="offset points")
    right.set(xlabel="|w|", ylabel="change of the function", ylim=(-0.02 * widest, 1.12 * widest))
    right.legend(loc="upper left")
    return fig


def differences(panels: Mapping[str, pd.DataFrame], by: str, beyond: str = "") -> Figure:
    """Differences with 95 % intervals, a row each gate, size and (if there is one) mode, a colour each value of ``by``.

    Panels: by title the tables of :func:`flowprune.experiments.choice_study.compared`. Filled where adjusted p < 0.05.
    """
    rows = list(dict.fromkeys(cell(r) for table in panels.values() for r in table.itertuples()))
    values = list(dict.fromkeys(v for table in panels.values() for v in table[by] if v in SHAPE))
    height = 1.3 + 0.09 * len(rows) * (1 + len(values))
    fig, axes = plt.subplots(1, len(panels), figsize=(7, max(height, 2.4)), sharey=True, squeeze=False)
    for axis, (title, table) in zip(axes[0], panels.items(), strict=True):
        axis.axvline(0, color=INK, lw=1, ls=":")
        for r in table.dropna(subset="difference").itertuples():
            value = getattr(r, by)
            if value in values:
                y = rows.index(cell(r)) + 0.75 * (values.index(value) - (len(values) - 1) / 2) / len(values)
                _dot(axis, r.difference, r.lower, r.upper, y, value, r.p < 0.05)
        axis.set(title=title, xlabel=beyond)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        _rows(axis, rows)
    axes[0, 0].invert_yaxis()
    handles = [_handle(v) for v in values]
    fig.legend(handles=handles, loc="outside upper center", ncols=5)
    return fig


def cell(row: object) -> str:
    """A gate and size, with the mode or the density where there is one."""
    name = f"{row.gate.upper()} h = {row.hidden}"  # type: ignore[attr-defined]
    if hasattr(row, "mode"):
        return f"{name} {NAMES[row.mode]}"
    return name + (", sparse" if getattr(row, "density", 1) < 1 else "")


def _dot(axis: Axes, x: float, low: float, high: float, y: float, value: str, filled: bool) -> None:
    mark, name = SHAPE[value]
    colour = COLOUR[name]
    axis.plot([low, high], [y, y], color=colour, lw=1.2)
    axis.plot(x, y, mark, ms=4.5, color=colour, mfc=colour if filled else PAPER)


def _handle(value: str) -> plt.Line2D:
    mark, name = SHAPE[value]
    word = NAMES.get(value) or value.replace("DW", "D_W")
    return plt.Line2D([], [], color=COLOUR[name], marker=mark, ms=5, lw=1.2, label=word)


def _rows(axis: Axes, rows: Sequence[str]) -> None:
    axis.set_yticks(range(len(rows)), rows)
    axis.grid(axis="y", visible=False)
    for y in range(1, len(rows)):
        axis.axhline(y - 0.5, color=FAINT, lw=0.6)


def cycles(seed: int, mode: Mode = "D") -> Figure:
    """Eigenvalues in the complex plane of a node's star, of its ego network and of the whole graph, which holds one
    directed cycle: a row a length, three and four.
    """
    fig, axes = plt.subplots(2, 3, figsize=(7, 4), sharex=True, sharey=True)
    for row, k in zip(axes, LENGTHS, strict=False):
        W, A, ring = planted(k, np.random.default_rng(seed))
        c = ring[0]
        near = A[c] | A[:, c]
        near[c] = True
        ego = np.ix_(near, near)
        parts = {
            "its star": local_laplacian(W, A, c, mode)[ego],
            "its neighbours' edges, too": laplacian(W[ego], A[ego], mode),
            "the whole graph": laplacian(W, A, mode),
        }
        for axis, (title, L) in zip(row, parts.items(), strict=True):
            λ = np.linalg.eigvals(L)
            bent = abs(λ.imag) > 1e-9
            axis.axhline(0, color=INK, lw=1)
            axis.plot(λ.real[~bent], λ.imag[~bent], "o", color=COLOUR["MLP"], ms=5)
            axis.plot(λ.real[bent], λ.imag[bent], "D", color=COLOUR["GRAFF prod"], ms=6)
            if k == LENGTHS[0]:
                axis.set_title(title)
            else:
                axis.set_xlabel("Re λ")
        row[0].set_ylabel(f"cycle of {k}\nIm λ")
    return fig


def ranks(found: pd.DataFrame) -> Figure:
    """Mean rank correlations of three scores with the change of the function, a row a gate and size.

    ``found``: of :func:`flowprune.experiments.choice_study.ranks`.
    """
    rows = list(dict.fromkeys(cell(r) for r in found.itertuples()))
    fig, axis = plt.subplots(figsize=(7, 1.4 + 0.32 * len(rows)))
    axis.axvline(0, color=INK, lw=1, ls=":")
    scores = list(dict.fromkeys(found.score))
    for r in found.itertuples():
        y = rows.index(cell(r)) + 0.22 * (scores.index(r.score) - 1)
        _dot(axis, r.mean, r.lower, r.upper, y, r.score, True)
    _rows(axis, rows)
    axis.invert_yaxis()
    axis.set(xlabel="rank correlation with the change of the function", xlim=(-0.45, 1))
    fig.legend(handles=[_handle(s) for s in scores], loc="outside upper center", ncols=3)
    return fig
