"""What keeps the deepest pruned network from training: one change at a time (claim D7, the bar on Cora)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from flowprune.experiments import depth_study
from flowprune.experiments.deep import DeepTrial
from flowprune.experiments.depth_costs import passes
from flowprune.experiments.depth_study import READINGS, SLOW_PAIR, places, trial
from flowprune.study.stats import mean_interval

PRINTED, SLOW = READINGS[0], SLOW_PAIR[0]
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {  # the network, and what is changed of it
    "as printed": (PRINTED, {}),
    "no noise": (PRINTED, {"noise": 0.0}),
    "no dropout": (PRINTED, {"dropout": 0.0}),
    "no weight decay": (PRINTED, {"weight_decay": 0.0}),
    "a tenth of the learning rate": (PRINTED, {"lr": 0.0005}),
    "residual connection": (PRINTED, {"residual": True}),
    "residual, small steps": (SLOW, {}),
    "small steps, twice the learning rate": (SLOW, {"lr": 0.01}),
    "small steps, a fifth of r₀": (SLOW, {"rate": 0.02}),
    "small steps, no pruning": (SLOW, {"rate": 0.0}),
}


def changes(dataset: str, depth: int, *, runs: int = 3, **fields: Any) -> dict[str, list[DeepTrial]]:
    """The pruned network of ``depth`` layers with one change at a time."""
    return {
        name: [trial(dataset, variant, depth, **fields | change | place) for place in places(dataset, runs)]
        for name, (variant, change) in CHANGES.items()
    }


GRAPHS = {"cornell-corrected": 5}  # published, with the runs of each network
DEPTH = 128


def study() -> list[DeepTrial]:
    """The published trials, each once, less those of the depth study."""
    cells = [
        c for d, runs in GRAPHS.items() for c in (changes(d, DEPTH, runs=runs), passes(d, DEPTH, runs=runs))
    ]
    held = {t.key for t in depth_study.study()}
    trials = {t.key: t for c in cells for part in c.values() for t in part}
    return [t for key, t in trials.items() if key not in held]


def change_table(rows: pd.DataFrame) -> pd.DataFrame:
    """For reading, from :func:`~flowprune.experiments.rule_study.read` of :func:`changes`: one row a change."""
    told = []
    for name, part in rows.groupby("cell", sort=False):
        i = mean_interval(part.accuracy) if len(part) > 1 else None
        told.append(
            {
                "network": name,
                "accuracy": part.accuracy.mean(),
                "95 % interval": f"{i.lower:.1f} to {i.upper:.1f}" if i else "one run",
                "learned": f"{part.learned.sum()} of {len(part)}",
                "edges removed": f"{100 * part.removed.mean():.1f} %",
                "μ left": part.mu.mean(),
            }
        )
    return pd.DataFrame(told)


def reached(rows: pd.DataFrame, bar: float) -> str:
    """Which changes bring the mean accuracy to ``bar`` points, in a sentence."""
    means = rows.groupby("cell", sort=False).accuracy.mean()
    above = [f"“{name}” ({mean:.1f} %)" for name, mean in means.items() if mean >= bar]
    first = f"As printed the network has {means.iloc[0]:.1f} %."
    return (
        f"{first} {bar:g} % is reached by {', '.join(above)}."
        if above
        else f"{first} {bar:g} % is reached by none of these changes."
    )
