"""A9: which edges the published rule can name, by counting, and which it removes from trained networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pandas as pd
from numpy import ndarray

from flowprune.argnn import Edges, Networks, Outcome, gate, train
from flowprune.experiments.theory.arrowhead import INPUTS, OUTPUTS, clear_pairs, full, renumbered
from flowprune.pruning.spectral import Edge, Rule, local_laplacian


def edges(hidden: int) -> list[Edge]:
    """The edges k + 1 → k of a published network: no other can be named. Their number is ``hidden``."""
    return [(k + 1, k) for k, edge in enumerate(Edges.of(full(hidden)).link) if edge >= 0]


def predicted(hidden: Sequence[int]) -> pd.DataFrame:
    """Figure 3 of the paper by counting alone: edges at the start, the most that can go, and their share in percent."""
    total = np.array([full(h).sum() for h in hidden])
    most = np.array([len(edges(h)) for h in hidden])
    needed = [-float(h**2) for h in hidden]  # Σb below which mode D has a pair, while d_c = 2h + 2
    return pd.DataFrame(
        {"h": hidden, "edges": total, "most": most, "share": 100 * most / total, "needed": needed}
    )


def measured(
    gates: Sequence[str], hidden: Sequence[int], runs: int, inputs: int, seed: int = 0
) -> pd.DataFrame:
    """Networks trained under the published rule, a row each.

    removed; of these rounded (resting on rounding), touching the visited node, and ending at it as the paper's figure 2
    has it; unnamed: edges gone that are not k + 1 → k.
    """
    rows, seeds = [], range(seed, seed + runs)
    for h in hidden:
        for name in gates:
            for mode in ("D", "DW"):
                ran = train(gate(name), h, Rule(mode), seeds, inputs=inputs)
                common = {"h": h, "gate": name, "mode": mode, "edges": int(full(h).sum())}
                rows += [common | _counted(ran, r) for r in range(runs)]
    return pd.DataFrame(rows)


def _counted(ran: Outcome, r: int) -> dict[str, object]:
    mine = [x for x in ran.removals if x.network == r]
    return {
        "removed": len(mine),
        "rounded": sum(x.by_rounding for x in mine),
        "strengths": [x.strength for x in mine],
        "touching": sum(x.node in (x.source, x.target) for x in mine),
        "ending": sum(x.node == x.target for x in mine),
        "unnamed": sum(x.source != x.target + 1 for x in mine),
        "first": min((x.input for x in mine), default=-1),
        "error": float(ran.error[r]),
    }


def removal_evidence(ran: pd.DataFrame) -> dict[str, object]:
    """A9, of trained networks."""
    total = ran.removed.sum()
    rounded = ran.groupby("mode").rounded.sum() / ran.groupby("mode").removed.sum().clip(lower=1)
    return {
        "networks": len(ran),
        "removed": int(total),
        "unnamed": int(ran.unnamed.sum()),
        "beyond": int((ran.removed > ran.h.map(lambda h: len(edges(h)))).sum()),
        "touching": float(ran.touching.sum() / max(total, 1)),
        "ending": float(ran.ending.sum() / max(total, 1)),
        "rounded": float(rounded["D"]),
        "rounded_weighted": float(rounded["DW"]),
    }


def starts(hidden: int, runs: int, mode: str) -> float:
    """Share of nodes with a clear pair before training, over so many networks."""
    nets = Networks.start(range(runs), INPUTS, hidden, OUTPUTS)
    visited = range(INPUTS, nets.edges.n)
    both = zip(nets.weights, nets.adjacency, strict=True)
    return float(np.mean([clear_pairs(local_laplacian(W, A, c, mode)) > 0 for W, A in both for c in visited]))


def by_numbering(L: ndarray, hidden: int) -> ndarray:
    """How often each pair of nodes is named, over all numberings of those that are no inputs: ``[n, n]`` of sum one."""
    n = INPUTS + hidden + OUTPUTS
    count, orders = np.zeros((n, n)), [*permutations(range(INPUTS, n))]
    for order in orders:
        count[renumbered(L, np.array([*range(INPUTS), *order]))] += 1
    return count / len(orders)
