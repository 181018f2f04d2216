"""What all tests share: one thread each, no leftovers of the caller's settings, and a small project of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run side by side
REPOSITORY = Path(__file__).resolve().parents[1]

PARAMETERS = """\
dataset = "karate"  # name of a graph, or a path to your own
n = 3  # number of terms
rate = 0.5  # ratio of two terms
residual = True  # keep the first term
depths = [2, 4]  # numbers of layers
"""


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test decides itself which of the study's settings are in force."""
    for name in ("HOME", "RECOMPUTE", "EXECUTOR", "PROGRESS", "EVIDENCE"):
        monkeypatch.delenv(f"FLOWPRUNE_{name}", raising=False)


def write_notebook(
    path: Path, *cells: str, parameters: str = PARAMETERS, question: str = "Does it add up?"
) -> Path:
    """A notebook with a question, a parameters cell and these code cells."""
    new = nbformat.v4
    notebook = new.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells = [
        new.new_markdown_cell(f"# {question}"),
        new.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *map(new.new_code_cell, cells),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


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


@pytest.fixture
def small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the real claims, one notebook `tiny` and nothing else."""
    top = tmp_path / "project"
    (top / "data" / "trials").mkdir(parents=True)
    for name in ("pyproject.toml", "_toc.yml", "requirements.lock", "CITATION.cff", "data/claims.yaml"):
        shutil.copy(REPOSITORY / name, top / name)
    write_notebook(
        top / "notebooks" / "tiny.ipynb",
        "assert n != 13, 'n must not be\\nthirteen'",
        "import os, sys\nprint(sys.executable, os.environ['FLOWPRUNE_EXECUTOR'])",
        "print([dataset, n, rate, residual, depths])",
    )
    monkeypatch.setenv("FLOWPRUNE_HOME", str(top))
    return top


@pytest.fixture
def flowprune(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """The real command line: `flowprune("run", "tiny")`, with extra environment variables as keywords."""
    command = Path(sys.executable).with_name("flowprune")

    def run(*words: str, **env: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [command, *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200"} | env,
        )

    return run
