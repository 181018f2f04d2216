"""Rows of trials: numbers of four digits, those that are done, one row a network, networks of equal seed compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from flowprune.study.stats import adjust, paired


def brief(x: float) -> float:
    """Four digits."""
    return float(f"{float(x):.4g}")


def short(x: Iterable[float]) -> list[float]:
    """Four digits of each."""
    return [brief(v) for v in x]


def done(table: pd.DataFrame) -> pd.DataFrame:
    """The finished trials. Raises ValueError when there is none."""
    found = table[table.status == "done"]
    if found.empty:
        raise ValueError(f"none of {len(table)} trials is done; the first failed with {table.error.iloc[0]}")
    return found


def by_network(table: pd.DataFrame, fields: Sequence[str]) -> pd.DataFrame:
    """One row a network of the finished trials.

    Columns: gate (or other table), those of ``fields`` that the trials have, seed, and every result that is a list over
    networks. Raises ValueError when no trial is done.
    """
    parts = []
    for row in done(table).to_dict("records"):
        lists = {k: v for k, v in row.items() if isinstance(v, list) and not k.startswith("curve")}
        fixed = {"gate": row["table"]} | {k: row[k] for k in fields if k in row}
        seeds = range(row["seed"], row["seed"] + row["networks"])
        parts.append(pd.DataFrame(fixed | {"seed": seeds} | lists))
    return pd.concat(parts, ignore_index=True)


def compared(pairs: Iterable[tuple[tuple, ArrayLike, ArrayLike]], names: Sequence[str]) -> pd.DataFrame:
    """Mean of a − b over pairs without gaps, by key: columns names, networks, difference, lower, upper, p (Holm over
    all rows). A row with fewer than two pairs has NaN and p = 1.
    """
    rows, ps = [], []
    for key, a, b in pairs:
        d = np.asarray(a, float) - np.asarray(b, float)
        d = d[~np.isnan(d)]
        if d.size < 2:
            rows.append([*key, d.size, np.nan, np.nan, np.nan])
            ps.append(1.0)
            continue
        c = paired(d, np.zeros_like(d))
        rows.append([*key, c.n, c.mean, c.lower, c.upper])
        ps.append(c.p)
    told = pd.DataFrame(rows, columns=[*names, "networks", "difference", "lower", "upper"])
    return told.assign(p=adjust(ps) if ps else [])
