"""The study of designed masks and of paths of masks: which trials run, and the evidence of W14 and W15."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray

from flowprune.experiments.designed import DESIGNS, METHODS, DesignedTrial, Method
from flowprune.experiments.mask_paths import PathTrial
from flowprune.experiments.network_rows import compared, done
from flowprune.study.stats import mean_interval

SPARSITIES = (0.8, 0.9, 0.95)
RIVALS: tuple[Method, ...] = ("random", "snip", "synflow", "synflow graphon")
SAMPLED: tuple[Method, ...] = (
    "synflow graphon",
    "narrow",
)  # masks that do not know the weights, as those of designs
MEASURES = ("adam", "tuned", "accuracy", "slope")
KINDS = (("rounds", 0.95, 1e-3), ("rounds", 0.95, 2e-2), ("rewiring", 0.9, 1e-3), ("rewiring", 0.95, 1e-3))
LENGTH = {"rounds": 200, "rewiring": 800}  # steps of a round, and of all
SEEDS = 8  # of a path
HIDDEN = (1, 2)  # masks between hidden layers, of three


def grid(
    sparsities: Sequence[float] = SPARSITIES, methods: Sequence[Method] = METHODS, **fields: Any
) -> list[DesignedTrial]:
    """Every method at every sparsity."""
    return [DesignedTrial(method=m, sparsity=s, **fields) for s in sparsities for m in methods]


def study() -> list[DesignedTrial]:
    """The published trials of designed masks."""
    return grid()


def paths(
    kinds: Sequence[tuple[str, float, float]] = KINDS,
    seeds: int = SEEDS,
    lengths: dict[str, int] | None = None,
    **fields: Any,
) -> list[PathTrial]:
    """Paths of each kind, sparsity and rate with seeds 0, 1, …"""
    steps = LENGTH | (lengths or {})
    return [
        PathTrial(kind=k, sparsity=s, rate=r, steps=steps[k], seed=seed, **fields)
        for k, s, r in kinds
        for seed in range(seeds)
    ]


def networks(table: pd.DataFrame) -> pd.DataFrame:
    """One row a network of the finished trials: method, sparsity, seed, kept, predicted and ``MEASURES``.

    Raises ValueError when no trial is done.
    """
    parts = []
    for row in done(table).to_dict("records"):
        lists = {name: row[name] for name in (*MEASURES, "predicted", "kept")}
        seeds = range(row["seed"], row["seed"] + row["networks"])
        fixed = {"method": row["method"], "sparsity": row["sparsity"]}
        parts.append(pd.DataFrame(fixed | {"seed": seeds} | lists))
    return pd.concat(parts, ignore_index=True)


def leads(nets: pd.DataFrame, value: str, methods: Sequence[str], rivals: Sequence[str]) -> pd.DataFrame:
    """A value of each method minus that of each rival, paired by seed; p is corrected over all rows together.

    Columns: method, rival, sparsity, networks, difference, lower, upper, p.
    """
    pairs = []
    for s, part in nets.groupby("sparsity", sort=False):
        wide = part.pivot(index="seed", columns="method", values=value)
        pairs += [((m, r, s), wide[m], wide[r]) for m in methods for r in rivals if m != r]
    return compared(pairs, ["method", "rival", "sparsity"])


def shares(found: pd.DataFrame) -> pd.DataFrame:
    """By method the shares of rivals × sparsities where it is ahead and where it is behind for sure."""
    sure = found.p < 0.05
    marked = found.assign(ahead=sure & (found.difference > 0), behind=sure & (found.difference < 0))
    return marked.groupby("method", sort=False)[["ahead", "behind"]].mean()


def contests(nets: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All designs against all rivals, by what is measured: adam, tuned, accuracy; see :func:`leads`."""
    return {v: leads(nets, v, DESIGNS, RIVALS) for v in ("adam", "tuned", "accuracy")}


