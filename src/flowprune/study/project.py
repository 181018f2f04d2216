"""Where the project lives and which state of its code is running."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

MARKS = ("pyproject.toml", "_toc.yml")


class ProjectError(RuntimeError):
    """The project's folder could not be found."""


def root() -> Path:
    """Folder of the project: ``FLOWPRUNE_HOME`` if set, else the nearest parent of the working directory,
    then of this file, that holds both ``pyproject.toml`` and ``_toc.yml``.

    Raises ProjectError when there is none.
    """
    if home := os.environ.get("FLOWPRUNE_HOME"):
        if not Path(home).is_dir():
            raise ProjectError(f"FLOWPRUNE_HOME names {home!r}, which is not a folder.")
        return Path(home).resolve()
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if all((folder / mark).is_file() for mark in MARKS):
                return folder
    raise ProjectError(
        f"No folder with {' and '.join(MARKS)} above {Path.cwd()}: "
        "work inside a checkout of the project or set FLOWPRUNE_HOME to one."
    )


def state() -> Path:
    """Local, never committed state (the trial store, caches): ``root()/.flowprune``, created when missing."""
    folder = root() / ".flowprune"
    folder.mkdir(exist_ok=True)
    return folder


def write(file: Path, text: str) -> None:
    """Write a file whole or not at all: on a full disk the one before stays. Raises OSError, naming the file."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        error.filename = str(file)  # the system does not name it when a write fails
        raise


def commit() -> str:
    """Short git commit of the project, with ``+dirty`` when files under ``src`` differ; ``unknown`` outside
    a checkout.
    """
    try:
        return _commit(root())
    except (ProjectError, OSError, subprocess.CalledProcessError):
        return "unknown"


@cache  # the code that runs is the code that was imported, so the first answer stands for the whole process
def _commit(folder: Path) -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ("git", "-C", str(folder), *words), capture_output=True, text=True, check=True
        ).stdout

    name = git("rev-parse", "--short=12", "HEAD").strip()
    return name + "+dirty" * bool(git("status", "--porcelain", "--", "src").strip())
