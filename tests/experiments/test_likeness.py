"""Generated and published graphs side by side, on results whose answers are known."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

from flowprune.experiments import likeness
from flowprune.graphs import load

LEVELS = (0.0, 0.5, 1.0)


def rows(value) -> pd.DataFrame:
    """Rows of a sweep whose accuracy is ``value(variant, level)``."""
    return pd.DataFrame(
        [
            {"variant": v, "level": h, "test": value(v, h) + s}
            for v in ("sum", "mlp")
            for h in LEVELS
            for s in (-1, 1)
        ]
    )


def test_likeness_is_that_of_the_graph():
    graph = load("csbm?n=40&homophily=0.9&seed=2")
    told = likeness.likeness(graph)
    assert (told["nodes"], told["edges"]) == (40, graph.num_edges)
    assert told["largest degree"] == max(graph.edge_index[0].bincount().tolist())
    assert told["homophily"] == graph.homophily()


def test_generated_and_published_are_compared_on_the_levels_they_share():
    generated = rows(lambda v, h: 50 + 20 * h * (v == "sum"))
    published = rows(lambda v, h: 55 + 25 * h)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = likeness.beside_published(generated, published[published.level < 1]).set_index("variant")
    assert table.loc["sum", "difference"] == pytest.approx((5 + 7.5) / 2)
    assert table.loc["sum", "its range"] == "5.0 to 7.5"
    assert table.loc["sum", "rank corr."] == pytest.approx(1)
    assert pd.isna(table.loc["mlp", "rank corr."])  # a perceptron that sees no edges, on equal features
