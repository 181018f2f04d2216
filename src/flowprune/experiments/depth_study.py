"""The depth study: which networks run at which depths on which graphs, and what is read from their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from flowprune.experiments.deep import NETWORKS, DeepTrial
from flowprune.flows.attention import GAT
from flowprune.flows.dynamo import DynamoGAT
from flowprune.graphs import load
from flowprune.pruning.dynamo import Dynamo
from flowprune.study.stats import mean_interval, paired
from flowprune.training.operations import Operations

SLOW = 4.0  # the time T that a flow in small steps runs for, whatever its depth: τ = min(1, T/depth)

VARIANTS: dict[str, dict[str, Any]] = {
    "GCN": {"model": "gcn"},
    "GAT": {"model": "gat"},
    "residual GAT": {"model": "gat", "residual": True},
    "GAT, small steps": {"model": "gat", "residual": True, "slow": True},
    "PairNorm": {"model": "pairnorm"},
    "DropEdge": {"model": "dropedge"},
    "G²-GAT": {"model": "g2"},
    "GraphCON": {"model": "graphcon"},
    "DAGNN": {"model": "dagnn"},
    "GRAFF": {"model": "graff", "slow": True},
    "DYNAMO (−)": {"model": "dynamo", "sign": "minus"},
    "DYNAMO (+)": {"model": "dynamo", "sign": "plus"},
    "DYNAMO (corr)": {"model": "dynamo", "sign": "correlation"},
    "DYNAMO (−), small steps": {"model": "dynamo", "sign": "minus", "residual": True, "slow": True},
}
ADDED = tuple(name for name in NETWORKS if name not in {fields["model"] for fields in VARIANTS.values()})
if taken := [name for name in ADDED if name in VARIANTS]:
    raise ValueError(f"network {taken[0]!r}: a variant of the study has this name; allowed is any other")
VARIANTS |= {name: {"model": name} for name in ADDED}  # under their own names

READINGS = ("DYNAMO (−)", "DYNAMO (+)", "DYNAMO (corr)")
DEPTHS = (2, 4, 8, 16, 32, 64, 128)
TRAINING = {
    "lr": 0.005,
    "weight_decay": 0.0005,
    "dropout": 0.5,
    "input_dropout": 0.5,
    "epochs": 200,
    "patience": 50,
}
PRUNING = {"rate": 0.1, "limit": 0.2}  # the source removes 18.3 % of Cora's edges and does not print its rate


def trial(dataset: str, variant: str, depth: int, seed: int = 0, split: int = 0, **fields: Any) -> DeepTrial:
    """One network of the study; ``fields`` override those of the study."""
    chosen = dict(VARIANTS[variant])
    if chosen.pop("slow", False):
        chosen["step"] = min(1.0, SLOW / depth)
    pruning = PRUNING if chosen["model"] == "dynamo" else {}
    place = {"dataset": dataset, "depth": depth, "seed": seed, "split": split}
    return DeepTrial(**TRAINING | pruning | chosen | place | fields)


def grid(
    dataset: str,
    depths: Sequence[int] = DEPTHS,
    variants: Sequence[str] = tuple(VARIANTS),
    *,
    runs: int = 3,
    first: int = 0,
    **fields: Any,
) -> dict[tuple[str, int], list[DeepTrial]]:
    """The networks by (variant, depth), ``runs`` of each from run ``first`` on."""
    return {
        (v, L): [trial(dataset, v, L, **place, **fields) for place in places(dataset, runs, first)]
        for v in variants
        for L in depths
    }


def places(dataset: str, runs: int, first: int = 0) -> list[dict[str, int]]:
    """Seed and split of every run: on a public split runs differ in their seed, else in both."""
    single = "split=public" in dataset
    return [{"seed": i, "split": 0 if single else i} for i in range(first, first + runs)]


GRAPHS = {  # published, with the runs of each network
    "cornell-corrected": 5,
    "cornell-texas-features": 5,
    "cora?split=public": 3,
    "citeseer?split=public": 3,
    "cora": 3,
}


def faster(
    dataset: str, depths: Sequence[int] = DEPTHS, **fields: Any
) -> dict[tuple[str, int], list[DeepTrial]]:
    """DAGNN at ten times the learning rate, for claim R1."""
    return grid(dataset, depths, ("DAGNN",), lr=10 * TRAINING["lr"], **fields)


FRESH = 5  # claim D12 is judged on runs from this number on, which no other part of the study reads


def removing(dataset: str, runs: int = 5, **fields: Any) -> dict[tuple[str, int], list[DeepTrial]]:
    """Shallow networks, which train and lose edges on every graph, in all readings, for claim D12."""
    return grid(dataset, (2, 4), READINGS, runs=runs, first=FRESH, **fields)


def study() -> list[DeepTrial]:
    """The published trials, each once."""
    parts = (lambda d, r: grid(d, runs=r), lambda d, r: faster(d, runs=r), lambda d, r: removing(d))
    cells = [part(d, runs) for d, runs in GRAPHS.items() for part in parts]
    return list({t.key: t for c in cells for part in c.values() for t in part}.values())


# --- what is read from the rows --------------------------------------------------------------------------------------

Cells = Mapping[tuple[str, int], Sequence[DeepTrial]]
SLOW_PAIR = ("DYNAMO (−), small steps", "GAT, small steps")


def runs_of(cells: Cells, table: pd.DataFrame) -> pd.DataFrame:
    """One row a finished run: ``graph``, ``variant``, ``layers``, ``run``, ``accuracy`` (points), all other results."""
    done = table[table.status == "done"].drop_duplicates("key").set_index("key")
    told = [
        {"graph": t.dataset, "variant": v, "layers": L, "run": i, "key": t.key}
        for (v, L), trials in cells.items()
        for i, t in enumerate(trials)
        if t.key in done.index
    ]  # a trial may belong to two variants: a residual GAT of four layers takes small steps already
    rows = pd.DataFrame(told).join(done.drop(columns=["depth", "dataset"]), on="key")
    return rows.assign(accuracy=100 * rows.test_accuracy.astype(float))


def by_depth(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, least and largest accuracy of every (graph, variant, layers), with the number of runs."""
    grouped = rows.groupby(["graph", "variant", "layers"], sort=False).accuracy
    return grouped.agg(mean="mean", low="min", high="max", runs="count").reset_index()


