"""The study of masks: which networks are pruned, and distances between the pictures of their masks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy import stats

from flowprune.experiments.logic_study import unpaired
from flowprune.experiments.masks import CHEAP, COARSE, NULL, MaskTrial, operator_distance
from flowprune.experiments.network_rows import done
from flowprune.limits.graphon import average, dense, l2
from flowprune.limits.null import erdos_renyi, expected_distance, expected_histogram
from flowprune.pruning.saliency import METHODS
from flowprune.study.stats import adjust, mean_interval

WIDTHS = (100, 200, 500, 1000, 2000)
HIDDEN = (3, 4)  # hidden layers: 4 and 5 layers of weights
SPARSITIES = (0.7, 0.8, 0.9)
GRADED = ("snip", "grasp")
SMALL = 0.01  # a distance between densities, or between shapes relative to a density, that counts as none
CELL = ["method", "budget", "hidden", "sparsity", "layer"]


def grid(
    widths: Sequence[int],
    hidden: Sequence[int],
    sparsities: Sequence[float],
    methods: Sequence[str] = METHODS,
    **fields: Any,
) -> list[MaskTrial]:
    """Every method at every width, depth and sparsity."""
    return [
        MaskTrial(method=m, width=n, hidden=h, sparsity=s, **fields)
        for h in hidden
        for s in sparsities
        for n in widths
        for m in methods
    ]


def study() -> list[MaskTrial]:
    """The published trials with three hidden layers, and masks without any network."""
    return [
        *grid(WIDTHS, HIDDEN[:1], SPARSITIES, images="mnist"),
        *grid(WIDTHS, HIDDEN[:1], SPARSITIES, [NULL]),
        *grid(WIDTHS, HIDDEN[:1], SPARSITIES[-1:], images="mnist", budget="layerwise", networks=10),
    ]


def deeper() -> list[MaskTrial]:
    """The published trials with four hidden layers."""
    return grid(WIDTHS, HIDDEN[1:], SPARSITIES, images="mnist")


def layers(table: pd.DataFrame) -> pd.DataFrame:
    """One row a mask of the finished trials.

    Columns: method, budget, width, hidden, sparsity, networks, layer, and the results of
    :class:`~flowprune.experiments.masks.MaskTrial` without their number. Raises ValueError when no trial is done.
    """
    rows = []
    for row in done(table).to_dict("records"):
        fixed = {k: row[k] for k in ("method", "budget", "width", "hidden", "sparsity", "networks")}
        for layer in range(1, row["hidden"]):
            end = f"_{layer}"
            own = {k.removesuffix(end): v for k, v in row.items() if k.endswith(end)}
            rows.append(fixed | {"layer": layer} | own)
    return pd.DataFrame(rows)


# ---- distances between cells


def picture(row: Any, estimator: str = "sorted") -> ndarray:
    """The mean step graphon of a row of :func:`layers`."""
    values = np.array(getattr(row, f"mean_{estimator}"), float)
    cells = round(len(values) ** 0.5)
    return values.reshape(cells, cells) / (1e3 if estimator == "sorted" else 1e4)


def coarse(row: Any, estimator: str = "sorted") -> ndarray:
    """The same on the cells that are compared."""
    return average(picture(row, estimator), COARSE)


def distance(a: Any, b: Any, estimator: str = "sorted", shape: bool = False) -> tuple[float, float]:
    """L2 distance between the expected pictures of two rows, and its standard error.

    The mean square distance of the means is freed from the part that their noise adds. The error takes for every
    direction the largest standard deviation that any has, so it is rather too large. With ``shape`` both pictures are
    divided by their density.
    """
    found, noise, error = [], 0.0, 0.0
    for row in (a, b):
        R = row.networks if estimator in CHEAP else len(getattr(row, f"constant_{estimator}"))
        W = coarse(row, estimator)
        p = W.mean() if shape else 1.0
        found.append(W / p)
        noise += getattr(row, f"spread_{estimator}") ** 2 / R / p**2
        error += getattr(row, f"sway_{estimator}") ** 2 / R / p**2
    return float(np.sqrt(max(0.0, l2(*found) ** 2 - noise))), float(np.sqrt(error))


def widths(cells: pd.DataFrame, estimator: str = "sorted", shape: bool = False) -> pd.DataFrame:
    """Every cell at every width against the same cell twice as wide, and against the widest.

    Columns: those of CELL, width, to, distance, error, null (between the expected pictures of flat masks).
    """
    rows = []
    for key, part in cells.groupby(CELL, sort=False):
        at = {row.width: row for row in part.itertuples()}
        widest = max(at)
        pairs = [(n, 2 * n) for n in at if 2 * n in at] + [(n, widest) for n in at if n < widest]
        for n, N in sorted(set(pairs)):
            a, b = (expected_histogram(w, w, 1 - key[3], COARSE) for w in (n, N))
            unit = 1 - key[3] if shape else 1
            rows.append([*key, n, N, *distance(at[n], at[N], estimator, shape), l2(a, b) / unit])
    return pd.DataFrame(rows, columns=[*CELL, "width", "to", "distance", "error", "null"])


def rates(cells: pd.DataFrame, estimator: str = "sorted", shape: bool = False) -> pd.DataFrame:
    """How fast the distance between a width and its double falls: the exponent γ of width^−γ in every cell.

    Columns: those of CELL, doublings, rate, lower and upper (95 %), last (the last distance), error (its own), null
    (that of flat masks), settled: γ > 0 for sure, so that all distances beyond have a finite sum, or the last distance
    is below SMALL for sure; left: that sum, last/(2^γ − 1), at most how far the limit is from the widest masks, or last
    where it is SMALL. A distance below its error is taken to be as large as its error.
    """
    found = widths(cells, estimator, shape)
    rows = []
    for key, part in found[found.to == 2 * found.width].groupby(CELL, sort=False):
        part = part.sort_values("width")
        if len(part) < 2:
            continue
        D = np.maximum(part.distance, part.error)
        x, w = np.log(part.width), (D / part.error) ** 2
        x = x - np.average(x, weights=w)
        γ = -(w * x * np.log(D)).sum() / (w * x**2).sum()
        half = 1.96 / np.sqrt((w * x**2).sum())
        last = part.iloc[-1]
        small = last.distance + 1.96 * last.error < SMALL
        left = last.distance if small else last.distance / (2**γ - 1) if γ > 0 else np.inf
        told = [γ, γ - half, γ + half, last.distance, last.error, last.null, small or γ - half > 0, left]
        rows.append([*key, len(part), *told])
    columns = [*CELL, "doublings", "rate", "lower", "upper", "last", "error", "null", "settled", "left"]
    return pd.DataFrame(rows, columns=columns)


def between(cells: pd.DataFrame, estimator: str = "sorted") -> pd.DataFrame:
    """All pairs of methods at the greatest width, in every other respect alike.

    Columns: a, b, hidden, sparsity, layer, distance and its error, shape and its error (both pictures over their
    density), within (root mean square distance between two networks of one method), p (of the shape, Holm over all).
    """
    rows = []
    last = cells[(cells.width == cells.width.max()) & (cells.method != NULL) & (cells.budget == "global")]
    for key, part in last.groupby(["hidden", "sparsity", "layer"], sort=False):
        for a, b in combinations(part.itertuples(), 2):
            spread = [2 * getattr(r, f"spread_{estimator}") ** 2 for r in (a, b)]
            plain, shape = distance(a, b, estimator), distance(a, b, estimator, shape=True)
            rows.append([a.method, b.method, *key, *plain, *shape, np.sqrt(np.mean(spread))])
    columns = ["a", "b", "hidden", "sparsity", "layer", "distance", "error", "shape", "shape_error", "within"]
    found = pd.DataFrame(rows, columns=columns)
    return found.assign(p=adjust(2 * stats.norm.sf(found["shape"] / found.shape_error)))


# ---- against masks without structure


def flat(cells: pd.DataFrame, estimator: str = "sorted") -> pd.DataFrame:
    """Every graded method's distance from its own constant against that of random pruning in the same cell.

    Columns: those of CELL, width, networks, constant and random (means), difference, structure (root of the difference
    of the mean squares, over the density: what no sorting of noise explains), p (Welch, Holm over all rows).
    """
    rows, ps = [], []
    value = f"constant_{estimator}"
    ours = cells[cells.budget == "global"]
    null = {(r.hidden, r.sparsity, r.layer, r.width): r for r in ours[ours.method == "random"].itertuples()}
    for r in ours[~ours.method.isin(("random", NULL))].itertuples():
        x, y = (np.array(getattr(o, value), float) for o in (r, null[r.hidden, r.sparsity, r.layer, r.width]))
        difference, p = unpaired(x, y)
        square = np.square(x).mean() - np.square(y).mean()
        structure = np.sqrt(max(square, 0)) / np.mean(r.density)
        rows.append(
            [*(getattr(r, k) for k in CELL), r.width, len(x), x.mean(), y.mean(), structure, difference]
        )
        ps.append(p)
    columns = [*CELL, "width", "networks", "constant", "random", "structure", "difference"]
    return pd.DataFrame(rows, columns=columns).assign(p=adjust(ps))


def two_blocks(W: ndarray) -> float:
    """The share of a picture's variance that the best two intervals of rows times two of columns explain.

    >>> two_blocks(np.kron([[5.0, 1.0], [2.0, 0.0]], np.ones((3, 4))))
    1.0
    >>> u = np.linspace(1, 0, 100)
    >>> round(two_blocks(np.outer(u, u)), 2)  # a smooth product
    0.72
    """
    sums = np.pad(W.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n, m = W.shape
    i, j = np.arange(1, n)[:, None], np.arange(1, m)[None, :]
    a, b, c, total = sums[i, j], sums[i, -1], sums[-1, j], sums[-1, -1]
    squares = (
        a**2 / (i * j)
        + (b - a) ** 2 / (i * (m - j))
        + (c - a) ** 2 / ((n - i) * j)
        + (total - b - c + a) ** 2 / ((n - i) * (m - j))
    )
    variance = np.square(W).sum() - total**2 / W.size
    return float((squares.max() - total**2 / W.size) / variance) if variance > 1e-12 * W.size else 1.0


def own_constants(cells: pd.DataFrame) -> pd.DataFrame:
    """Mean distance of a network's picture from its own density: method, width, mean, lower and upper (95 %)."""
    rows = [
        [r.method, r.width, i.mean, i.lower, i.upper]
        for r in cells.itertuples()
        for i in [mean_interval(r.constant_sorted)]
    ]
    return pd.DataFrame(rows, columns=["method", "width", "mean", "lower", "upper"])


