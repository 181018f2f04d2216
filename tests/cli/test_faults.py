"""Faults through the command line, with real processes, kernels and disks: what was wrong is one sentence, and what was
done before it is kept.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, printed, refused, write_notebook
from sampled import Walk

from flowprune.study import Store, collect

COMMAND = Path(sys.executable).with_name("flowprune")
IMPORTS = (
    "import os, signal\nfrom flowprune.study import Store, StoreError, collect\nfrom sampled import Walk"
)
COLLECT = """\
table = collect([Walk(seed=seed, pause=0.2) for seed in range(n)])
print(len(table), (table.status == "done").sum())
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which every computed trial is noted, in any process."""
    monkeypatch.setenv("SAMPLED_LOG", str(tmp_path / "log"))
    path = [str(REPOSITORY / "tests" / "study"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    return tmp_path / "log"


def computed(log: Path) -> Counter[int]:
    """How often each seed was computed."""
    lines = log.read_text().splitlines() if log.is_file() else []
    return Counter(int(line.split()[1]) for line in lines if line.startswith("trial"))


def tiny(project: Path, *cells: str) -> Path:
    """Write the project's notebook; return where its executed copy will lie."""
    write_notebook(project / "notebooks" / "tiny.ipynb", *cells)
    return project / "book" / "executed" / "tiny.ipynb"


def last_line(done: subprocess.CompletedProcess, *words: str) -> None:
    """Exit code 1, and below the progress one sentence that holds all of these words."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("flowprune: ")
    for word in words:
        assert word in sentence


# ---- processes that are killed, and two at once


def test_a_killed_run_resumes(small_project, flowprune, log):
    copy = tiny(small_project, IMPORTS, COLLECT)
    words = [COMMAND, "run", "tiny", "-p", "n=12"]
    running = subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while sum(computed(log).values()) < 3:
        assert time.monotonic() < deadline and running.poll() is None, "the run never started its trials"
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)  # the command; its kernel notices that its parent is gone
    running.wait()
    assert not copy.exists()
    done = flowprune("run", "tiny", "-p", "n=12")
    assert done.returncode == 0, done.stderr
    assert "12 12" in printed(copy)
    assert "trials of walk" in done.stderr  # the second bar
    assert sum(computed(log).values()) <= 13  # at most the one in flight was computed twice


def test_a_killed_kernel_is_one_sentence_and_its_trials_are_kept(small_project, flowprune, log):
    copy = tiny(small_project, IMPORTS, COLLECT, "if rate == 2:\n    os.kill(os.getpid(), signal.SIGKILL)")
    last_line(flowprune("run", "tiny", "-p", "rate=2"), "tiny failed in cell 5", "'if rate == 2:'", "killed")
    assert not copy.exists()
    assert flowprune("run", "tiny").returncode == 0
    assert computed(log) == {0: 1, 1: 1, 2: 1}


def test_two_runs_at_once_share_the_trials_and_leave_one_whole_copy(small_project, log):
    copy = tiny(small_project, IMPORTS, COLLECT)
    words = [COMMAND, "run", "tiny", "-p", "n=10"]
    runs = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert computed(log) == dict.fromkeys(range(10), 1)
    assert "10 10" in printed(copy)
    assert [path.name for path in copy.parent.iterdir()] == ["tiny.ipynb"]


# ---- a full disk


class Disk:
    """A file system of 3 MiB, seen only by the processes of a mount namespace, which ends with the test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        mount = 'mount -t tmpfs -o size=3m tmpfs "$0" && echo mounted && exec cat'
        words = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.holder = subprocess.Popen(words, **pipes)
        self.mounted = self.holder.stdout.readline() == "mounted\n"
        self.outside = Path(f"/proc/{self.holder.pid}/root{path}")  # where other processes find it

    def flowprune(self, *words: str) -> subprocess.CompletedProcess:
        enter = ["nsenter", f"--target={self.holder.pid}", "--user", "--mount", "--preserve-credentials"]
        env = {**os.environ, "COLUMNS": "200", "FLOWPRUNE_HOME": str(self.path / "project")}
        return subprocess.run([*enter, COMMAND, *words], capture_output=True, text=True, env=env)

    def fill(self) -> None:
        with (
            open(self.outside / "ballast", "wb", buffering=0) as ballast,
            pytest.raises(OSError, match="space"),
        ):
            while True:
                ballast.write(bytes(4096))

    def free(self) -> None:
        (self.outside / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path, small_project: Path) -> Iterator[Disk]:
    """A small disk with the small project on it."""
    disk = Disk(tmp_path / "disk")
    with disk.holder:
        if not disk.mounted:
            pytest.skip(f"no file system can be mounted here: {disk.holder.stderr.read().strip()}")
        shutil.copytree(small_project, disk.outside / "project")
        yield disk


