"""The study of masks: which networks are pruned, and what is read from their rows (W1 to W5, W11, W13)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy import stats

from flowprune.experiments.logic_study import unpaired
from flowprune.experiments.masks import CHEAP, COARSE, ESTIMATORS, NULL, K, MaskTrial
from flowprune.limits.factors import factorise
from flowprune.limits.graphon import average, l2, sorted_average
from flowprune.limits.null import expected_distance, expected_histogram
from flowprune.pruning.saliency import METHODS
from flowprune.study import claims
from flowprune.study.stats import adjust, mean_interval

WIDTHS = (100, 200, 500, 1000, 2000)
HIDDEN = (3, 4)  # hidden layers: 4 and 5 layers of weights
SPARSITIES = (0.7, 0.8, 0.9)
GRADED = ("snip", "grasp")
NEAR = 0.05  # a distance to the limit, between densities, that counts as near
DEAD, BLOCKS = (
    0.1,
    0.86,
)  # of a block graphon: empty neurons, and variance explained (a smooth product has 0.72, blocks 1)
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
    done = table[table.status == "done"]
    if done.empty:
        raise ValueError(f"none of {len(table)} trials is done; the first failed with {table.error.iloc[0]}")
    rows = []
    for row in done.to_dict("records"):
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
        for n, N in dict.fromkeys(pairs):
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


# ---- evidence


def settled_evidence(cells: pd.DataFrame, estimator: str = "sorted") -> dict[str, Any]:
    """The evidence of claim W1."""
    ours = cells[(cells.method != NULL) & (cells.budget == "global")]
    r, shape = rates(ours, estimator), rates(ours, estimator, shape=True)
    split = rates(ours, "split")
    even = rates(cells[cells.budget == "layerwise"], estimator)
    wrong = r[~r.settled].groupby("method", sort=False).size()
    return {
        "cells": len(r),
        "networks": int(ours.networks.min()),
        "settled": float(r.settled.mean()),
        "shapes": float(shape.settled.mean()),
        "split": float(split.settled.mean()),
        "layerwise": float(even.settled.mean()) if len(even) else 0.0,
        "near": float((r.settled & (r.left <= NEAR)).mean()),
        "explained": float((r["last"] <= 1.1 * r.null + 1.96 * r.error).mean()),
        "rate": float(r.rate.median()),
        "condition": "not settled: "
        + (", ".join(f"{m} in {k} of {(r.method == m).sum()} masks" for m, k in wrong.items()) or "none"),
    }


def flat_evidence(cells: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim W2: random pruning, with masks drawn without a network where they are there."""
    ours = cells[(cells.method == "random") & (cells.budget == "global")]
    off = null_deviations(cells)
    slopes = [
        np.polyfit(np.log(part.width), np.log(part.gradient.map(np.mean)), 1)[0]
        for _, part in ours.groupby(CELL)
        if len(part) > 1
    ]
    slope = mean_interval(slopes)
    left = [
        np.sqrt(max(0.0, l2(W, W.mean()) ** 2 - r.spread_split**2 / r.networks))
        for r in ours.itertuples()
        for W in [picture(r, "split")]
    ]
    return {
        "cells": len(ours),
        "networks": int(ours.networks.min()),
        "deviation": float(off.deviation.abs().max()),
        "exponent": slope.mean,
        "exponent_lower": slope.lower,
        "exponent_upper": slope.upper,
        "left": float(np.max(left)),
    }


def null_deviations(cells: pd.DataFrame) -> pd.DataFrame:
    """Root mean square distance of flat masks from their constant against the formula, by method and width.

    Columns: method, width, sparsity, layer, hidden, measured, formula, deviation (relative).
    """
    rows = []
    for r in cells[cells.method.isin(("random", NULL)) & (cells.budget == "global")].itertuples():
        measured = np.sqrt(np.square(r.fine).mean())
        formula = expected_distance(r.width, r.width, float(np.mean(r.density)), K)
        rows.append(
            [r.method, r.width, r.sparsity, r.layer, r.hidden, measured, formula, measured / formula - 1]
        )
    return pd.DataFrame(
        rows,
        columns=["method", "width", "sparsity", "layer", "hidden", "measured", "formula", "deviation"],
    )


def graded_evidence(cells: pd.DataFrame, estimator: str = "sorted") -> dict[str, Any]:
    """The evidence of claim W3."""
    f = flat(cells[cells.method.isin(("random", *GRADED))], estimator)
    kept, last = [], []
    for _, part in f.groupby(CELL, sort=False):
        at = part.set_index("width").structure
        widest = at.index.max()
        kept.append(at[widest] / max(at[at.index >= widest / 4].iloc[0], 1e-9))
        last.append(at[widest])
    return {
        "cells": len(f),
        "networks": int(cells[cells.budget == "global"].networks.min()),
        "above": float(((f.p < 0.05) & (f.difference > 0)).mean()),
        "kept": float(np.min(kept)),
        "structure": float(np.min(last)),
    }


