"""`flowprune publish`: the study's trials become rows of text; a failed one is told and does not stop the others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import typer

from flowprune import cli
from flowprune.experiments import published
from flowprune.experiments.nodes import NodeTrial
from flowprune.study import Store, StoreWarning, collect
from flowprune.study.passes import failure

TRIALS = [
    NodeTrial(
        dataset="karate",
        model="mlp",
        split=split,
        seed=0,
        lr=0.01,
        weight_decay=0.001,
        dropout=0.2,
        input_dropout=0.2,
        hidden=8,
        epochs=3,
    )
    for split in range(3)
]


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def study(monkeypatch):
    """A study of two small files in place of the real one."""
    sets = {"one": lambda: TRIALS[:2], "two": lambda: TRIALS[2:]}
    monkeypatch.setattr(published, "study", lambda: sets)
    return sets


def test_an_unknown_name_is_refused_with_the_list_before_anything_runs(small_project, flowprune):
    done = flowprune("publish", "speed", "node-published")
    assert done.returncode == 1
    (sentence,) = done.stderr.strip().splitlines()
    assert "unknown set of trials: 'node-published'; did you mean nodes-published?" in sentence
    assert all(name in sentence for name in published.study())
    assert list((small_project / "data" / "trials").iterdir()) == []


def test_all_sets_are_published_by_default(small_project, study, capsys):
    cli.publish()
    folder = small_project / "data" / "trials"
    assert {row["key"] for row in rows(folder / "one.jsonl")} == {t.key for t in TRIALS[:2]}
    assert {row["key"] for row in rows(folder / "two.jsonl")} == {TRIALS[2].key}
    told = capsys.readouterr().out
    assert "one.jsonl: 2 of 2 trials" in told and "two.jsonl: 1 of 1 trials" in told
    assert set(collect(TRIALS).source) == {"published"}


def test_only_what_is_named_is_published_and_nothing_is_computed_twice(small_project, study):
    folder = small_project / "data" / "trials"
    cli.publish(["one"])
    before = (folder / "one.jsonl").read_bytes()
    made = collect(TRIALS[:2]).seconds.tolist()
    cli.publish(["one"])
    assert (folder / "one.jsonl").read_bytes() == before
    assert [
        row["seconds"] for row in sorted(rows(folder / "one.jsonl"), key=lambda r: r["spec"]["split"])
    ] == made
    assert not (folder / "two.jsonl").exists()


def test_a_trial_of_two_sets_is_published_once(small_project, study):
    cli.publish(["two"])
    study["one"] = lambda: TRIALS
    cli.publish(["one"])
    folder = small_project / "data" / "trials"
    assert {row["key"] for row in rows(folder / "one.jsonl")} == {t.key for t in TRIALS[:2]}
    cli.publish()
    assert Store.open().problems == []
    assert [row["key"] for row in rows(folder / "two.jsonl")] == [TRIALS[2].key]


def test_a_failed_trial_is_told_and_the_others_are_published(small_project, study, capsys):
    lost = replace(TRIALS[0], split=99)
    study["one"] = lambda: [TRIALS[0], lost]
    with pytest.raises(typer.Exit) as exit, pytest.warns(StoreWarning, match="1 of 2 trials failed"):
        cli.publish()
    assert exit.value.exit_code == 1
    said = capsys.readouterr()
    assert "one.jsonl: 1 of 2 trials" in said.out
    assert f"failed: {lost.key} of one: IndexError: " in said.err
    folder = small_project / "data" / "trials"
    assert [row["key"] for row in rows(folder / "one.jsonl")] == [TRIALS[0].key]
    assert [row["key"] for row in rows(folder / "two.jsonl")] == [TRIALS[2].key]


def test_a_trial_that_failed_earlier_is_tried_again(small_project, study):
    Store.open().save(failure(TRIALS[0], MemoryError("the machine was too small")))
    cli.publish(["one"])
    published = rows(small_project / "data" / "trials" / "one.jsonl")
    assert [row["status"] for row in published] == ["done", "done"]