FILL = """\
def fill():
    with open(os.path.join(os.environ["FLOWPRUNE_HOME"], "..", "ballast"), "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            pass
"""


def test_a_disk_that_is_full_before_the_run(disk, log):
    copy = tiny(disk.outside / "project", IMPORTS, COLLECT)
    disk.fill()
    last_line(disk.flowprune("run", "tiny"), "No space left", "book/executed/tiny.ipynb", "make room")
    assert not copy.exists() and not computed(log)
    disk.free()
    done = disk.flowprune("run", "tiny")
    assert done.returncode == 0, done.stderr
    assert "3 3" in printed(copy)


def test_a_disk_that_fills_up_during_the_run(disk, log):
    copy = tiny(disk.outside / "project", IMPORTS, FILL, COLLECT, "if rate == 2:\n    fill()\nn = 8", COLLECT)
    last_line(disk.flowprune("run", "tiny", "-p", "rate=2"), "No space left", "tiny.ipynb", "make room")
    assert not copy.exists()
    assert [path.name for path in copy.parent.iterdir()] == []
    disk.free()
    done = disk.flowprune("run", "tiny")
    assert done.returncode == 0, done.stderr
    assert "8 8" in printed(copy)
    assert computed(log) == dict.fromkeys(range(8), 1)  # the first three were stored before the disk was full


def test_a_store_on_a_full_disk_works_again_in_the_same_session(disk, log):
    full = """\
store = Store.open()
collect([Walk(seed=seed) for seed in range(3)], store=store)
fill()
try:
    collect([Walk(seed=seed) for seed in range(8)], store=store)
except StoreError as error:
    kept = error
    print(error)
os.remove(os.path.join(os.environ["FLOWPRUNE_HOME"], "..", "ballast"))
print(len(store.rows()), (collect([Walk(seed=seed) for seed in range(8)]).status == "done").sum())
"""
    copy = tiny(disk.outside / "project", IMPORTS, FILL, full)
    done = disk.flowprune("run", "tiny")
    assert done.returncode == 0, done.stderr
    sentence, counts = printed(copy).splitlines()
    assert (
        f"{disk.path}/project/.flowprune/trials.sqlite cannot be used (database or disk is full)" in sentence
    )
    assert "Make room on its disk" in sentence and "its rows are kept" in sentence
    assert counts == "3 8"


# ---- damaged files


def test_a_damaged_local_store_is_named_with_the_way_out(small_project, flowprune, log):
    copy = tiny(small_project, IMPORTS, COLLECT)
    collect([Walk(seed=seed, steps=2000) for seed in range(4)])
    store = small_project / ".flowprune" / "trials.sqlite"
    with closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # into the file itself
    store.write_bytes(store.read_bytes()[: store.stat().st_size // 2])
    last_line(flowprune("run", "tiny"), "tiny failed in cell 3", "StoreError", str(store), "Move it away")
    store.rename(store.with_suffix(".damaged"))
    assert flowprune("run", "tiny").returncode == 0
    assert "3 3" in printed(copy)


def test_a_damaged_line_of_a_published_file_is_told_and_its_trial_computed_again(
    small_project, flowprune, log
):
    copy = tiny(small_project, IMPORTS, COLLECT)
    trials = [Walk(seed=seed, pause=0.2) for seed in range(3)]
    collect(trials)
    file = Store.open().publish(trials)
    shutil.rmtree(small_project / ".flowprune")
    log.unlink()
    lines = file.read_bytes().splitlines(keepends=True)
    lost = json.loads(lines[1])["spec"]["seed"]
    lines[1] = lines[1][:50] + b"\n"
    file.write_bytes(b"".join(lines))
    assert flowprune("run", "tiny").returncode == 0
    assert computed(log) == {lost: 1}
    assert "trials/walk.jsonl:2: not a trial's row" in printed(copy)  # a warning, which the book refuses
    assert "3 3" in printed(copy)


def test_verify_fails_for_a_damaged_line_and_names_it(small_project, flowprune):
    published = (REPOSITORY / "data" / "trials" / "evolution-homophily.jsonl").read_text().splitlines()
    good = next(line for line in published if '"model":"mlp"' in line)  # quick, and needs no data
    (small_project / "data" / "trials" / "nodes.jsonl").write_text(f"{good[:100]}\n{good}\n")
    done = flowprune("verify", "--sample", "1", "--budget", "1")
    assert done.returncode == 1
    assert "verification failed" in done.stderr
    assert "trials/nodes.jsonl:1: not a trial's row" in done.stdout
    assert "agrees" in done.stdout  # the good one is compared all the same


def test_claims_that_cannot_be_read_are_one_sentence(small_project, flowprune):
    file = small_project / "data" / "claims.yaml"
    file.write_text(file.read_text()[:1000] + "\n - {")
    refused(flowprune("claims"), "claims.yaml", "not readable as YAML", "line")


# ---- wrong data

LOAD = "from flowprune.graphs import load\nprint(load(dataset))"


def truncated(folder: Path) -> str:
    path = folder / "mine.npz"
    np.savez_compressed(path, edges=np.arange(200).reshape(100, 2))
    path.write_bytes(path.read_bytes()[:150])
    return str(path)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (lambda folder: "nowhere.npz", "nowhere.npz is missing"),
        (lambda folder: "koura", "did you mean cora"),
        (lambda folder: "cornell", "cornell-corrected"),
        (truncated, "mine.npz is not a readable .npz file of plain arrays"),
    ],
    ids=["missing", "unknown", "two of one name", "truncated"],
)
def test_missing_unknown_and_damaged_data_are_one_sentence(small_project, flowprune, tmp_path, dataset, said):
    tiny(small_project, LOAD)
    last_line(flowprune("run", "tiny", "-p", f"dataset={dataset(tmp_path)}"), "GraphError", said)


