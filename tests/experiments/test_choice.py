"""Which edge goes: equal numbers at equal moments, every edge by itself, planted cycles, rules of A10 to A13."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from flowprune.argnn import evaluate, gate, train, train_on
from flowprune.experiments import choice_cycles as cycles
from flowprune.experiments import choice_study as study
from flowprune.experiments.choice import ChoiceTrial, sparse
from flowprune.experiments.choice_edges import (
    NOTHING,
    EdgeTrial,
    complex_star,
    matched,
    names,
    real_shift,
    removals,
)
from flowprune.pruning.spectral import Rule, laplacian
from flowprune.study import claims
from flowprune.study.specs import SpecError

SMALL = {"table": "xor", "hidden": 2, "networks": 5, "inputs": 200, "updates": 4}


def run(choices, **fields):
    trials = [ChoiceTrial(choice=c, **SMALL | fields) for c in choices]
    assert len({t.group() for t in trials}) == 1
    return {t.choice: row for t, row in ChoiceTrial.run(trials)}


def test_a_replay_of_the_published_choice_is_the_published_network():
    rows = run(["published", "random", "smallest", "feedback", "none"], mode="DW")
    free = train(gate("xor"), 2, Rule("DW"), range(5), inputs=200, updates=4)
    np.testing.assert_allclose(rows["published"]["miss"], free.error, rtol=1e-3)
    count = np.bincount([x.network for x in free.removals], minlength=5)
    assert count.sum() > 0
    for choice in ("published", "random", "smallest"):
        assert rows[choice]["removed"] == count.tolist() == rows[choice]["moments"]
    assert rows["none"]["removed"] == rows["none"]["change"] == [0] * 5
    whole = train(gate("xor"), 2, Rule("none"), range(5), inputs=200, updates=4)
    expected = np.abs(free.answers - whole.answers).mean((1, 2))
    np.testing.assert_allclose(rows["published"]["change"], expected, rtol=1e-3, atol=1e-9)


def test_a_lot_falls_on_edges_that_the_list_can_name():
    moments = [[100, 200, 300]] * 4
    seen = train(gate("and"), 3, Rule("D", "lot"), range(4), inputs=40, moments=moments)
    assert [x.visit for x in seen.removals] == 4 * [100, 200, 300]
    assert all(x.source == x.target + 1 for x in seen.removals)
    assert len({tuple(x.target for x in seen.removals if x.network == r) for r in range(4)}) > 1
    assert len({(x.network, x.target) for x in seen.removals}) == 12  # three are there, each goes once
    none_left = train(gate("and"), 1, Rule("D", "lot"), [0], inputs=40, moments=[[10, 20, 30]])
    assert len(none_left.removals) == 1


def test_a_choice_does_not_depend_on_those_that_run_beside_it():
    together, alone = run(["random", "smallest", "none"]), run(["smallest"])
    assert together["smallest"]["miss"] == alone["smallest"]["miss"]
    assert together["smallest"]["removed"] == alone["smallest"]["removed"]


def test_edges_are_removed_at_the_spread_visits():
    rows = run(["ego", "random", "eigenvector"], hidden=6, density=0.3, spread=4, mode="D")
    assert max(rows["ego"]["moments"]) <= 4 and sum(rows["ego"]["moments"]) > 0
    assert rows["ego"]["removed"] == rows["random"]["removed"] == rows["ego"]["moments"]
    assert sum(rows["eigenvector"]["removed"]) < sum(rows["ego"]["removed"])  # stars are real: moments pass
    assert 0 < rows["ego"]["mutual"] < 0.6


def test_sparse_networks_have_no_loops_and_nothing_into_inputs():
    A = sparse(range(40), 2, 8, 1, 0.3)
    assert not A[:, range(11), range(11)].any() and not A[:, :, :2].any()
    assert A.mean() * 121 / 90 == pytest.approx(0.3, abs=0.03)
    np.testing.assert_array_equal(A[7:8], sparse([7], 2, 8, 1, 0.3))
    assert sparse([0], 2, 8, 1, 1.0) is None


def test_trials_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="truth table 'nand'"):
        ChoiceTrial(choice="none", **SMALL | {"table": "nand"})
    with pytest.raises(SpecError, match="choice"):
        ChoiceTrial(choice="largest", **SMALL)
    with pytest.raises(ValueError, match="0 inputs"):
        train_on(EdgeTrial(table="and", hidden=1, networks=1, inputs=40).trained(), gate("and"), inputs=0)


# --- every edge by itself ------------------------------------------------------------------------------


def test_a_single_removal_is_that_of_a_network_made_by_hand():
    table = gate("and")
    nets = EdgeTrial(table="and", hidden=1, networks=3, inputs=320).trained()
    now, later = removals(nets, table, 40, 5)
    r, e = 2, 3
    one = replace(
        nets, seeds=nets.seeds[2:], **{k: getattr(nets, k)[2:].copy() for k in ("V", "E", "w", "alive")}
    )
    before = evaluate(one, table, 5)
    one.w[0, e], one.alive[0, e] = 0, False
    assert now[r, e] == pytest.approx(np.abs(evaluate(one, table, 5) - before).mean(), rel=1e-12)
    assert now[r, e] > 0 and nets.alive.all()  # the networks that are given stay as they are
    fresh = tuple(s + 10**6 for s in nets.seeds)
    whole = train_on(replace(nets, seeds=fresh), table, inputs=40, updates=5)
    cut = train_on(replace(one, seeds=fresh[2:]), table, inputs=40, updates=5)
    assert later[r, e] == pytest.approx(np.abs(cut.answers - whole.answers[2:]).mean(), rel=1e-12)
    assert not cut.nets.alive[0, e] and cut.nets.w[0, e] == 0


def test_training_further_goes_on_from_the_state():
    table = gate("or")
    nets = train(table, 1, Rule("none"), [4], inputs=30).nets
    more = train_on(nets, table, inputs=1, updates=1)
    assert 0 < np.abs(more.nets.w - nets.w).max() < 0.2
    start = train(table, 1, Rule("none"), [4], inputs=1, updates=1)
    assert np.abs(start.nets.w - more.nets.w).max() > 0.05


def test_a_node_names_what_the_spectrum_of_its_star_says():
    W, A = np.zeros((3, 3)), np.zeros((3, 3), bool)
    for i, j, w in ((0, 1, 2.0), (1, 0, -4.0), (2, 0, 0.5), (0, 2, 0.6)):
        W[i, j], A[i, j] = w, True
    assert names(W, A, 0, "D", "feedback") == (1, 0)
    assert names(W, A, 0, "D", "smallest") == (2, 0)
    assert names(W, A, 0, "D", "eigenvector") == (1, 0)  # d_c = 4, Σb = −7.7: complex
    assert names(W, A, 2, "D", "eigenvector") is None  # b = 0.3 alone: real
    assert complex_star(W, A, 0, "D") and not complex_star(W, A, 2, "D")
    source, target = names(W, A, 0, "D", "published")
    assert source == target + 1 and A[source, target]


def test_edges_are_matched_in_size():
    change, size = np.array([1.0, 0.2, 0.5]), np.array([2.0, 1.9, 0.1])
    inside = np.array([True, False, False])
    assert matched(change, size, inside, ~inside) == pytest.approx(0.8)
    assert np.isnan(matched(change, size, inside, np.zeros(3, bool)))


def test_counted_real_parts_shift_by_degrees_alone_where_the_pair_stays_complex():
    A = np.ones((3, 3), bool)
    np.fill_diagonal(A, False)
    A[:, 1] = A[1] = False
    W = np.array([[0, 0, 5.0], [0, 0, 0], [-5.0, 0, 0]])
    A[1, 0], W[1, 0] = True, 0.01  # one edge is heard without an answer
    counted, weighted = real_shift(W, A, "D"), real_shift(W, A, "DW")
    assert counted[1, 0] == pytest.approx(2) and weighted[1, 0] == pytest.approx(0.02)
    W[1, 0] = 0.02
    assert real_shift(W, A, "D")[1, 0] == pytest.approx(2)
    assert real_shift(W, A, "DW")[1, 0] == pytest.approx(0.04)


def test_an_edge_trial_tells_one_value_a_network():
    trial = EdgeTrial(table="xor", hidden=2, networks=4, inputs=320, further=40)
    ((_, row),) = EdgeTrial.run([trial])
    assert {len(v) for v in row.values() if isinstance(v, list)} == {4}
    nets = trial.trained()
    now, _ = removals(nets, gate("xor"), 40, 10)
    into = nets.edges.source < 2
    np.testing.assert_allclose(row["from_inputs"], now[:, into].mean(1), rtol=1e-3)
    for r in range(4):
        W, A = nets.weights[r], nets.adjacency[r]
        all_name = [
            c
            for c in range(2, 5)
            if all(names(W, A, c, "D", x) for x in ("published", "smallest", "feedback", "eigenvector"))
        ]
        assert row["D_nodes"][r] == len(all_name)
        if all_name:
            edges = [names(W, A, c, "D", "published") for c in all_name]
            number = nets.edges.find(*np.array(edges).T)
            assert row["D_published"][r] == pytest.approx(now[r, number].mean(), rel=1e-3)
            at = [now[r, nets.edges.target == c] for c in all_name]
            assert row["D_random"][r] == pytest.approx(np.mean([x.mean() for x in at]), rel=1e-3)
            assert row["D_best"][r] == pytest.approx(np.mean([x.min() for x in at]), rel=1e-3)
        else:
            assert row["D_published"][r] == NOTHING


# --- cycles and real parts -----------------------------------------------------------------------------


@pytest.mark.parametrize("k", cycles.LENGTHS)
def test_a_planted_cycle_is_the_only_one(k):
    for seed in range(20):
        W, A, ring = cycles.planted(k, np.random.default_rng(seed))
        reach = np.linalg.matrix_power(np.eye(cycles.NODES) + A, cycles.NODES) > 0
        around = (reach & reach.T).sum(1) > 1
        assert set(around.nonzero()[0]) == set(ring)
        assert A[np.ix_(ring, ring)].sum() == k and not (A & A.T).any()
        L = laplacian(W, A, "D")
        roots = cycles.ring_roots(np.diag(L)[ring], W[ring, np.roll(ring, -1)])
        values = np.linalg.eigvals(L)
        assert max(np.abs(values - root).min() for root in roots) < 1e-8


def test_the_ego_sees_cycles_of_three_the_star_none():
    found = cycles.survey(60, 0)
    assert (found.stars == 0).all() and (found.right == found.egos).all()
    assert (found[found.length > 3].egos == 0).all() and found[found.length == 3].egos.mean() > 1.5
    evidence = cycles.cycle_evidence(found)
    assert evidence["cycles"] == 120 and evidence["whole_right"] == 1 and evidence["ego_longer"] == 0


def test_statements_on_real_parts():
    found = cycles.real_parts(40, 1)
    assert found["instances"] == 40 and found["pairs"] > 5 and found["deviation"] < 1e-10


# --- rules ---------------------------------------------------------------------------------------------


def judge(name: str, **evidence) -> str:
    return claims.claims()[name].judge(evidence)


def single(gain: float) -> pd.DataFrame:
    """Networks in which every choice's edge changes the function by ``gain`` more than the published one."""
    rng = np.random.default_rng(0)
    rows = []
    for g in study.GATES:
        for h in (2, 5, 10):
            part = pd.DataFrame({"gate": g, "hidden": h, "seed": range(30)})
            for mode in study.MODES:
                base = 0.1 + 0.01 * rng.standard_normal(30)
                for when in ("", "_later"):
                    for c in study.CHOICES:
                        more = gain if c != "published" else 0
                        part[f"{mode}_{c}{when}"] = base + more + 0.01 * rng.standard_normal(30)
            rows.append(part)
    return pd.concat(rows, ignore_index=True)


