"""Figures: none outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest

from flowprune.study import figures


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def nothing_left_open() -> Iterator[None]:
    """In the book's style, and what is drawn is closed by what is tested."""
    figures.theme()
    yield
    assert plt.get_fignums() == []
