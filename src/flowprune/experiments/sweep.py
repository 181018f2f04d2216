"""The sweep over homophily: what it says of accuracy (G22) and of the homophily of predictions (G23).

Everything starts from one tidy frame, :func:`tidy`. Samples are (graph, split): an interval or a test over homophily
first averages each sample over the levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from flowprune.experiments.evolution import EvolutionTrial
from flowprune.experiments.summaries import Test, matched
from flowprune.study.stats import RESAMPLES, SEED, Comparison, Interval, holm, mean_interval, paired

Cells = Mapping[tuple[str, float], Sequence[EvolutionTrial]]
SAMPLE = ["graph", "split"]


def tidy(cells: Cells, table: pd.DataFrame) -> pd.DataFrame:
    """One row a finished trial: variant, level, graph (its number in the cell) and split, and what was read.

    Accuracies ``test``, ``train`` are in points. ``before``, ``after`` and ``true`` are edge homophilies of the labels
    decoded from F(0), of those from F(T), and of the true ones. ``start``, ``end`` and ``labels`` are normalised
    energies of F(0), of F(T) and of the one-hot labels, each in [0, 1] of its range. ``tilt`` in [−1, 1] says to which
    side the spectrum of W leans, (|λ₋|(ρ_Δ − 1) − λ₊)/(|λ₋|(ρ_Δ − 1) + λ₊): above 0 to repulsion;
    ``grow_low`` and ``grow_high`` are the largest factors by which one Euler step multiplies the smoothest and the
    roughest modes. These three are missing without W.

    Raises ValueError, with the first trial's own error, when all trials of a cell failed.
    """
    by_key = table.drop_duplicates("key").set_index("key")
    rows = []
    for (variant, level), trials in cells.items():
        graphs = list(dict.fromkeys(t.dataset for t in trials))
        found = by_key.loc[[t.key for t in trials]]
        if (found.status != "done").all():
            raise ValueError(
                f"all {len(trials)} trials of {graphs[0]} failed; the first: {found.error.iloc[0]}"
            )
        for trial, (_, row) in zip(trials, found.iterrows(), strict=True):
            if row.status == "done":
                place = {"variant": variant, "level": level, "graph": graphs.index(trial.dataset)}
                rows.append(place | {"split": trial.split} | _read(row))
    return pd.DataFrame(rows)


def _read(row: pd.Series) -> dict[str, float]:
    pull, push = row.get("attraction", np.nan), row.get("repulsion", np.nan)
    return {
        "test": 100 * row.test_accuracy,
        "train": 100 * row.train_accuracy,
        "before": row.homophily_by_step[0],
        "after": row.homophily_by_step[-1],
        "true": row.homophily_true,
        "start": row.energy_by_step[0],
        "end": row.energy_by_step[-1],
        "labels": row.energy_of_labels,
        "tilt": (push - pull) / (push + pull),
        "grow_low": row.get("step_low", np.nan),
        "grow_high": row.get("step_high", np.nan),
    }


def samples(rows: pd.DataFrame, variant: str, value: str = "test", level: float | None = None) -> pd.Series:
    """A variant's values by (graph, split), at one level or averaged over all of them."""
    part = rows[rows.variant == variant]
    return (part if level is None else part[part.level == level]).groupby(SAMPLE)[value].mean()


def versus(
    rows: pd.DataFrame, a: str, b: str, value: str = "test", level: float | None = None, test: Test = paired
) -> Comparison:
    """Variant a minus b, paired by graph and split."""
    return matched(*(samples(rows, v, value, level) for v in (a, b)), test)


def rank_correlation(pairs: pd.DataFrame) -> float:
    """Spearman's correlation of two columns; missing where one is constant."""
    ranks = pairs.rank()
    constant = (ranks.nunique() == 1).any()
    return float("nan") if constant else ranks.iloc[:, 0].corr(ranks.iloc[:, 1])


