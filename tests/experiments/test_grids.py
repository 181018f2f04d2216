"""Grids: published settings as printed, a search inside its declared bounds, and comparisons on equal terms."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from flowprune.experiments import grids, published
from flowprune.experiments.nodes import NodeTrial

FRAME = ("dataset", "component", "hidden", "lr", "weight_decay", "dropout", "input_dropout", "epochs")
PRINTED = pd.read_csv(Path(__file__).parents[2] / "data" / "reported" / "graff_settings.csv").set_index(
    "dataset"
)


def fields(trial: NodeTrial, *names: str) -> tuple:
    return tuple(trial.fields[name] for name in names)


def runs(trials: list[NodeTrial]) -> set[tuple[int, int]]:
    return {(t.split, t.seed) for t in trials}


# --- published settings --------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", published.REAL)
def test_published_graff_has_the_printed_settings_on_every_split_and_seed(dataset):
    trials, row = grids.published(dataset, "graff"), PRINTED.loc[dataset]
    assert len(trials) == 50
    assert runs(trials) == {(split, seed) for split in range(10) for seed in range(5)}
    for name in ("structure", "lr", "weight_decay", "dropout", "input_dropout", "hidden", "time", "step"):
        assert {t.fields[name] for t in trials} == {row[name]}, name
    assert {fields(t, "model", "trained", "omega", "source_term") for t in trials} == {
        ("graff", True, row["omega"], bool(row["source_term"]))
    }


def test_models_of_one_data_set_differ_in_their_flow_alone():
    graff, frozen, gcn, mlp = (grids.published("texas", model) for model in grids.LABELS)
    for other in (frozen, gcn, mlp):
        assert runs(other) == runs(graff)
        assert {fields(t, *FRAME) for t in other} == {fields(t, *FRAME) for t in graff}
    assert fields(frozen[0], "trained", "omega", "source_term") == (False, "zero", False)
    changed = {"trained", "omega", "source_term"}
    same = [name for name in graff[0].fields if name not in changed]
    assert fields(frozen[0], *same) == fields(graff[0], *same)


def test_an_unknown_model_is_refused():
    with pytest.raises(
        ValueError, match="unknown model 'gat'; it must be one of graff, graff-frozen, gcn, mlp"
    ):
        grids.published("texas", "gat")


# --- the declared search ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["graff", "gcn", "mlp"])
def test_the_search_spends_its_declared_budget_within_its_declared_bounds(model):
    trials = grids.search("texas", model)
    settings = Counter(
        t.group() + fields(t, "lr", "weight_decay", "dropout", "input_dropout") for t in trials
    )
    assert len(settings) == 8
    assert set(settings.values()) == {10}
    for t in trials:
        assert 1e-3 <= t.lr <= 1e-2
        assert 1e-3 <= t.weight_decay <= 1e-1
        assert 0.2 <= t.dropout <= 0.6
        assert 0.2 <= t.input_dropout <= 0.6
        assert t.model == model
        assert t.hidden == PRINTED.loc["texas"].hidden
    if model == "graff":
        assert {fields(t, "structure", "time", "step") for t in trials} <= {
            (structure, time, step) for structure in ("diag", "dd") for time in (1, 2, 3) for step in (0.5, 1)
        }
    if model == "gcn":
        assert {t.depth for t in trials} == {1, 2}
        assert {t.residual for t in trials} == {True, False}


def test_every_data_set_and_model_is_searched_with_the_same_draws():
    drawn = [
        [fields(t, "lr", "weight_decay", "dropout", "input_dropout") for t in grids.search(dataset, model)]
        for dataset in ("texas", "cora")
        for model in ("graff", "gcn", "mlp")
    ]
    assert all(other == drawn[0] for other in drawn)
    assert [t.key for t in grids.search("texas", "graff")] == [t.key for t in grids.search("texas", "graff")]


def searched(model: str, accuracy: list[list[float]]) -> pd.DataFrame:
    """A search as collected, with these validation accuracies by setting and split."""
    trials = grids.search("texas", model, budget=len(accuracy), splits=len(accuracy[0]))
    values = [value for row in accuracy for value in row]
    return pd.DataFrame([t.fields | {"val_accuracy": v} for t, v in zip(trials, values, strict=True)])


@pytest.mark.parametrize("model", ["graff", "gcn", "mlp"])
def test_chosen_is_the_best_mean_validation_with_seeds_the_search_never_saw(model):
    """The second setting has the best mean; the first has the best split, the third the best worst split."""
    table = searched(model, [[0.99, 0.50], [0.90, 0.80], [0.82, 0.82]])
    best = grids.search("texas", model, budget=3, splits=2)[2]
    trials = grids.chosen(table, splits=10, seeds=5)
    assert runs(trials) == {(split, seed) for split in range(10) for seed in range(5)}
    assert not {t.seed for t in trials} & set(table.seed)
    same = [name for name in best.fields if name not in ("split", "seed")]
    assert {fields(t, *same) for t in trials} == {fields(best, *same)}


def test_test_accuracy_has_no_say_in_the_choice():
    table = searched("mlp", [[0.6, 0.6], [0.7, 0.7]])
    tempting = table.assign(test_accuracy=[1.0, 1.0, 0.0, 0.0])
    assert [t.key for t in grids.chosen(tempting)] == [t.key for t in grids.chosen(table)]


# --- the sweep over homophily ----------------------------------------------------------------------


def test_variants_are_compared_on_the_same_graphs_splits_and_training():
    levels = (0.0, 0.5, 1.0)
    cells = grids.homophily(levels, n=100, graphs=2, splits=3, epochs=20)
    assert set(cells) == {(variant, level) for variant in grids.SIGNS for level in levels}
    for level in levels:
        places = [
            [fields(t, "dataset", "split", "seed") for t in cells[variant, level]] for variant in grids.SIGNS
        ]
        assert len(set(places[0])) == 2 * 3
        assert all(other == places[0] for other in places)
        assert all(f"homophily={level}&n=100&" in dataset for dataset, _, _ in places[0])
    training = ("lr", "weight_decay", "dropout", "input_dropout", "epochs", "hidden", "patience")
    assert len({fields(t, *training) for cell in cells.values() for t in cell}) == 1


def test_graff_in_the_sweep_is_the_bare_flow_as_deep_as_gcn():
    cells = grids.homophily((0.5,), n=100, graphs=1, splits=1)
    for variant in ("prod", "neg-prod", "sum", "dd"):
        (trial,) = cells[variant, 0.5]
        assert fields(trial, "structure", "omega", "source_term", "relu") == (variant, "zero", False, False)
        assert trial.time / trial.step == cells["gcn", 0.5][0].depth


def test_short_steps_change_nothing_but_the_step_of_neg_prod():
    short, long = grids.short_steps((0.5,), graphs=1, splits=2), grids.homophily((0.5,), graphs=1, splits=2)
    assert set(short) == {("neg-prod", 0.5)}
    changed = [
        {name for name, value in a.fields.items() if b.fields[name] != value}
        for a, b in zip(short["neg-prod", 0.5], long["neg-prod", 0.5], strict=True)
    ]
    assert changed == [{"step"}] * 2


def test_published_graphs_are_swept_like_the_generated_ones():
    ours, theirs = grids.homophily((0.3,), graphs=1, splits=2), grids.syn_cora((0.3,), splits=2)
    assert set(ours) == set(theirs)
    for at, trials in theirs.items():
        assert {t.dataset for t in trials} == {"syn-cora-published?homophily=0.30"}
        assert [t.fields | {"dataset": ""} for t in trials] == [t.fields | {"dataset": ""} for t in ours[at]]


# --- the whole study -------------------------------------------------------------------------------


def test_speed_repeats_every_number_of_replicas():
    trials = grids.speed("karate", chunks=(0, 2), splits=4, repetitions=3)
    assert Counter(t.chunk for t in trials) == {0: 3, 2: 3}
    assert len({t.key for t in trials}) == 6


def test_no_trial_of_the_study_is_asked_for_twice():
    """A row of the store belongs to one file. What is chosen is known only when the search has run."""
    study = published.study()
    keys = Counter(t.key for name, trials in study.items() if name != "nodes-chosen" for t in trials())
    for dataset in published.REAL:
        for model in ("graff", "gcn", "mlp"):
            trials = grids.search(dataset, model)
            table = pd.DataFrame([t.fields | {"val_accuracy": t.lr} for t in trials])
            keys.update(t.key for t in grids.chosen(table))
    assert {key for key, times in keys.items() if times > 1} == set()
    assert sum(keys.values()) > 1000
