"""The last line of a chapter: where its numbers come from."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version

import pandas as pd
from IPython.display import HTML

from . import project

LIBRARIES = ("torch", "torch-geometric", "numpy", "scipy")


def colophon(*tables: pd.DataFrame) -> HTML:
    """One line of provenance: commit, versions, date, and how many trials of these tables were read or computed."""
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    trials = ""
    if tables:
        counts = pd.concat(tables).drop_duplicates("key").source.value_counts()
        read, computed = counts.get("published", 0), counts.get("local", 0)
        trials = f"{read + computed} trials: {read} read from the published rows, {computed} computed on this machine. "
    return HTML(
        f'<p class="colophon">{trials}Made from commit {escape(project.commit())} with '
        f"Python {platform.python_version()}, {escape(versions)}, on {datetime.now(UTC):%Y-%m-%d}.</p>"
    )
