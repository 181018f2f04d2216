from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sampled import Walk

from flowprune.study import Store, StoreWarning, collect
from flowprune.study.executors import ExecutorError

Computed = Callable[[], list[str]]


def test_only_missing_trials_run(home: Path, computed: Computed) -> None:
    first = collect([Walk(seed=2), Walk(seed=1)])
    assert sorted(computed()) == ["pass", "pass", "trial 1", "trial 2"]
    again = collect([Walk(seed=3), Walk(seed=2), Walk(seed=1), Walk(seed=2)])
    assert computed() == ["pass", "trial 3"]
    assert again.seed.tolist() == [3, 2, 1, 2]  # the order asked, repeats included
    assert again.end[1] == first.end[0]
    assert set(again.columns) == {
        *("seed", "steps", "replicas", "pause", "fault", "end", "path", "kind", "torch_threads"),
        *("key", "experiment", "status", "source", "seconds", "error"),
    }
    path = np.random.default_rng(2).standard_normal(4).cumsum()
    np.testing.assert_allclose(first.path[0], path, rtol=1e-7)


def test_replicas_share_passes_of_the_best_size(home: Path, computed: Computed) -> None:
    trials = [Walk(seed=seed, replicas="r") for seed in range(7)]
    together = collect(trials)
    assert computed().count("pass") == 3  # 3 + 3 + 1
    alone = collect(trials, store=Store(home / "other.sqlite", None), batch=1)
    assert computed().count("pass") == 7
    assert together.end.tolist() == alone.end.tolist()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("raise", "ArithmeticError: walk 1 fell"),
        ("nan", "ValueError: result end is not finite (nan)"),
        ("silent", "ValueError: the run gave no result for this trial"),
        ("collide", "ValueError: result field 'steps' has the name of a spec field or of a table column"),
    ],
)
def test_a_failure_is_a_row_and_only_the_guilty_one_fails(home: Path, fault: str, error: str) -> None:
    trials = [Walk(seed=seed, replicas="r", fault=fault if seed == 1 else "") for seed in range(3)]
    with pytest.warns(StoreWarning, match="1 of 3 trials failed .first: "):
        table = collect(trials)
    assert table.status.tolist() == ["done", "failed", "done"]
    assert table.error[1] == error and np.isnan(table.end[1]) and np.isfinite(table.end[[0, 2]]).all()


def test_failures_run_again_only_when_asked(home: Path, computed: Computed) -> None:
    walk = Walk(seed=1, fault="nan")
    for retry, runs in ((False, 1), (False, 0), (True, 1)):
        with pytest.warns(StoreWarning, match="retry=True"):
            collect([walk], retry=retry)
        assert computed().count("trial 1") == runs


def test_stored_floats_have_eight_digits_and_rows_their_provenance(home: Path) -> None:
    walk = Walk(seed=5)
    collect([walk])
    row = Store.open().get([walk.key])[walk.key]
    assert row["result"]["end"] == float(f"{row['result']['end']:.8g}")
    assert row["spec"] == walk.fields
    assert set(row["made"]) == {
        *("commit", "date", "device", "threads", "python", "torch", "torch-geometric", "numpy")
    }
    assert row["made"]["commit"] == "unknown"  # this home is no checkout


def test_recompute_reads_nothing_that_is_published(
    home: Path, computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Walk(seed=11)
    collect([walk])
    Store.open().publish([walk])
    assert collect([walk]).source.tolist() == ["published"]
    computed()
    monkeypatch.setenv("FLOWPRUNE_RECOMPUTE", "1")
    assert collect([walk]).source.tolist() == ["local"]
    assert computed() == ["pass", "trial 11"]
    assert collect([walk]).status.tolist() == ["done"] and computed() == []  # one store for the whole process


def test_progress_events_and_silence(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    collect([Walk(seed=21)])
    assert capfd.readouterr() == ("", "")  # no terminal: no bar
    file = tmp_path / "progress"
    monkeypatch.setenv("FLOWPRUNE_PROGRESS", str(file))
    with pytest.warns(StoreWarning):
        collect([Walk(seed=21), Walk(seed=22), Walk(seed=23, fault="nan")])
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(e["name"], e["done"], e["failed"], e["total"]) for e in events][0::2] == [
        ("walk", 0, 0, 2),
        ("walk", 2, 1, 2),
    ]
    assert len({event["call"] for event in events}) == 1
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_a_bar(home: Path) -> None:
    code = "from flowprune.study import collect; from sampled import Walk; collect([Walk(seed=31)])"
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    subprocess.run([sys.executable, "-c", code], stderr=terminal, check=True)
    os.set_blocking(screen, False)
    drawn = os.read(screen, 10_000)
    os.close(terminal)
    os.close(screen)
    assert b"walk:" in drawn and b"0/1" in drawn and drawn.endswith(b" \r")  # drawn, then wiped


def test_unknown_executor(home: Path) -> None:
    with pytest.raises(ExecutorError, match="'spark' is unknown; allowed are local, process, dask"):
        collect([Walk(seed=1)], executor="spark")