def design_evidence(nets: pd.DataFrame, found: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """The evidence of claim W14, from :func:`networks` and :func:`contests`."""
    share = {v: shares(f) for v, f in found.items()}
    adam, tuned, accuracy = share.values()
    slopes = leads(nets, "slope", ["speed"], ["random", *SAMPLED])
    narrow = leads(nets, "adam", ["speed"], ["narrow"])
    cells = found["adam"][found["adam"].method == "speed"]
    return {
        "cells": len(cells),
        "networks": int(cells.networks.min()),
        "speed_adam": float(adam.ahead["speed"]),
        "speed_adam_behind": float(adam.behind["speed"]),
        "learned_tuned": float(tuned.ahead["learned"]),
        "learned_tuned_behind": float(tuned.behind["learned"]),
        "ahead": float(max(adam.ahead.max(), tuned.ahead.max())),
        "ahead_by": f"{tuned.ahead.idxmax()}, tuned rate"
        if tuned.ahead.max() >= adam.ahead.max()
        else f"{adam.ahead.idxmax()}, Adam",
        "accuracy_ahead": float(accuracy.ahead.max()),
        "accuracy_behind": float(accuracy.behind[["speed", "learned"]].max()),
        "top5_behind": float((adam.behind["top5"] + tuned.behind["top5"]) / 2),
        "slope": float(slopes.lower.min()),
        "narrow_ahead": float(((narrow.p < 0.05) & (narrow.difference < 0)).mean()),
        "condition": "training at the rate that the design was made for",
    }


# ---- paths


def walked(table: pd.DataFrame) -> pd.DataFrame:
    """One row a point of a finished path, averaged over the masks between hidden layers.

    Columns: kind, sparsity, rate, seed, point, at, accuracy, top5, rank; ``beyond``, distance from the constant graphon
    over the null's, sorted; ``placed``, the same with one position a unit; ``degrees``, share of the squared distance
    that degrees leave; ``new``, ``strange``; and of all layers ``density_l``, ``beyond_l``.
    """
    rows = []
    for row in done(table).to_dict("records"):
        layers = row["hidden"] + 1
        a = {
            name: np.array([row[f"{name}_{i}"] for i in range(layers)])
            for name in ("density", "away", "null", "degrees", "placed", "placed_null", "new", "strange")
        }
        inner = slice(1, layers - 1)
        fixed = {name: row[name] for name in ("kind", "sparsity", "rate", "seed")}
        for point in range(len(row["top5"])):
            at = {name: v[inner, point] for name, v in a.items()}
            rows.append(
                fixed
                | {"point": point}
                | {name: row[name][point] for name in ("at", "accuracy", "top5", "rank")}
                | {
                    "beyond": norm(at["away"]) / norm(at["null"]),
                    "placed": norm(at["placed"]) / norm(at["placed_null"]),
                    "degrees": float((norm(at["degrees"]) / norm(at["away"])) ** 2),
                    "new": float(at["new"].mean()),
                    "strange": float(at["strange"].mean()),
                }
                | {f"density_{i}": a["density"][i, point] for i in range(layers)}
                | {f"beyond_{i}": a["away"][i, point] / a["null"][i, point] for i in range(layers)}
            )
    return pd.DataFrame(rows)


def norm(x: ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(x).mean()))


def means(points: pd.DataFrame, values: Sequence[str]) -> pd.DataFrame:
    """Mean over networks with 95 % intervals, by kind, sparsity, rate and point: columns value, mean, lower, upper."""
    rows = []
    keys = ["kind", "sparsity", "rate", "point"]
    for key, part in points.groupby(keys, sort=False):
        for value in values:
            i = mean_interval(part[value])
            rows.append([*key, float(part["at"].mean()), value, i.n, i.mean, i.lower, i.upper])
    return pd.DataFrame(rows, columns=[*keys, "at", "value", "networks", "mean", "lower", "upper"])


def ends(points: pd.DataFrame) -> pd.DataFrame:
    """The last point of every path, with ``first_leap``: the share of the way that the first change made, and
    ``top5_change``.
    """
    rows = []
    for _, part in points.groupby(["kind", "sparsity", "rate", "seed"], sort=False):
        part = part.sort_values("point")
        start, leap, end = part.beyond.iloc[0], part.beyond.iloc[1], part.beyond.iloc[-1]
        rows.append(
            part.iloc[-1].to_dict()
            | {
                "first_leap": (leap - start) / (end - start) if end != start else 0.0,
                "top5_change": part.top5.iloc[-1] - part.top5.iloc[0],
            }
        )
    return pd.DataFrame(rows)


def path_evidence(points: pd.DataFrame, table: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim W15, from :func:`walked` and the trials."""
    last = ends(points)
    near = last[(last.kind == "rounds") & (last.rate == last[last.kind == "rounds"].rate.min())]
    far = last[(last.kind == "rounds") & (last.rate == last[last.kind == "rounds"].rate.max())]
    rewired = last[last.kind == "rewiring"]
    by_sparsity = [mean_interval(part.beyond) for _, part in rewired.groupby("sparsity")]
    trials = table[(table.status == "done") & (table.kind == "rewiring")]
    gain = mean_interval(trials.final - trials.still)
    whole = mean_interval(near.beyond)
    return {
        "networks": int(last.groupby(["kind", "sparsity", "rate"]).size().min()),
        "rounds": whole.mean,
        "rounds_lower": whole.lower,
        "rounds_upper": whole.upper,
        "input_over_hidden": float((near.density_0 / near.density_1).mean()),
        "far_lower": mean_interval(far.beyond).lower,
        "far": float(far.beyond.mean()),
        "rewired_lower": min(i.lower for i in by_sparsity),
        "rewired_upper": max(i.upper for i in by_sparsity),
        "leap": float(rewired.first_leap.mean()),
        "strange": float(rewired.strange.mean()),
        "degrees": float(rewired.degrees.mean()),
        "top5_rounds": float(near.top5_change.mean()),
        "top5_rewired": float(rewired.top5_change.mean()),
        "gain_lower": 100 * gain.lower,
        "gain_upper": 100 * gain.upper,
        "condition": "weights that stay near their start, or rewiring by the gradient",
    }
