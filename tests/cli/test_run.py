"""`flowprune list` and `flowprune run`, through the real command line."""

from __future__ import annotations

import sys

import pytest
from conftest import printed, refused, write_notebook


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
        (["tiny", "-p", "unknown=1"], ["unknown parameter of tiny: 'unknown'", "Known: dataset, n, rate"]),
        (["tiny", "-p", "n"], ["'n'", "name=value"]),
        (["tiny", "-p", "n=1.5"], ["n must be int", "'1.5'"]),
        (["tiny", "-p", "n=true"], ["n must be int", "'true'"]),
        (["tiny", "-p", "rate=fast"], ["rate must be float", "'fast'"]),
        (["tiny", "-p", "residual=1"], ["residual must be bool", "true or false", "'1'"]),
        (["tiny", "-p", "depths=2,x"], ["depths must be list of int", "'x'"]),
        (["tiny", "-p", "depths="], ["depths must be list of int", "[]"]),
        (["tiny", "-p", "depths=2", "-p", "depths=4"], ["-p depths is given twice", "-p depths=2,4"]),
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


def test_evidence_of_own_settings_is_kept_apart(small_project, flowprune):
    hand_in = (
        "import os, pathlib\npathlib.Path(os.environ['FLOWPRUNE_EVIDENCE'], 'tiny.json').write_text(str(n))"
    )
    write_notebook(small_project / "notebooks" / "tiny.ipynb", hand_in)
    flowprune("run", "tiny")
    flowprune("run", "tiny", "-p", "n=4")
    assert (small_project / "book" / "executed" / "evidence" / "tiny.json").read_text() == "3"
    assert (small_project / ".flowprune" / "evidence" / "tiny.json").read_text() == "4"
