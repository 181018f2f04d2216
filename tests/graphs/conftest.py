"""What the tests of graphs share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from flowprune.graphs.raw import find, registry

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder and an empty cache; what is not put there is not found."""
    root = tmp_path / "data"
    root.mkdir()
    monkeypatch.setenv("FLOWPRUNE_DATA", str(root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return root


@pytest.fixture
def needs_data(request: pytest.FixtureRequest) -> None:
    """Skip the test when the data set that it is parametrised with (default: all) is not found."""
    name = request.node.callspec.params.get("name") if hasattr(request.node, "callspec") else None
    names = [name.partition("?")[0]] if name else list(registry())
    missing = [name for name in names if find(registry()[name]) is None]
    if missing:
        pytest.skip(f"raw files of {', '.join(missing)} are not found; set FLOWPRUNE_DATA to their folder")
