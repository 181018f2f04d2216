"""The study of kernels at finite width: which trials, how they approach the limit, and the evidence of W6."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray

from flowprune.experiments.kernels import COUNTED, FAMILIES, DependenceTrial, WidthTrial
from flowprune.experiments.network_rows import done
from flowprune.pruning.saliency import METHODS
from flowprune.study.specs import Trial

WIDTHS = (125, 250, 500, 1000, 2000, 4000)
PRUNED = (100, 200, 500, 1000, 2000)
SMOOTH = ("product", "near")  # graphons that are no constant and have no jump
EXPECTED = (-0.6, -0.4)  # where an exponent of −1/2 is met
SHAPES = ((2, "relu"), (3, "relu"), (2, "erf"))  # hidden layers and activation
KEY = ["graphon", "hidden", "activation"]


def widths(which: tuple[int, ...] = WIDTHS, networks: int = 30) -> list[WidthTrial]:
    """Every graphon, shape and width."""
    return [
        WidthTrial(graphon=g, width=n, hidden=L, activation=a, networks=networks)
        for g in FAMILIES
        for L, a in SHAPES
        for n in which
    ]


def pruned(
    which: tuple[int, ...] = PRUNED, networks: int = 10, images: str = "mnist"
) -> list[DependenceTrial]:
    """Every method at every width, at sparsity 0.8."""
    return [
        DependenceTrial(method=m, width=n, networks=networks, images=images) for m in METHODS for n in which
    ]


def study() -> list[Trial]:
    """Every published trial."""
    return [*widths(), *pruned()]


def slope(n: ndarray, distances: list[ndarray]) -> float:
    """Exponent of the mean distance over the width, by least squares in logarithms."""
    return float(np.polyfit(np.log(n), np.log([d.mean() for d in distances]), 1)[0])


def exponents(table: pd.DataFrame, resamples: int = 1000) -> pd.DataFrame:
    """For each graphon, shape and count: the exponent with a 95 % interval from resampled networks of every width.

    Columns: graphon, hidden, activation, counted, networks, exponent, lower, upper, last (mean distance at the widest).
    """
    rows, rng = [], np.random.default_rng(0)
    for key, cell in done(table).groupby(KEY, sort=False):
        cell = cell.sort_values("width")
        n = cell.width.to_numpy(float)
        for counted in COUNTED:
            d = [np.array(v) for v in cell[f"apart_{counted}"]]
            drawn = [slope(n, [rng.choice(v, v.size) for v in d]) for _ in range(resamples)]
            lower, upper = np.quantile(drawn, [0.025, 0.975])
            rows.append([*key, counted, min(v.size for v in d), slope(n, d), lower, upper, d[-1].mean()])
    columns = [*KEY, "counted", "networks", "exponent", "lower", "upper", "last"]
    return pd.DataFrame(rows, columns=columns)


def bias(table: pd.DataFrame, counted: str = "kept") -> pd.DataFrame:
    """What is left of the distance when networks are averaged, the share of the few networks taken off.

    With R networks at spread s around their mean, whose distance is m, m² − s²/(R − 1) estimates the squared bias.
    Columns: graphon, hidden, activation, width, apart, bias (0 where the estimate is negative), spread.
    """
    rows = done(table)
    m, s = rows[f"mean_{counted}"], rows[f"spread_{counted}"]
    left = np.sqrt(np.clip(m**2 - s**2 / (rows.networks - 1), 0, None))
    return rows[[*KEY, "width"]].assign(apart=rows[f"apart_{counted}"].map(np.mean), bias=left, spread=s)


def dependence(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard error over networks by method and width: own, fresh, sampled, shuffled, size, angle, left."""
    rows = []
    for row in done(table).to_dict("records"):
        told = {"method": row["method"], "width": row["width"], "networks": row["networks"]}
        for name in ("own", "fresh", "sampled", "shuffled", "size", "angle", "left"):
            v = np.array(row[name])
            told |= {name: v.mean(), f"{name}_se": v.std(ddof=1) / np.sqrt(v.size)}
        rows.append(told)
    return pd.DataFrame(rows).sort_values(["method", "width"], ignore_index=True)


def evidence(table: pd.DataFrame, pruned_table: pd.DataFrame) -> dict[str, Any]:
    """Evidence of W6, see ``data/claims.yaml``."""
    found, cases = exponents(table), dependence(pruned_table)
    smooth = found[found.graphon.isin(SMOOTH) & (found.hidden == 2) & (found.activation == "relu")]
    meets = (found.lower <= EXPECTED[1]) & (found.upper >= EXPECTED[0])
    widest, narrowest = (cases[cases.width == cases.width.agg(f)] for f in ("max", "min"))
    falls = [
        widest.set_index("method")[k] / narrowest.set_index("method")[k] for k in ("fresh", "sampled", "own")
    ]
    return {
        "cells": len(found),
        "networks": int(found.networks.min()),
        "widest": int(table.width.max()),
        "meets": float(meets.mean()),
        "slowest": float(found.exponent.max()),
        "fastest": float(found.exponent.min()),
        "smooth": float(smooth[smooth.counted == "kept"]["last"].max()),
        "grid": float(done(table).grid.max()),
        "fresh_falls": float(falls[0].max()),
        "sampled_falls": float(falls[1].max()),
        "own": float(widest[widest.method != "random"].own.min()),
        "own_size": float(widest["size"].max()),
        "own_angle": float(widest.angle.max()),
        "random_own": float(widest[widest.method == "random"].own.max()),
        "condition": "where the masks do not know the weights: drawn from a graphon, or weights drawn afresh",
    }
