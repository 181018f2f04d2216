"""Notebooks: parameters are read from their cell, and an executed copy is made again only when something changed."""

from __future__ import annotations

import gc
import subprocess
import sys

import nbformat
import pytest
from conftest import REPOSITORY, write_notebook

from flowprune.study import book, notebooks
from flowprune.study.parameters import NotebookError, parameters, settings


def test_parameters_carry_name_type_default_and_comment(small_project):
    found = [(p.name, p.type, p.default) for p in parameters(notebooks.find("tiny"))]
    assert found == [
        ("dataset", "str", "karate"),
        ("n", "int", 3),
        ("rate", "float", 0.5),
        ("residual", "bool", True),
        ("depths", "list of int", [2, 4]),
    ]
    assert parameters(notebooks.find("tiny"))[2].comment == "ratio of two terms"


@pytest.mark.parametrize(
    "line",
    [
        "n = 3",  # no comment
        "n = len('abc')  # computed",
        "a = b = 3  # two names",
        "mixed = [1, 'a']  # two types",
        "empty = []  # no type",
        "nothing = None  # no type",
        "n += 1  # not an assignment",
        "import os  # not an assignment",
        "n = [[1]]  # nested",
    ],
)
def test_a_line_that_is_no_parameter_is_refused(tmp_path, line):
    path = write_notebook(tmp_path / "bad.ipynb", parameters=line)
    with pytest.raises(NotebookError, match=r"bad\.ipynb.*name = value  # comment"):
        parameters(path)


def test_files_that_are_no_notebooks_are_refused(tmp_path):
    broken = tmp_path / "broken.ipynb"
    broken.write_text("{")
    with pytest.raises(NotebookError, match="not a readable notebook"):
        parameters(broken)
    path = write_notebook(tmp_path / "untagged.ipynb")
    untagged = nbformat.read(path, as_version=4)
    untagged.cells[1].metadata.tags = []
    nbformat.write(untagged, path)
    with pytest.raises(NotebookError, match="0 cells are tagged"):
        parameters(path)
    path = write_notebook(tmp_path / "syntax.ipynb", parameters="n = = 3")
    with pytest.raises(NotebookError, match="not valid Python"):
        parameters(path)


def test_an_int_stands_for_a_float_and_nothing_else_is_converted(small_project):
    path = notebooks.find("tiny")
    assert settings(path, {"rate": "2"}) == {"rate": 2.0}
    assert type(settings(path, {"rate": "2"})["rate"]) is float
    for text in ("2.0", "0x2", "two", ""):
        with pytest.raises(NotebookError, match="n must be int"):
            settings(path, {"n": text})


# nbclient leaves the event loop of its thread to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_only_what_changed_is_executed_again(small_project):
    write_notebook(small_project / "notebooks" / "other.ipynb", "print('other')")
    for name in ("tiny", "other"):  # a kernel of the book has the executor of its caller; these print it
        write_notebook(small_project / "notebooks" / f"{name}.ipynb", f"print({name!r})")
    assert dict(notebooks.execute_all()) == {"tiny": True, "other": True}
    assert dict(notebooks.execute_all()) == {"tiny": False, "other": False}

    path = notebooks.find("tiny")
    stored = nbformat.read(path, as_version=4)
    stored.cells[2].outputs = [nbformat.v4.new_output("stream", text="stored by hand")]
    nbformat.write(stored, path)
    assert not dict(notebooks.execute_all())["tiny"]  # a stored output is not a change

    stored.cells[2].source += "  # changed"
    nbformat.write(stored, path)
    assert dict(notebooks.execute_all()) == {"tiny": True, "other": False}

    (small_project / "notebooks" / "profiles").mkdir()
    (small_project / "notebooks" / "profiles" / "other.yaml").write_text("n: 5\n")
    assert dict(notebooks.execute_all()) == {"tiny": False, "other": True}

    (small_project / "data" / "trials" / "walk.jsonl").write_text("{}\n")
    assert dict(notebooks.execute_all()) == {"tiny": True, "other": True}
    gc.collect()  # here, where its warnings are expected, and not in the middle of another test


def test_the_committed_notebooks_and_the_contents_agree():
    listed = {
        page.removeprefix("book/executed/")
        for page in book.pages(REPOSITORY / "_toc.yml")
        if "executed" in page
    }
    assert listed == {path.stem for path in (REPOSITORY / "notebooks").glob("*.ipynb")}


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_a_committed_notebook_is_a_chapter(path):
    assert notebooks.question(path)
    assert parameters(path)
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    profile = path.parent / "profiles" / f"{path.stem}.yaml"
    if profile.is_file():
        assert settings(path, profile="full")


@pytest.mark.parametrize(("stored", "passes"), [("42\n", True), ("41\n", False)])
def test_nbval_notices_a_wrong_output(tmp_path, stored, passes):
    path = write_notebook(tmp_path / "checked.ipynb", "# NBVAL_CHECK_OUTPUT\nprint(6 * 7)")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].execution_count = 1
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text=stored)]
    nbformat.write(notebook, path)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode == 0) is passes, done.stdout
