"""The study of truth tables: which networks run, and what is read from their rows (A3 to A7)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from flowprune.experiments.logic import GATES, LogicTrial
from flowprune.experiments.network_rows import by_network, compared
from flowprune.study.stats import adjust, equivalence

HIDDEN = (0, 1, 2, 3, 4, 5)  # of the paper's figure 3
# sizes beyond: networks, and inputs shown
FAR = {10: (200, 2000), 20: (10, 2000), 50: (3, 2000), 100: (2, 40)}
TABLES = ("parity 3", "parity 4", "adder 1", "adder 2", "multiplexer 1", "multiplexer 2", "random 4 2 0")
MODES = ("none", "D", "DW")
NAMES = {"none": "unpruned", "D": "mode D", "DW": "mode D_W", "clear": "mode D, no rounding"}
CLEAR = 1e-9  # a threshold well above rounding
MARGIN = 0.05  # of the mean error, which is 0.5 for a coin: what does not matter


def cells(
    tables: Sequence[str], hidden: Sequence[int], modes: Sequence[str] = MODES, **fields: Any
) -> list[LogicTrial]:
    """Every table, size and mode; ``clear`` is mode D with a threshold above rounding."""
    return [
        LogicTrial(table=t, hidden=h, mode="D", threshold=CLEAR, **fields)
        if mode == "clear"
        else LogicTrial(table=t, hidden=h, mode=mode, **fields)
        for t in tables
        for h in hidden
        for mode in modes
    ]


def beyond(sizes: Sequence[int], networks: Sequence[int], inputs: Sequence[int]) -> list[LogicTrial]:
    """Larger networks in the paper's modes, of all gates up to 20 hidden nodes and of XOR beyond."""
    return [
        t
        for h, R, T in zip(sizes, networks, inputs, strict=True)
        for t in cells(GATES if h <= 20 else ("xor",), [h], networks=R, inputs=T)
    ]


def study() -> list[LogicTrial]:
    """The published trials of the paper's sizes and of ten hidden nodes."""
    return [*cells(GATES, HIDDEN, (*MODES, "clear")), *cells(GATES, [10])]


def larger() -> list[LogicTrial]:
    """The published trials of larger networks and of larger truth tables."""
    far = [(h, *FAR[h]) for h in FAR if h > 10]
    return [*beyond(*zip(*far, strict=True)), *cells(TABLES, (5, 10), networks=30)]


def networks(table: pd.DataFrame) -> pd.DataFrame:
    """One row a network of the finished trials.

    Columns: gate (or other table), hidden, mode (with ``clear``), seed, edges (at the start), miss (its error),
    removed, share (of edges removed), by_rounding, half (input of its median removal, −1 without any), learned (the
    piece), and others of :class:`~flowprune.experiments.logic.LogicTrial`. Raises ValueError when no trial is done.
    """
    rows = by_network(table, ("hidden", "mode", "threshold", "edges"))
    return rows.assign(mode=rows["mode"].where(rows.threshold == 0, "clear"), share=rows.removed / rows.edges)


Pairs = list[tuple[tuple[str, int], np.ndarray, np.ndarray]]


def _modes(nets: pd.DataFrame, value: str, a: str, b: str) -> Pairs:
    """A value of the networks of two modes by gate and size, paired by seed."""
    wide = nets.pivot(index=["gate", "hidden", "seed"], columns="mode", values=value).dropna(subset=[a, b])
    return [
        (key, p[a].to_numpy(), p[b].to_numpy()) for key, p in wide.groupby(["gate", "hidden"], sort=False)
    ]


def changes(nets: pd.DataFrame) -> pd.DataFrame:
    """Error of pruned minus unpruned networks of the same seed, for every gate, size and mode: an equivalence test.

    Columns: gate, hidden, mode, networks, before, after, change, lower and upper (90 %), p.
    """
    rows = []
    for mode in ("D", "DW"):
        for (gate, hidden), pruned, whole in _modes(nets, "miss", mode, "none"):
            c = equivalence(pruned, whole, MARGIN)
            rows.append([gate, hidden, mode, c.n, whole.mean(), pruned.mean(), c.mean, c.lower, c.upper, c.p])
    columns = ["gate", "hidden", "mode", "networks", "before", "after", "change", "lower", "upper", "p"]
    return pd.DataFrame(rows, columns=columns)


