"""Tables of the chapter on capacity, for reading."""

from __future__ import annotations

import pandas as pd

from flowprune.experiments.logic import PIECES
from flowprune.experiments.logic_study import NAMES, networks
from flowprune.study import project
from flowprune.study.stats import adjust


def reported() -> pd.DataFrame:
    """What the paper's figures 3 and 4 show, read off them: gate (or all), hidden, mode, quantity (miss, removed, or
    share in percent after so many inputs), low and high."""
    return pd.read_csv(project.root() / "data" / "reported" / "argnn.csv")


def beside(table: pd.DataFrame) -> pd.DataFrame:
    """Each reported number beside ours, the mean over networks and their standard deviation.

    ``table``: collected trials; numbers of a size that is not among them are left out. Of a share after some inputs
    only the mean is stored.
    """
    nets, told = networks(table), []
    for r in reported().itertuples():
        place = (table.hidden == r.hidden) & (table["mode"] == r.mode) & (table.threshold == 0)
        row, gates = table[place & (table.table == r.gate)], r.gate.split()
        own = nets[(nets.hidden == r.hidden) & (nets["mode"] == r.mode) & nets.gate.isin(gates)]
        if own.empty:
            continue
        if r.quantity == "share":
            left = row.curve_left.iloc[0][r.inputs * PIECES // row.inputs.iloc[0] - 1]
            ours = f"{100 * (1 - left):.1f}"
        else:
            ours = f"{own[r.quantity].mean():.3g} ± {own[r.quantity].std():.2g}"
        words = {"miss": "error", "removed": "edges removed", "share": f"removed after {r.inputs} inputs, %"}
        said = f"{r.low:g}" if r.low == r.high else f"{r.low:g} to {r.high:g}"
        told.append([", ".join(gates).upper(), r.hidden, NAMES[r.mode], words[r.quantity], said, ours])
    return pd.DataFrame(told, columns=["gate", "h", "mode", "of", "the paper", "ours"])


def change_table(changes: pd.DataFrame) -> pd.DataFrame:
    """:func:`changes` for reading."""
    return pd.DataFrame(
        {
            "gate": changes.gate.str.upper(),
            "h": changes.hidden,
            "mode": changes["mode"].map(NAMES),
            "unpruned": changes.before,
            "pruned": changes.after,
            "90 % interval of the change": _ends(changes),
            "adj. p": [f"{p:.3f}" for p in adjust(changes.p)],
        }
    )


def timing_table(when: pd.DataFrame, slower: pd.DataFrame) -> pd.DataFrame:
    """:func:`timing` for reading."""
    slower = when[["gate", "hidden"]].merge(slower)
    both = when.merge(slower, on=["gate", "hidden"], suffixes=("", "_miss"))
    return pd.DataFrame(
        {
            "gate": both.gate.str.upper(),
            "h": both.hidden,
            "median removal, inputs": both.difference.round(1) + 0.0,
            "95 % interval": _ends(both, 0),
            "mean error": [f"{x:.3f}" for x in both.difference_miss.round(3) + 0.0],
            "95 % interval ": _ends(slower),
            "adj. p, both": [f"{p:.3f}, {q:.3f}" for p, q in zip(both.p, both.p_miss, strict=True)],
        }
    )


def _ends(rows: pd.DataFrame, digits: int = 3) -> list[str]:
    low, high = (ends.round(digits) + 0.0 for ends in (rows.lower, rows.upper))  # no minus before a zero
    return [f"{a:.{digits}f} to {b:.{digits}f}" for a, b in zip(low, high, strict=True)]
