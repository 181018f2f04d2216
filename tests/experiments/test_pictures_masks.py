"""Figures of the chapter on masks show what their tables hold."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from flowprune.experiments import masks_study as study
from flowprune.experiments.pictures import masks as pictures
from flowprune.pruning.saliency import METHODS


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_every_method_has_its_own_colour_and_mark():
    assert set(pictures.METHOD_COLOURS) == set(pictures.MARK) == set(METHODS)
    assert len(set(pictures.METHOD_COLOURS.values())) == len(set(pictures.MARK.values())) == len(METHODS)
    assert [pictures.name(m) for m in ("random", "snip", "erdos-renyi")] == ["random", "SNIP", "no network"]


def test_masks_are_shown_above_their_averages():
    M = np.zeros((16, 16), bool)
    M[:8, :4] = True
    axes = pictures.sorting({"one": M, "two": ~M}).axes
    above, below = axes[:2], axes[2:]
    np.testing.assert_array_equal(above[1].images[0].get_array(), ~M)
    W = below[0].images[0].get_array()
    assert W.shape == (8, 8) and W[0, 0] == 1 and W[0, 2] == 0
    assert [a.get_title() for a in above] == ["one", "two"]
    assert below[0].get_xlabel() == "density 0.00 to 1.00"


def test_limits_have_a_row_for_the_narrowest_and_the_widest():
    rows = [
        {"method": m, "width": n, "mean_sorted": [n + 10 * k] * 1024}
        for n in (100, 200, 500)
        for k, m in enumerate(("random", "snip"))
    ]
    axes = pictures.limits(pd.DataFrame(rows)).axes[:4]
    assert [a.get_title() for a in axes[:2]] == ["random", "SNIP"]
    assert [a.get_ylabel() for a in axes] == ["width 100", "", "width 500", ""]
    assert axes[3].images[0].get_array()[3, 4] == pytest.approx(0.51)


def test_distances_are_drawn_beside_the_null_curve():
    to_widest = pd.DataFrame(
        {
            "method": ["random", "random", "snip", "snip"],
            "width": [100, 200] * 2,
            "distance": [0.02, 0.01, 0.1, 0.0],
            "error": [0.001, 0.001, 0.01, 0.01],
            "null": [0.021, 0.011] * 2,
        }
    )
    cells = pd.DataFrame(
        {
            "method": ["random", "snip"],
            "width": [100, 100],
            "constant_sorted": [[0.1, 0.12, 0.11], [0.3, 0.3, 0.36]],
        }
    )
    constant = study.own_constants(cells)
    assert constant["mean"].tolist() == pytest.approx([0.11, 0.32])
    assert (constant.lower < constant["mean"]).all() and (constant.upper > constant["mean"]).all()
    null = study.null_curve([100, 200], 0.2)
    assert null.distance[0] / null.distance[1] == pytest.approx(2**0.5, rel=0.1)
    left, right = pictures.convergence(to_widest, constant, null).axes
    drawn = {line.get_label(): line.get_ydata() for line in left.lines}
    assert drawn["flat mask, formula"].tolist() == [0.021, 0.011]
    points = [c[0].get_ydata() for c in left.containers]
    assert points[0].tolist() == [0.02, 0.01] and points[1][0] == 0.1 and np.isnan(points[1][1])
    dotted = [line for line in right.lines if line.get_linestyle() == ":"]
    assert dotted[0].get_ydata().tolist() == null.distance.tolist()
    assert left.get_xscale() == right.get_yscale() == "log"


def test_bars_reach_over_all_masks():
    rows = [
        {
            "method": m, "budget": "global", "width": n, "rest": [0.2 * k, 0.2 * k, 9.0], "rest_null": [0.1, 0.1],
            "fine": [0.4, 0.4, 9.0], "predicted": [0.1 * k, 0.1 * k], "share": [0.5, 0.5],
        }
        for m in ("snip", "grasp") for n in (100, 200) for k in (1, 3)
    ]  # fmt: skip
    found = study.beyond(pd.DataFrame(rows))
    assert len(found) == 4 and found.rest.tolist() == pytest.approx([4] * 4)
    assert found.rest_least.tolist() == pytest.approx([2] * 4)
    assert found.error_most.tolist() == pytest.approx([0.75] * 4)
    left, right = pictures.beyond(found).axes
    assert left.containers[0][0].get_ydata().tolist() == pytest.approx([4, 4])
    (segments,) = right.containers[0][2]
    assert segments.get_segments()[0][:, 1].tolist() == pytest.approx([0.25, 0.75])
    assert left.get_ylim()[1] > 6


def test_flat_masks_reach_the_norm_of_their_limit():
    found = study.operators([60, 300], 0.3)
    assert found.ratio.tolist() == pytest.approx([1, 1], abs=0.08)
