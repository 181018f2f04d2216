"""The figures of the chapter on arrowhead spectra, drawn from few data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn import words

from flowprune.experiments.pictures import arrowhead as pictures
from flowprune.experiments.theory import arrowhead as theory
from flowprune.experiments.theory import nameable


def test_bars_of_a_pair_are_equally_high():
    L, c = theory.example(3, 0)
    fig = pictures.pair(L, c)
    plane, bars = fig.axes
    plus, minus = ([bar.get_height() for bar in group] for group in bars.containers)
    np.testing.assert_allclose(plus, minus, atol=1e-12)
    assert sum(plus) == pytest.approx(1) and len(plus) == len(L)
    points = plane.collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 0] + 1j * points[:, 1], np.linalg.eigvals(L))
    assert f"{c}\nvisited" in words(fig)


def test_zeros_of_the_secular_function_leave_the_axis_with_negative_feedback():
    d, b = [1.0, 3.0, 5.0], [1.0, 1.5, 1.0]
    fig = pictures.secular_slider(d, b, 4.0, [2.0, -3.0])
    assert [frame.name for frame in fig.frames] == ["2", "-3"]
    kept, left = (np.array(frame.data[1].x) for frame in fig.frames)
    assert len(kept) == 4 and len(left) == 2
    for λ in kept:
        assert λ - 4 - 2 * (np.array(b) / (λ - np.array(d))).sum() == pytest.approx(0, abs=1e-9)
    assert None in fig.frames[0].data[0].y  # open at the poles
    said = words(pictures.secular(d, b, 4.0, [2.0, -3.0]))
    assert "all real" in said and "a pair: " in said


def test_the_matrix_of_names_marks_the_edges_below_the_diagonal():
    L, _ = theory.example(2, 0)
    fig = pictures.names(2, L)
    can = fig.axes[0].images[0].get_array()
    assert np.argwhere(can.filled(0) == 1).tolist() == [[3, 2], [4, 3]]
    assert np.ma.getmaskarray(np.ma.masked_invalid(can)).sum() == 25 - 12
    assert "can be named: 2 of 12" in words(fig)


def test_counts_stand_at_means_beside_the_ceiling():
    rows = [
        {"h": h, "mode": mode, "edges": (h + 1) * (h + 2), "removed": k, "strengths": [1e-17] * (mode == "D")}
        for h in (1, 2)
        for mode, k in (("D", 0), ("D", 1), ("DW", h), ("DW", h))
    ]
    fig = pictures.counts(nameable.predicted([1, 2]), pd.DataFrame(rows))
    lines = [line.get_ydata().tolist() for line in fig.axes[0].lines]
    assert lines[:2] == [[1, 2], [0.5, 0.5]] and lines[2] == [1, 2]
    assert "most that can be named" in words(fig)
    fig = pictures.strengths(pd.DataFrame(rows))
    assert sorted(len(line.get_ydata()) for line in fig.axes[0].lines[:2]) == [0, 4]
    assert "rounding of one operation" in words(fig)


def test_the_published_step_of_an_output_does_not_vanish_where_it_is_wrong():
    learning = pd.DataFrame({"h": 2, "update": [1, 1, 2], "cosine": [0.2, 0.4, 1.0]})
    fig = pictures.local_step(learning)
    published, squared = (line.get_ydata() for line in fig.axes[0].lines)
    assert published[0] == pytest.approx(0.15, rel=1e-3) and squared[0] < 1e-3
    np.testing.assert_allclose(fig.axes[1].lines[0].get_ydata(), [0.3, 1.0])
    assert "h = 2" in words(fig)