def beyond(cells: pd.DataFrame) -> pd.DataFrame:
    """What degrees leave and what factors predict, over the masks of a method and width.

    Columns: method, width, rest (leading singular value without degrees over that of random masks of the same degrees),
    error (L2, of the predicted graphon over that of the constant), share (rank one, of log scores): means over masks,
    and with ``_least`` and ``_most`` the smallest and the largest.
    """
    ours = cells[(cells.method != NULL) & (cells.budget == "global")]
    rows = [
        [r.method, r.width, np.mean(r.rest[: len(r.rest_null)]) / np.mean(r.rest_null),
         np.mean(r.predicted) / np.mean(r.fine[: len(r.predicted)]), np.mean(r.share)]
        for r in ours.itertuples()
    ]  # fmt: skip
    found = pd.DataFrame(rows, columns=["method", "width", "rest", "error", "share"])
    groups = found.groupby(["method", "width"], sort=False)
    return (
        groups.mean()
        .join(groups.min().add_suffix("_least"))
        .join(groups.max().add_suffix("_most"))
        .reset_index()
    )


def operators(sizes: Sequence[int], p: float, seed: int = 0) -> pd.DataFrame:
    """‖M − p‖₂ of one flat mask of each size, over the 2 (n p (1 − p))^½ of its limit: columns width, ratio."""
    rows = [
        [n, operator_distance(dense(erdos_renyi(n, n, round(p * n**2), seed)), np.full((1, 1), p)) * n]
        for n in sizes
    ]
    return pd.DataFrame(
        [[n, s / (2 * np.sqrt(n * p * (1 - p)))] for n, s in rows], columns=["width", "ratio"]
    )


def null_curve(widths: Sequence[int], p: float) -> pd.DataFrame:
    """Distance of flat masks of density p from their constant, by the formula: columns width, distance."""
    return pd.DataFrame({"width": widths, "distance": [expected_distance(n, n, p, COARSE) for n in widths]})
