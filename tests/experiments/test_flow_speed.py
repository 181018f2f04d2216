"""All ways do the same, and a trial tells times, counts and rates of each."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from flowprune.experiments import flow_speed, speed_tables
from flowprune.experiments.flow_speed import PHASES, WAYS, FlowSpeedTrial, inference, limited, ratios
from flowprune.experiments.nodes import NodeTrial, prepared, published_settings
from flowprune.study.passes import compute

SIZE = {"replicas": 2, "epochs": 1, "rounds": 2}


@pytest.fixture(scope="module")
def timed() -> pd.DataFrame:
    trial = FlowSpeedTrial(dataset="karate", **SIZE)
    (row,) = compute([trial])
    assert row["status"] == "done", row["error"]
    return pd.DataFrame([trial.fields | row["result"] | {"status": "done", "error": None}])


def test_inference_gives_the_same_logits_in_each_way():
    fields = published_settings("cora") | {"dataset": "karate", "component": "all", "epochs": 2}
    trials = [NodeTrial(**fields, split=k, seed=0) for k in range(2)]
    found = {way: call() for way, call in inference(prepared("karate"), trials).items()}
    assert {way: len(logits) for way, logits in found.items()} == {
        "gather": 4,
        "CSR": 4,
        "ours": 4,
        "side by side": 2,
    }
    for r in range(2):
        expected = found["side by side"][0][:, r]
        for logits in (found["gather"][r], found["CSR"][r], found["ours"][r][:, 0]):
            torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_a_trial_times_every_way_and_phase(timed):
    row = timed.iloc[0]
    for way in WAYS:
        for phase in PHASES:
            name = f"{way}/{phase}"
            assert len(row[name]) == 2 and min(row[name]) > 0
            assert min(row[f"{name}/work"]) > 0 and min(row[f"{name}/rates"]) > 0
        bytes_moved = [row[f"{way}/{phase}/work"][0] for phase in PHASES]
        assert bytes_moved[0] > bytes_moved[1]  # training goes back, too
    calls = {way: row[f"{way}/training/work"][2] for way in WAYS}
    assert calls["gather"] > calls["CSR"] > calls["ours"] > calls["side by side"]


def test_ratios_are_paired_within_rounds():
    times = {f"{way}/{phase}": [1.0, 1.0] for way in WAYS for phase in PHASES}
    times |= {
        "gather/training": [6.0, 24.0],
        "ours/training": [1.0, 2.0],
        "side by side/training": [2.0, 4.0],
    }
    table = pd.DataFrame([{"dataset": "karate", "status": "done"} | times])
    found = ratios(table).set_index(["phase", "slow", "fast"]).ratio
    assert found["training", "gather", "ours"].mean == pytest.approx(72**0.5)
    assert found["training", "ours", "side by side"].mean == pytest.approx(0.5)
    assert found["inference", "CSR", "ours"].mean == 1 and len(found) == 6


def test_limits_are_told_an_epoch_and_replica(timed):
    found = limited(timed)
    assert found.way.tolist() == [*WAYS, *WAYS]
    assert found.what.unique().tolist() == ["karate, training", "karate, inference"]
    assert found.milliseconds[0] == pytest.approx(min(timed["gather/training"][0]) / 2)
    read = speed_tables.shares(found, "what")
    assert len(read.columns) == 7 and read["calls"].gt(0).all()


def test_without_any_time_the_first_error_is_told():
    table = pd.DataFrame([{"dataset": "none", "status": "failed", "error": "no such graph"}])
    with pytest.raises(
        ValueError, match="none of 1 speed trials is done; the first failed with no such graph"
    ):
        flow_speed.ratios(table)


def test_slower_has_a_line_for_each_graph_and_phase(timed):
    found = speed_tables.slower(ratios(timed))
    assert found.columns.tolist() == [
        "graph", "phase", "gather", "gather: 95 % interval", "CSR", "CSR: 95 % interval",
    ]  # fmt: skip
    assert found[["graph", "phase"]].values.tolist() == [["karate", "inference"], ["karate", "training"]]


def test_comparisons_hold_all_four(timed):
    two = {"status": "done", "plain": [8.0, 2.0], "ours": [2.0, 2.0]}
    nets = pd.DataFrame([two | {"mode": "none"}, two | {"mode": "D", "ours": [1.0, 1.0]}])
    found = speed_tables.comparisons(ratios(timed), nets, pd.DataFrame([two]))
    assert len(found) == 6 + 2 + 1
    assert found.comparison.iloc[-3:].tolist() == [
        "networks, no pruning",
        "networks, counted degrees, D",
        "kernel against its formula",
    ]
    assert [i.mean for i in found.ratio.iloc[-3:]] == pytest.approx([2, 4, 2])
    assert found.graph.tolist() == ["karate"] * 6 + [""] * 3