def curve(rows: pd.DataFrame, value: str = "test") -> pd.DataFrame:
    """One row a variant and level: mean, low, high (95 % interval over graphs and splits), mean ``train``, runs n."""
    lines = []
    for (variant, level), part in rows.groupby(["variant", "level"], sort=False):
        i = mean_interval(part[value])
        around = {"mean": i.mean, "low": i.lower, "high": i.upper}
        lines.append(
            {"variant": variant, "level": level, **around, "train": part.train.mean(), "n": len(part)}
        )
    return pd.DataFrame(lines)


def signs(rows: pd.DataFrame, test: Test = paired) -> tuple[dict[str, Comparison], dict[str, Any]]:
    """The four comparisons that decide claim G22, corrected together (Holm), and its evidence."""
    low = rows.level.min()
    compared = {
        f"neg-prod − prod at homophily {low:g}": versus(rows, "neg-prod", "prod", level=low, test=test),
        f"prod − MLP at homophily {low:g}": versus(rows, "prod", "mlp", level=low, test=test),
        "sum − GCN over homophily": versus(rows, "sum", "gcn", test=test),
        "DD − GCN over homophily": versus(rows, "dd", "gcn", test=test),
    }
    neg_prod, prod, plain_sum, dd = compared.values()
    p = holm([c.p for c in compared.values()])
    lowest = rows[(rows.variant == "prod") & (rows.level == low)]
    return compared, {
        "runs": len(lowest),
        "graphs": lowest.graph.nunique(),
        "neg_prod_minus_prod_low_lower": neg_prod.lower,
        "neg_prod_minus_prod_low_upper": neg_prod.upper,
        "p_neg_prod_over_prod": float(p[0]),
        "prod_minus_mlp_low_upper": prod.upper,
        "sum_minus_gcn_lower": plain_sum.lower,
        "dd_minus_gcn_lower": dd.lower,
        "p_largest": float(p.max()),
    }


def agreeing(compared: Mapping[str, Comparison]) -> int:
    """How many of the four comparisons of :func:`signs` lie, with their whole interval, where the claim says.

    By intervals, without a p-value: a short run may have too few pairs for one.
    """
    above = (True, False, True, True)
    return sum(c.lower > 0 if up else c.upper < 0 for c, up in zip(compared.values(), above, strict=True))


def pairwise(rows: pd.DataFrame, value: str = "test") -> pd.DataFrame:
    """Every two variants at every level: difference with interval, and p corrected over all of them (Holm)."""
    lines = []
    for level in sorted(rows.level.unique()):
        for a, b in combinations(rows.variant.unique(), 2):
            c = versus(rows, a, b, value, level)
            lines.append([level, a, b, c.mean, c.lower, c.upper, c.p])
    tests = pd.DataFrame(lines, columns=["level", "a", "b", "difference", "low", "high", "p"])
    return tests.assign(p=holm(tests.p))


