from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # worker processes import `sampled` by this path
collect_ignore = ["sampled.py"]  # collected for doctests it would be a second module with a second `Walk`


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, with the real claims and nothing published."""
    folder = tmp_path / "home"
    (folder / "data" / "trials").mkdir(parents=True)
    for mark in ("pyproject.toml", "_toc.yml"):
        (folder / mark).touch()
    shutil.copy(HERE.parents[1] / "data" / "claims.yaml", folder / "data")
    monkeypatch.setenv("FLOWPRUNE_HOME", str(folder))
    for name in ("RECOMPUTE", "EXECUTOR", "PROGRESS", "EVIDENCE"):
        monkeypatch.delenv(f"FLOWPRUNE_{name}", raising=False)
    paths = [str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return folder


@pytest.fixture
def computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What was computed since the last call, in any process: 'pass' or 'trial SEED'."""
    file = tmp_path / "computed.log"
    monkeypatch.setenv("SAMPLED_LOG", str(file))

    def read() -> list[str]:
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    return read
