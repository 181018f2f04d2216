from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sampled import Walk

from flowprune.study import Store, StoreWarning, Trial, collect, passed, verify

Edit = Callable[[dict[str, Any]], Any]


def publish(trials: list[Walk], edit: Edit = lambda row: None, which: int | None = None) -> None:
    """Publish the trials' rows, one of them (or all) edited."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLED_DATA", "at hand when published")
        collect(trials)
    file = Store.open().publish(trials)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows if which is None else rows[which : which + 1]:
        edit(row)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


TRIALS = [Walk(seed=seed, replicas="r" if seed < 5 else "") for seed in range(8)]


def test_true_rows_agree(home: Path, computed: Callable[[], list[str]]) -> None:
    publish(TRIALS)
    computed()
    answers = verify(5, budget_minutes=1, seed=1)
    assert passed(answers) and answers.status.tolist() == ["agrees"] * 5
    assert (answers.difference == 0).all()
    assert sum(line.startswith("trial") for line in computed()) == 5  # really computed again


def test_the_sample_is_seeded(home: Path) -> None:
    publish(TRIALS)
    draws = [set(verify(3, 1, seed=seed).key) for seed in (1, 1, 2, 3, 4)]
    assert draws[0] == draws[1] and len({frozenset(draw) for draw in draws}) > 1


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (lambda row: row["result"].update(end=row["result"]["end"] + 2e-6), "end"),
        (lambda row: row["result"]["path"].__setitem__(2, 0.0), "path"),
        (lambda row: row["result"]["path"].pop(), "path"),
        (lambda row: row["result"].update(kind="run"), "kind"),
        (lambda row: row["result"].pop("end"), "end"),
    ],
)
def test_one_falsified_number_is_found(home: Path, edit: Edit, field: str) -> None:
    publish(TRIALS, edit, which=3)
    answers = verify(8, budget_minutes=1)
    assert not passed(answers)
    assert answers.status.value_counts().to_dict() == {"agrees": 7, "differs": 1}
    assert answers[answers.status == "differs"].field.tolist() == [field]


def test_a_difference_within_tolerance_agrees(home: Path) -> None:
    publish(TRIALS, lambda row: row["result"].update(end=row["result"]["end"] + 5e-7))
    assert passed(verify(8, budget_minutes=1))


def test_a_field_that_cannot_be_compared_is_left_out_and_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(TRIALS, lambda row: row["result"].update(path=[0.0] * 4))
    assert not passed(verify(8, 1))
    monkeypatch.setattr(Walk, "comparable", staticmethod(lambda *results: ({"end": 1e-6}, "paths differ")))
    answers = verify(8, 1)
    assert passed(answers) and set(answers.field) == {"end"} and set(answers.reason) == {"paths differ"}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda row: row["spec"].update(seed=77), "its spec has the key"),
        (lambda row: row["spec"].update(seed="x"), "seed = 'x' is refused"),
        (lambda row: row.pop("result"), "walk.jsonl:4: not a trial's row"),
    ],
)
def test_a_row_that_is_not_what_it_says_fails(home: Path, edit: Edit, reason: str) -> None:
    publish(TRIALS, edit, which=3)
    answers = verify(8, budget_minutes=1)
    assert not passed(answers)
    assert reason in answers[answers.status == "failed"].reason.item()


def test_a_trial_that_no_longer_runs_fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish([Walk(seed=1)])
    monkeypatch.setattr("sampled.Walk.run", classmethod(lambda cls, trials: iter([][0])))
    answers = verify(1, budget_minutes=1)
    assert not passed(answers) and answers.reason.item().startswith("IndexError")


def test_unavailable_data_are_skipped_with_their_reason(home: Path) -> None:
    publish([*TRIALS, Walk(seed=1, fault="elsewhere")])
    answers = verify(20, budget_minutes=1)
    assert passed(answers)
    assert answers[answers.status == "skipped"].reason.tolist() == ["the walk's data are not at hand"]


@pytest.mark.parametrize(
    ("trials", "budget", "edit", "reason"),
    [
        ([], 1, None, None),
        ([Walk(seed=1, fault="elsewhere")], 1, None, "the walk's data are not at hand"),
        ([Walk(seed=1)], 1, lambda row: row.update(seconds=61), "took 61 s when published"),
        ([Walk(seed=1)], 1, lambda row: row.update(version=7), "of version 7, now 1"),
        ([Walk(seed=1)], 1, lambda row: row.update(experiment="lost"), "no experiment 'lost' is known"),
    ],
)
def test_nothing_compared_is_no_pass(
    home: Path, trials: list[Walk], budget: float, edit: Edit | None, reason: str | None
) -> None:
    if trials:
        publish(trials, edit or (lambda row: None))
    answers = verify(5, budget_minutes=budget)
    assert not passed(answers)
    assert all(reason in told for told in answers.reason) if reason else answers.empty


def test_the_budget_ends_the_run(home: Path, computed: Callable[[], list[str]]) -> None:
    trials = [Walk(seed=seed, pause=0.3) for seed in range(10)]
    publish(trials)
    computed()
    answers = verify(10, budget_minutes=1.5 / 60)
    assert passed(answers)
    counts = answers.status.value_counts()
    assert 1 <= counts["agrees"] <= 5 and counts["agrees"] + counts["skipped"] == 10
    assert sum(line.startswith("trial") for line in computed()) == counts["agrees"]


def test_failed_rows_are_not_sampled(home: Path) -> None:
    with pytest.warns(StoreWarning):
        publish([*TRIALS, Walk(seed=1, fault="nan")])
    assert verify(20, budget_minutes=1).status.tolist() == ["agrees"] * 8


def test_an_experiment_without_tolerance_is_not_compared(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish([Walk(seed=1)])
    monkeypatch.setattr(Walk, "tolerance", Trial.tolerance)
    answers = verify(1, budget_minutes=1)
    assert not passed(answers) and "states no tolerance" in answers.reason.item()
