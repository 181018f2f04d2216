"""What keeps the deepest pruned network from 80 % on Cora: one change at a time (claim D7).

From the network as printed, from the same with small steps, and from that without pruning; and the same changes to a
shallow network, to tell what depth costs from what the network can do at all.

Of weight decay: Adam divides a layer's gradient by its size. With small steps of length τ that gradient has a factor τ,
the penalty has none, so that it weighs more the deeper the network is. Decay "by the step" gives the penalty the same
factor. That this matters, and which decay is tried, is known from pilots of the first run.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from flowprune.experiments import depth_study, rule_study
from flowprune.experiments.deep import DeepTrial
from flowprune.experiments.depth_costs import passes
from flowprune.experiments.depth_study import READINGS, SLOW_PAIR, by_depth, places, trial
from flowprune.study.stats import mean_interval

PRINTED, (SLOW, UNPRUNED) = READINGS[0], SLOW_PAIR
WITHOUT = "small steps, no pruning"
DECAY = {"weight_decay": 0.02, "decay_by_step": True}
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {  # the network, and the one thing that is changed of it
    "as printed": (PRINTED, {}),
    "as printed, no noise": (PRINTED, {"noise": 0.0}),
    "as printed, no dropout": (PRINTED, {"dropout": 0.0}),
    "as printed, residual connection": (PRINTED, {"residual": True}),
    "small steps": (SLOW, {}),
    "small steps, a fifth of r₀": (SLOW, {"rate": 0.02}),
    "small steps, one shot": (SLOW, {"gradual": False}),
    WITHOUT: (UNPRUNED, {}),
    f"{WITHOUT}, no dropout": (UNPRUNED, {"dropout": 0.0}),
    f"{WITHOUT}, two fifths of the learning rate": (UNPRUNED, {"lr": 0.002}),
    f"{WITHOUT}, 64 channels": (UNPRUNED, {"hidden": 64}),
    f"{WITHOUT}, decay by the step": (UNPRUNED, {"decay_by_step": True}),
    f"{WITHOUT}, forty times the decay": (UNPRUNED, {"weight_decay": 0.02}),
    f"{WITHOUT}, forty times the decay by the step": (UNPRUNED, DECAY),
    "small steps, forty times the decay by the step": (SLOW, DECAY),
    "small steps, a fifth of r₀, forty times the decay by the step": (SLOW, {"rate": 0.02} | DECAY),
    f"{WITHOUT}, 64 channels, forty times the decay by the step": (UNPRUNED, {"hidden": 64} | DECAY),
    "small steps, a fifth of r₀, 64 channels, forty times the decay by the step": (
        SLOW,
        {"rate": 0.02, "hidden": 64} | DECAY,
    ),
}


def changes(dataset: str, depth: int, *, runs: int = 3, **fields: Any) -> dict[str, list[DeepTrial]]:
    """The pruned network of ``depth`` layers with one change at a time."""
    return {
        name: [trial(dataset, variant, depth, **fields | change | place) for place in places(dataset, runs)]
        for name, (variant, change) in CHANGES.items()
    }


GRAPHS = {"cora?split=public": 3}  # published, with the runs of each network
SHALLOW, DEPTH = 8, 128


def study() -> list[DeepTrial]:
    """The published trials, each once, less those of the depth study and of the rule's."""
    cells = [c for d, runs in GRAPHS.items() for c in (changes(d, L, runs=runs) for L in (SHALLOW, DEPTH))]
    cells += [passes(d, DEPTH, runs=runs) for d, runs in GRAPHS.items()]
    held = {t.key for t in (*depth_study.study(), *rule_study.study())}
    trials = {t.key: t for c in cells for part in c.values() for t in part}
    return [t for key, t in trials.items() if key not in held]


def change_table(rows: pd.DataFrame, shallow: pd.DataFrame) -> pd.DataFrame:
    """For reading, from :func:`~flowprune.experiments.rule_study.read` of :func:`changes` of a deep and of a shallow
    network: one row a change, all of the deep one but its first number."""
    told, before = [], shallow.groupby("cell").accuracy.mean()
    for name, part in rows.groupby("cell", sort=False):
        i = mean_interval(part.accuracy) if len(part) > 1 else None
        told.append(
            {
                "network": name,
                "shallow": before[name],
                "deep": part.accuracy.mean(),
                "95 % interval": f"{i.lower:.1f} to {i.upper:.1f}" if i else "one run",
                "learned": f"{part.learned.sum()} of {len(part)}",
                "edges removed": f"{100 * part.removed.mean():.1f} %" if part.removed.notna().all() else "–",
                "μ left": part.mu.mean(),
            }
        )
    return pd.DataFrame(told)


def reached(rows: pd.DataFrame, layers: int, bar: float) -> str:
    """Which networks of ``layers`` layers have a mean accuracy of ``bar`` points, or else the best of all and of the
    pruned ones."""
    means = rows.groupby("cell", sort=False).accuracy.mean()
    named = lambda cells: ", ".join(f"“{name}” ({means[name]:.1f} %)" for name in cells)  # noqa: E731
    first = f"With {layers} layers the network as printed has {means.iloc[0]:.1f} %."
    if above := list(means.index[means >= bar]):
        return f"{first} {bar:g} % is reached by {named(above)}."
    pruned = means[[name for name in means.index if WITHOUT not in name]]
    best = f"the best of all is {named([means.idxmax()])}, the best pruned one {named([pruned.idxmax()])}"
    return f"{first} {bar:g} % is reached by none of these networks; {best}."


def elsewhere(rows: pd.DataFrame, bar: float) -> str:
    """Which networks of the depth study reach ``bar`` points at some depth, and the best GAT, in two sentences.

    ``rows``: of one graph, as of :func:`~flowprune.experiments.depth_study.runs_of`.
    """
    means = by_depth(rows).set_index(["variant", "layers"])["mean"]
    above = means[means >= bar].reset_index().groupby("variant", sort=False).layers
    named = ", ".join(f"{name} with {', '.join(map(str, layers))} layers" for name, layers in above)
    gat = means[[name for name in means.index if "GAT" in name[0]]]
    variant, layers = gat.idxmax()
    return (
        f"In the whole study on this graph {bar:g} % is reached by {named or 'no network'}. The best network with "
        f"attention is “{variant}” with {layers} layers ({gat.max():.1f} %)."
    )
