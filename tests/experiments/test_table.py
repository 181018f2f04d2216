"""The table: equal effort for every model, choice by validation, fresh seeds; and what is read from its runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from flowprune.experiments import ranking, subsets, table
from flowprune.experiments.grids import SEARCH_SEED
from flowprune.experiments.nodes import NodeTrial, areas
from flowprune.graphs import load
from flowprune.study.stats import ranking as rank
from flowprune.study.trials import collect

TINY = table.Effort(2, 2, 3, None)


def rows(trials: list[NodeTrial], value) -> pd.DataFrame:
    """Results as collected, with the accuracies that ``value`` gives a trial."""
    done = [t.fields | {"key": t.key, "status": "done", "train_accuracy": 1.0} for t in trials]
    told = [{"test_accuracy": value(t), "val_accuracy": value(t)} for t in trials]
    return pd.DataFrame([a | b for a, b in zip(done, told, strict=True)])


@pytest.mark.parametrize("dataset", ["texas", "cora", "pubmed", "minesweeper", "karate"])
def test_every_model_is_searched_with_the_same_effort_and_training(dataset):
    cells = table.searches([dataset])
    assert set(m for _, m in cells) == set(table.OTHERS if dataset in table.SETTINGS else table.MODELS)
    training = (
        "lr",
        "weight_decay",
        "dropout",
        "input_dropout",
        "hidden",
        "epochs",
        "patience",
        "split",
        "seed",
    )
    drawn = [[tuple(t.fields[name] for name in training) for t in trials] for trials in cells.values()]
    assert all(part == drawn[0] for part in drawn)
    assert len({t.key for part in cells.values() for t in part}) == sum(map(len, cells.values()))


def test_the_choice_is_by_validation_and_the_final_seed_is_fresh():
    cells = table.searches(["csbm?n=40"], TINY)
    flat = [t for part in cells.values() for t in part]
    found = rows(flat, lambda t: t.lr)
    final = table.finals(found, ["csbm?n=40"], splits=3, effort=TINY)
    best = max(t.lr for t in flat)
    for trials in final.values():
        assert [t.split for t in trials] == [0, 1, 2]
        assert all(t.lr == best and t.seed < SEARCH_SEED and t.patience is None for t in trials)
    worst = table.finals(rows(flat, lambda t: -t.lr), ["csbm?n=40"], splits=3, effort=TINY)
    assert all(t.lr == min(x.lr for x in flat) for part in worst.values() for t in part)


def test_published_graff_keeps_its_settings_but_for_the_structure():
    d, dd = (table.published("chameleon-filtered", f"GRAFF ({s})")[0] for s in ("D", "DD"))
    differ = {name for name, value in d.fields.items() if value != dd.fields[name]}
    assert differ == {"structure"}
    assert (dd.lr, dd.self_loops, dd.dataset) == (0.001411, True, "chameleon-filtered")
    assert table.published("wisconsin", "GRAFF (DD, ReLU)")[0].batch_norm


def test_the_area_under_the_curve_chooses_the_epoch_and_is_reported():
    trial = NodeTrial(
        dataset="csbm?n=80&signal=1.5", model="mlp", split=0, seed=0, lr=0.02, weight_decay=0.0,
        dropout=0.0, input_dropout=0.0, epochs=15, hidden=8, metric="auc",
    )  # fmt: skip
    ((_, row),) = NodeTrial.run([trial])
    assert 0.5 < row["test_auc"] <= 1 and 0.5 < row["val_auc"] <= 1
    labels, masks = torch.tensor([0, 1, 1, 0]), torch.ones(2, 4, dtype=torch.bool)
    logits = torch.zeros(4, 2, 2)
    logits[:, 0, 1], logits[:, 1, 1] = (
        torch.tensor([0.0, 2.0, 1.0, -1.0]),
        torch.tensor([0.0, -2.0, 1.0, 3.0]),
    )
    assert areas(logits, labels, masks).tolist() == [1.0, 0.25]
    with pytest.raises(ValueError, match="two classes, the graph has 3"):
        areas(torch.zeros(4, 1, 3), labels, masks)


# --- what is read --------------------------------------------------------------------------------


def test_orders_survive_are_open_or_are_reversed():
    rng, cells, level = np.random.default_rng(0), {}, {"GRAFF (DD)": 0.9, "GCN": 0.5, "MLP": 0.8, "GAT": 0.7}
    for model in level:
        fields = {"lr": 0.01, "weight_decay": 0.0, "dropout": 0.0, "input_dropout": 0.0, "seed": 0}
        hidden = 10 + list(level).index(model)  # so that every model has trials of its own
        cells["texas", model] = [
            NodeTrial(dataset=f"texas?resplit={k}", model="mlp", split=s, hidden=hidden, **fields)
            for k in (1, 2) for s in range(10)
        ]  # fmt: skip
    of = {t.key: m for (_, m), part in cells.items() for t in part}
    flat = [t for part in cells.values() for t in part]
    pairs = ranking.orders(cells, rows(flat, lambda t: level[of[t.key]] + 0.01 * rng.standard_normal()))
    verdict = {frozenset((r.iloc[1], r.iloc[2])): r.verdict for _, r in pairs.iterrows()}
    assert verdict[frozenset(("GRAFF (DD)", "MLP"))] == "survives"
    assert verdict[frozenset(("GCN", "GAT"))] == "reversed"  # published: GCN 55.1, GAT 52.2
    noisy = ranking.orders(cells, rows(flat, lambda t: 0.7 + 0.05 * rng.standard_normal()))
    assert set(noisy.verdict) == {"open"}
    evidence = ranking.survival(pairs, 20)
    assert evidence["pairs"] == 6 and evidence["survive"] + evidence["reversed"] == 6
    assert ranking.survival(pairs.iloc[:0], 0)["share"] == 0.0


def test_ranks_join_what_the_critical_difference_does_not_separate():
    rng = np.random.default_rng(1)
    scores = {f"m{k}": k + 0.01 * rng.standard_normal(12) for k in range(5)}
    found = rank(scores)
    assert found.ranks == {f"m{k}": 5.0 - k for k in range(5)}
    assert found.difference == pytest.approx(2.728 * np.sqrt(5 * 6 / (6 * 12)), rel=1e-3)  # Demšar's table 5
    assert all(found.ranks[g[-1]] - found.ranks[g[0]] < found.difference for g in found.groups())
    assert rank({k: rng.standard_normal(40) for k in "abc"}).p > 0.001
    with pytest.raises(ValueError, match="at least three models, got 2"):
        rank({"a": [1, 2], "b": [2, 1]})


# --- subsets -------------------------------------------------------------------------------------


def test_twins_are_found_as_by_brute_force():
    graph = load("syn-cora?n=120&m=1&homophily=0.8&seed=3")
    A, y, train = graph.adjacency.to_dense(), graph.labels, graph.train[0]
    expected = [
        any(j != i and train[j] and y[j] == y[i] and torch.equal(A[i], A[j]) for j in range(graph.n))
        for i in range(graph.n)
    ]
    assert subsets.twinned(graph, 0).tolist() == expected
    assert 0 < sum(expected) < graph.n


def test_subsets_are_read_from_the_trained_model(monkeypatch):
    monkeypatch.setenv("FLOWPRUNE_RECOMPUTE", "1")
    cells = subsets.grid(
        ["syn-cora?n=120&m=1&homophily=0.8"], ["csbm?n=90&degree=2"], settings="cora", splits=2, epochs=5
    )
    table_ = collect([t for part in cells.values() for t in part], progress=False)
    twins = table_[table_.subset == "twins"]
    weights = twins.inside * twins.inside_nodes + twins.outside * twins.outside_nodes
    np.testing.assert_allclose(
        weights / (twins.inside_nodes + twins.outside_nodes), twins.test_accuracy, atol=1e-6
    )
    apart = table_[table_.subset == "elsewhere"]
    np.testing.assert_allclose(apart.outside, apart.test_accuracy, atol=1e-6)
    assert set(subsets.contrasts(cells, table_)["data set"]) == {d for d, _ in cells}
    covered = subsets.coverage(table_).set_index("graph").loc["csbm?n=90&degree=2"]
    assert (covered["cover just that"], covered["left out (%)"]) == (0, 0.0)  # random splits use all nodes
    share = twins.inside_nodes / (twins.inside_nodes + twins.outside_nodes)
    assert subsets.shares(table_)["syn-cora?n=120&m=1&homophily=0.8"] == pytest.approx(share.mean())


def test_one_node_of_a_small_set_may_tip_and_the_sizes_may_not():
    cells = subsets.grid(
        ["syn-cora?n=120&m=1&homophily=0.8"], ["csbm?n=300&degree=2"], settings="cora", splits=1, epochs=2
    )
    for trial, *_ in cells.values():
        ((_, row),) = subsets.SubsetTrial.run([trial])
        for name in ("inside", "outside"):
            size = row[f"{name}_nodes"]
            assert trial.tolerance[name] == pytest.approx(max(0.06, 1.5 / size))
            assert trial.tolerance[f"{name}_nodes"] == 0
        assert trial.tolerance["val_accuracy"] == NodeTrial.tolerance["val_accuracy"]


def test_a_split_of_the_component_alone_is_seen(tmp_path, monkeypatch):
    graph = load("csbm?n=90&degree=2&features=5")
    inside = subsets.largest(graph)
    cut = graph.with_splits(*(masks & inside for masks in (graph.train, graph.val, graph.test)))
    monkeypatch.setattr("flowprune.experiments.nodes.prepared", lambda *_: cut)
    trial = subsets.grid([], ["csbm?n=90&degree=2&features=5"], settings="cora", splits=1, epochs=2)
    ((_, row),) = subsets.SubsetTrial.run(next(iter(trial.values())))
    assert row["covers"] and row["left_out"] == pytest.approx(1 - inside.float().mean().item())
    assert row["inside_nodes"] == int((~inside).sum())


def test_a_change_that_the_settings_have_already_is_left_out():
    """Squirrel's published settings have no Ω and no source; Wisconsin's have both."""
    squirrel, wisconsin = (table.explanations(d) for d in ("squirrel", "wisconsin"))
    assert list(squirrel) == ["as published", "W frozen"]
    assert {"Ω = 0", "no source", "frozen, Ω = 0, no source"} < set(wisconsin)
    for cells in (squirrel, wisconsin):
        keys = [t.key for part in cells.values() for t in part]
        assert len(keys) == len(set(keys))
