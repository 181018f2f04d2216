"""Figures of the chapter on growing graphs show what their tables hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flowprune.experiments import growth_study as study
from flowprune.experiments.growth import MODELS
from flowprune.experiments.pictures import growth as pictures
from flowprune.study.stats import Interval

SIZES = [1000, 10000, 100000]


def times() -> pd.DataFrame:
    places = study.PLACES.values()
    cells = [(E, s, p, m) for E in SIZES for s in places for p in study.PHASES for m in MODELS]
    rows = pd.DataFrame(cells, columns=["edges", "place", "phase", "model"])
    far = np.where(rows.place == study.ANYWHERE, 2.0, 1.0)
    median = rows.edges * np.where(rows.phase == "step", 3.0, 1.0) * far / 1000
    return rows.assign(width=16, median=median, low=0.9 * median, high=1.2 * median)


def held() -> pd.DataFrame:
    rows = [{"edges": E, "model": m, "width": 16, "bytes": 400.0 * E} for E in SIZES for m in MODELS]
    return pd.DataFrame(rows).assign(status="done")


def reached() -> pd.DataFrame:
    rows = [{"edges": E, "homophily": h, "graph": i} for E in SIZES for h in (0.8, 0.2) for i in range(2)]
    points = {"gat": 80.0, "dynamo": 70.0, "mlp": 50.0, "one shot": 75.0}
    table = pd.DataFrame(rows).assign(**points)
    table.loc[table.edges == SIZES[-1], ["mlp", "one shot"]] = np.nan
    table["dynamo"] += table.graph  # the two graphs differ by a point
    return table


def lines(axis) -> list:
    return [c.lines[0] for c in axis.containers]


def test_three_ways_cross_the_end_of_the_machine_in_order():
    axis = pictures.ways(16, 16).axes[0]
    ends = [np.interp(16, line.get_ydata(), line.get_xdata()) for line in axis.lines[:3]]
    assert ends[0] < ends[1] < ends[2]
    assert 4 * (ends[0] / 10) ** 2 == pytest.approx(16e9, rel=0.05)


def test_times_draw_a_line_a_model_and_place_and_one_of_slope_one():
    fig = pictures.times(times())
    for axis, phase in zip(fig.axes, study.PHASES, strict=True):
        drawn = {c.get_label(): np.array(c.lines[0].get_ydata(), float) for c in axis.containers}
        assert len(drawn) == 6
        rows = times()
        part = rows[(rows.phase == phase) & (rows.place == study.ANYWHERE) & (rows.model == "gat")]
        np.testing.assert_allclose(drawn["GAT, neighbours anywhere"], part["median"])
        guide = next(line for line in axis.lines if line.get_linestyle() == ":")
        x, y = guide.get_data()
        assert np.log(y[1] / y[0]) / np.log(x[1] / x[0]) == pytest.approx(1)


def test_memory_is_drawn_on_to_where_the_machine_is_full():
    room = study.room(held(), 16)
    assert room["gat"] == pytest.approx(4e7)
    widths = study.per_edge(held().assign(width=[8, 8, 16, 16, 32, 32], edges=1000))
    left, right = pictures.memory(study.per_edge(held()), widths, room, 16).axes
    rings = [line for line in left.lines if line.get_markersize() == 7]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in rings] == [(4e7, 16)] * 2
    np.testing.assert_allclose(right.lines[0].get_xdata(), [8, 16, 32])


def test_passes_begin_whole_and_lie_against_the_band():
    ratio = [Interval(1 - 0.9 * s, 0.98 - 0.9 * s, 1.02 - 0.9 * s, 0.95, 5) for s in (0.2, 0.5)]
    found = pd.DataFrame({"edges": 1000, "removed": [0.2, 0.5], "time": ratio})
    axis = pictures.passes(found).axes[0]
    np.testing.assert_allclose(lines(axis)[0].get_ydata(), [1, 0.82, 0.55])
    band = axis.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(-0.2) and band[:, 1].max() == 1
    assert pictures.saved_in_words(found) == "With 1,000 edges: 0.82 at 20 %, 0.55 at 50 %."


def test_accuracy_draws_means_and_ranges_and_leaves_out_what_was_not_trained():
    fig = pictures.accuracy(reached())
    assert [axis.get_title() for axis in fig.axes] == ["homophily 0.8", "homophily 0.2"]
    drawn = {c.get_label(): c for c in fig.axes[0].containers}
    assert list(drawn) == ["MLP", "GAT", "DYNAMO-GAT", "pruned at once"]
    assert list(drawn["DYNAMO-GAT"].lines[0].get_ydata()) == [70.5] * 3
    bars = drawn["DYNAMO-GAT"].lines[2][0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], [[70, 71]] * 3)
    assert list(drawn["pruned at once"].lines[0].get_xdata()) == SIZES[:2]
    assert "at homophily 0.8 GAT 80 and DYNAMO-GAT 70 %" in pictures.reached_in_words(reached())


def test_a_node_that_is_left_alone_listens_to_itself():
    axis = pictures.self_weight([1, 20]).axes[0]
    for line, k in zip(axis.lines, (1, 20), strict=True):
        assert line.get_ydata()[0] == pytest.approx(1 / (1 + k)) and line.get_ydata()[-1] == 1


def test_tables_and_words_hold_the_numbers():
    exponents = study.exponents(times(), held())
    assert len(exponents) == 14
    table = study.exponent_table(exponents)
    assert table["95 % interval"].tolist() == ["1.00 to 1.00"] * 14
    assert "step of DYNAMO-GAT, neighbours near 1.00" in pictures.in_words(exponents)
    wide = study.width_table(
        times()[lambda t: (t.place == study.ANYWHERE) & (t.edges == 1000)], study.per_edge(held().iloc[:2])
    )
    assert wide.iloc[0].tolist() == [16, 2.0, 2.0, 6.0, 6.0, 400, 400]
    contrasts = study.contrasts(reached())
    assert study.contrast_table(contrasts).difference.tolist() == [-9.5] * 6
    assert len(study.contrasts(reached(), "one shot")) == 4


def test_attention_to_itself_is_told_at_the_largest_size_with_the_control():
    rows = [
        {"edges": E, "homophily": 0.8, "model": m, "graph": 0, "own": w, "removed": 0.2, "test_accuracy": 0.5}
        for E, models in ((1000, ("gat", "dynamo", "one shot")), (10000, ("gat", "dynamo")))
        for m, w in zip(models, (0.05, 0.4, 0.06), strict=False)
    ]
    table = study.own(pd.DataFrame(rows).assign(status="done"))
    assert table.model.tolist() == ["GAT", "DYNAMO-GAT", "pruned at once"] and (table.edges == "1,000").all()
    assert table["attention to itself"].tolist() == pytest.approx([5, 40, 6])