def block_evidence(cells: pd.DataFrame, estimator: str = "sorted") -> dict[str, Any]:
    """The evidence of claim W4, at the greatest width."""
    last = cells[(cells.width == cells.width.max()) & (cells.budget == "global")]
    dead = (last.dead_rows + last.dead_columns) / 2
    blocks = pd.Series([two_blocks(picture(r, estimator)) for r in last.itertuples()], last.index)
    ours, others = last.method == "synflow", last.method.isin(GRADED)
    return {
        "cells": int(ours.sum()),
        "networks": int(last.networks.min()),
        "dead": float(dead[ours].min()),
        "dead_others": float(dead[others].max()),
        "blocks": float(blocks[ours].min()),
        "blocks_others": float(blocks[others].max()),
        "both": float(((dead >= DEAD) & (blocks >= BLOCKS))[ours].mean()),
    }


def between_evidence(cells: pd.DataFrame, estimator: str = "sorted") -> dict[str, Any]:
    """The evidence of claim W5."""
    found = between(cells, estimator)
    apart = (found.p < 0.05) & (found["shape"] > SMALL)
    same = found[~apart].groupby(["a", "b"], sort=False).size()
    return {
        "pairs": len(found),
        "networks": int(cells[cells.budget == "global"].networks.min()),
        "apart": float(apart.mean()),
        "ratio": float((found.distance / found.within).median()),
        "least": float((found.distance / found.error)[apart].min()) if apart.any() else 0.0,
        "condition": "of one shape: "
        + (", ".join(f"{a} and {b} ({k} masks)" for (a, b), k in same.items()) or "none"),
    }


def factor_evidence(cells: pd.DataFrame, seeds: int = 6) -> dict[str, Any]:
    """The evidence of claim W11, at the greatest width; ``seeds``: sampled scores of each size."""
    last = cells[(cells.width == cells.width.max()) & (cells.method != NULL) & (cells.budget == "global")]
    uneven = pd.Series([np.mean(r.heterogeneous) / np.mean(r.density) for r in last.itertuples()], last.index)
    error = pd.Series(
        [np.mean(r.predicted) / np.mean(r.fine[: len(r.predicted)]) for r in last.itertuples()],
        last.index,
    )
    share = last.share.map(np.mean)
    even, graded = last.method.isin(("random", "magnitude")), last.method.isin(GRADED)
    exact = factorised(seeds)
    return {
        "cells": len(last),
        "networks": int(last.networks.min()),
        "exponent": float(np.polyfit(np.log(exact.width), np.log(exact.distance), 1)[0]),
        "homogeneous": float(uneven[even].max()),
        "heterogeneous": float(uneven[graded].min()),
        "error": float(error[graded].max()),
        "error_synflow": float(error[last.method == "synflow"].min()),
        "share": float(share[graded].min()),
        "share_homogeneous": float(share[even].max()),
    }


def factorised(seeds: int, sizes: Sequence[int] = (50, 100, 200, 400)) -> pd.DataFrame:
    """Masks of scores that are factorised by construction against the prediction, cells of 16 × 16.

    Columns: width, distance (root mean square L2, over ``seeds`` draws). The prediction is made from fitted factors.
    """
    rows = []
    for n in sizes:
        squares = []
        for seed in range(seeds):
            rng = np.random.default_rng([seed, n])
            a, b = np.exp(0.8 * rng.standard_normal((2, n)))
            ξ = np.abs(rng.standard_normal((n, n)))
            s = np.outer(a, b) * ξ
            τ = np.quantile(s, 0.8)
            squares.append(l2(factorise(s).graphon(τ, 16), sorted_average(s > τ, 16)) ** 2)
        rows.append([n, np.sqrt(np.mean(squares))])
    return pd.DataFrame(rows, columns=["width", "distance"])


def sensitivity(cells: pd.DataFrame) -> pd.DataFrame:
    """The verdicts of W1, W3, W4 and W5 by estimator, by the rules of these claims."""
    asked = {"W1": settled_evidence, "W3": graded_evidence, "W4": block_evidence, "W5": between_evidence}
    known = claims.claims()
    return pd.DataFrame(
        [[e, *(known[c].judge(evidence(cells, e)) for c, evidence in asked.items())] for e in ESTIMATORS],
        columns=["estimator", *asked],
    )


def sensitivity_evidence(found: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim W13, from :func:`sensitivity`."""
    base = found.iloc[0, 1:]
    same = found.iloc[1:, 1:] == base
    other = [
        f"{c} by {found.estimator[i]}: {found[c][i]}" for i in same.index for c in same if not same[c][i]
    ]
    return {
        "verdicts": int(same.size),
        "decided": int((base != "undecided").sum()),
        "same": float(same.to_numpy().mean()),
        "condition": "; ".join(other) or "all the same",
    }