def change_evidence(nets: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim A3."""
    c = changes(nets)
    return {
        "cells": len(c),
        "networks": int(c.networks.min()),
        "equivalent": float((adjust(c.p) < 0.05).mean()),
        "apart": float(((c.lower > MARGIN) | (c.upper < -MARGIN)).mean()),
        "largest": float(c.change.abs().max()),
        "upper": float(c.upper.max()),
        "disconnected": int(nets.disconnected.sum()),
        "condition": f"not shown within ±{MARGIN}: {_cells(c[adjust(c.p) >= 0.05])}",
    }


def contrasts(nets: pd.DataFrame, value: str, a: str = "DW", b: str = "D") -> pd.DataFrame:
    """Mode a minus mode b of the same seed, for every gate and size; p-values corrected together (Holm)."""
    return compared(_modes(nets, value, a, b), ["gate", "hidden"])


def count_evidence(nets: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim A4; cells where no mode has an edge to name are left out."""
    within = nets[nets.hidden > 0]
    c, clear = contrasts(within, "removed"), contrasts(within, "removed", "DW", "clear")
    return {
        "cells": len(c),
        "networks": int(c.networks.min()),
        **signs(c),
        "largest": float(c.difference.max()),
        "least": float(c.difference.min()),
        "condition": f"fewer: {_cells(c[(c.p < 0.05) & (c.difference < 0)])}",
        "clear_more": signs(clear)["more"],
        "clear_fewer": signs(clear)["fewer"],
        "by_rounding": float(
            nets[nets["mode"] == "D"].by_rounding.sum() / nets[nets["mode"] == "D"].removed.sum()
        ),
    }


def signs(c: pd.DataFrame) -> dict[str, float]:
    """The shares of cells where the difference is above and below zero (adjusted p below 0.05)."""
    sure = c.p < 0.05
    return {
        "more": float((sure & (c.difference > 0)).mean()),
        "fewer": float((sure & (c.difference < 0)).mean()),
    }


def steps(nets: pd.DataFrame) -> pd.DataFrame:
    """From one size to the next, by gate and mode: how count and share of removed edges change.

    Columns: gate, mode, from, to, count and share (means of the larger size minus the smaller), their p-values of a
    permutation test, corrected together.
    """
    rows, ps = [], []
    pruned = nets[nets["mode"].isin(("D", "DW"))]
    for (gate, mode), part in pruned.groupby(["gate", "mode"], sort=False):
        for low, high in pairwise(sorted(part.hidden.unique())):
            small, large = part[part.hidden == low], part[part.hidden == high]
            found = [unpaired(large[v].to_numpy(), small[v].to_numpy()) for v in ("removed", "share")]
            rows.append([gate, mode, low, high, *(difference for difference, _ in found)])
            ps.append([p for _, p in found])
    told = pd.DataFrame(rows, columns=["gate", "mode", "from", "to", "count", "share"])
    p = adjust(np.ravel(ps)).reshape(-1, 2)
    return told.assign(count_p=p[:, 0], share_p=p[:, 1])


def unpaired(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Difference of means, and Welch's p-value; 1 where nothing varies."""
    if np.ptp(x) == 0 and np.ptp(y) == 0:
        return float(x.mean() - y.mean()), float(x[0] == y[0])
    moments = [m for z in (x, y) for m in (z.mean(), z.std(ddof=1), z.size)]
    return float(x.mean() - y.mean()), float(stats.ttest_ind_from_stats(*moments, equal_var=False).pvalue)


def growth_evidence(nets: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim A5, for sizes with an edge to name."""
    s = steps(nets[nets.hidden > 0])
    sure = {v: (s[f"{v}_p"] < 0.05) & (s[v] != 0) for v in ("count", "share")}
    near = s.to <= max(HIDDEN)
    good = sure["count"] & (s["count"] > 0), sure["share"] & (s.share < 0)
    largest = nets[(nets.hidden == nets.hidden.max()) & (nets["mode"] != "none")]
    wrong = sure["count"] & (s["count"] < 0) | sure["share"] & (s.share > 0)
    among = lambda of, here: float(of[here].mean()) if here.any() else 0.0  # noqa: E731
    return {
        "condition": f"the other way: {_cells(s[wrong].rename(columns={'from': 'hidden'}))} to the next",
        "steps": int(near.sum()),
        "hidden": int(nets.hidden.max()),
        "rising": among(good[0], near),
        "falling": among(good[1], near),
        "against": float(wrong.mean()) if len(s) else 0.0,
        "far_rising": among(good[0], ~near),
        "far_falling": among(good[1], ~near),
        "largest": float((largest.removed / largest.hidden).mean()),
    }


def timing(nets: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """D_W minus D, of the input of a network's median removal (where both remove some), and of its mean error over the
    training: see :func:`contrasts`."""
    return contrasts(nets.assign(half=nets.half.where(nets.half >= 0)), "half"), contrasts(
        nets, "training_miss"
    )


def timing_evidence(when: pd.DataFrame, slower: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim A6, from :func:`timing`."""
    return {
        "condition": f"learns slower with D_W: {_cells(slower[(slower.p < 0.05) & (slower.difference > 0)])}",
        "cells": len(when),
        "networks": int(slower.networks.min()),
        "earlier": signs(when)["fewer"],
        "later": signs(when)["more"],
        "slower": signs(slower)["more"],
        "faster": signs(slower)["fewer"],
        "inputs": float(when.difference.median()),
        "miss": float(slower.difference.median()),
    }


def together(*parts: pd.DataFrame) -> pd.DataFrame:
    """Networks of several studies, those of a gate, size, mode and seed once."""
    return pd.concat(parts).drop_duplicates(["gate", "hidden", "mode", "seed"], ignore_index=True)


def _cells(rows: pd.DataFrame) -> str:
    """The cells of these rows, in words."""
    words = [
        f"{r.gate.upper()} h = {r.hidden}{f' {NAMES[r.mode]}' if 'mode' in rows else ''}"
        for r in rows.itertuples()
    ]
    return ", ".join(words) or "no cell"
