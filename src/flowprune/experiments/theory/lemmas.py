"""Lemmas 1 to 4 of arXiv 2412.07243, part by part, over random instances: as printed, what is true, what breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
import pandas as pd
import torch

from flowprune.experiments.theory import contraction as tests
from flowprune.experiments.theory.instances import instances
from flowprune.graphs import Graph
from flowprune.study.passes import threads

BROKEN = 1e-9  # an excess above this is no rounding


@dataclass(frozen=True)
class Part:
    """One sentence of a lemma: as it is printed, what is true, the test of both, and whether the truth repairs it."""

    lemma: int
    printed: str
    true: str
    test: tests.Test
    repair: bool = True


PARTS = (
    Part(
        1,
        "contraction in ‖·‖_F, attention constant (K = 0)",
        "contraction by ‖W‖ in max_i ‖x_i‖",
        tests.constant_attention,
    ),
    Part(
        1,
        "contraction, attention K-Lipschitz",
        "Lipschitz with ‖W‖(1 + ½LD) in max_i ‖x_i‖",
        tests.moving_attention,
    ),
    Part(
        1,
        "one X*, reached like (‖W‖(1+K))^t in ‖·‖_F",
        "like ‖W‖^t in max_i ‖x_i‖, any attention",
        tests.fixed_point,
    ),
    Part(2, "(a) to (c) at X*", "both sides say little: all nodes are equal", tests.at_the_fixed_point),
    Part(
        2,
        "(a), (c) t averaging steps leave |λ₂|^t in ‖·‖_F",
        "in ‖·‖_π, with detailed balance",
        tests.connected(tests.averaging),
    ),
    Part(
        2,
        "(a), (c) the same without detailed balance",
        "ς^t with ς ≥ |λ₂|, in ‖·‖_π",
        tests.connected(tests.irreversible),
    ),
    Part(
        2,
        "(b) pairs differ by at most |λ₂|‖X‖_F",
        "by |λ₂|√(1/π_i + 1/π_j)‖X‖_π",
        tests.connected(tests.pairs),
    ),
    Part(3, "μ(X(t)) ≤ |λ₂|^t μ(X(0))", "μ(X(t)) ≤ 2κ_t|λ₂|^t", tests.connected(tests.coefficient_by_gap)),
    Part(
        3,
        "μ(X(t)) ≤ c^t μ(X(0))",
        "≤ 2c^t max_i ‖x_i(0) − x*‖/‖x*‖, with a bias",
        tests.connected(tests.coefficient_by_contraction),
    ),
    Part(3, "lim μ ≤ |λ₂|‖X*‖_F / (2 min_i ‖x*_i‖)", "lim μ = 0 where X* ≠ 0", tests.connected(tests.limit)),
    Part(3, "attractor dimension ≤ rank Cov X*", "it is a point, and both are 0", tests.at_the_fixed_point),
    Part(
        3,
        "eigenvalues of the covariance ≤ |λ₂|^{2t} the first",
        "of that weighted by π",
        tests.connected(tests.covariance),
    ),
    Part(4, "blocks σ′(z_i)α_ij Wᵀ at any fixed point", "plus the attention's derivative", tests.blocks),
    Part(4, "stable iff ρ(J) < 1", "ρ(J) = 1 decides nothing", tests.stability),
    Part(
        4,
        "over-smoothing iff ker(I − J) = span{1⊗v}",
        "eigenvalues λ_kω_l, λ_k ≠ 1, say how fast",
        tests.kernel,
        repair=False,
    ),
)


def tested(count: int, seed: int = 0, parts: Sequence[Part] = PARTS, d: int = 3) -> pd.DataFrame:
    """Every part on ``count`` random graphs. One row an instance: part (its place), family, printed, repaired."""
    rows = []
    with threads(1):
        for place, part in enumerate(parts):
            for family, graph, rng in instances(count, seed):
                found = part.test(graph, rng, d)
                rows.append((place, family, found.printed, found.repaired))
    return pd.DataFrame(rows, columns=["part", "family", "printed", "repaired"])


def smallest(part: Part, tries: int = 40) -> tuple[Graph, int, int] | None:
    """The smallest connected graph, then the fewest channels (1 or 2), that break what is printed; and the seed.

    Graphs of two to four nodes are tried, each with ``tries`` draws. None where nothing breaks.
    """
    for atlas in nx.graph_atlas_g()[3:19]:
        if not nx.is_connected(atlas):
            continue
        edges = np.array(atlas.edges, dtype=int).reshape(-1, 2).T
        graph = Graph.from_edges("atlas", edges, atlas.number_of_nodes(), dtype=torch.float64)
        for d in (1, 2):
            for seed in range(tries):
                if part.test(graph, np.random.default_rng(seed), d).printed > BROKEN:
                    return graph, d, seed
    return None


def summary(found: pd.DataFrame, parts: Sequence[Part] = PARTS) -> pd.DataFrame:
    """What became of each part: one row with lemma, printed, verdict, broken, smallest, true, deviation."""
    rows = []
    for place, part in enumerate(parts):
        mine = found[found.part == place]
        broken = int((mine.printed > BROKEN).sum())
        least = smallest(part) if broken else None
        rows.append(
            {
                "lemma": part.lemma,
                "printed": part.printed,
                "broken in": f"{broken} of {len(mine)}",
                "smallest": "" if least is None else f"n = {least[0].n}, d = {least[1]}",
                "verdict": "refuted" if broken and not part.repair else "repaired" if broken else "stands",
                "true": part.true,
                "deviation": max(mine.repaired.max(), 0.0),
            }
        )
    return pd.DataFrame(rows)


def evidence(found: pd.DataFrame) -> dict[str, int | float | str]:
    """Evidence for the ledger: a counterexample breaks what we say is true, an exception what is printed."""
    broken = found.printed > BROKEN
    return {
        "instances": int(found.groupby("part").size().min()),
        "families": ", ".join(dict.fromkeys(found.family)),
        "deviation": float(found.repaired.clip(lower=0).max()),
        "counterexamples": int((found.repaired > BROKEN).sum()),
        "exceptions": int(broken.sum()),
        "parts": int(found.part.nunique()),
        "refuted": int(broken.groupby(found.part).any().sum()),
    }
