"""The depth study: which networks run at which depths on which graphs, and what is read from their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowprune.experiments.deep import DeepTrial

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
    **fields: Any,
) -> dict[tuple[str, int], list[DeepTrial]]:
    """The networks by (variant, depth). On a public split runs differ in their seed, else in split and seed."""
    single = "split=public" in dataset
    places = [{"seed": i, "split": 0 if single else i} for i in range(runs)]
    return {
        (v, L): [trial(dataset, v, L, **place, **fields) for place in places]
        for v in variants
        for L in depths
    }
