"""What is said of the sweep over homophily, on made-up results whose answers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flowprune.experiments import grids, summaries, sweep

LEVELS = [0.0, 0.5, 1.0]
CELLS = grids.homophily(LEVELS, n=60, graphs=2, splits=4, epochs=1)
GAIN = {"neg-prod": 0.2, "prod": 0.0, "mlp": 0.3, "sum": 0.25, "dd": 0.15, "gcn": 0.05}


def collected(result) -> pd.DataFrame:
    """A collected table; each trial's result is ``result(variant, level, graph number, split)`` over defaults."""
    plain = {
        "status": "done",
        "test_accuracy": 0.5,
        "train_accuracy": 1.0,
        "homophily_by_step": [0.5, 0.4, 0.3],
        "homophily_true": 0.3,
        "energy_by_step": [0.2, 0.4, 0.6],
        "energy_of_labels": 0.5,
    }
    rows = []
    for (variant, level), trials in CELLS.items():
        for i, t in enumerate(trials):
            rows.append(t.fields | {"key": t.key} | plain | result(variant, level, i // 4, t.split))
    return pd.DataFrame(rows)


def accuracies(value) -> pd.DataFrame:
    return sweep.tidy(CELLS, collected(lambda *at: {"test_accuracy": value(*at)}))


@pytest.fixture(scope="module")
def noisy() -> pd.DataFrame:
    """A constant advantage of each variant over pairs that differ wildly among themselves."""
    noise = np.random.default_rng(0).uniform(0, 0.4, (2, 4))
    return accuracies(lambda v, level, graph, split: GAIN[v] + noise[graph, split] * (1 + level))


def test_tidy_has_one_row_a_trial_and_reads_the_ends_of_the_evolution():
    spectrum = {"attraction": 1.0, "repulsion": 3.0, "step_low": 2.0, "step_high": 1.5}
    rows = sweep.tidy(CELLS, collected(lambda v, *_: spectrum if v == "prod" else {}))
    assert len(rows) == 6 * 3 * 8
    first = rows.iloc[0]
    assert (first.variant, first.level, first.graph, first.split) == ("prod", 0.0, 0, 0)
    assert (first.test, first.train) == (50.0, 100.0)
    assert (first.before, first.after, first.true) == (0.5, 0.3, 0.3)
    assert (first.start, first.end, first.labels) == (0.2, 0.6, 0.5)
    assert (first.tilt, first.grow_low, first.grow_high) == (0.5, 2.0, 1.5)
    assert rows[rows.variant != "prod"][["tilt", "grow_low", "grow_high"]].isna().all(axis=None)
    assert sorted(rows.graph.unique()) == [0, 1]


def test_tidy_leaves_out_failed_trials_and_tells_when_all_failed():
    table = collected(lambda *_: {})
    table.loc[table.key == CELLS["prod", 0.0][0].key, "status"] = "failed"
    assert len(sweep.tidy(CELLS, table)) == 6 * 3 * 8 - 1
    keys = [t.key for t in CELLS["prod", 0.0]]
    table.loc[table.key.isin(keys), ["status", "error"]] = ["failed", "GraphError: lost.npz"]
    with pytest.raises(ValueError, match=r"all 8 trials of syn-cora.* failed; the first: GraphError: lost"):
        sweep.tidy(CELLS, table)


def test_curve_is_the_mean_in_points_with_the_number_of_runs():
    row = sweep.curve(accuracies(lambda v, level, graph, split: 0.5 + 0.1 * graph + 0.01 * split)).iloc[0]
    assert row["mean"] == pytest.approx(56.5)
    assert row.low < 56.5 < row.high
    assert (row.n, row.train) == (8, 100)


def test_signs_pairs_by_graph_and_split(noisy):
    compared, evidence = sweep.signs(noisy)
    first = compared["neg-prod − prod at homophily 0"]
    assert (first.mean, first.lower, first.upper) == pytest.approx((20.0, 20.0, 20.0))
    assert first.n == 8
    assert evidence["prod_minus_mlp_low_upper"] == pytest.approx(-30.0)
    assert evidence["sum_minus_gcn_lower"] == pytest.approx(20.0)
    assert evidence["dd_minus_gcn_lower"] == pytest.approx(10.0)
    assert evidence["p_neg_prod_over_prod"] == pytest.approx(4 * 2 / 2**8)  # sign flips of 8 pairs, 4 tests
    assert (evidence["runs"], evidence["graphs"]) == (8, 2)
    assert sweep.agreeing(compared) == 4


def test_a_comparison_that_turns_round_or_whose_interval_holds_zero_does_not_agree(noisy):
    turned = noisy.assign(test=noisy.test.where(noisy.variant != "sum", noisy.test - 60))
    assert sweep.agreeing(sweep.signs(turned)[0]) == 3
    shaky = noisy.assign(test=noisy.test + 60 * (noisy.split % 2) * (noisy.variant == "gcn"))
    assert sweep.agreeing(sweep.signs(shaky)[0]) == 2


def test_pairwise_corrects_over_all_variants_and_levels(noisy):
    tests = sweep.pairwise(noisy)
    assert len(tests) == 3 * 15
    line = tests[(tests.level == 0.5) & (tests.a == "prod") & (tests.b == "mlp")].iloc[0]
    assert (line.difference, line.low, line.high) == pytest.approx((-30, -30, -30))
    assert line.p == pytest.approx(45 * 2 / 2**8)
    won = sweep.wins(tests.assign(p=0.01), {v: v.upper() for v in GAIN})
    assert list(won.homophily) == ["0", "0.5", "1"]
    assert (won["MLP"][0], won["PROD"][0]) == ("all", "–")
    fewer = tests[tests.a != "gcn"].assign(p=0.01)  # the perceptron is not compared with GCN
    assert sweep.wins(fewer, {v: v.upper() for v in GAIN})["MLP"][0] == "PROD, NEG-PROD, SUM, DD"
    assert set(sweep.wins(tests.assign(p=0.06), {v: v for v in GAIN})["mlp"]) == {"–"}


@pytest.mark.parametrize(
    ("difference", "rising", "where"),
    [
        ([-1, -1, 1], True, 0.75),
        ([-1, 3, 1], True, 0.125),
        ([1, -1, 1], True, 0.75),
        ([1, -1, 1], False, 0.25),
        ([1, 1, 1], True, np.nan),
        ([1, 0, 1], True, np.nan),
    ],
)
def test_zero_interpolates_the_right_crossing(difference, rising, where):
    found = sweep.zero(np.array(LEVELS), np.array(difference, dtype=float), rising)
    assert found == pytest.approx(where, nan_ok=True)


def test_crossings_have_an_interval_that_holds_the_truth():
    """prod − neg-prod = level − 0.6 in expectation: it crosses at 0.6."""
    rng = np.random.default_rng(1)
    table = accuracies(lambda v, level, *_: (level - 0.6) * (v == "prod") + rng.normal(0, 0.05))
    found, share = sweep.crossing(table, "prod", "neg-prod")
    assert found.lower < 0.6 < found.upper
    assert found.upper - found.lower < 0.2
    assert share == 1.0
    assert sweep.crossing(table, "neg-prod", "prod", rising=False)[0].mean == found.mean
    assert sweep.crossing(accuracies(lambda v, *_: GAIN[v]), "prod", "neg-prod") == (None, 0.0)


def test_crossings_are_told_or_their_absence():
    table = accuracies(lambda v, level, *_: (level - 0.6) * (v == "prod"))
    names = {"prod": "P", "neg-prod": "N", "sum": "S"}
    told = sweep.crossings(table, [("prod", "neg-prod", True), ("prod", "sum", False)], names)
    assert told.iloc[0].tolist() == ["P overtakes N", "0.60", "0.60 to 0.60", "100%"]
    assert told.iloc[1].tolist() == ["P falls behind S", "none", "–", "0%"]


def test_the_cautious_test_knows_that_splits_overlap(noisy):
    spread = noisy.assign(test=noisy.test + noisy.split * (noisy.variant == "sum"))
    plain, cautious = (sweep.versus(spread, "sum", "gcn", test=t) for t in (sweep.paired, summaries.cautious))
    assert cautious.mean == pytest.approx(plain.mean)
    assert cautious.lower < plain.lower < plain.upper < cautious.upper
    assert "resampled" in sweep.signs(spread, summaries.cautious)[0]["sum − GCN over homophily"].test


PARTS = {  # before, after at a true homophily of 0.3
    "prod": (0.2, 0.5),
    "neg-prod": (0.5, 0.2),
    "sum": (0.3, 0.32),
    "dd": (0.3, 0.28),
    "gcn": (0.3, 0.3),
    "mlp": (0.3, 0.3),
}


def moved(**parts: tuple[float, float]) -> dict:
    shown = PARTS | {name.replace("_", "-"): ends for name, ends in parts.items()}
    result = lambda v, level, graph, split: {"homophily_by_step": list(shown[v])}  # noqa: E731
    return sweep.predictions(sweep.tidy(CELLS, collected(result)))


def test_predictions_that_move_as_the_source_says():
    evidence = moved()
    assert evidence["parts"] == 6
    assert evidence["condition"].endswith("neg-prod lowers at homophily 0, 0.5, 1")
    assert evidence["neg_prod_change_upper"] == pytest.approx(-0.3)
    assert evidence["prod_over_lower"] == pytest.approx(0.2)
    assert evidence["sum_distance_upper"] == pytest.approx(0.02)
    assert evidence["runs"] == 8


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"neg_prod": (0.5, 0.55)}, "neg-prod lowers"),
        ({"prod": (0.2, 0.25)}, "prod overshoots"),
        ({"sum": (0.3, 0.15)}, "sum follows"),
        ({"dd": (0.3, 0.45)}, "DD follows"),
        ({"neg_prod": (0.29, 0.2)}, "neg-prod starts above"),
        ({"prod": (0.35, 0.5)}, "prod starts below"),
    ],
)
def test_each_part_of_the_claim_can_fail_alone(change, part):
    evidence = moved(**change)
    parts = dict(entry.split(": ") for entry in evidence["condition"].split("; ")[:6])
    assert evidence["parts"] == 5
    assert [name for name, met in parts.items() if met == "no"] == [part]