def test_a_wrong_checksum_is_refused_before_the_file_is_read(small_project, flowprune, tmp_path):
    from flowprune.graphs.raw import registry

    data = registry()["texas"]
    folder = tmp_path / "data" / data.folder
    folder.mkdir(parents=True)
    for file in data.files:
        (folder / file.name).write_bytes(b"x" * file.bytes)
    tiny(small_project, LOAD)
    env = {"FLOWPRUNE_DATA": str(tmp_path / "data")}
    last_line(flowprune("run", "tiny", "-p", "dataset=texas", **env), "GraphError", "SHA-256")
    shown = flowprune("data", **env)
    assert shown.returncode == 1
    assert "wrong checksum: texas" in shown.stderr


def test_no_network_is_one_sentence(small_project, flowprune, tmp_path):
    tiny(small_project, LOAD)
    closed = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTPS_PROXY")}
    env = {"FLOWPRUNE_DATA": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")} | closed
    last_line(flowprune("run", "tiny", "-p", "dataset=wisconsin", **env), "GraphError", "wisconsin")


# ---- notebooks that fail in the middle

CONFIG = """\
title: Small
only_build_toc_files: true
execute: {execute_notebooks: "off"}
sphinx: {config: {extensions: [myst_nb, jupyter_book, sphinx_external_toc, sphinx_comments, sphinx_book_theme]}}
"""
HAND_IN = "import os, pathlib\npathlib.Path(os.environ['FLOWPRUNE_EVIDENCE'], 'tiny.json').write_text('{}')"


def test_a_failing_cell_is_named_and_the_good_copy_stays(small_project, flowprune):
    copy = small_project / "book" / "executed" / "tiny.ipynb"
    assert flowprune("run", "tiny").returncode == 0
    before = copy.read_bytes()
    last_line(
        flowprune("run", "tiny", "-p", "n=13"),
        "tiny failed in cell",
        "AssertionError: n must not be thirteen",
    )
    assert copy.read_bytes() == before
    assert copy.with_suffix(".failed.ipynb").is_file()


def test_the_book_is_not_built_from_a_notebook_that_fails(small_project, flowprune):
    toc = "format: jb-book\nroot: front\nchapters: [{file: book/executed/tiny}]\n"
    for name, text in (("_toc.yml", toc), ("_config.yml", CONFIG), ("front.md", "# Front\n")):
        (small_project / name).write_text(text)
    copy = tiny(small_project, HAND_IN.format("whole"), "print('whole')")
    evidence = copy.parent / "evidence" / "tiny.json"
    assert flowprune("run", "tiny").returncode == 0
    before = copy.read_bytes(), evidence.read_bytes()

    tiny(small_project, HAND_IN.format("broken"), "print(1 / 0)")
    write_notebook(small_project / "notebooks" / "other.ipynb", "print('other')")
    done = flowprune("book")
    last_line(done, "tiny failed in cell 3 ('print(1 / 0)')", "ZeroDivisionError: division by zero")
    assert "other: executed" in done.stdout
    assert (copy.read_bytes(), evidence.read_bytes()) == before
    assert not (small_project / "_build").exists()

    tiny(small_project, HAND_IN.format("mended"), "print('mended')")
    done = flowprune("book")
    assert done.returncode == 0, done.stderr
    assert "mended" in (small_project / "_build/html/book/executed/tiny.html").read_text()
    assert evidence.read_text() == "mended"
    assert not copy.with_suffix(".failed.ipynb").exists()
