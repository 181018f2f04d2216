"""What the masks of a study say about W1 to W5, W11 and W13: the evidence that their rules read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from flowprune.experiments import masks_study as study
from flowprune.experiments.masks import ESTIMATORS, NULL, K
from flowprune.limits.factors import factorise
from flowprune.limits.graphon import l2, sorted_average
from flowprune.limits.null import expected_distance
from flowprune.study import claims
from flowprune.study.stats import mean_interval

NEAR = 0.05  # a distance to the limit, between densities, that counts as near
DEAD = 0.1  # share of empty neurons, of blocks
BLOCKS = 0.86  # share of variance explained, of blocks: half way from a smooth product, 0.72, to 1


def settled(cells: pd.DataFrame, estimator: str = "sorted") -> dict[str, Any]:
    """The evidence of claim W1."""
    ours = cells[(cells.method != NULL) & (cells.budget == "global")]
    r, shape = study.rates(ours, estimator), study.rates(ours, estimator, shape=True)
    split = study.rates(ours, "split")
    even = study.rates(cells[cells.budget == "layerwise"], estimator)
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


def settled_by_method(cells: pd.DataFrame) -> pd.DataFrame:
    """How the pictures of each method move from width to width, a row a method and budget.

    Columns: method, budget, masks, settled (sorted / split averages), rate, last, null, left: counts, and medians over
    masks of what :func:`flowprune.experiments.masks_study.rates` tells.
    """
    ours = cells[cells.method != NULL]
    split = study.rates(ours, "split").groupby(["method", "budget"]).settled.sum()
    rows = []
    for key, part in study.rates(ours).groupby(["method", "budget"], sort=False):
        middle = part[["rate", "last", "null", "left"]].median()
        rows.append([*key, len(part), f"{part.settled.sum()} / {split[key]}", *middle])
    return pd.DataFrame(
        rows, columns=["method", "budget", "masks", "settled", "rate", "last", "null", "left"]
    )


def structure_by_method(cells: pd.DataFrame) -> pd.DataFrame:
    """Means over the masks at the greatest width: method, structure (0 for random pruning), empty_share, blocks."""
    last = frames(cells[cells.method != NULL])
    apart = study.flat(cells)
    structure = apart[apart.width == cells.width.max()].groupby("method").structure.mean()
    told = last.groupby("method", sort=False)[["empty_share", "blocks"]].mean().reset_index()
    told.insert(1, "structure", told.method.map(structure).fillna(0.0))
    return told


def flat(cells: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim W2: random pruning, with masks drawn without a network where they are there."""
    ours = cells[(cells.method == "random") & (cells.budget == "global")]
    off = null_deviations(cells)
    slopes = [
        np.polyfit(np.log(part.width), np.log(part.gradient.map(np.mean)), 1)[0]
        for _, part in ours.groupby(study.CELL)
        if len(part) > 1
    ]
    slope = mean_interval(slopes)
    left = [
        np.sqrt(max(0.0, l2(W, W.mean()) ** 2 - r.spread_split**2 / r.networks))
        for r in ours.itertuples()
        for W in [study.picture(r, "split")]
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


def graded(cells: pd.DataFrame, estimator: str = "sorted") -> dict[str, Any]:
    """The evidence of claim W3."""
    f = study.flat(cells[cells.method.isin(("random", *study.GRADED))], estimator)
    kept, last = [], []
    for _, part in f.groupby(study.CELL, sort=False):
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


def frames(cells: pd.DataFrame, estimator: str = "sorted") -> pd.DataFrame:
    """The masks at the greatest width with two columns more.

    ``empty_share``: of neurons without edges, mean of both sides; ``blocks``: of the picture's variance, what two
    intervals of rows times two of columns explain.
    """
    last = cells[(cells.width == cells.width.max()) & (cells.budget == "global")]
    explained = [study.two_blocks(study.picture(r, estimator)) for r in last.itertuples()]
    return last.assign(empty_share=(last.dead_rows + last.dead_columns) / 2, blocks=explained)


def blocks(cells: pd.DataFrame, estimator: str = "sorted") -> dict[str, Any]:
    """The evidence of claim W4, at the greatest width."""
    last = frames(cells, estimator)
    ours, others = last[last.method == "synflow"], last[last.method.isin(study.GRADED)]
    return {
        "cells": len(ours),
        "networks": int(last.networks.min()),
        "dead": float(ours.empty_share.min()),
        "dead_others": float(others.empty_share.max()),
        "blocks": float(ours.blocks.min()),
        "blocks_others": float(others.blocks.max()),
        "both": float(((ours.empty_share >= DEAD) & (ours.blocks >= BLOCKS)).mean()),
    }


def between(cells: pd.DataFrame, estimator: str = "sorted") -> dict[str, Any]:
    """The evidence of claim W5."""
    found = study.between(cells, estimator)
    apart = (found.p < 0.05) & (found["shape"] > study.SMALL)
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


def factors(cells: pd.DataFrame, seeds: int = 6) -> dict[str, Any]:
    """The evidence of claim W11, at the greatest width; ``seeds``: sampled scores of each size."""
    last = cells[(cells.width == cells.width.max()) & (cells.method != NULL) & (cells.budget == "global")]
    uneven = pd.Series([np.mean(r.heterogeneous) / np.mean(r.density) for r in last.itertuples()], last.index)
    error = pd.Series(
        [np.mean(r.predicted) / np.mean(r.fine[: len(r.predicted)]) for r in last.itertuples()],
        last.index,
    )
    share = last.share.map(np.mean)
    even, graded = last.method.isin(("random", "magnitude")), last.method.isin(study.GRADED)
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
    asked = {"W1": settled, "W3": graded, "W4": blocks, "W5": between}
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
