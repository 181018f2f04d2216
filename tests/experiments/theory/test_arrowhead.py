"""Arrowhead spectra and the local rule by other ways of computing; the checks notice what would be wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowprune.argnn import Networks, gate, train
from flowprune.experiments.theory import arrowhead as theory
from flowprune.experiments.theory import local_rule, nameable
from flowprune.pruning.spectral import Rule, feedback, local_laplacian

seeds, modes = st.integers(0, 10**6), st.sampled_from(["D", "DW"])
patient = settings(max_examples=50, deadline=None)


def star(seed: int, mode: str, n: int = 6) -> tuple[np.ndarray, int]:
    rng = np.random.default_rng(seed)
    return local_laplacian(rng.uniform(-4, 4, (n, n)), ~np.eye(n, dtype=bool), seed % n, mode), seed % n


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return theory.survey(300)


@patient
@given(seeds, modes)
def test_pairs_are_as_many_as_upper_roots_and_within_the_bound(seed, mode):
    L, c = star(seed, mode)
    roots = np.roots(np.poly(L))
    assert theory.clear_pairs(L) <= theory.bound(L, c)
    if not (np.abs(np.abs(roots.imag) - theory.CLEAR * np.linalg.norm(L)) < 5e-3 * np.linalg.norm(L)).any():
        assert theory.clear_pairs(L) == (roots.imag > theory.CLEAR * np.linalg.norm(L)).sum()


def test_a_wrong_entry_of_the_closed_form_is_noticed(monkeypatch):
    L, c = star(3, "D")
    assert theory.misfit(L, c, "D") < 1e-11
    L[(c + 1) % 6, (c + 1) % 6] += 0.01  # no longer 2
    assert theory.misfit(L, c, "D") > 1e-5 and theory.misfit(L, c, "DW") < 1e-11
    monkeypatch.setattr(theory, "closed_form", lambda L, c: np.linalg.eigvals(L).real.astype(complex))
    assert theory.spectrum_evidence(theory.survey(40))["counterexamples"] > 0


def test_the_bound_is_reached_by_four_nodes():
    """Two negative feedbacks and one positive allow two pairs; one sign alone never more than one."""
    most = {}
    for signs in ((-1, -1, 1), (-1, -1, -1), (1, 1, 1)):
        rng, pairs = np.random.default_rng(0), []
        for _ in range(3000):
            L = np.diag(rng.uniform(-4, 4, 4))
            L[0, 1:] = rng.uniform(0.5, 4, 3)
            L[1:, 0] = np.array(signs) * rng.uniform(0.5, 4, 3)
            pairs.append(theory.clear_pairs(L))
        most[signs] = max(pairs), theory.bound(L, 0)
    assert most == {(-1, -1, 1): (2, 2), (-1, -1, -1): (1, 1), (1, 1, 1): (0, 0)}


@patient
@given(seeds, modes)
def test_conjugate_eigenvectors_have_equal_masses(seed, mode):
    L, _ = star(seed, mode)
    if theory.clear_pairs(L):
        plus, minus = theory.masses(L)
        np.testing.assert_allclose(plus, minus, atol=1e-10)
        assert plus.sum() == pytest.approx(1)


def test_masses_of_a_complex_matrix_do_differ():
    plus, minus = theory.masses(np.array([[0, 1, 0], [-2, 0, 1j], [1, 0, 1]]))
    assert np.abs(plus - minus).max() > 0.01


def test_renumbering_two_nodes_turns_the_edge_around():
    W = np.array([[0.0, 2.0], [-2.0, 0.0]])
    L = local_laplacian(W, W != 0, 0, "D")
    np.testing.assert_allclose(sorted(np.linalg.eigvals(L).imag), [-2, 2])
    assert theory.edge_named(L) == (1, 0) and theory.renumbered(L, np.array([1, 0])) == (0, 1)
    assert theory.strongest(L, 0) == {0, 1}


def test_evidence_of_the_survey(found):
    assert len(found) == 600 and set(found["mode"]) == {"D", "DW"}
    spectrum, diagonal, pairs = (
        f(found) for f in (theory.spectrum_evidence, theory.diagonal_evidence, theory.pair_evidence)
    )
    assert spectrum["counterexamples"] == diagonal["counterexamples"] == 0 < diagonal["exceptions"]
    assert spectrum["deviation"] < 1e-10 and diagonal["deviation"] < 1e-12
    assert diagonal["negative"] > 0.5 and diagonal["zero"] == "n = 2, w_01 = 1 and w_10 = -1"
    assert pairs["apart"] < 1e-10 and pairs["next"] == 1 and pairs["kept"] < 0.5
    assert (found[found["mode"] == "D"].pairs <= 1).all()
    assert not found[found.family == "random, feedback positive"].pairs.any()
    worse = found.assign(lowest=-1.0)
    assert theory.diagonal_evidence(worse)["counterexamples"] == 300


def test_the_published_start_in_mode_D_has_no_pair_and_in_DW_it_has():
    for h in (1, 3, 5):
        assert nameable.starts(h, 20, "D") == 0 < nameable.starts(h, 20, "DW")
    L, c = theory.example(4, 0)
    assert c not in theory.edge_named(L) and feedback(L, c).min() < 0
    assert theory.clear_pairs(theory.example(1, 0)[0]) == 1
    with pytest.raises(ValueError, match="0 hidden nodes: no pair to draw"):
        theory.example(0, 0)


def test_counting_predicts_the_published_figure():
    assert [nameable.edges(h) for h in (0, 1, 2)] == [[], [(3, 2)], [(3, 2), (4, 3)]]
    table = nameable.predicted(range(6))
    assert table.edges.tolist() == [2, 6, 12, 20, 30, 42] and table.most.tolist() == list(range(6))
    assert (np.diff(table.share[2:]) < 0).all()
    L, _ = theory.example(2, 0)
    shares = nameable.by_numbering(L, 2)
    assert shares.sum() == pytest.approx(1) and not shares[:2].any() and not shares[:, :2].any()


def test_measured_networks_are_those_of_train():
    rows = nameable.measured(["or"], [2, 4], 2, 40)
    ran = train(gate("or"), 4, Rule("DW"), range(2), inputs=40)
    mine = rows[(rows.h == 4) & (rows["mode"] == "DW")]
    assert mine.removed.tolist() == [sum(x.network == r for x in ran.removals) for r in range(2)]
    assert mine.error.tolist() == ran.error.tolist() and mine.removed.sum() > 0
    told = nameable.removal_evidence(rows)
    assert told["networks"] == 8 and told["removed"] == rows.removed.sum()
    assert told["unnamed"] == told["beyond"] == 0 and told["rounded_weighted"] == 0
    assert told["ending"] <= told["touching"] < 1
    assert nameable.removal_evidence(rows.assign(removed=5))["beyond"] == 8


@patient
@given(seeds)
def test_a_step_is_the_finite_difference_of_what_is_stated(seed):
    """Output nodes descend the cross-entropy; the step is checked without automatic differentiation."""
    rng = np.random.default_rng(seed)
    nets, y = Networks.start([seed], 2, 2, 1), np.array([float(seed % 2)])
    nets.V[:] = rng.uniform(0, 1, nets.V.shape)
    c, into = 4, nets.edges.target == 4
    v = nets.V[0, nets.edges.source[into]]
    before, after = (w[into] for w in local_rule.step(nets, c, y))

    def loss(w: np.ndarray) -> float:
        answer = 1 / (1 + np.exp(-(v @ w)))
        return -0.15 * np.log(answer if y[0] else 1 - answer)

    slopes = [(loss(before + h) - loss(before - h)) / 2e-6 for h in 1e-6 * np.eye(len(before))]
    np.testing.assert_allclose(after - before, np.negative(slopes), atol=1e-8)


def test_evidence_of_the_local_rule_notices_a_slope_at_the_output(monkeypatch):
    steps, still = local_rule.survey(60), local_rule.rests(3)
    learning = local_rule.moving([2], 5, 1)
    told = local_rule.evidence(steps, still, learning)
    assert told["counterexamples"] == 0 < told["exceptions"] == (steps.kind == "output").sum()
    assert told["rest"] < 1e-12 < 1 - told["rest_two"] and told["nearer"] == 1
    assert len(learning) == 40 and told["moving"] > 0.5
    monkeypatch.setattr(local_rule, "cross_entropy", lambda z, y: (z.sigmoid() - y) ** 2 / 2)
    assert local_rule.evidence(local_rule.survey(60), still, learning)["counterexamples"] > 0


def test_gradient_through_the_point_of_rest_is_a_finite_difference():
    rng = np.random.default_rng(0)
    W = np.where(theory.full(2), rng.uniform(-1, 1, (5, 5)), 0)
    x, y = np.array([1.0, 0.0]), np.array([1.0])
    exact = local_rule.gradient(W, x, y)

    def loss(W: np.ndarray) -> float:
        v = np.r_[x, np.zeros(3)]
        for _ in range(300):
            v[2:] = 1 / (1 + np.exp(-(v @ W)[2:]))
        return -0.15 * np.log(v[4])

    for i, j in [(0, 2), (2, 3), (3, 4), (4, 2)]:
        h = np.zeros((5, 5))
        h[i, j] = 1e-5
        assert (loss(W + h) - loss(W - h)) / 2e-5 == pytest.approx(exact[i, j], abs=1e-9)
    one = pd.DataFrame([local_rule.at_rest(np.random.default_rng(k), 1, forward=True) for k in range(3)])
    np.testing.assert_allclose(one[["cosine", "ratio"]], 1, atol=1e-12)


def test_errors_at_rest_are_too_long_by_a_quotient_of_determinants():
    rng = np.random.default_rng(3)
    W, x, y = np.where(theory.full(3), rng.uniform(-2, 2, (6, 6)), 0.0), np.array([1.0, 0.0]), np.ones(1)
    v = local_rule.settled(torch.from_numpy(W), torch.from_numpy(x)).numpy()
    step, exact = np.outer(v, local_rule.errors_at_rest(W, v, y, 2)), local_rule.gradient(W, x, y)
    S, H = np.diag(v * (1 - v) * (np.arange(6) > 1)), slice(2, 5)
    factor = np.linalg.det(np.eye(3) - (S @ W)[H, H]) / np.linalg.det(np.eye(6) - S @ W)
    np.testing.assert_allclose(exact, factor * step * (W != 0), atol=1e-14)
    assert abs(factor - 1) > 0.01
