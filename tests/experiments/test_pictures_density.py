"""Figures of the chapter on density and homophily show what their tables hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flowprune.experiments import density, density_leads
from flowprune.experiments.pictures import density as pictures
from flowprune.experiments.theory.neighbourhood import critical


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    places = [
        (f, d, h, g)
        for f in ("syn-cora", "syn-products")
        for d in (4.0, 16.0)
        for h in (0.0, 0.4, 0.8)
        for g in range(3)
    ]
    return pd.DataFrame(
        [
            dict(zip(density.PLACE, place, strict=True))
            | {"network": network, "accuracy": rng.uniform(40, 90)}
            | {"removed": 0.2 if "DYNAMO" in network else np.nan, "same_removed": 0.3, "same_kept": 0.5}
            for place in places
            for network in ("MLP", *density.NETWORKS)
        ]
    )


def test_the_mean_over_neighbours_is_drawn_measured_and_predicted():
    told = density.by_neighbours(["syn-cora"], [120], [4.0, 11.0], [0.0, 0.4, 1.0], 1.5, draws=1)
    axis = pictures.neighbours(told).axes[0]
    drawn = [line.get_ydata() for line in axis.lines]
    for _, part in told.groupby("degree"):
        assert any(np.array_equal(y, 100 * part.predicted) for y in drawn)
        assert any(np.array_equal(y, 100 * part.measured) for y in drawn)
    assert any(list(line.get_xdata()) == [critical(5)] * 2 for line in axis.lines)


def test_accuracies_draw_every_network_of_a_panel(rows):
    fig = pictures.accuracies(rows)
    assert len(fig.axes) == 4
    first = rows[(rows.family == "syn-cora") & (rows.degree == 4) & (rows.network == "GAT")]
    lines = {line.get_label(): line.get_ydata() for line in fig.axes[0].lines}
    assert set(lines) == {"MLP", *density.NETWORKS}
    np.testing.assert_allclose(lines["GAT"], first.groupby("homophily").accuracy.mean())


def test_differences_hold_the_mean_leads(rows):
    fig = pictures.differences(rows)
    assert len(fig.axes) == 6
    leads = density_leads.leads(rows[rows.family == "syn-cora"], "DYNAMO (−)", "GAT")
    means = leads.groupby(["degree", "homophily"])["lead"].mean()
    assert [t.get_text() for t in fig.axes[0].texts] == [f"{round(x):+d}" for x in means]
    assert "DYNAMO (−) against GAT: by degree" in density_leads.in_words(rows)


def test_what_is_left_is_a_dot_a_network_and_losses_a_dot_a_node(rows):
    worth = density_leads.worth(rows)
    fig = pictures.signal_left(worth)
    dots = [line for axis in fig.axes for line in axis.lines if line.get_marker() == "."]
    assert sum(len(line.get_xdata()) for line in dots) == worth.network.isin(density_leads.READINGS).sum()
    degree, lost = np.array([1, 2, 3, 4, 5]), np.array([1.0, 0.5, 0.5, 0.0, 0.25])
    axis = pictures.lost_by_degree(degree, lost).axes[0]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), 100 * lost)


def test_the_table_has_seven_columns_and_bold_only_where_clear(rows):
    assert density_leads.cell_table(density_leads.contrasts(rows)).shape == (6, 7)
    found = pd.DataFrame({"degree": [4.0, 4.0], "homophily": [0.0, 0.4], "lead": [2.0, -1.0]})
    found = found.assign(lower=found["lead"] - 1, upper=found["lead"] + 1, p=[0.01, 0.2])
    cells = density_leads.cell_table({("a", "b"): found})["a − b"]
    assert [x.data for x in cells] == ["<b>+2.0 (+1.0 to +3.0)</b>", "-1.0 (-2.0 to +0.0)"]
