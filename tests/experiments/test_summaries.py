"""Summaries on made-up results whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from flowprune.experiments import grids, summaries

LEVELS = [0.0, 1.0]
CELLS = grids.homophily(LEVELS, n=60, graphs=2, splits=3, epochs=1)


def results(accuracy) -> pd.DataFrame:
    """A collected table in which each trial's accuracy is ``accuracy(variant, level, graph number, split)``."""
    rows = []
    for (variant, level), trials in CELLS.items():
        for i, t in enumerate(trials):
            value = accuracy(variant, level, i // 3, t.split)
            rows.append(
                t.fields | {"key": t.key, "status": "done", "test_accuracy": value, "train_accuracy": 1.0}
            )
    return pd.DataFrame(rows)


def test_curve_is_the_mean_in_points_with_the_number_of_runs():
    table = results(lambda variant, level, graph, split: 0.5 + 0.1 * graph + 0.01 * split)
    row = summaries.curve(CELLS, table).iloc[0]
    assert row["mean"] == pytest.approx(56.0)
    assert row.low < 56.0 < row.high
    assert row.n == 6


def test_signs_pairs_by_graph_and_split():
    """A constant advantage over pairs that differ wildly among themselves has an interval of no width."""
    gain = {"neg-prod": 0.2, "prod": 0.0, "mlp": 0.3, "sum": 0.25, "dd": 0.15, "gcn": 0.05}
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 0.4, (2, 3))
    table = results(lambda variant, level, graph, split: gain[variant] + noise[graph, split] * (1 + level))
    compared, evidence = summaries.signs(CELLS, table)
    first = compared["neg-prod − prod at homophily 0"]
    assert (first.mean, first.lower, first.upper) == pytest.approx((20.0, 20.0, 20.0))
    assert first.n == 6
    assert evidence["prod_minus_mlp_low_upper"] == pytest.approx(-30.0)
    assert evidence["sum_minus_gcn_lower"] == pytest.approx(20.0)
    assert evidence["dd_minus_gcn_lower"] == pytest.approx(10.0)
    assert evidence["p_neg_prod_over_prod"] == pytest.approx(
        4 * 2 / 2**6
    )  # sign flips of six pairs, four tests
    assert (evidence["runs"], evidence["graphs"]) == (6, 2)
    shown = summaries.comparison_table(compared)
    assert list(shown["difference"]) == pytest.approx([20, -30, 20, 10])
    assert len(shown.columns) <= 7


def test_failed_trials_are_left_out():
    table = results(lambda *_: 0.5)
    table.loc[table.key == CELLS["prod", 0.0][0].key, "status"] = "failed"
    assert len(summaries.points(CELLS["prod", 0.0], table)) == 5


def test_when_all_trials_failed_their_own_error_is_told():
    trials = CELLS["prod", 0.0]
    table = pd.DataFrame(
        [{"key": t.key, "status": "failed", "error": "GraphError: lost.npz"} for t in trials]
    )
    with pytest.raises(
        ValueError, match=r"all 6 trials of syn-cora.* failed; the first: GraphError: lost.npz"
    ):
        summaries.points(trials, table)


@pytest.mark.parametrize(
    ("low", "high", "mean", "answer"),
    [
        (86.0, 90.0, 88.0, "reached"),
        (90.0, 91.0, 90.5, "reached"),
        (84.0, 87.0, 86.0, "close"),
        (80.0, 82.0, 81.0, "short"),
    ],
)
def test_answers_beside_the_reported_accuracy(low, high, mean, answer):
    rows = pd.DataFrame(
        [
            ["texas", "GRAFF", mean, low, high, 4.0, 50],
            ["texas", "reported", 88.38, 83.85, 92.91, 4.53, 10],
        ],
        columns=["dataset", "what", "mean", "low", "high", "std", "runs"],
    )
    line = summaries.answers(rows, "GRAFF").iloc[0]
    assert line.answer == answer
    assert line.difference == pytest.approx(mean - 88.38)


def test_reported_rows_stand_beside_measured_ones():
    part = pd.DataFrame(
        {"dataset": "cora", "split": [0, 0, 1, 1], "seed": [0, 1, 0, 1], "accuracy": [86.0, 88, 87, 89]}
    )
    rows = summaries.beside_reported({("cora", "GRAFF"): part}, {"cora": "GRAFF (D)", "karate": "GRAFF (D)"})
    assert rows.what.tolist() == ["GRAFF", "reported"]
    assert rows["mean"].tolist() == [87.5, 88.01]
    assert rows.runs.tolist() == [4, 10]
    assert summaries.in_words(rows) == (
        "Test accuracy by data set: cora, GRAFF 87.5 per cent; cora, reported 88.0 per cent."
    )


def test_the_search_table_pairs_by_split():
    before = pd.DataFrame(
        {"dataset": "cora", "split": range(6), "seed": 0, "accuracy": np.linspace(70, 80, 6)}
    )
    after = before.assign(accuracy=before.accuracy + 5)
    line = summaries.search_table({("cora", "gcn"): before}, {("cora", "gcn"): after}, {"gcn": "GCN"}).iloc[0]
    assert (line["GRAFF's settings"], line.searched, line.gain) == pytest.approx((75, 80, 5))
    assert line.p == f"{2 / 2**6:.3f}"
