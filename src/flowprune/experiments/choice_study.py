"""The study of the choice of edge: which networks run, and what is read from their rows (A10 to A13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from flowprune.experiments.choice import ChoiceTrial
from flowprune.experiments.choice_edges import NOTHING, READINGS, EdgeTrial
from flowprune.experiments.network_rows import by_network, compared
from flowprune.study.specs import Trial
from flowprune.study.stats import mean_interval

GATES = ("and", "xor")
MODES = ("D", "DW")
CHOICES = ("published", "random", "smallest", "feedback", "eigenvector")
LOT = "lot"  # what the published rule can name, without a spectrum: a control that no rule of a claim reads
BEYOND = ("ego", "spectrum", "random", "smallest")
DENSE = {2: 200, 5: 200, 10: 200}  # hidden nodes: networks of each gate and mode
COSTLY, FEW = 5, 8  # beyond so many hidden nodes mode D costs seconds a network, and few are run
SPARSE = {10: (0.25, 7, 60), 20: (0.1, 10, 30)}  # hidden nodes: density, edges removed, networks
EDGES = {2: 200, 5: 200, 10: 40}
SPARSE_EDGES = {10: (0.25, 100), 20: (0.1, 40)}
MARGIN = 0.01  # a difference in mean error or mean change that matters; a coin's error is 0.5
LEAST = 20  # networks that a comparison needs to count


def replays(
    gates: Sequence[str], sizes: dict[int, int], modes: Sequence[str] = MODES, **fields: Any
) -> list[ChoiceTrial]:
    """Every gate, size and mode with every choice at the published moments."""
    return [
        ChoiceTrial(table=g, hidden=h, mode=m, choice=c, networks=_number(h, m, R), **fields)
        for g in gates
        for h, R in sizes.items()
        for m in modes
        for c in ("none", *CHOICES, LOT)
    ]


def _number(h: int, mode: str, networks: int) -> int:
    return min(FEW, networks) if mode == "D" and h > COSTLY else networks


def spread(
    gates: Sequence[str],
    sizes: dict[int, tuple[float, int, int]],
    modes: Sequence[str] = MODES,
    **fields: Any,
) -> list[ChoiceTrial]:
    """Sparse networks that lose edges at evenly spaced moments."""
    return [
        ChoiceTrial(table=g, hidden=h, mode=m, choice=c, density=ρ, spread=k, networks=R, **fields)
        for g in gates
        for h, (ρ, k, R) in sizes.items()
        for m in modes
        for c in ("none", *BEYOND)
    ]


def every_edge(
    gates: Sequence[str], dense: dict[int, int], few: dict[int, tuple[float, int]], **fields: Any
) -> list[EdgeTrial]:
    """Dense and sparse networks whose edges are removed one by one."""
    sizes = [(h, 1.0, R) for h, R in dense.items()] + [(h, ρ, R) for h, (ρ, R) in few.items()]
    return [EdgeTrial(table=g, hidden=h, density=ρ, networks=R, **fields) for g in gates for h, ρ, R in sizes]


def study() -> list[Trial]:
    """The published trials."""
    return [*replays(GATES, DENSE), *spread(GATES, SPARSE), *every_edge(GATES, EDGES, SPARSE_EDGES)]


def networks(table: pd.DataFrame) -> pd.DataFrame:
    """One row a network of the finished trials, see :func:`by_network`; NaN for a mean over nothing."""
    return by_network(table, ("hidden", "density", "mode", "choice", "spread")).replace(NOTHING, np.nan)


def after_training(nets: pd.DataFrame, against: str = "published", value: str = "miss") -> pd.DataFrame:
    """Replays: a value with each choice minus that with ``against``, same seeds, by gate, size and mode."""
    pairs = []
    for key, part in nets[nets.choice != "none"].groupby(["gate", "hidden", "mode"], sort=False):
        wide = part.pivot(index="seed", columns="choice", values=value)
        pairs += [((*key, c), wide[c], wide[against]) for c in wide if c != against]
    return compared(pairs, ["gate", "hidden", "mode", "choice"])


def at_once(
    edges: pd.DataFrame, choices: Sequence[str], against: str, when: str = "", prefix: str = ""
) -> pd.DataFrame:
    """Single removals: the change by what each choice names minus what ``against`` names, at the same nodes."""
    pairs = []
    for (gate, hidden), part in edges.groupby(["gate", "hidden"], sort=False):
        for mode in MODES:
            base = part[f"{mode}_{prefix}{against}{when}"]
            pairs += [
                ((gate, hidden, mode, c), part[f"{mode}_{prefix}{c}{when}"], base)
                for c in choices
                if c != against
            ]
    return compared(pairs, ["gate", "hidden", "mode", "choice"])


def sure(c: pd.DataFrame) -> pd.Series:
    """Rows whose difference is sure (adjusted p below 0.05) and matters."""
    return (c.p < 0.05) & (c.difference.abs() >= MARGIN)


def _cells(c: pd.DataFrame) -> float:
    """The share of gate × size × mode in which some choice differs for sure."""
    return float(c.assign(sure=sure(c)).groupby(["gate", "hidden", "mode"]).sure.any().mean())


def choice_evidence(nets: pd.DataFrame, edges: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim A10, from replays and from single removals of dense networks."""
    lots = after_training(nets[nets.choice.isin([LOT, "published"])])
    nets = nets[nets.choice != LOT]
    trained = after_training(nets)
    now, later = (at_once(edges, CHOICES, "published", when) for when in ("", "_later"))
    count = nets[nets.choice == "published"].groupby(["gate", "hidden", "mode"]).size()
    costly = [(h > COSTLY and m == "D") for _, h, m in count.index]
    lost = nets[~nets.choice.isin(["none"])]
    short = 1 - lost.groupby(["choice"]).removed.sum() / lost.groupby(["choice"]).moments.sum()
    random = trained[trained.choice == "random"]
    return {
        "cells": len(count),
        "networks": int(count[~np.array(costly)].min()),
        "at_once": _cells(now),
        "later": _cells(later),
        "trained": _cells(trained),
        "either": max(_cells(now), _cells(trained)),
        "random_worse": float((sure(random) & (random.difference > 0)).mean()),
        "random_better": float((sure(random) & (random.difference < 0)).mean()),
        "largest": float(trained.difference.abs().max()),
        "largest_at_once": float(now.difference.abs().max()),
        "short": float(short.max()),
        "lot_worse": float((sure(lots) & (lots.difference > 0)).mean()),
        "lot_better": float((sure(lots) & (lots.difference < 0)).mean()),
    }