def fall(summary: pd.DataFrame, variant: str) -> pd.Series:
    """By graph: mean accuracy at a variant's best depth minus that at the deepest, points; 0 where that is the best."""
    means = summary[summary.variant == variant].pivot(index="graph", columns="layers", values="mean")
    return means.max(axis=1) - means[means.columns.max()]


def kept(rows: pd.DataFrame, variant: str, suffix: str = "") -> float:
    """The least, over graphs, of μ after the deepest network over μ of its input, averaged over runs."""
    part = rows[(rows.variant == variant) & (rows.layers == rows.layers.max())]
    ratio = [μ[-1] / max(μ[0], 1e-12) for μ in part[f"mu{suffix}"]]
    return float(pd.Series(ratio, index=part.graph).groupby(level=0).mean().min())


def lead(rows: pd.DataFrame, a: str, b: str) -> float:
    """The least, over graphs, of the lower end of a minus b at the deepest, paired by run (95 % interval, points); of a
    single run the difference itself."""
    deepest = rows[(rows.layers == rows.layers.max()) & rows.variant.isin((a, b))]
    both = deepest.pivot(index=["graph", "run"], columns="variant", values="accuracy").dropna()
    ends = [
        paired(part[a], part[b]).lower if len(part) > 1 else (part[a] - part[b]).item()
        for _, part in both.groupby(level=0)
    ]
    return min(ends)


def better(summary: pd.DataFrame) -> str:
    """The reading of DYNAMO-GAT of the highest mean accuracy at the deepest, averaged over graphs."""
    deepest = summary[(summary.layers == summary.layers.max()) & summary.variant.isin(READINGS)]
    return deepest.groupby("variant")["mean"].mean().idxmax()