def wins(tests: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """One line a level: which variants beat which, by the tests of :func:`pairwise` (p < 0.05).

    Who beats every other variant beats "all".
    """
    lines = []
    for level, part in tests.groupby("level"):
        found = part[part.p < 0.05]
        better = np.where(found.difference > 0, found.a, found.b)
        worse = np.where(found.difference > 0, found.b, found.a)
        beaten = {v: [names[w] for w in worse[better == v]] for v in names}
        told = {v: "all" if len(b) == len(names) - 1 else ", ".join(b) or "–" for v, b in beaten.items()}
        lines.append({"homophily": f"{level:g}"} | {names[v]: words for v, words in told.items()})
    return pd.DataFrame(lines)


def zero(levels: np.ndarray, difference: np.ndarray, rising: bool) -> float:
    """Where a curve through these points crosses zero upwards (the last such place) or downwards (the first); else nan.

    >>> zero(np.array([0.0, 0.5, 1.0]), np.array([-1.0, 1.0, 2.0]), rising=True)
    0.25
    """
    a, b = difference[:-1], difference[1:]
    at = np.flatnonzero((a < 0) & (b >= 0) if rising else (a > 0) & (b <= 0))
    if not at.size:
        return float("nan")
    i = at[-1] if rising else at[0]
    return float(levels[i] + (levels[i + 1] - levels[i]) * a[i] / (a[i] - b[i]))


def crossing(
    rows: pd.DataFrame, a: str, b: str, rising: bool = True, value: str = "test"
) -> tuple[Interval | None, float]:
    """The homophily at which a overtakes b (or, not ``rising``, falls behind it): 95 % percentile bootstrap interval.

    Resampled are the (graph, split) samples, each with all its levels. Returns also the share of resamples in which the
    mean curves cross; without a crossing of the curves themselves there is no interval.
    """
    wide = [rows[rows.variant == v].pivot_table(index=SAMPLE, columns="level", values=value) for v in (a, b)]
    difference = (wide[0] - wide[1]).dropna()
    levels, d = difference.columns.to_numpy(float), difference.to_numpy()
    found = zero(levels, d.mean(0), rising)
    rng = np.random.default_rng(SEED)
    counts = rng.multinomial(len(d), np.full(len(d), 1 / len(d)), RESAMPLES) / len(d)
    drawn = np.array([zero(levels, mean, rising) for mean in counts @ d])
    share = float(np.isfinite(drawn).mean())
    if np.isnan(found):
        return None, share
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Interval(found, float(low), float(high), 0.95, len(d)), share


def crossings(
    rows: pd.DataFrame, pairs: Sequence[tuple[str, str, bool]], names: Mapping[str, str]
) -> pd.DataFrame:
    """One line a crossing (a, b, rising) that :func:`crossing` finds, for reading."""
    lines = []
    for a, b, rising in pairs:
        found, share = crossing(rows, a, b, rising)
        lines.append(
            {
                "crossing": f"{names[a]} {'overtakes' if rising else 'falls behind'} {names[b]}",
                "homophily": "none" if found is None else f"{found.mean:.2f}",
                "95 % interval": "–" if found is None else f"{found.lower:.2f} to {found.upper:.2f}",
                "resamples that cross": f"{share:.0%}",
            }
        )
    return pd.DataFrame(lines)


def predictions(rows: pd.DataFrame) -> dict[str, Any]:
    """Evidence of claim G23: six parts, each averaged over the levels of every (graph, split)."""
    rows = rows.assign(
        change=rows.after - rows.before,
        over=rows.after - rows.true,
        distance=(rows.after - rows.true).abs(),
        ahead=rows.before - rows.true,
    )

    def over_levels(variant: str, value: str) -> Interval:
        return mean_interval(samples(rows, variant, value))

    change, over = over_levels("neg-prod", "change"), over_levels("prod", "over")
    evidence = {
        "runs": int(rows[rows.variant == "prod"].groupby("level").size().min()),
        "neg_prod_change_lower": change.lower,
        "neg_prod_change_upper": change.upper,
        "prod_over_lower": over.lower,
        "prod_over_upper": over.upper,
        "sum_distance_upper": over_levels("sum", "distance").upper,
        "dd_distance_upper": over_levels("dd", "distance").upper,
        "neg_prod_start_lower": over_levels("neg-prod", "ahead").lower,
        "prod_start_upper": over_levels("prod", "ahead").upper,
    }
    parts = {
        "neg-prod lowers": evidence["neg_prod_change_upper"] < 0,
        "prod overshoots": evidence["prod_over_lower"] > 0,
        "sum follows": evidence["sum_distance_upper"] <= 0.1,
        "DD follows": evidence["dd_distance_upper"] <= 0.1,
        "neg-prod starts above": evidence["neg_prod_start_lower"] > 0,
        "prod starts below": evidence["prod_start_upper"] < 0,
    }
    lowers = [level for level, part in rows.groupby("level") if _lowers(part)]
    told = "; ".join(f"{part}: {'yes' if met else 'no'}" for part, met in parts.items())
    where = f"neg-prod lowers at homophily {', '.join(f'{level:g}' for level in lowers) or 'none'}"
    return evidence | {"parts": sum(parts.values()), "condition": f"{told}; {where}"}


def _lowers(rows: pd.DataFrame) -> bool:
    """Whether neg-prod lowers the homophily of its predictions in these rows, with its whole 95 % interval."""
    return mean_interval(samples(rows, "neg-prod", "change")).upper < 0
