"""The lemmas part by part: what is stated in their place holds, and the tests would notice if it did not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from flowprune.experiments.theory import contraction, lemmas
from flowprune.experiments.theory.attention import Chain
from flowprune.experiments.theory.lemmas import BROKEN, PARTS
from flowprune.graphs import load


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return lemmas.tested(36, seed=1)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_nothing_breaks_what_is_stated(found):
    evidence = lemmas.evidence(found)
    assert evidence["counterexamples"] == 0
    assert evidence["deviation"] < 1e-10
    assert evidence["instances"] == 36
    assert evidence["parts"] == len(PARTS)


def test_every_sentence_that_is_replaced_is_broken_by_some_instance(found):
    """Those that stand say no more than that all nodes are equal."""
    broken = (found.printed > BROKEN).groupby(found.part).any()
    stands = [part.printed[:9] for part, some in zip(PARTS, broken, strict=True) if not some]
    assert stands == ["(a) to (c", "lim μ ≤ |", "attractor"]
    assert lemmas.evidence(found)["refuted"] == broken.sum() == len(PARTS) - 3


def test_a_faster_rate_than_the_second_eigenvalue_is_noticed():
    star = load("star?n=6").to(dtype=torch.float64)
    chain = contraction.chain(star, rng(1), slope=1.0)
    X = torch.from_numpy(rng(2).standard_normal((6, 2)))
    assert contraction._decay(chain, chain.second, X).repaired < BROKEN
    assert contraction._decay(chain, 0.99 * chain.second, X).repaired > 1e-3


def test_the_smallest_counterexamples_are_what_a_pencil_finds():
    by_name = {part.printed: part for part in PARTS}
    graph, d, _ = lemmas.smallest(by_name["contraction in ‖·‖_F, attention constant (K = 0)"])
    assert (graph.n, graph.num_edges, d) == (3, 2, 1)  # the path, whose averages are not doubly stochastic
    graph, d, _ = lemmas.smallest(by_name["contraction, attention K-Lipschitz"])
    assert (graph.n, graph.num_edges, d) == (2, 1, 2)
    assert lemmas.smallest(by_name["(a) to (c) at X*"], tries=3) is None


def test_uniform_attention_on_the_path_of_three_stretches():
    """AᵀA of the averages over a path with loops has an eigenvalue above one, as its columns do not sum to one."""
    A = torch.tensor([[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3], [0, 1 / 2, 1 / 2]], dtype=torch.float64)
    σ = torch.linalg.matrix_norm(A, 2).item()
    assert σ > 1.01
    stretched = A @ contraction.steepest(A, torch.ones(1, 1, dtype=torch.float64))
    assert stretched.norm().item() == pytest.approx(σ)
    assert Chain.of(A).second == pytest.approx(0.5)


def test_the_summary_has_one_row_a_part(found):
    table = lemmas.summary(found, PARTS)
    assert len(table) == len(PARTS)
    assert set(table.verdict) == {"stands", "repaired", "refuted"}
    refuted = table[table.verdict == "refuted"]
    assert list(refuted.lemma) == [4]
    assert (table["smallest"] == "").equals(table.verdict == "stands")