def depth_evidence(rows: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim D7."""
    summary = by_depth(rows)
    best = better(summary)
    falls = fall(summary, best)
    plain = rows[(rows.layers == rows.layers.max()) & rows.variant.isin(("GCN", "GAT", *READINGS))]
    return size(rows) | {
        "fall": falls.max(),
        "least_fall": falls.min(),
        "slow_fall": fall(summary, SLOW_PAIR[0]).max(),
        "lead": lead(rows, best, "GAT"),
        "slow_lead": lead(rows, *SLOW_PAIR),
        "mu": kept(rows, best),
        "untrained": float((plain.train_accuracy < 0.5).mean()),
    }


def size(rows: pd.DataFrame) -> dict[str, int]:
    """Graphs, runs of the network that has fewest, and the largest depth."""
    cells = rows.groupby(["graph", "variant", "layers"]).size()
    return {"graphs": rows.graph.nunique(), "runs": int(cells.min()), "deepest": int(rows.layers.max())}


def dagnn_evidence(rows: pd.DataFrame, faster: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim R1; ``faster``: the same networks at ten times the learning rate."""
    falls = fall(by_depth(rows), "DAGNN")
    again = fall(by_depth(faster), "DAGNN").max()
    return size(rows) | {"fall": falls.max(), "least_fall": falls.min(), "rate": again}


def gating_evidence(rows: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim R5."""
    name = "G²-GAT"
    return size(rows) | {
        "mu": kept(rows, name),
        "mu_first": kept(rows, name, "_at_first"),
        "fall": fall(by_depth(rows), name).max(),
        "lead": lead(rows, name, "GAT"),
    }


def removed_edges(rows: pd.DataFrame) -> pd.DataFrame:
    """Networks that lost an edge: cosine of input features and share of one class, of removed minus kept edges."""
    pruned = rows[rows.removed.fillna(0).astype(float) > 0]
    difference = {
        what: (pruned[f"{what}_removed"] - pruned[f"{what}_kept"]).astype(float)
        for what in ("cosine", "same")
    }
    return pruned[["graph", "variant", "layers", "removed"]].assign(**difference)


def removal_evidence(rows: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim D12 from the rows of :func:`removing`: on how many graphs each reading removes edges
    between less similar nodes, by the interval over networks."""
    pruned = removed_edges(rows)
    told: dict[str, Any] = {"graphs": rows.graph.nunique(), "networks": len(pruned)}
    for name, variant in zip(("minus", "plus", "correlation"), READINGS, strict=True):
        parts = pruned[pruned.variant == variant].groupby("graph", sort=False).cosine
        ends = {graph: mean_interval(values) for graph, values in parts if len(values) > 1}
        less = [graph for graph, i in ends.items() if i.upper < 0]
        more = [graph for graph, i in ends.items() if i.lower > 0]
        told |= {f"{name}_less": len(less) / told["graphs"], f"{name}_more": len(more) / told["graphs"]}
        if name == "minus":
            told["condition"] = f"reading minus on {', '.join(less) or 'none of the graphs'}"
    return told


# --- for reading -----------------------------------------------------------------------------------------------------


def depth_table(rows: pd.DataFrame, graph: str) -> pd.DataFrame:
    """Mean accuracy on one graph by layers, one row a variant, and the share of the deepest runs that learned."""
    here = rows[rows.graph == graph]
    means = by_depth(here).pivot(index="variant", columns="layers", values="mean")
    deepest = here[here.layers == here.layers.max()]
    learned = (deepest.train_accuracy >= 0.9).groupby(deepest.variant).mean()
    told = means.map(lambda x: f"{x:.1f}").assign(learned=learned.map(lambda x: f"{100 * x:.0f} %"))
    named = told.rename(columns=str).rename_axis(index="network", columns=None)
    return named.loc[here.variant.unique()].reset_index()


def in_words(rows: pd.DataFrame) -> str:
    """The accuracies of the plain and the pruned GAT, and of added networks, at both ends, for an alternative text."""
    summary = by_depth(rows)
    ends = summary.layers.min(), summary.layers.max()
    told = []
    for graph, part in summary.groupby("graph", sort=False):
        means = part.pivot(index="variant", columns="layers", values="mean")[list(ends)].dropna()
        named = [v for v in ("GAT", *READINGS, SLOW_PAIR[0], *ADDED) if v in means.index]
        told += ["{} {:.0f} and {:.0f}".format(variant, *means.loc[variant]) for variant in named]
        told[-1] += f" on {graph}"
    return f"Per cent with {ends[0]} and {ends[1]} layers: {', '.join(told)}."


def check_of_the_rule(seed: int = 0) -> tuple[float, float]:
    """Largest difference of DYNAMO-GAT without rate and noise from GAT; sparse operations after removing half the edges
    over those before."""
    graph = load(f"csbm?n=100&seed={seed}").with_self_loops()
    F = torch.randn(100, 1, 8, generator=torch.Generator().manual_seed(seed))
    sizes = {"dropout": [0.0], "heads": 2}
    still = DynamoGAT([seed], 8, 2, graph.adjacency, Dynamo(rate=0.0, noise=0.0), **sizes)
    difference = (
        (still(F, graph.adjacency) - GAT([seed], 8, 2, **sizes)(F, graph.adjacency)).abs().max().item()
    )
    pruned = DynamoGAT([seed], 8, 2, graph.adjacency, Dynamo(gradual=False, limit=0.5), **sizes)
    pruned(F, graph.adjacency)
    counts = []
    for network in (still, pruned):
        with torch.no_grad(), Operations() as seen:
            network.eval()(F, graph.adjacency)
        counts.append(seen.counts["sparse"])
    return difference, counts[1] / counts[0]
