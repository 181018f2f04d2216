"""Pruned layers: the parts of the lemmas on layers worked out by hand, and what is proved instead."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowprune.experiments.theory import pruned_smallest as search
from flowprune.experiments.theory import pruned_spectrum as theory
from flowprune.experiments.theory.instances import examine
from flowprune.graphs import load


def pair(p: float, loop: float = 1.0) -> theory.Layer:
    """One edge with loops, its two entries pruned by p, and X = I."""
    A = theory.even(load("path?n=2").to(dtype=torch.float64), loop)
    eye = torch.eye(2, dtype=torch.float64)
    return theory.Layer(A, p * (1 - eye), eye)


def cut_path() -> theory.Layer:
    """The path of four nodes without its middle edge."""
    A = theory.even(load("path?n=4").to(dtype=torch.float64))
    p = torch.zeros(4, 4, dtype=torch.float64)
    p[1, 2] = p[2, 1] = 1
    return theory.Layer(A, p, torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize("p", [0.2, 0.5, 1.0])
def test_one_edge_has_the_radius_and_gap_of_its_two_by_two_matrix(p):
    """½[[1, 1 − p], [1 − p, 1]] has eigenvalues 1 − p/2 and p/2."""
    made = pair(p)
    assert made.strength == pytest.approx(p)
    np.testing.assert_allclose(theory.moduli(made.pruned(False)), [1 - p / 2, p / 2], atol=1e-12)
    assert theory.gap(made.pruned(True)) == pytest.approx((2 - 2 * p) / (2 - p), abs=1e-12)
    assert not theory.radius_falls(made, made.pruned(False))
    assert not theory.gap_widens(made, made.pruned(True))
    assert not theory.modes_shrink(made, made.pruned(False))


def test_cutting_the_middle_of_a_path_takes_two_ranks():
    made = cut_path()
    assert made.strength == pytest.approx(1 / 3)
    assert theory.rank(made.A) == 3 and theory.rank(made.pruned(True)) == 1
    assert not theory.rank_stays(made, made.pruned(True))
    assert theory.rank_stays(made, made.pruned(False))


def test_a_pruned_layer_can_make_two_nodes_equal():
    """With loops of weight ½ and p = ½ the recalibrated rows are (½, ½): μ falls to 0."""
    made = pair(0.5, loop=0.5)
    assert theory.coefficient(made.pruned(True) @ made.X).item() == pytest.approx(0, abs=1e-12)
    assert not theory.coefficient_grows(made, made.pruned(True))


def test_parts_hold_where_nothing_is_pruned_but_those_that_promise_a_fall():
    made = pair(0.0)
    true = {name: part(made, made.A) for name, part in theory.PARTS.items()}
    assert [name[:2] for name, holds in true.items() if not holds] == ["5b", "5f"]
    assert not any(part(made, made.A) for part in (theory.radius_lower, theory.gap_wider))


def test_a_layer_prunes_edges_and_nothing_else():
    for seed in range(12):
        graph = load("barbell?m=4").to(dtype=torch.float64)
        made = theory.layer(graph, np.random.default_rng(seed), theory.SIGNS[seed % 3])
        assert ((made.p > 0) <= made.edges).all() and made.p.max() <= 1
        assert torch.equal(made.edges, graph.adjacency.to_dense() > 0)
        torch.testing.assert_close(made.pruned(True).sum(1), torch.ones(8, dtype=torch.float64))


@pytest.mark.parametrize(
    "check",
    [theory.radius_is_bracketed, theory.gap_is_bracketed, theory.rank_is_bracketed],
    ids=lambda f: f.__name__,
)
def test_what_is_proved_instead_has_no_counterexample(check):
    evidence = examine(check, 60)
    assert evidence["counterexamples"] == 0
    assert evidence["deviation"] < 1e-9


def test_the_lower_bound_of_the_radius_is_the_printed_upper_bound_turned_round():
    """On one edge: the flow-weighted geometric mean √(1 − p) ≤ 1 − p/2, the arithmetic 1 − p is below both."""
    p = 0.6
    ρ = theory.moduli(pair(p).pruned(False))[0].item()
    assert 1 - p < (1 - p) ** 0.5 < ρ == pytest.approx(1 - p / 2)


def test_a_rank_that_may_not_fall_is_seen(monkeypatch):
    monkeypatch.setattr(theory.torch.linalg, "matrix_rank", lambda _: torch.tensor(0))
    assert examine(theory.rank_is_bracketed, 60)["counterexamples"] > 0


def test_the_rank_of_a_covariance_is_that_of_numpy():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((8, 3)) @ rng.standard_normal((3, 6)) + 5
    assert theory.rank(torch.from_numpy(X)) == np.linalg.matrix_rank(np.cov(X.T)) == 3


def test_survey_has_every_part_for_every_reading():
    table = theory.survey(10, seed=3)
    assert len(table) == 10 * 3 * 2
    assert set(theory.PARTS) | set(theory.CLAIM) <= set(table.columns)
    same = table[table.recalibrated].groupby(np.arange(30) // 3).gap.nunique()
    assert (same == 1).all()  # one attention for the three readings
    assert not table[table.recalibrated]["radius lower"].any()


@pytest.mark.parametrize(
    "part, recalibrated, expected",
    [
        (theory.radius_falls, False, "2 nodes, edges 0–1, loops of weight 1, p = 1/2 on 0–1"),
        (theory.gap_widens, True, "2 nodes, edges 0–1, loops of weight 1, p = 1/2 on 0–1"),
        (theory.coefficient_grows, True, "2 nodes, edges 0–1, loops of weight 0.5, p = 1/2 on 0–1"),
        (
            theory.rank_stays,
            True,
            "3 nodes, edges 0–1, 0–2, 1–2, loops of weight 0.5, p = 1/2 on 0–1, 0–2, 1–2",
        ),
    ],
)
def test_smallest_counterexamples(part, recalibrated, expected):
    name, made = search.smallest(part, recalibrated)
    assert name == expected
    assert not part(made, made.pruned(recalibrated))


def test_what_always_holds_has_no_smallest_counterexample():
    with pytest.raises(LookupError, match="no counterexample among connected graphs"):
        search.smallest(lambda layer, J: bool((J.sum(1) <= 1 + 1e-9).all()), False)


def test_noise_alone_lies_below_the_printed_floor_and_above_the_repaired_one():
    found = theory.noise_floor(nodes=2000, channels=80, signal=0.0, draws=20, seed=0)
    assert found["below 1 − 1/N"] == 1
    assert found["below floor"] == 0 and 0.3 < found["floor"] < found["median"] < 1
    assert found["median"] == pytest.approx((1 - (80 / 2000) ** 0.5) ** 2, abs=0.02)  # Marchenko and Pastur


def test_even_the_rank_is_broken_by_a_small_layer():
    assert search.breaks(theory.rank_stays, True)
