from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flowprune.study import project


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    subprocess.run(("git", "-C", str(folder), *identity, *words), check=True, capture_output=True)


def test_the_root_is_found_from_below_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWPRUNE_HOME")
    monkeypatch.chdir(home / "data" / "trials")
    assert project.root() == home.resolve()
    assert project.state() == home.resolve() / ".flowprune" and project.state().is_dir()


def test_elsewhere_the_checkout_of_the_code_is_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWPRUNE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert project.root() == Path(__file__).resolve().parents[2]


def test_a_wrong_home_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWPRUNE_HOME", "/no/such/place")
    with pytest.raises(
        project.ProjectError, match="FLOWPRUNE_HOME names '/no/such/place', which is not a folder"
    ):
        project.root()


def test_no_project_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWPRUNE_HOME")
    monkeypatch.chdir(home.parent)
    monkeypatch.setattr(project, "__file__", str(home.parent / "flowprune" / "project.py"))
    with pytest.raises(
        project.ProjectError, match=r"No folder with pyproject.toml and _toc.yml above .*set FLOW"
    ):
        project.root()
    assert project.commit() == "unknown"


def test_the_commit_says_when_the_code_differs_from_it(home: Path) -> None:
    (home / "src").mkdir()
    (home / "src" / "a.py").write_text("a = 1\n")
    git(home, "init", "-q")
    git(home, "add", "-A")
    git(home, "commit", "-q", "-m", "first")
    head = subprocess.run(
        ("git", "-C", str(home), "rev-parse", "HEAD"), capture_output=True, text=True
    ).stdout
    assert project.commit() == head[:12]
    project._commit.cache_clear()  # what a new process sees
    (home / "data" / "new").touch()
    assert project.commit() == head[:12]  # rows and pages are no code
    project._commit.cache_clear()
    (home / "src" / "b.py").touch()
    assert project.commit() == head[:12] + "+dirty"
