"""Figures of the chapter on the Graphon NTK show what their tables hold."""

import numpy as np
import pandas as pd
import pytest

from flowprune.experiments.pictures import kernel as pictures


def test_kernels_are_sorted_by_class_on_one_scale():
    K = np.arange(9.0).reshape(3, 3)
    axes = pictures.limit(np.eye(4), {"a": K, "b": 2 * K}, [1, 0, 1]).axes
    shown = axes[1].images[0].get_array()
    np.testing.assert_array_equal(shown, K[np.ix_([1, 0, 2], [1, 0, 2])])
    assert {axis.images[0].get_clim() for axis in axes[1:]} == {(0, 16)}


def test_distances_fall_beside_a_line_of_slope_one_half():
    rows = [
        ("near", 2, activation, n, 3 * n**-0.5, 0.1 / n if n < 200 else 0.0, 0.1)
        for activation in ("relu", "erf")
        for n in (50, 100, 200)
    ]
    table = pd.DataFrame(
        rows, columns=["graphon", "hidden", "activation", "width", "apart", "bias", "spread"]
    )
    axes = pictures.approach(table).axes
    assert [axis.get_title() for axis in axes] == ["2 hidden, ReLU", "2 hidden, erf"]
    apart, bias, line = axes[0].lines
    np.testing.assert_allclose(apart.get_ydata(), 3 / np.sqrt([50, 100, 200]))
    np.testing.assert_array_equal(bias.get_xdata(), [50, 100])  # nothing is left at the widest
    (x0, x1), (y0, y1) = line.get_data()
    assert np.log(y1 / y0) / np.log(x1 / x0) == pytest.approx(-0.5)


def test_powers_are_bars_over_all_pairs_of_samples():
    rows = [
        ("relu", 2, "all", "all", 2.0, 2.0),
        ("erf", 2, "kept", "all", 2.1, 2.6),
        ("erf", 2, "kept", "not the last", 9, 9),
    ]
    table = pd.DataFrame(rows, columns=["activation", "hidden", "masked", "counted", "least", "largest"])
    table = table.rename(columns={"masked": "counted", "counted": "masked"})
    left, right = pictures.powers(table).axes
    assert left.lines[0].get_ydata()[0] == 2 and right.lines[0].get_ydata()[0] == 3
    assert 2.0 in left.lines[1].get_ydata()
    spans = [s for c in right.collections for s in c.get_segments()]
    assert [tuple(s[:, 1]) for s in spans] == [(2.1, 2.6)]


def test_methods_have_a_line_in_each_case():
    rows = [
        {"method": m, "width": n}
        | {f"{k}{e}": v for k in ("own", "fresh", "sampled") for e, v in (("", 1 / n), ("_se", 0.001))}
        for m in ("random", "snip")
        for n in (50, 100)
    ]
    axes = pictures.dependence(pd.DataFrame(rows)).axes
    assert [axis.get_title() for axis in axes] == list(pictures.CASES.values())
    assert all(len(axis.containers) == 2 for axis in axes)


def test_zero_frequencies_are_open_marks():
    axis = pictures.circle({1: np.array([1, 0.5, 0.1, 0, *[0.01] * 8]), 2: np.full(12, 0.1)}).axes[0]
    opened = [
        line for line in axis.lines if line.get_markerfacecolor() == "#ffffff" and len(line.get_xdata())
    ]
    assert [list(np.round(line.get_xdata())) for line in opened] == [[3]]


def test_errors_stand_over_their_bounds():
    rows = [("constant 1", "even", 64, 0.9, 0.3), ("left half", "by lot", 64, 8.0, 0.7)]
    table = pd.DataFrame(rows, columns=["graphon", "target", "samples", "bound", "error"])
    axis = pictures.bounds(table).axes[0]
    points = {tuple(np.ravel(line.get_data())) for line in axis.lines if len(line.get_xdata()) == 1}
    assert points == {(0.9, 0.3), (8.0, 0.7)}
