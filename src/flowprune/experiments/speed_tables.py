"""Tables of what is fast and what limits it, for reading."""

from __future__ import annotations

import pandas as pd

from flowprune.experiments.speed import geometric
from flowprune.study.figures import number
from flowprune.study.stats import Interval

RULES = {"none": "no pruning", "D": "counted degrees, D", "DW": "weighted degrees, D_W"}


def comparisons(ratios: pd.DataFrame, nets: pd.DataFrame, kernels: pd.DataFrame) -> pd.DataFrame:
    """All comparisons of the page: comparison, graph ("" where there is none) and ratio, an interval.

    Args:
        ratios: of :func:`~flowprune.experiments.flow_speed.ratios`.
        nets, kernels: collected trials of both ways of training networks, and of both ways to the kernel.
    """
    rows = [
        (
            f"{t.phase}: {'replicas side by side' if t.slow == 'ours' else f'against {t.slow}'}",
            t.dataset,
            t.ratio,
        )
        for t in ratios.itertuples()
    ]
    for table, name in ((nets, "networks, {mode}"), (kernels, "kernel against its formula")):
        for row in table[table.status == "done"].to_dict("records"):
            said = name.format(mode=RULES[row["mode"]]) if "mode" in row else name
            pairs = zip(row["plain"], row["ours"], strict=True)
            rows.append((said, "", geometric([a / b for a, b in pairs])))
    return pd.DataFrame(rows, columns=["comparison", "graph", "ratio"])


def slower(ratios: pd.DataFrame) -> pd.DataFrame:
    """How many times slower than ours both ways of the library are, with intervals, by graph and phase."""
    wide = ratios[ratios.fast == "ours"].pivot(index=["dataset", "phase"], columns="slow", values="ratio")
    columns = {}
    for way in ("gather", "CSR"):
        columns[way] = wide[way].map(lambda i: i.mean)
        columns[f"{way}: 95 % interval"] = wide[way].map(span)
    found = pd.DataFrame(columns).reset_index()
    return found.rename(columns={"dataset": "graph"})


def span(i: Interval) -> str:
    """The ends of an interval in words."""
    return f"{number(i.lower, 1)} to {number(i.upper, 1)}"


def shares(limits: pd.DataFrame, of: str) -> pd.DataFrame:
    """Rows of :func:`~flowprune.experiments.roofline.limits` in seven columns; ``of`` names the first."""
    kept = [of, "way", "milliseconds", "bandwidth", "arithmetic", "calls", "limited by"]
    return limits[kept].round(dict.fromkeys(kept[3:6], 1)).rename(columns={"milliseconds": "ms"})


def by_mode(speedups: pd.DataFrame) -> pd.DataFrame:
    """Ratios of :func:`~flowprune.experiments.logic_speed.speedups` by hidden nodes (rows) and mode of pruning."""
    wide = speedups[speedups["mode"] != "all"].pivot(index="hidden", columns="mode", values="ratio")
    return wide[list(RULES)].rename(columns=RULES).rename_axis(columns=None).reset_index()
