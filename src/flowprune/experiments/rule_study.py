"""The parts and settings of the DYNAMO rule, one at a time: ablation, rates, noise and threshold (D5, D6, D10, D11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from flowprune.experiments.deep import DeepTrial
from flowprune.experiments.depth_study import places, trial
from flowprune.study.stats import Comparison, holm, paired

Cells = Mapping[str, Sequence[DeepTrial]]

FULL = "full rule"
NETWORKS = {"plain": "DYNAMO (−)", "small steps": "DYNAMO (−), small steps"}
ABLATION: dict[str, dict[str, Any]] = {  # what is taken out, everything else as it is
    FULL: {},
    "no noise": {"noise": 0.0},
    "no covariance": {"sign": "none"},
    "fixed threshold": {"adaptive": False},
    "one shot": {"gradual": False},
    "no recalibration": {"recalibrate": False},
}
RATES, GROWTHS = (0.02, 0.05, 0.1, 0.2, 0.5), (0.0, 0.1, 0.5)
NOISES, BETAS = (0.01, 0.05, 0.1), (0.5, 1.0, 2.0)  # the ranges that the source reports


FIRST = {
    "plain": 0,
    "small steps": 6,
}  # the run from which σ and β are varied: D11's rule has seen earlier ones


def _cell(
    dataset: str, network: str, depth: int, runs: int, fields: dict[str, Any], first: int = 0
) -> list[DeepTrial]:
    return [
        trial(dataset, NETWORKS[network], depth, **place, **fields) for place in places(dataset, runs, first)
    ]


def ablation(
    dataset: str, network: str, depth: int, runs: int = 5, **fields: Any
) -> dict[str, list[DeepTrial]]:
    """The rule without one of its parts, and the network without pruning."""
    changes = ABLATION | {"no pruning": {"rate": 0.0, "noise": 0.0}}
    return {name: _cell(dataset, network, depth, runs, fields | change) for name, change in changes.items()}


def rates(
    dataset: str,
    depth: int,
    first: Sequence[float] = RATES,
    growths: Sequence[float] = GROWTHS,
    runs: int = 5,
    **fields: Any,
) -> dict[tuple[float, float], list[DeepTrial]]:
    """Every r₀ with every γ in the plain network, with no bound on the share removed."""
    free = fields | {"limit": 1.0}
    return {
        (r, γ): _cell(dataset, "plain", depth, runs, free | {"rate": r, "growth": γ})
        for r in first
        for γ in growths
    }


def sensitivity(
    dataset: str,
    network: str,
    depth: int,
    noises: Sequence[float] = NOISES,
    betas: Sequence[float] = BETAS,
    runs: int = 5,
    **fields: Any,
) -> dict[tuple[float, float], list[DeepTrial]]:
    """Every σ with every β."""
    return {
        (σ, β): _cell(dataset, network, depth, runs, fields | {"noise": σ, "beta": β}, FIRST[network])
        for σ in noises
        for β in betas
    }


GRAPHS = ("cora?split=public", "citeseer?split=public")


def study() -> list[DeepTrial]:
    """The published trials, each once: a setting of one grid may be that of another."""
    cells: list[Mapping[Any, Sequence[DeepTrial]]] = []
    for d in GRAPHS:
        cells += [ablation(d, "plain", 8), ablation(d, "small steps", 16)]
        cells += [rates(d, 8, runs=3), sensitivity(d, "plain", 8, runs=12)]
        cells += [sensitivity(d, "small steps", 16, runs=6)]
    return list({t.key: t for c in cells for part in c.values() for t in part}.values())


def read(cells: Mapping[Any, Sequence[DeepTrial]], table: pd.DataFrame) -> pd.DataFrame:
    """One row a finished run: ``cell``, ``run``, ``accuracy`` (points), ``mu`` left by the last layer (over that of the
    input), ``removed`` (share) and whether it ``learned`` (fits nine tenths of its training nodes)."""
    done = table[table.status == "done"].drop_duplicates("key").set_index("key")
    told = []
    for cell, trials in cells.items():
        for i, t in enumerate(trials):
            if t.key in done.index:
                row = done.loc[t.key]
                told.append(
                    {
                        "graph": t.dataset,
                        "cell": cell,
                        "run": i,
                        "accuracy": 100 * float(row.test_accuracy),
                        "mu": row.mu[-1] / max(row.mu[0], 1e-12),
                        "removed": float(row.removed),
                        "learned": bool(row.train_accuracy >= 0.9),
                    }
                )
    return pd.DataFrame(told)


def contrasts(rows: pd.DataFrame, against: str = FULL) -> pd.DataFrame:
    """Every other cell minus ``against``, paired by graph and run, with the p-values corrected together (Holm)."""
    by = rows.pivot(index=["graph", "run"], columns="cell", values="accuracy")
    compared: dict[str, Comparison] = {
        name: paired(by[name], by[against]) for name in dict.fromkeys(rows.cell) if name != against
    }
    p = holm([c.p for c in compared.values()])
    spread = rows.groupby(["graph", "cell"]).accuracy.std().groupby("cell").mean()
    means = rows.groupby("cell")[["accuracy", "mu", "removed"]].mean()
    return pd.DataFrame(
        [
            {
                "change": name,
                "accuracy": means.accuracy[name],
                "difference": c.mean,
                "lower": c.lower,
                "upper": c.upper,
                "adj. p": q,
                "std": spread[name],
                "μ left": means.mu[name],
                "removed": means.removed[name],
            }
            for (name, c), q in zip(compared.items(), p, strict=True)
        ]
    )


def ablation_evidence(found: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The evidence of claim D10 from :func:`contrasts` of each network."""
    parts = [name for name in ABLATION if name != FULL]
    counted = {n: t[t.change.isin(parts)] for n, t in found.items()}
    loses = {n: int(((t["adj. p"] < 0.05) & (t.difference < 0)).sum()) for n, t in counted.items()}
    gains = {n: int(((t["adj. p"] < 0.05) & (t.difference > 0)).sum()) for n, t in counted.items()}
    largest = min(t.difference.min() for t in counted.values())
    return {
        "parts": len(parts),
        "needed": min(loses.values()),
        "needed_most": max(loses.values()),
        "harmful": max(gains.values()),
        "largest": -float(largest),
    }