def couplings(edges: pd.DataFrame, test: str) -> pd.DataFrame:
    """Change of the edges of a symmetric coupling minus others', by gate, size and reading; ``test``: raw, matched,
    within or later, see :class:`~flowprune.experiments.choice_edges.EdgeTrial`.
    """
    pairs = [
        ((gate, hidden, reading), part[column], np.zeros(len(part)))
        for (gate, hidden), part in edges.groupby(["gate", "hidden"], sort=False)
        for reading in READINGS
        if (column := f"{reading.replace(' ', '_')}_{test}")
    ]
    return compared(pairs, ["gate", "hidden", "reading"])


def coupling_evidence(edges: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim A11, from single removals of dense networks."""
    found = {test: couplings(edges, test) for test in ("raw", "matched", "within", "later")}
    found = {test: c[c.networks >= LEAST] for test, c in found.items()}

    def share(test: str, sign: int) -> float:
        c = found[test]
        return float(((c.p < 0.05) & (sign * c.difference > 0)).mean()) if len(c) else 0.0

    raw = found["raw"]
    return {
        "cells": len(raw),
        "networks": int(raw.networks.min()) if len(raw) else 0,
        "smaller": share("raw", -1),
        "larger": share("raw", 1),
        "matched_smaller": share("matched", -1),
        "matched_larger": share("matched", 1),
        "within_smaller": share("within", -1),
        "within_larger": share("within", 1),
        "later_smaller": share("later", -1),
        "later_larger": share("later", 1),
    }


def beyond_evidence(nets: pd.DataFrame, edges: pd.DataFrame) -> dict[str, Any]:
    """The second half of the evidence of claim A12, from sparse networks."""
    trained = after_training(nets, "random")
    ego = trained[trained.choice == "ego"]
    now = at_once(edges, ["ego"], "random", prefix="ego_")
    moments = nets[nets.choice == "spectrum"]
    nodes = edges.hidden + 1
    return {
        "cells": len(ego),
        "networks": int(ego.networks.min()),
        "mutual": float(edges.mutual.mean()),
        "named_star": float(moments.removed.sum() / moments.moments.sum()),
        "star_nodes": float((edges.D_stars / nodes).mean()),
        "ego_nodes": float((edges.D_ego_nodes / nodes).mean()),
        "keeps": float(((ego.p < 0.05) & (ego.difference < 0)).mean()),
        "harms": float(((ego.p < 0.05) & (ego.difference > 0)).mean()),
        "less": float(((now.p < 0.05) & (now.difference < 0)).mean()),
        "more": float(((now.p < 0.05) & (now.difference > 0)).mean()),
    }


def ranks(edges: pd.DataFrame) -> pd.DataFrame:
    """Mean rank correlations with the change of the function by gate, size and density, with 95 % intervals.

    Columns: gate, hidden, density, score (weight, real DW, real D), networks, mean, lower, upper.
    """
    rows = []
    for (gate, hidden, density), part in edges.groupby(["gate", "hidden", "density"], sort=False):
        for score in ("weight", "real_DW", "real_D"):
            x = part[f"rank_{score}"].dropna()
            if len(x) > 1:
                i = mean_interval(x)
                rows.append([gate, hidden, density, score.replace("_", " "), i.n, i.mean, i.lower, i.upper])
    columns = ["gate", "hidden", "density", "score", "networks", "mean", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns)


def real_evidence(edges: pd.DataFrame) -> dict[str, Any]:
    """The second half of the evidence of claim A13."""
    r = ranks(edges)
    weighted, counted = r[r.score == "real DW"], r[r.score == "real D"]
    groups = edges.groupby(["gate", "hidden", "density"], sort=False)
    c = compared(
        [(key, part.rank_real_DW, part.rank_weight) for key, part in groups], ["gate", "hidden", "density"]
    )
    return {
        "cells": len(weighted),
        "networks": int(weighted.networks.min()),
        "rank": float(weighted["mean"].mean()),
        "rank_counted": float(counted["mean"].mean()) if len(counted) else 0.0,
        "rank_weight": float(r[r.score == "weight"]["mean"].mean()),
        "positive": float((weighted.lower > 0).mean()),
        "better": float(((c.p < 0.05) & (c.difference > 0)).mean()),
        "worse": float(((c.p < 0.05) & (c.difference < 0)).mean()),
    }