def replayed(gain: float) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "gate": g, "hidden": h, "mode": m, "choice": c, "seed": s, "moments": 2,
            "removed": 1 if c == "eigenvector" and s == 0 else 2,
            "miss": 0.1 + (gain if c == "random" else 0) + 0.005 * rng.standard_normal(),
        }
        for g in study.GATES for h in (2, 5, 10) for m in study.MODES
        for c in ("none", *study.CHOICES, study.LOT) for s in range(40)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now", "trained", "expected"),
    [
        (0.05, 0.03, "holds"),
        (0.05, 0.0, "holds under conditions"),
        (0.0, 0.03, "holds under conditions"),
        (0.0, 0.004, "does not hold"),  # sure, but too small to matter
    ],
)
def test_the_rule_of_the_choice(now, trained, expected):
    evidence = study.choice_evidence(replayed(trained), single(now))
    assert evidence["cells"] == 12 and evidence["networks"] == 40
    assert evidence["short"] == pytest.approx(1 / 80)
    assert judge("A10", **evidence) == "undecided"  # too few networks
    assert judge("A10", **evidence | {"networks": 200}) == expected
    assert evidence["lot_worse"] == evidence["lot_better"] == 0
    assert evidence["random_worse"] == (trained == 0.03) and evidence["random_better"] == 0