def shot_evidence(found: Mapping[str, pd.DataFrame], rows: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The evidence of claim D5: the full rule against pruning at once and against pruning without recalibration."""
    told: dict[str, Any] = {"runs": min(len(r[r.cell == FULL]) for r in rows.values())}
    for name, field in (("one shot", "shot"), ("no recalibration", "plain")):
        lines = [t[t.change == name].iloc[0] for t in found.values()]
        own = [r[r.cell == FULL].groupby("graph").accuracy.std().mean() for r in rows.values()]
        told |= {
            f"{field}_lower": min(-line.upper for line in lines),
            f"{field}_upper": max(-line.lower for line in lines),
            f"{field}_spread": max(
                mine / max(line["std"], 1e-9) for mine, line in zip(own, lines, strict=True)
            ),
        }
    return told


def rate_evidence(rows: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim D6 from :func:`read` of :func:`rates`."""
    parts = rows.assign(rate=[c[0] for c in rows.cell], growth=[c[1] for c in rows.cell])
    means = parts.groupby(["rate", "growth"])[["accuracy", "mu", "removed"]].mean()
    over_rate = means.accuracy.groupby("growth").agg(np.ptp)
    over_growth = means.accuracy.groupby("rate").agg(np.ptp)
    best = means.accuracy.idxmax()
    first = parts.rate.min(), parts.growth.min()
    low, high = (parts[(parts.rate == r) & (parts.growth == g)] for r, g in (first, best))
    index = ["graph", "run"]
    gain = paired(high.set_index(index).accuracy.sort_index(), low.set_index(index).accuracy.sort_index())
    return {
        "settings": len(means),
        "runs": int(parts.groupby(["rate", "growth"]).size().min()),
        "range_rate": float(over_rate.max()),
        "range_growth": float(over_growth.max()),
        "gain_lower": gain.lower,
        "gain_upper": gain.upper,
        "best_rate": float(best[0]),
        "best_growth": float(best[1]),
        "best_removed": float(means.removed[best]),
        "mu_low": float(means.mu[first]),
        "mu_best": float(means.mu[best]),
    }


def sensitivity_evidence(found: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The evidence of claim D11 from :func:`read` of :func:`sensitivity` of each network, by its name."""
    plain, steady = (_ranges(found[name]) for name in NETWORKS)
    return plain | {
        "settings": min(plain["settings"], steady["settings"]),
        "runs": min(plain["runs"], steady["runs"]),
        "steady_range": steady["range"],
        "steady_spread": steady["spread"],
        "steady_p": steady["p"],
        "least_range": min(plain["range"], steady["range"]),
    }


def _ranges(rows: pd.DataFrame) -> dict[str, Any]:
    """Ranges of the means over settings, and Friedman's test of whether settings differ at all, runs as blocks."""
    means = rows.groupby("cell", sort=False).accuracy.mean()
    σs, βs = (pd.Index([c[i] for c in means.index]) for i in (0, 1))
    values = means.to_numpy()
    over_noise = max(np.ptp(values[βs == β]) for β in βs.unique())
    over_beta = max(np.ptp(values[σs == σ]) for σ in σs.unique())
    spread = rows.groupby(["graph", "cell"]).accuracy.std().mean()
    blocks = rows.pivot(index=["graph", "run"], columns="cell", values="accuracy").dropna()
    return {
        "settings": len(means),
        "runs": int(rows.groupby("cell").size().min()),
        "range_noise": float(over_noise),
        "range_beta": float(over_beta),
        "range": float(np.ptp(values)),
        "spread": float(spread),
        "p": float(stats.friedmanchisquare(*blocks.to_numpy().T).pvalue),
    }


def settings_in_words(rows: pd.DataFrame) -> str:
    """How far β and σ move the accuracy, from :func:`read` of :func:`sensitivity` of one network, in one sentence."""
    parts = rows.assign(noise=[c[0] for c in rows.cell], beta=[c[1] for c in rows.cell])
    by = parts.groupby(["graph", "run", "beta"]).accuracy.mean().unstack()
    low, high = by.columns.min(), by.columns.max()
    gain = by[high] - by[low]
    over_noise = parts.groupby(["beta", "noise"]).accuracy.mean().groupby("beta").agg(np.ptp)
    mean = f"{gain.mean():+.1f}".replace("-", "−")
    return (
        f"the accuracy with β = {high:g} is higher than with β = {low:g} in {(gain > 0).sum()} of {len(by)} runs "
        f"({mean} points on average); over σ, means of one β differ by {over_noise.max():.1f} points at most"
    )


def contrast_table(contrast: pd.DataFrame) -> pd.DataFrame:
    """:func:`contrasts` for reading, at most seven columns."""
    return pd.DataFrame(
        {
            "change": contrast.change,
            "accuracy": contrast.accuracy,
            "difference": contrast.difference,
            "95 % interval": [
                f"{a:.1f} to {b:.1f}" for a, b in zip(contrast.lower, contrast.upper, strict=True)
            ],
            "adj. p": [f"{p:.3f}" for p in contrast["adj. p"]],
            "std": contrast["std"],
            "removed": [f"{100 * x:.0f} %" for x in contrast.removed],
        }
    )


def whole(found: Mapping[str, pd.DataFrame]) -> str:
    """What the whole rule does, from the contrast of each network with its own without pruning."""
    told = []
    for name, table in found.items():
        line = table[table.change == "no pruning"].iloc[0]
        ends = f"{-line.upper:.1f} to {-line.lower:.1f}, adjusted p {line['adj. p']:.3f}"
        told.append(f"{-line.difference:+.1f} points ({ends}) in the network “{name}”")
    return f"Against the same network without pruning the full rule changes the accuracy by {' and by '.join(told)}."


def in_words(found: Mapping[str, pd.DataFrame]) -> str:
    """The mean differences of :func:`contrasts`, for a figure's alternative text."""
    parts = [
        f"{name}: " + ", ".join(f"{r.change} {r.difference:+.1f}" for r in table.itertuples())
        for name, table in found.items()
    ]
    return "Differences in points. " + "; ".join(parts) + "."
