"""Node trials: their settings, their grouping, and a real run on embedded data."""

import numpy as np
import pytest

from flowprune.experiments.nodes import NodeTrial, missing, prepared, published_settings, reported
from flowprune.study import Store, StoreWarning, collect
from flowprune.study.passes import compute
from flowprune.study.specs import SpecError

QUICK = {
    "dataset": "karate",
    "lr": 0.02,
    "weight_decay": 0.001,
    "dropout": 0.2,
    "input_dropout": 0.1,
    "epochs": 60,
}


def trials(**fields):
    return [NodeTrial(**QUICK, split=split, seed=0, **fields) for split in range(3)]


@pytest.mark.parametrize("model", ["graff", "graff-local", "gcn", "gat", "mlp"])
def test_a_pass_gives_every_trial_its_result(model):
    rows = compute(trials(model=model, hidden=16))
    assert [row["status"] for row in rows] == ["done"] * 3, rows[0]["error"]
    results = [row["result"] for row in rows]
    assert all(0 <= r["test_accuracy"] <= 1 and r["epochs_run"] == 60 for r in results)
    assert all(("w_min" in r) == (model == "graff") for r in results)
    assert sum(r["train_accuracy"] for r in results) / 3 > 0.6


def test_a_trial_alone_gives_the_row_it_gave_among_others():
    together = compute(trials(model="graff", hidden=16))
    alone = compute(trials(model="graff", hidden=16)[1:2])
    assert alone[0]["result"]["best_epoch"] == together[1]["result"]["best_epoch"]
    assert alone[0]["result"]["train_loss"] == pytest.approx(together[1]["result"]["train_loss"], rel=1e-3)


def test_replicas_are_grouped_by_everything_but_split_seed_and_rates():
    base = NodeTrial(**QUICK, model="graff", split=0, seed=0)
    other = NodeTrial(**{**QUICK, "lr": 0.3, "dropout": 0.5}, model="graff", split=2, seed=5)
    assert base.group() == other.group()
    assert base.group() != NodeTrial(**QUICK, model="graff", split=0, seed=0, structure="dd").group()


def test_wrong_settings_are_one_sentence():
    with pytest.raises(SpecError, match="lr = -1"):
        NodeTrial(**{**QUICK, "lr": -1.0}, model="graff", split=0, seed=0)
    with pytest.raises(SpecError, match="model = 'graf'"):
        NodeTrial(**QUICK, model="graf", split=0, seed=0)


def test_a_graph_that_cannot_be_classified_is_a_failed_row_that_says_why():
    unknown = NodeTrial(**{**QUICK, "dataset": "no-such-graph"}, model="mlp", split=0, seed=0)
    assert "no-such-graph" in unknown.unavailable()
    assert compute([unknown])[0]["status"] == "failed"
    unlabelled = compute([NodeTrial(**{**QUICK, "dataset": "path?n=5"}, model="mlp", split=0, seed=0)])[0]
    assert "needs features, labels and at least one split" in unlabelled["error"]


def test_published_settings_are_those_printed():
    cora = published_settings("cora")
    assert (cora["lr"], cora["time"], cora["step"], cora["component"]) == (0.00261, 3.0, 0.25, "largest")
    NodeTrial(**cora, split=0, seed=0)
    assert reported("GRAFF (D)", "cora") == (88.01, 1.03)
    squirrel = published_settings("squirrel")
    assert (squirrel["batch_norm"], squirrel["source_term"], squirrel["omega"]) == (True, False, "zero")
    with pytest.raises(ValueError, match="no published GRAFF settings for 'karate'"):
        published_settings("karate")


def test_a_data_set_that_is_not_at_hand_fails_its_own_trials_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWPRUNE_RECOMPUTE", "1")
    missing = NodeTrial(**{**QUICK, "dataset": str(tmp_path / "lost.npz")}, model="mlp", split=0, seed=0)
    with pytest.warns(StoreWarning, match="1 of 2 trials failed"):
        table = collect([missing, trials(model="mlp", hidden=8)[0]], executor="local", progress=False)
    assert table.status.tolist() == ["failed", "done"]
    assert "lost.npz" in table.error[0]


def own_graph(path, seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], 20)
    edges = np.array([(i, i + 1) for i in range(39)] + [(i, (i + 7) % 40) for i in range(40)])
    features = np.eye(2)[labels] + rng.standard_normal((40, 2))
    np.savez(path, edges=edges, node_features=features.astype(np.float32), node_labels=labels)


def test_a_graph_of_ones_own_is_known_by_its_content(tmp_path, monkeypatch):
    """Absent today, there tomorrow, changed the day after: each asks for a run of its own."""
    monkeypatch.setenv("FLOWPRUNE_RECOMPUTE", "1")
    monkeypatch.setenv("FLOWPRUNE_HOME", str(tmp_path))
    store = Store(tmp_path / "trials.sqlite", None)
    path = tmp_path / "mine.npz"
    trial = NodeTrial(**{**QUICK, "dataset": str(path)}, model="mlp", split=0, seed=0, hidden=4)

    def collected():
        for asked in (prepared, missing):
            asked.cache_clear()  # a new process
        return collect([trial], store=store, executor="local", progress=False).iloc[0]

    with pytest.warns(StoreWarning, match="mine.npz is missing"):
        absent = collected()
    assert absent.status == "failed"
    assert store.rows() == []
    keys = []
    for seed in (0, 1):
        own_graph(path, seed)
        row = collected()
        assert row.status == "done", row.error
        keys.append(row.key)
    assert len({absent.key, *keys}) == 3
    assert len(store.rows()) == 2
