"""Summaries on made-up results whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from flowprune.experiments import grids, summaries

TRIALS = grids.published("texas", "mlp", splits=6, seeds=1)


def results(accuracy) -> pd.DataFrame:
    """A collected table in which each trial's accuracy is ``accuracy(split)``."""
    done = {"status": "done", "train_accuracy": 1.0}
    return pd.DataFrame(
        [t.fields | {"key": t.key, "test_accuracy": accuracy(t.split)} | done for t in TRIALS]
    )


def test_comparisons_are_paired_by_split_and_their_tests_corrected_together():
    """A constant advantage over splits that differ wildly among themselves has an interval of no width."""
    noise = np.random.default_rng(0).uniform(0, 0.4, 6)
    a, b = (summaries.points(TRIALS, results(lambda s, g=gain: g + noise[s])) for gain in (0.5, 0.3))
    compared = {"a − b": summaries.versus(a, b), "b − a": summaries.versus(b, a)}
    assert [(c.mean, c.lower, c.upper) for c in compared.values()] == [
        pytest.approx((20, 20, 20)),
        pytest.approx((-20, -20, -20)),
    ]
    shown = summaries.comparison_table(compared)
    assert list(shown["difference"]) == pytest.approx([20, -20])
    assert list(shown["adj. p"]) == [f"{2 * 2 / 2**6:.4f}"] * 2  # sign flips of six pairs, two tests
    assert len(shown.columns) <= 7


def test_failed_trials_are_left_out():
    table = results(lambda split: 0.5)
    table.loc[0, "status"] = "failed"
    assert len(summaries.points(TRIALS, table)) == 5


def test_when_all_trials_failed_their_own_error_is_told():
    table = pd.DataFrame(
        [{"key": t.key, "status": "failed", "error": "GraphError: lost.npz"} for t in TRIALS]
    )
    with pytest.raises(ValueError, match=r"all 6 trials of texas failed; the first: GraphError: lost.npz"):
        summaries.points(TRIALS, table)


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
