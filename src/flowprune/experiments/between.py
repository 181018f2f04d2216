"""Where trained networks live between low and high frequency (G28): which are read, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd

from flowprune.experiments.evolution import EvolutionTrial, tendencies
from flowprune.experiments.grids import runs
from flowprune.experiments.nodes import published_settings
from flowprune.experiments.sweep import SAMPLE, Cells, rank_correlation
from flowprune.experiments.table import SETTINGS
from flowprune.flows.gradient import GRAFF, steps_of
from flowprune.study.stats import Interval, mean_interval

VARIED = ("texas", "wisconsin", "cornell-texas-features", "cornell-corrected", "chameleon-filtered")
DATASETS = (*VARIED, "chameleon", "actor", "citeseer", "cora", "pubmed")
SHORT = {"chameleon": 100, "actor": 100, "pubmed": 100}  # the most epochs where a run takes long
STRUCTURES = ("diag", "dd", "sum")
INSIDE = (0.05, 0.95)  # an energy between these is neither low nor high, as a share of its range


def grid(
    datasets: Sequence[str] = DATASETS,
    varied: Sequence[str] = VARIED,
    *,
    settings: str = "",
    splits: int = 10,
    epochs: int = 250,
) -> dict[tuple[str, str], list[EvolutionTrial]]:
    """GRAFF with published settings, read state by state: trials by (variant, data set).

    The variant "published" is the setting as printed; on the data sets of ``varied`` W also takes the other structures,
    everything else as printed. ``settings`` names a data set whose settings to use, for graphs that have none.
    """
    cells = {}
    for dataset in datasets:
        fields = published_settings(settings or SETTINGS[dataset]) | {"dataset": dataset}
        fields |= {"epochs": min(epochs, SHORT.get(dataset, epochs))}
        others = [s for s in STRUCTURES if s != fields["structure"]] if dataset in varied else []
        for variant in ("published", *others):
            structure = fields["structure"] if variant == "published" else variant
            cells[variant, dataset] = runs(
                fields | {"structure": structure}, splits, seeds=1, kind=EvolutionTrial
            )
    return cells


def layers(cells: Cells, table: pd.DataFrame) -> pd.DataFrame:
    """One row a finished trial and state: variant, dataset, split, time t, energy, accuracy (points), shares low, high.

    Energies are shares of their range; ``labels`` is that of the one-hot labels. The shares of frequencies, in the
    lower and upper third, are missing where no spectrum was taken.
    """
    by_key = table.drop_duplicates("key").set_index("key")
    parts = []
    for (variant, dataset), trials in cells.items():
        for trial in trials:
            row = by_key.loc[trial.key]
            if row.status != "done":
                continue
            steps = len(row.energy_by_step)
            times = [0.0, *accumulate(steps_of(trial.time, trial.step))]
            shares = {
                name: found if isinstance(found := row.get(f"{name}_by_step"), list) else [np.nan] * steps
                for name in ("low", "high")
            }
            states = {"t": times, "energy": row.energy_by_step, "accuracy": row.accuracy_by_step, **shares}
            place = {"variant": variant, "dataset": dataset, "split": trial.split}
            parts.append(pd.DataFrame(states).assign(**place, labels=row.energy_of_labels))
    return pd.concat(parts).assign(accuracy=lambda t: 100 * t.accuracy)


def phases(cells: Cells, table: pd.DataFrame) -> pd.DataFrame:
    """One row a finished trial: variant, dataset, split, and W after training and as it was drawn (``…_drawn``).

    ``attraction`` λ₊, ``repulsion`` |λ₋|(ρ_Δ − 1), and the largest rates at the two ends, ``rate_low``, ``rate_high``.
    """
    names = ("attraction", "repulsion", "rate_low", "rate_high")
    by_key = table.drop_duplicates("key").set_index("key")
    lines = []
    for (variant, dataset), trials in cells.items():
        for trial in trials:
            row = by_key.loc[trial.key]
            if row.status == "done":
                drawn = tendencies(untrained(trial), 0, row.rho)
                place = {"variant": variant, "dataset": dataset, "split": trial.split}
                read = {name: row[name] for name in names}
                lines.append(place | read | {f"{name}_drawn": drawn[name] for name in names})
    return pd.DataFrame(lines)


def untrained(trial: EvolutionTrial) -> GRAFF:
    """The trial's flow with the weights that it starts from."""
    seed = 1000 * trial.seed + trial.split
    return GRAFF([seed], trial.hidden, trial.structure, omega=trial.omega, time=trial.time, step=trial.step)


def stopping(states: pd.DataFrame) -> pd.DataFrame:
    """One line a data set, published settings: energy of the labels, at the start and at the end, and where it ends."""
    lines = []
    for dataset, part in states[states.variant == "published"].groupby("dataset", sort=False):
        ends = part.groupby("split").agg(
            start=("energy", "first"), end=("energy", "last"), labels=("labels", "first")
        )
        i = mean_interval(ends.end)
        lines.append(
            {
                "data set": dataset,
                "labels": ends.labels.mean(),
                "start": ends.start.mean(),
                "end": i.mean,
                "95 % interval": f"{i.lower:.3f} to {i.upper:.3f}",
                "between": f"{inside(ends.end).sum()} of {len(ends)}",
                "splits": len(ends),
            }
        )
    return pd.DataFrame(lines)


def inside(energy: pd.Series) -> pd.Series:
    """Whether each energy, as a share of its range, is neither low nor high."""
    return energy.between(*INSIDE, inclusive="neither")


def share_between(states: pd.DataFrame) -> Interval:
    """The share of networks with published settings that end between: the mean over splits, with its interval."""
    ends = states[states.variant == "published"].groupby(["dataset", "split"]).energy.last()
    return mean_interval(inside(ends).groupby("split").mean().astype(float))


def leaning(rows: pd.DataFrame, variant: str) -> Interval:
    """Rank correlation of the tilt of W with homophily, one a (graph, split) of the sweep, and their mean."""
    part = rows[rows.variant == variant]
    return mean_interval(part.groupby(SAMPLE)[["tilt", "level"]].apply(rank_correlation))


def match(rows: pd.DataFrame, variants: Sequence[str] = ("prod", "neg-prod", "sum", "dd")) -> Interval:
    """Rank correlation of accuracy with |energy at the end − energy of the labels| over the variants of one split.

    Averaged over the levels of each (graph, split); where all variants are equally right there is none.
    """
    part = rows[rows.variant.isin(variants)].assign(far=lambda t: (t.end - t.labels).abs())
    found = part.groupby([*SAMPLE, "level"])[["far", "test"]].apply(rank_correlation)
    return mean_interval(found.dropna().groupby(SAMPLE).mean())


def evidence(states: pd.DataFrame, rows: pd.DataFrame, theory: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence of claim G28: of the theory, of trained networks, and of the sweep."""
    share = share_between(states)
    published = states[states.variant == "published"].groupby(["dataset", "split"])
    return {
        **theory,
        "networks": published.ngroups,
        "between": share.mean,
        "between_lower": share.lower,
        "between_upper": share.upper,
        "sum_tilt_upper": leaning(rows, "sum").upper,
        "dd_tilt_upper": leaning(rows, "dd").upper,
        "match_upper": match(rows).upper,
    }
