"""The pages for users are followed to the letter: their files written, their lines inserted, their commands run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import nbformat
import pytest
from conftest import REPOSITORY

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w./]+\.\w+)")


def follow(page: str, folder: Path) -> str:
    """Do in ``folder`` what the blocks of a page say, from top to bottom; returns what its commands printed.

    A block of commands is run. Any other names its file in the first line, and goes behind what earlier blocks wrote.
    """
    printed = ""
    for language, block in BLOCK.findall((REPOSITORY / "book" / f"{page}.md").read_text()):
        if language == "bash":
            printed += done(block, folder)
        else:
            file = folder / FILE.match(block)[1]
            if language == "diff":
                insert(block.splitlines()[1:], file)
            else:
                with file.open("a") as text:
                    text.write(block)
    return printed


def done(commands: str, folder: Path) -> str:
    """What the commands print, with the programs of this environment; all of them must succeed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = ["bash", "-euo", "pipefail", "-c", commands]
    ran = subprocess.run(
        words, capture_output=True, text=True, cwd=folder, env={**os.environ, "PATH": path, "COLUMNS": "200"}
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Unable to parse" not in ran.stderr  # what papermill says of parameters is not for a reader
    return ran.stdout


def insert(lines: list[str], file: Path) -> None:
    """The lines with a plus, each behind the one above it, which the file has once."""
    text, above = file.read_text(), ""
    for line in filter(None, lines):
        if line[0] == "+":
            text = text.replace(above, f"{above}{line[1:]}\n")
        above = f"{line[1:]}\n"
        assert text.count(above) == 1, f"{file} has {line[1:]!r} {text.count(above)} times"
    file.write_text(text)


def shown(copy: Path) -> str:
    """All outputs of an executed notebook: printed text, and HTML with its alternative texts."""
    cells = nbformat.read(copy, as_version=4).cells
    outputs = [out for cell in cells for out in cell.get("outputs", [])]
    return unescape(
        "".join(out.get("text", "") + out.get("data", {}).get("text/html", "") for out in outputs)
    )


@pytest.fixture
def project(small_project: Path) -> Path:
    """The small project with the chapters of the pages, and with the library that runs them."""
    for name in ("smoothness", "depth", "diagnose"):
        shutil.copy(REPOSITORY / "notebooks" / f"{name}.ipynb", small_project / "notebooks")
    shutil.copytree(REPOSITORY / "data" / "reported", small_project / "data" / "reported")
    return small_project


def test_a_chapter_runs_with_parameters_of_ones_own(project, tmp_path):
    printed = follow("own_parameters", tmp_path)
    assert "Does pruning let attention be deep?" in printed
    chapters = [project / "book" / "executed" / f"{name}.ipynb" for name in ("smoothness", "depth")]
    assert [f"Executed: {copy}" in printed for copy in chapters] == [True, True]
    assert "csbm?n=100&homophily=0.2" in chapters[0].read_text()
    read = shown(chapters[1])
    assert "syn-cora?n=100&homophily=0.3" in read
    assert "Per cent with 2 and 2 layers" in read  # the command line goes before the file
    page = (REPOSITORY / "book" / "own_parameters.md").read_text()
    told = re.findall(r"^- `(\S+)`", page, re.MULTILINE)
    assert [(project / name).exists() for name in told] == [name.count("failed") == 0 for name in told]
    assert len(told) == 4 and not (project / "book" / "executed" / "evidence").exists()


def test_a_network_and_a_graph_of_ones_own_are_diagnosed(project, tmp_path):
    printed = follow("own_network", tmp_path)
    paragraph = printed.splitlines()[0]
    assert paragraph.startswith("12 layers of GCNConv on 150 nodes.")
    assert f"<strong>your model.</strong> {paragraph}" in shown(
        project / "book" / "executed" / "diagnose.ipynb"
    )


def test_a_flow_of_ones_own_stands_in_the_depth_comparison(project, monkeypatch):
    shutil.copytree(REPOSITORY / "src", project / "src")
    (project / "tests" / "flows").mkdir(parents=True)
    for name in ("conftest.py", "random_graphs.py"):
        shutil.copy(REPOSITORY / "tests" / name, project / "tests")
    monkeypatch.setenv("PYTHONPATH", str(project / "src"))
    assert "1 passed" in follow("own_flow", project)
    read = shown(project / "book" / "executed" / "depth.ipynb")
    assert "5 panels a graph: plain, remedies, other flows, pruned, added." in read
    assert re.search(r"Per cent with 2 and 4 layers: .*APPNP \d+ and \d+ on", read)
    assert "<td>APPNP</td>" in read
