"""What depth costs: operations of a pass and of a training step, and the time that removed edges save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from flowprune.experiments.deep import DeepTrial
from flowprune.experiments.depth_study import READINGS, SLOW_PAIR, places, size, trial
from flowprune.study import project
from flowprune.training.operations import KINDS


def operations(rows: pd.DataFrame) -> pd.DataFrame:
    """Of every (graph, variant, layers): operations of an inference pass in 10⁹ by kind, of a training step, accuracy
    (points) and accuracy per 10⁹ operations."""
    parts = rows.assign(**{kind: rows[kind].astype(float) / 1e9 for kind in (*KINDS, "training_step")})
    columns = [*KINDS, "training_step", "accuracy"]
    table = parts.groupby(["graph", "variant", "layers"], sort=False)[columns].mean().reset_index()
    table["inference"] = table[list(KINDS)].sum(axis=1)
    return table.assign(efficiency=table.accuracy / table.inference)


def cost_evidence(rows: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim D8."""
    table = operations(rows)
    ratio, deepest = {}, {}
    for graph, part in table.groupby("graph"):
        ratio[graph] = _against(part)
        deepest[graph] = _against(part[part.layers == part.layers.max()])
    first = table[table.graph == table.graph.iloc[0]]
    ours = first[first.variant.isin(READINGS) & (first.layers == first.layers.max())].inference.mean()
    plain = first[(first.variant == "GCN") & (first.layers == first.layers.min())].inference.item()
    share = lambda values: sum(v > 1 for v in values) / len(values)  # noqa: E731
    counted = size(rows)
    del counted["deepest"]
    return counted | {
        "share": share(ratio.values()),
        "least": min(ratio.values()),
        "most": max(ratio.values()),
        "deepest_share": share(deepest.values()),
        "ours": ours / plain,
    }


def _against(part: pd.DataFrame) -> float:
    """The highest accuracy per operation of DYNAMO-GAT over that of all others."""
    ours = part.variant.isin((*READINGS, SLOW_PAIR[0]))
    return part[ours].efficiency.max() / part[~ours].efficiency.max()


FAMILY = {
    "GCN": "GCN",
    "GAT": "GAT",
    "G²-GAT": "G²-GAT",
    "DYNAMO-GAT": READINGS[0],
}  # as the source names them


def cost_table(rows: pd.DataFrame, graph: str) -> pd.DataFrame:
    """For reading: the source's networks at the depth of their reported operations, counted here (10⁹).

    Of a depth that ``rows`` do not hold, the nearest that they do.
    """
    counted = operations(rows[rows.graph == graph])
    reported = pd.read_csv(project.root() / "data" / "reported" / "dynamo_gat.csv")
    told = []
    for line in reported[reported.dataset == graph.partition("?")[0].partition("-")[0]].itertuples():
        part = counted[counted.variant == FAMILY[line.model]]
        here = part.loc[(part.layers - line.layers).abs().idxmin()]
        told.append(
            {
                "network": line.model,
                "layers": here.layers,
                "pass": here.inference,
                "training step": here.training_step,
                "accuracy per 10⁹": here.efficiency,
                "reported pass": line.gflop,
                "reported accuracy per 10⁹": line.accuracy / line.gflop,
            }
        )
    return pd.DataFrame(told)


LIMITS = (0.2, 0.5, 0.8)  # shares of the edges that one shot removes


def passes(
    dataset: str, depth: int, limits: Sequence[float] = LIMITS, *, runs: int = 3, **fields: Any
) -> dict[float, list[DeepTrial]]:
    """The pruned network with small steps, trained for two epochs, whose first step removes a share of the edges."""
    shot = {"gradual": False, "epochs": 2}
    return {
        limit: [
            trial(dataset, SLOW_PAIR[0], depth, **fields | shot | place, limit=limit)
            for place in places(dataset, runs)
        ]
        for limit in limits
    }


def saving(cells: Mapping[float, Sequence[DeepTrial]], table: pd.DataFrame) -> pd.DataFrame:
    """One row a finished run of :func:`passes`: the share ``removed``, ``time`` and ``entries`` (of the
    softmax, self-loops among them) of a pass after pruning over those before, and ``excess``, time over the share of
    edges left, minus one."""
    done = table[table.status == "done"].drop_duplicates("key").set_index("key")
    asked = [t.key for part in cells.values() for t in part]
    rows = done.loc[[key for key in asked if key in done.index]]
    removed = rows.removed.astype(float)
    time = (rows.pass_seconds / rows.pass_seconds_at_first).astype(float)
    entries = (rows.softmax / rows.softmax_at_first).astype(float)
    columns = {"removed": removed, "time": time, "entries": entries}
    return pd.DataFrame(columns | {"excess": time / (1 - removed) - 1}).reset_index(drop=True)


def in_words(saved: pd.DataFrame) -> str:
    """The mean ratios of :func:`saving` by share removed, for a figure's alternative text."""
    means = saved.groupby(saved.removed.round(2))[["time", "entries"]].mean()
    told = [
        f"{100 * r:.0f} % removed: time {m.time:.2f}, entries {m.entries:.2f}" for r, m in means.iterrows()
    ]
    return f"{'; '.join(told)}."
