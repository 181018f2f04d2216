"""From the final runs of the table to what its chapter shows: scores, ranks, and which published orders survive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from flowprune.experiments.nodes import NodeTrial, reported
from flowprune.experiments.summaries import by_split, cautious, has_report, interval, matched, points
from flowprune.study.stats import Comparison, holm, paired

Cells = Mapping[tuple[str, str], Sequence[NodeTrial]]

INDEPENDENT = (  # of several versions of one graph the repaired one; a rank must not count a graph twice
    "texas",
    "wisconsin",
    "cornell-corrected",
    "chameleon-filtered",
    "squirrel-filtered",
    "actor",
    "citeseer",
    "cora",
    "pubmed",
)


def scores(cells: Cells, table: pd.DataFrame) -> pd.DataFrame:
    """One row a data set and model: mean over splits with its 95 % interval, standard deviation and number of runs."""
    rows = []
    for (dataset, model), trials in cells.items():
        part = points(trials, table)
        i = interval(part)
        told = {"dataset": dataset, "model": model, "metric": trials[0].metric}
        spread = {
            "mean": i.mean,
            "low": i.lower,
            "high": i.upper,
            "std": part.accuracy.std(),
            "runs": len(part),
        }
        rows.append(told | spread)
    return pd.DataFrame(rows)


def wide(summary: pd.DataFrame) -> pd.DataFrame:
    """Means with standard deviations, one row a data set and one column a model, for exploring."""
    cells = summary.assign(text=[f"{r['mean']:.1f} ± {r['std']:.1f}" for _, r in summary.iterrows()])
    table = cells.pivot(index="dataset", columns="model", values="text")
    order = [list(dict.fromkeys(summary[name])) for name in ("dataset", "model")]
    return table.loc[order[0], order[1]].rename_axis(columns=None).reset_index(names="data set")


def orders(cells: Cells, table: pd.DataFrame) -> pd.DataFrame:
    """Every pair of models with a published order on a graph, measured again on new splits.

    The difference is published better minus published worse, paired by split, tested by the corrected resampled
    t-test; p-values are corrected together (Holm). ``verdict``: survives, reversed or open.
    """
    found: list[tuple[str, str, str, float, Comparison]] = []
    for dataset in dict.fromkeys(d for d, _ in cells):
        told = {m: reported(m, dataset)[0] for d, m in cells if d == dataset and has_report(m, dataset)}
        accuracy = {m: by_split(points(cells[dataset, m], table)) for m in told}
        for a, b in combinations(sorted(told, key=told.__getitem__, reverse=True), 2):
            if told[a] > told[b]:
                measured = matched(accuracy[a], accuracy[b], cautious)
                found.append((dataset, a, b, told[a] - told[b], measured))
    p = holm([c.p for *_, c in found])
    return pd.DataFrame(
        {
            "data set": [d for d, *_ in found],
            "better, as published": [a for _, a, *_ in found],
            "worse": [b for _, _, b, *_ in found],
            "published": [gap for *_, gap, _ in found],
            "measured": [c.mean for *_, c in found],
            "adj. p": p,
            "verdict": [
                "open" if q >= 0.05 else "survives" if c.mean > 0 else "reversed"
                for q, (*_, c) in zip(p, found, strict=True)
            ],
        }
    )


def survival(pairs: pd.DataFrame, splits: int) -> dict[str, Any]:
    """The evidence of claim B3 from :func:`orders`."""
    survive, reversed_ = ((pairs.verdict == v).sum() for v in ("survives", "reversed"))
    return {
        "pairs": len(pairs),
        "splits": splits,
        "survive": int(survive),
        "reversed": int(reversed_),
        "share": float(survive / len(pairs)) if len(pairs) else 0.0,
    }


NO_PAIRS = pd.DataFrame({"verdict": []})


def by_gap(pairs: pd.DataFrame) -> pd.DataFrame:
    """How many published orders survive, stay open or are reversed, by the size of the published difference."""
    edges = [0, 2, 5, 10, 20, 100]
    names = ["below 2", "2 to 5", "5 to 10", "10 to 20", "above 20"]
    gap = pd.cut(pairs.published, edges, labels=names, right=False)
    counts = pd.crosstab(gap, pairs.verdict).reindex(names, fill_value=0)
    counts = counts.reindex(columns=["survives", "open", "reversed"], fill_value=0)
    return (
        counts.assign(pairs=counts.sum(axis=1))
        .reset_index(names="published difference")
        .astype({"published difference": str})
    )


def orders_in_words(pairs: pd.DataFrame, large: float = 20) -> str:
    """How :func:`orders` came out, and where those with a large published difference (points) lie, as a sentence."""
    counts = pairs.verdict.value_counts()
    far = pairs[pairs.published >= large].measured
    told = (
        f"{len(pairs)} pairs of models: {counts.get('survives', 0)} published orders survive, "
        f"{counts.get('open', 0)} stay open, {counts.get('reversed', 0)} are reversed."
    )
    if far.empty:
        return told
    return (
        f"{told} The {len(far)} pairs with a published difference of {large:g} points or more measure between "
        f"{far.min():.1f} and {far.max():.1f}, {far.median():.1f} in the median."
    )


def in_words(summary: pd.DataFrame) -> str:
    """The best and the worst model of every graph, for a figure's alternative text."""
    lines = []
    for name, part in summary.groupby("dataset", sort=False):
        best, worst = part.loc[part["mean"].idxmax()], part.loc[part["mean"].idxmin()]
        lines.append(f"{name}: best {best.model} {best['mean']:.1f}, worst {worst.model} {worst['mean']:.1f}")
    return f"Scores by graph. {'; '.join(lines)}."


