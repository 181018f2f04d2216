"""What differences between networks say on graphs of varied density and homophily: leads, slopes, evidence of D9."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

from flowprune.experiments.density import CLASSES, PLACE
from flowprune.experiments.theory import neighbourhood
from flowprune.study.stats import Comparison, holm, mean_interval, paired

DENSER = (12.0, 36.0, 0.4)  # two mean degrees and the homophily at which the source prints numbers of GCN
READINGS = ("DYNAMO (−)", "DYNAMO (corr)")
BASELINES = ("GAT", "GCN")
CONTROL = ("residual DYNAMO (−)", "residual GAT")
CONTRASTS = [*((a, b) for b in BASELINES for a in READINGS), CONTROL]
HALF = 0.5


def leads(rows: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Accuracy of ``a`` minus that of ``b`` on every graph, points: the place and ``lead``."""
    by = rows.pivot(index=PLACE, columns="network", values="accuracy")[[a, b]].dropna()
    return (by[a] - by[b]).rename("lead").reset_index()


def contrast(rows: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """:func:`leads` by (degree, homophily) over the graphs of all families: mean, 95 % interval, p-value corrected over
    the cells (Holm), number of pairs."""
    told = []
    for (degree, h), part in leads(rows, a, b).groupby(["degree", "homophily"]):
        c = _zero(part.lead)
        told.append(
            {"degree": degree, "homophily": h, "lead": c.mean, "lower": c.lower, "upper": c.upper, "n": c.n}
            | {"p": c.p}
        )
    found = pd.DataFrame(told)
    return found.assign(p=holm(found.p))


def _zero(lead: pd.Series, level: float = 0.95) -> Comparison:
    return paired(lead, np.zeros(len(lead)), level)


def contrasts(rows: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """:func:`contrast` of every pair that is compared."""
    return {(a, b): contrast(rows, a, b) for a, b in CONTRASTS}


def slopes(rows: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """How the lead changes with density and with homophily: points for twice the degree, and for homophily from 0 to 1.

    A plane is fitted to the leads over log₂ degree and homophily, once for the graphs of each family and number; the
    interval is over these.
    """
    told = []
    for _, part in leads(rows, a, b).groupby(["family", "graph"]):
        design = np.column_stack([np.ones(len(part)), np.log2(part.degree), part.homophily])
        told.append(np.linalg.lstsq(design, part.lead.to_numpy(), rcond=None)[0][1:])
    found = [mean_interval(values) for values in np.array(told).T]
    return pd.DataFrame(
        [
            {"over": over, "slope": i.mean, "lower": i.lower, "upper": i.upper, "n": i.n}
            for over, i in zip(("degree", "homophily"), found, strict=True)
        ]
    )


def regions(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Where the source sees the lead: in the densest graphs, and in those of homophily below one half."""
    return {"dense": rows[rows.degree == rows.degree.max()], "unlike": rows[rows.homophily < HALF]}


def better(rows: pd.DataFrame) -> str:
    """The reading of the higher mean accuracy over both regions."""
    means = pd.concat(regions(rows).values()).groupby("network").accuracy.mean()
    return means[list(READINGS)].idxmax()


def evidence(rows: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim D9. Intervals of the better reading have level 97.5 %, because it was chosen of two."""
    ours = better(rows)
    found = {
        (place, base): _zero(leads(part, ours, base).lead, 0.975)
        for place, part in regions(rows).items()
        for base in BASELINES
    }
    tests = [contrast(rows, ours, base).set_index(["degree", "homophily"]) for base in BASELINES]
    clear = [t.p < 0.05 for t in tests]
    over = dict(zip(("degree", "homophily"), slopes(rows, ours, "GAT").to_dict("records"), strict=True))
    own = _zero(leads(rows, *CONTROL).lead)
    cells = rows.groupby(PLACE[:3]).graph.nunique()
    return {
        "cells": len(cells),
        "graphs": int(cells.min()),
        "reading": ours,
        "denser": denser(rows),
        **{f"{place}_{base.lower()}": c.lower for (place, base), c in found.items()},
        "lead": min(c.lower for c in found.values()),
        "part": _part({at: c.lower for at, c in found.items()}),
        "most": _part({at: c.upper for at, c in found.items()}),
        "ahead": int((clear[0] & clear[1] & (tests[0].lead > 0) & (tests[1].lead > 0)).sum()),
        "behind": int(sum(c & (t.lead < 0) for c, t in zip(clear, tests, strict=True)).gt(0).sum()),
        **{f"{what}_{end}": over[what][end] for what in over for end in ("lower", "upper")},
        "residual_lower": own.lower,
        "residual_upper": own.upper,
    }


def _part(ends: Mapping[tuple[str, str], float]) -> float:
    """The most that half of the statement reaches: over both networks in one region, or over one in both."""
    return max(
        min(value for at, value in ends.items() if half in at) for half in ("dense", "unlike", *BASELINES)
    )


def denser(rows: pd.DataFrame, family: str = "syn-products") -> float:
    """What GCN gains from the lower to the higher of the source's two degrees, lower end of the interval, points; where
    they were not asked for, from the lowest degree to the highest, over all levels and families."""
    gcn = rows[rows.network == "GCN"]
    low, high, level = DENSER
    here = gcn[(gcn.family == family) & (gcn.homophily == level)]
    if not {low, high} <= set(here.degree):
        low, high, here = gcn.degree.min(), gcn.degree.max(), gcn
    by = here.pivot(index=["family", "homophily", "graph"], columns="degree", values="accuracy")
    return paired(by[high], by[low]).lower


def worth(rows: pd.DataFrame) -> pd.DataFrame:
    """Pruned networks: share of removed minus kept edges within a class, and the signal over noise that the mean over
    neighbours has left, against what the same share removed at best, or by chance, would leave."""
    pruned = rows[rows.removed.fillna(0) > 0]
    told = [
        {
            "same": r.same_removed - r.same_kept,
            "left": neighbourhood.left(C, r.removed, r.same_removed, r.same_kept),
            "chance": np.sqrt(1 - r.removed),
            "best": neighbourhood.best(
                C, r.removed, r.removed * r.same_removed + (1 - r.removed) * r.same_kept
            ),
        }
        for r in pruned.itertuples()
        for C in [CLASSES[r.family]]
    ]
    return pruned[[*PLACE, "network", "removed"]].assign(**pd.DataFrame(told, index=pruned.index))


# --- for reading -----------------------------------------------------------------------------------------------------


def cell_table(found: Mapping[tuple[str, str], pd.DataFrame]) -> pd.DataFrame:
    """:func:`contrasts` for reading: lead and interval, bold where the adjusted p is below 0.05."""
    columns: dict[str, Any] = {}
    for (a, b), table in found.items():
        columns |= {"degree": [f"{x:g}" for x in table.degree], "homophily": list(table.homophily)}
        texts = [f"{r.lead:+.1f} ({r.lower:+.1f} to {r.upper:+.1f})" for r in table.itertuples()]
        columns[f"{a} − {b}"] = [
            HTML(f"<b>{x}</b>" if p < 0.05 else x) for x, p in zip(texts, table.p, strict=True)
        ]
    return pd.DataFrame(columns)


def in_words(rows: pd.DataFrame) -> str:
    """Mean leads over GAT by mean degree and by homophily, for a figure's alternative text."""
    told = []
    for a, b in CONTRASTS:
        if b != "GCN":
            lead = leads(rows, a, b)
            parts = [lead.groupby(by).lead.mean().round().astype(int) for by in ("degree", "homophily")]
            values = [", ".join(f"{x:+d} at {at:g}" for at, x in part.items()) for part in parts]
            told.append(f"{a} against {b}: by degree {values[0]}; by homophily {values[1]}")
    return f"Points on average, {'. '.join(told)}."