def coupled(raw: float, equal: float) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for g in study.GATES:
        for h in (2, 5, 10):
            part = pd.DataFrame({"gate": g, "hidden": h, "seed": range(25)})
            for reading in study.READINGS:
                name = reading.replace(" ", "_")
                for test, mean in (("raw", raw), ("matched", equal), ("within", equal), ("later", equal)):
                    part[f"{name}_{test}"] = mean + 0.01 * rng.standard_normal(25)
            if h == 10:
                part.loc[3:, [c for c in part if c.startswith("complex_D_")]] = np.nan
            rows.append(part)
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize(
    ("raw", "equal", "expected"),
    [(-0.05, -0.05, "holds"), (0.0, -0.05, "holds under conditions"), (-0.05, 0.0, "does not hold")],
)
def test_the_rule_of_the_coupling(raw, equal, expected):
    evidence = study.coupling_evidence(coupled(raw, equal))
    assert evidence["cells"] == 28 and evidence["networks"] == 25  # two of thirty have too few networks
    assert judge("A11", **evidence) == expected


def test_a_comparison_of_one_pair_decides_nothing():
    told = study.compared([(("a",), [1.0, np.nan], [0.5, 0.0]), (("b",), [1.0, 2.0], [0.0, 1.0])], ["key"])
    assert np.isnan(told.difference[0]) and told.p[0] == 1 and told.networks.tolist() == [1, 2]
    assert told.difference[1] == 1


def test_the_published_study_has_every_trial_once():
    trials = study.study()
    assert len({t.key for t in trials}) == len(trials) == 2 * 3 * 2 * 7 + 2 * 2 * 2 * 5 + 2 * 5
    costly = {t.networks for t in trials if isinstance(t, ChoiceTrial) and (t.hidden, t.mode) == (10, "D")}
    assert costly == {study.FEW, 60}
