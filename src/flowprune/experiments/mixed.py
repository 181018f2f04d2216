"""Does a W that depends on features help where homophily varies over the graph (claim G27)? The grid and its tests.

Two neighbours can attract in one region and repel in the other only if something tells the regions apart. The designs
vary what could: features that hint at the region, and a second step, before which a node has seen its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from flowprune.experiments import summaries
from flowprune.experiments.grids import published
from flowprune.experiments.nodes import NodeTrial, published_settings
from flowprune.flows.local import GATES
from flowprune.study.stats import Comparison, holm, mean_interval

VARIANTS: dict[str, dict[str, Any]] = {
    "mlp": {"model": "mlp"},
    "gcn": {"model": "gcn", "residual": True},
    "gat": {"model": "gat", "residual": True},
    "diag": {"model": "graff", "structure": "diag"},
    "dd": {"model": "graff", "structure": "dd"},
    "sum": {"model": "graff", "structure": "sum"},
    "in time": {"model": "graff", "structure": "dd", "time_dependent": True},
    "fixed": {"model": "graff-local", "gate": "fixed"},
    "recomputed": {"model": "graff-local", "gate": "recomputed"},
    "energy": {"model": "graff-local", "gate": "energy"},
    "dd recomputed": {"model": "graff-local", "gate": "recomputed", "structure": "dd"},
}
NAMES = {
    "mlp": "MLP",
    "gcn": "residual GCN",
    "gat": "GAT",
    "diag": "GRAFF diag",
    "dd": "GRAFF DD",
    "sum": "GRAFF sum",
    "in time": "GRAFF DD in time",
    "fixed": "local, fixed gate",
    "recomputed": "local, recomputed gate",
    "energy": "local, energy gate",
    "dd recomputed": "local DD, recomputed gate",
}
CONSTANT = ("diag", "dd", "sum")
LOCAL = ("fixed", "recomputed", "energy", "dd recomputed")

DESIGNS: dict[str, tuple[str, int]] = {  # parameters of the graph, steps of the flow
    "mixed, region hidden, 1 step": ("hint=0", 1),
    "mixed, region hinted, 1 step": ("hint=2", 1),
    "mixed, region hidden, 2 steps": ("hint=0", 2),
    "mixed, region hinted, 2 steps": ("hint=2", 2),
    "homophilic, 2 steps": ("homophily_low=0.9", 2),
    "heterophilic, 2 steps": ("homophily_high=0.1", 2),
}
MIXED = tuple(name for name in DESIGNS if name.startswith("mixed"))
REAL = ("texas", "wisconsin")

Cells = Mapping[tuple[str, str], Sequence[NodeTrial]]


def grid(
    *, n: int = 800, graphs: int = 8, splits: int = 3, epochs: int = 100
) -> dict[tuple[str, str], list[NodeTrial]]:
    """Trials by (variant, design) on generated graphs, graph g and split s the same for all variants of a design.

    All train alike, with 32 channels, at settings under which every flow fits its training nodes on graphs of other
    seeds. With one step no gate is recomputed and W has one time, so the variants that say nothing new are left out.
    """
    training = {"lr": 0.01, "weight_decay": 0.0005, "dropout": 0.3, "input_dropout": 0.3, "hidden": 32}
    cells = {}
    for design, (parameters, steps) in DESIGNS.items():
        names = [f"mixed?n={n}&{parameters}&seed={g}" for g in range(graphs)]
        for variant, flow in VARIANTS.items():
            if steps == 1 and variant in ("in time", "recomputed"):
                continue
            depth = {"depth": steps} if flow["model"] in ("gcn", "gat") else {"time": float(steps)}
            fields = flow | training | (depth if flow["model"] != "mlp" else {}) | {"epochs": epochs}
            cells[variant, design] = [
                NodeTrial(dataset=name, split=s, seed=0, **fields) for name in names for s in range(splits)
            ]
    return cells


def real(dataset: str, *, splits: int = 10, epochs: int = 250) -> dict[tuple[str, str], list[NodeTrial]]:
    """A look at a real graph with the published GRAFF settings: the constant W as published, and the three gates."""
    constant = published(dataset, "graff", splits=splits, seeds=1, epochs=epochs)
    fields = published_settings(dataset) | {"model": "graff-local", "structure": "diag", "epochs": epochs}
    local = {
        (gate, dataset): [NodeTrial(**fields, gate=gate, split=s, seed=0) for s in range(splits)]
        for gate in GATES
    }
    return {(constant[0].structure, dataset): constant} | local


# --- tests --------------------------------------------------------------------------------------------------


def by_graph(trials: Sequence[NodeTrial], table: pd.DataFrame, of: str = "test_accuracy") -> pd.Series:
    """Accuracy in points by graph, averaged over its splits: graphs are what is drawn independently."""
    rows = table[table.key.isin([t.key for t in trials]) & (table.status == "done")]
    return 100 * rows.drop_duplicates("key").groupby("dataset")[of].mean()


def best(cells: Cells, table: pd.DataFrame, design: str, among: Sequence[str]) -> str:
    """The variant of the highest mean validation accuracy in a design."""
    reached = {
        v: by_graph(cells[v, design], table, "val_accuracy").mean() for v in among if (v, design) in cells
    }
    return max(reached, key=lambda v: reached[v])


def versus(cells: Cells, table: pd.DataFrame, design: str, a: str, b: str) -> Comparison:
    """Test accuracy of variant a minus b in points, paired by graph."""
    return summaries.matched(*(by_graph(cells[v, design], table) for v in (a, b)))


def best_against_best(cells: Cells, table: pd.DataFrame) -> dict[str, tuple[str, str, Comparison]]:
    """By design: the best local W, the best constant W (both chosen on validation nodes), and their comparison."""
    found = {}
    for design in dict.fromkeys(design for _, design in cells):
        local, constant = (best(cells, table, design, among) for among in (LOCAL, CONSTANT))
        found[design] = local, constant, versus(cells, table, design, local, constant)
    return found


def gates_alone(cells: Cells, table: pd.DataFrame) -> dict[str, Comparison]:
    """What a gate adds to the same W, on the mixed designs: local minus constant of one structure."""
    pairs = [(gate, "diag") for gate in GATES] + [("dd recomputed", "dd")]
    return {
        f"{NAMES[a]}: {design.removeprefix('mixed, ')}": versus(cells, table, design, a, b)
        for design in MIXED
        for a, b in pairs
        if (a, design) in cells
    }


def gain_table(compared: Mapping[str, tuple[str, str, Comparison]]) -> pd.DataFrame:
    """The comparisons of :func:`best_against_best` for reading; p is adjusted over the rows shown (Holm)."""
    adjusted = holm([c.p for _, _, c in compared.values()])
    rows = zip(compared.items(), adjusted, strict=True)
    return pd.DataFrame(
        {
            "design": design,
            "best local W": NAMES[local],
            "best constant W": NAMES[constant],
            "gain": c.mean,
            "95 % interval": f"{c.lower:.1f} to {c.upper:.1f}",
            "adj. p": f"{p:.3f}",
            "graphs": c.n,
        }
        for (design, (local, constant, c)), p in rows
    )


def gate_table(alone: Mapping[str, Comparison]) -> pd.DataFrame:
    """The comparisons of :func:`gates_alone` for reading; none is tested, as so many would need more graphs."""
    return pd.DataFrame(
        {"gate: design": name, "gain": c.mean, "95 % interval": f"{c.lower:.1f} to {c.upper:.1f}"}
        for name, c in alone.items()
    )


def accuracies(cells: Cells, table: pd.DataFrame) -> pd.DataFrame:
    """One row a variant and design: mean, low, high of test accuracy in points (95 % interval over graphs), graphs."""
    rows = []
    for (variant, design), trials in cells.items():
        i = mean_interval(by_graph(trials, table))
        rows.append([variant, design, i.mean, i.lower, i.upper, i.n])
    return pd.DataFrame(rows, columns=["variant", "design", "mean", "low", "high", "graphs"])


def wins(comparisons: Sequence[Comparison]) -> tuple[int, int]:
    """How many differences are positive, and how many negative, at a Holm-adjusted p below 0.05."""
    significant = holm([c.p for c in comparisons]) < 0.05
    won, lost = (
        sum(bool(s) and sign * c.mean > 0 for s, c in zip(significant, comparisons, strict=True))
        for sign in (1, -1)
    )
    return won, lost


def evidence(cells: Cells, table: pd.DataFrame) -> dict[str, Any]:
    """What the trials say about claim G27. The tests of the mixed designs are corrected together (Holm)."""
    compared = best_against_best(cells, table)
    deciding = [compared[design][2] for design in MIXED]
    alone = list(gates_alone(cells, table).values())
    won, lost = wins(deciding)
    controls = {design.split(",")[0]: c.mean for design, (_, _, c) in compared.items() if design not in MIXED}
    return {
        "graphs": min(c.n for c in deciding),
        "wins": won,
        "losses": lost,
        "smallest_gain": min(c.mean for c in deciding),
        "largest_gain": max(c.mean for c in deciding),
        "largest_upper": max(c.upper for c in deciding),
        "gate_smallest": min(c.mean for c in alone),
        "gate_largest": max(c.mean for c in alone),
        "gain_homophilic": controls["homophilic"],
        "gain_heterophilic": controls["heterophilic"],
    }


def look_table(look: Cells, table: pd.DataFrame) -> pd.DataFrame:
    """Mean test accuracy of each W on a real graph with its interval, and its mean gain over the constant W."""
    parts = {variant: summaries.points(trials, table) for (variant, _), trials in look.items()}
    (constant, first), *_ = parts.items()
    rows = []
    for variant, part in parts.items():
        i, gain = summaries.interval(part), 0.0 if variant == constant else summaries.versus(part, first).mean
        rows.append([NAMES[variant], i.mean, f"{i.lower:.1f} to {i.upper:.1f}", gain])
    return pd.DataFrame(rows, columns=["W", "accuracy", "95 % interval", "gain"])
