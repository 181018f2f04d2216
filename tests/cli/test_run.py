"""`flowprune list` and `flowprune run`, through the real command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from conftest import REPOSITORY, write_notebook


def printed(copy: Path) -> str:
    """Everything that the cells of an executed notebook printed."""
    cells = nbformat.read(copy, as_version=4).cells
    return "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", []))


def refused(done: subprocess.CompletedProcess, *words: str) -> None:
    """Exit code 1 and one sentence that holds all of these words."""
    assert done.returncode == 1, done.stderr
    (sentence,) = done.stderr.strip().splitlines()
    for word in words:
        assert word in sentence


def test_list_tells_question_parameters_types_and_defaults(small_project, flowprune):
    done = flowprune("list")
    assert done.returncode == 0
    assert "tiny  Does it add up?" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["rate", "float", "0.5", "ratio", "of", "two", "terms"] in rows
    assert ["depths", "list", "of", "int", "[2,", "4]", "numbers", "of", "layers"] in rows


def test_values_reach_the_kernel_with_their_types(small_project, flowprune):
    words = (
        "-p",
        "n=7",
        "-p",
        "rate=2",
        "-p",
        "residual=false",
        "-p",
        "depths=8,16",
        "-p",
        "dataset=a=b.npz",
    )
    done = flowprune("run", "tiny", *words, "--executor", "process")
    assert done.returncode == 0, done.stderr
    text = printed(small_project / "book" / "executed" / "tiny.ipynb")
    assert "['a=b.npz', 7, 2.0, False, [8, 16]]" in text
    assert f"{sys.executable} process" in text  # the environment's own Python, and the executor


def test_parameter_file_and_profile_in_this_order(small_project, flowprune, tmp_path):
    profiles = small_project / "notebooks" / "profiles"
    profiles.mkdir()
    (profiles / "tiny.yaml").write_text("n: 100\nrate: 0.25\ndepths: [1]\n")
    (tmp_path / "mine.yaml").write_text("rate: 1\n")
    done = flowprune(
        "run", "tiny", "--profile", "full", "--params", str(tmp_path / "mine.yaml"), "-p", "depths=3"
    )
    assert done.returncode == 0, done.stderr
    assert "['karate', 100, 1.0, True, [3]]" in printed(small_project / "book" / "executed" / "tiny.ipynb")


def test_progress_over_cells_is_shown(small_project, flowprune):
    done = flowprune("run", "tiny")
    assert "tiny: cells" in done.stderr
    assert "4/4" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tinny"], ["unknown notebook", "'tinny'", "did you mean tiny?"]),
        (["tiny", "-p", "dephts=1"], ["unknown parameter of tiny", "did you mean depths?", "rate"]),
        (["tiny", "-p", "n"], ["'n'", "name=value"]),
        (["tiny", "-p", "n=1.5"], ["n must be int", "'1.5'"]),
        (["tiny", "-p", "n=true"], ["n must be int", "'true'"]),
        (["tiny", "-p", "rate=fast"], ["rate must be float", "'fast'"]),
        (["tiny", "-p", "residual=1"], ["residual must be bool", "true or false", "'1'"]),
        (["tiny", "-p", "depths=2,x"], ["depths must be list of int", "'x'"]),
        (["tiny", "-p", "depths="], ["depths must be list of int", "[]"]),
        (["tiny", "--profile", "full"], ["tiny.yaml", "no such parameter file"]),
    ],
)
def test_wrong_words_are_refused_before_anything_runs(small_project, flowprune, words, said):
    refused(flowprune("run", *words), *said)
    assert not (small_project / "book").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("n: true", ["n must be int", "True"]),
        ("residual: 1", ["residual must be bool", "got 1"]),
        ("depths: 4", ["depths must be list of int", "got 4"]),
        ("dataset: [karate]", ["dataset must be str"]),
        ("nodes: 4", ["unknown parameter of tiny: 'nodes'"]),
        ("- n", ["'name: value' a line"]),
        ("n: [", ["not readable as YAML"]),
    ],
)
def test_a_wrong_parameter_file_is_refused(small_project, flowprune, tmp_path, content, said):
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    refused(flowprune("run", "tiny", "--params", str(file)), *said)


def test_a_failing_cell_is_named_and_the_good_copy_stays(small_project, flowprune):
    assert flowprune("run", "tiny").returncode == 0
    copy = small_project / "book" / "executed" / "tiny.ipynb"
    before = copy.read_bytes()
    done = flowprune("run", "tiny", "-p", "n=13")
    assert done.returncode == 1
    sentence = done.stderr.strip().splitlines()[-1]
    assert "tiny failed in cell" in sentence
    assert "AssertionError: n must not be thirteen" in sentence
    assert copy.read_bytes() == before
    assert copy.with_suffix(".failed.ipynb").is_file()


def test_evidence_of_own_settings_is_kept_apart(small_project, flowprune):
    write_notebook(
        small_project / "notebooks" / "tiny.ipynb", "import os\nprint(os.environ.get('FLOWPRUNE_EVIDENCE'))"
    )
    copy = small_project / "book" / "executed" / "tiny.ipynb"
    flowprune("run", "tiny")
    assert printed(copy).strip() == "None"
    flowprune("run", "tiny", "-p", "n=4")
    assert printed(copy).strip() == str(small_project / ".flowprune" / "evidence")


LOAD = "from flowprune.graphs import load\nprint(load(dataset))"


def test_missing_and_unknown_data_are_one_sentence(small_project, flowprune):
    write_notebook(small_project / "notebooks" / "tiny.ipynb", LOAD)
    for name, said in (
        ("nowhere.npz", "nowhere.npz"),
        ("koura", "did you mean"),
        ("cornell", "cornell-corrected"),
    ):
        done = flowprune("run", "tiny", "-p", f"dataset={name}")
        assert done.returncode == 1
        assert "GraphError" in (sentence := done.stderr.strip().splitlines()[-1])
        assert said in sentence


def test_a_wrong_checksum_is_refused_before_the_file_is_read(small_project, flowprune, tmp_path):
    from flowprune.graphs.raw import registry

    data = registry()["texas"]
    folder = tmp_path / "data" / data.folder
    folder.mkdir(parents=True)
    for file in data.files:
        (folder / file.name).write_bytes(b"x" * file.bytes)
    write_notebook(small_project / "notebooks" / "tiny.ipynb", LOAD)
    env = {"FLOWPRUNE_DATA": str(tmp_path / "data")}
    done = flowprune("run", "tiny", "-p", "dataset=texas", **env)
    assert done.returncode == 1
    assert "GraphError" in done.stderr and "SHA-256" in done.stderr
    shown = flowprune("data", **env)
    assert shown.returncode == 1
    assert "wrong checksum: texas" in shown.stderr


def test_no_network_is_one_sentence(small_project, flowprune, tmp_path):
    write_notebook(small_project / "notebooks" / "tiny.ipynb", LOAD)
    closed = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTPS_PROXY")}
    env = {"FLOWPRUNE_DATA": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")} | closed
    done = flowprune("run", "tiny", "-p", "dataset=wisconsin", **env)
    assert done.returncode == 1
    assert "GraphError" in (sentence := done.stderr.strip().splitlines()[-1])
    assert "wisconsin" in sentence


COLLECT = """\
from flowprune.study import collect
from sampled import Walk
table = collect([Walk(seed=seed, pause=0.3) for seed in range(n)])
print(len(table), (table.status == "done").sum())
"""


def test_a_killed_run_resumes(small_project, tmp_path, flowprune):
    write_notebook(small_project / "notebooks" / "tiny.ipynb", COLLECT)
    log = tmp_path / "log"
    env = {"PYTHONPATH": str(REPOSITORY / "tests" / "study"), "SAMPLED_LOG": str(log)}
    command = [Path(sys.executable).with_name("flowprune"), "run", "tiny", "-p", "n=12"]
    running = subprocess.Popen(
        command, env=os.environ | env, start_new_session=True, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (log.is_file() and log.read_text().count("trial") >= 3):
        assert time.monotonic() < deadline and running.poll() is None, "the run never started its trials"
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)  # the command; its kernel notices that its parent is gone
    running.wait()
    time.sleep(3)
    done = flowprune("run", "tiny", "-p", "n=12", **env)
    assert done.returncode == 0, done.stderr
    assert "12 12" in printed(small_project / "book" / "executed" / "tiny.ipynb")
    assert "trials of walk" in done.stderr  # the second bar
    assert log.read_text().count("trial") <= 13  # at most the one in flight was computed twice