def versions(cells: Cells, table: pd.DataFrame) -> pd.DataFrame:
    """Every model's mean accuracy on graphs and their filtered versions, one row a model.

    ``falls``: whether it is lower on the filtered version of all of them.
    """
    originals = [
        d for d in dict.fromkeys(d for d, _ in cells) if (f"{d}-filtered", next(iter(cells))[1]) in cells
    ]
    if not originals:
        return pd.DataFrame({"model": [], "falls": []})
    mean = scores(cells, table).pivot(index="model", columns="dataset", values="mean")
    falls = pd.concat([mean[f"{d}-filtered"] < mean[d] for d in originals], axis=1).all(axis=1)
    columns = [name for d in originals for name in (d, f"{d}-filtered")]
    return mean[columns].assign(falls=falls).rename_axis(columns=None).reset_index()


TOLD = ("data set", "measured", "form", "reported", "of form", "difference", "answer")
NOTHING_TOLD = pd.DataFrame(columns=TOLD)


def against_paper(summary: pd.DataFrame) -> pd.DataFrame:
    """The better of GRAFF (D) and GRAFF (DD) by :func:`scores` beside the better one that the paper reports.

    "reached": the reported mean lies in our 95 % interval, or below it. "close": short of it by no more than one
    reported standard deviation. "short": by more. Data sets without a report are left out.
    """
    rows = []
    for dataset, part in summary[summary.model.isin(("GRAFF (D)", "GRAFF (DD)"))].groupby(
        "dataset", sort=False
    ):
        told = {m: reported(m, dataset) for m in part.model if has_report(m, dataset)}
        if not told:
            continue
        ours, best = part.loc[part["mean"].idxmax()], max(told, key=told.__getitem__)
        mean, std = told[best]
        short = mean - ours["mean"]
        answer = "reached" if mean <= ours.high else "close" if short <= std else "short"
        measured, printed = f"{ours['mean']:.2f} ± {ours['std']:.2f}", f"{mean:.2f} ± {std:.2f}"
        form, told_form = (name.removeprefix("GRAFF ").strip("()") for name in (ours.model, best))
        rows.append((dataset, measured, form, printed, told_form, -short, answer))
    return pd.DataFrame(rows, columns=TOLD)


def explained(cells: Mapping[str, Sequence[NodeTrial]], table: pd.DataFrame) -> pd.DataFrame:
    """What each change to the settings does, against the first of them, paired by split; p-values by Holm."""
    parts = {change: by_split(points(trials, table)).droplevel("dataset") for change, trials in cells.items()}
    first = next(iter(parts))
    compared = {change: paired(part, parts[first]) for change, part in parts.items() if change != first}
    p = dict(zip(compared, holm([c.p for c in compared.values()]), strict=True))
    rows = [(first, parts[first].mean(), 0.0, "", "")]
    for change, c in compared.items():
        rows.append(
            (change, parts[change].mean(), c.mean, f"{c.lower:.1f} to {c.upper:.1f}", f"{p[change]:.3f}")
        )
    return pd.DataFrame(rows, columns=["change", "accuracy", "difference", "95 % interval", "adj. p"])


def most_gained(tables: Mapping[str, pd.DataFrame]) -> str:
    """Of the changes in the tables of :func:`explained`, by data set, the one that gains most, as a sentence."""
    lines = []
    for dataset, rows in tables.items():
        best = rows.loc[rows.difference[1:].idxmax()]
        lines.append(f"{dataset}, {best.change}: {best.difference:+.1f} points (adj. p {best['adj. p']})")
    if not lines:
        return "No change to the settings was asked for in this run."
    return f"The change that gains most on each data set where changes were tried: {'; '.join(lines)}."
