"""The colophon counts every trial once and says where it came from."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from sampled import Walk

from flowprune.study import Store, collect
from flowprune.study.colophon import LIBRARIES, colophon


def test_trials_read_and_computed_are_counted_apart(home: Path) -> None:
    published = [Walk(seed=seed) for seed in range(3)]
    collect(published)
    Store.open().publish(published)
    table = collect([*published, Walk(seed=7), Walk(seed=8)])
    line = colophon(table).data
    assert "5 trials: 3 read from the published rows, 2 computed on this machine." in line


def test_a_trial_that_stands_in_two_rows_of_a_table_is_one_trial(home: Path) -> None:
    table = collect([Walk(seed=1), Walk(seed=1)])
    assert "1 trials: 0 read from the published rows, 1 computed" in colophon(table).data


def test_tables_are_added_up(home: Path) -> None:
    tables = [collect([Walk(seed=seed) for seed in seeds]) for seeds in ((0, 1), (2, 3, 4))]
    assert "5 trials: 0 read" in colophon(*tables).data


def test_without_tables_only_code_and_versions_are_told(home: Path) -> None:
    line = colophon().data
    assert "trial" not in line
    assert line.startswith('<p class="colophon">Made from commit unknown')  # this project is no checkout
    for name in LIBRARIES:
        assert f"{name} {version(name)}" in line
    assert re.search(r"on \d{4}-\d\d-\d\d\.</p>$", line)
