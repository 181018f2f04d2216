"""Processes that are killed, or work side by side, for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sampled import Walk

from flowprune.study import Store, StoreWarning, collect

SCRIPT = """
import sys
from flowprune.study import collect
from sampled import Walk
if __name__ == "__main__":
    first, last, pause, executor = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    table = collect([Walk(seed=s, pause=pause) for s in range(first, last)], executor=executor, jobs=2)
    print((table.status == "done").sum())
"""


def start(
    folder: Path, first: int, last: int, pause: float, executor: str = "local"
) -> subprocess.Popen[str]:
    file = folder / "run.py"
    file.write_text(SCRIPT)
    words = [sys.executable, str(file), str(first), str(last), str(pause), executor]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("executor", ["local", "process"])
def test_kill_9_loses_at_most_what_was_in_flight(
    home: Path, tmp_path: Path, computed: Callable[[], list[str]], executor: str
) -> None:
    run = start(tmp_path, 0, 20, 0.15, executor)
    wait_for(lambda: len(Store.open().rows()) >= 4)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    kept = {row["spec"]["seed"] for row in Store.open().rows()}
    begun = {int(line.split()[1]) for line in computed() if line.startswith("trial")}
    assert 4 <= len(kept) < 20 and kept <= begun
    assert len(begun - kept) <= (1 if executor == "local" else 2)
    table = collect([Walk(seed=seed, pause=0.15) for seed in range(20)])
    again = {int(line.split()[1]) for line in computed() if line.startswith("trial")}
    assert table.status.tolist() == ["done"] * 20
    assert (
        again == set(range(20)) - kept
    )  # what was stored is not computed again, dead claims hold nothing up


def test_two_processes_share_the_work(home: Path, tmp_path: Path, computed: Callable[[], list[str]]) -> None:
    runs = [start(tmp_path, 0, 16, 0.1), start(tmp_path, 4, 20, 0.1)]
    assert [run.communicate(timeout=120)[0].strip() for run in runs] == ["16", "16"]
    seeds = [line for line in computed() if line.startswith("trial")]
    assert sorted(seeds) == sorted(f"trial {seed}" for seed in range(20))  # each exactly once
    assert len(Store.open().rows()) == 20


def test_a_new_store_is_opened_by_many_at_once(tmp_path: Path) -> None:
    """At the same moments, again and again: the journal of a new database changes without waiting for others."""
    code = (
        "import sys, time, pathlib\nfrom flowprune.study.store import Store\n"
        "folder, start = pathlib.Path(sys.argv[1]), float(sys.argv[2])\n"
        "for k in range(50):\n"
        "    time.sleep(max(0, start + 0.03 * k - time.time()))\n"
        "    assert Store(folder / str(k) / 'trials.sqlite', None).rows() == []\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path), str(time.time() + 3)]
    opened = [subprocess.Popen(words) for _ in range(4)]
    assert [run.wait(timeout=120) for run in opened] == [0] * 4


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_killed_worker_is_one_failed_trial(home: Path) -> None:
    trials = [Walk(seed=seed, fault="die" if seed == 2 else "") for seed in range(6)]
    with pytest.warns(StoreWarning, match="1 of 6 trials failed"):
        table = collect(trials, executor="process", jobs=2)
    assert table.status.tolist() == ["done", "done", "failed", "done", "done", "done"]
    assert table.error[2].startswith("BrokenProcessPool: ")


def test_a_killed_replica_fails_alone(home: Path) -> None:
    trials = [Walk(seed=seed, replicas="r", fault="die" if seed == 1 else "") for seed in range(3)]
    with pytest.warns(StoreWarning, match="1 of 3 trials failed"):
        table = collect(trials, executor="process", jobs=1)
    assert table.status.tolist() == ["done", "failed", "done"]
