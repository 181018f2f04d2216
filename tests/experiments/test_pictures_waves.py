"""The figures of the chapter on oscillating networks, drawn from few data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import words

from flowprune.dynamics.spectra import Spectrum
from flowprune.experiments.pictures import waves as pictures
from flowprune.experiments.theory.waves import Swing
from flowprune.graphs import load


@pytest.fixture(scope="module")
def karate():
    return load("karate").to(dtype=torch.float64)


def test_the_first_picture_shows_what_the_text_says(karate):
    """Undamped: both stay. Strong friction: both fall. Weak friction: only the first falls."""
    swings = {"strong": Swing(4.0, 1.2), "weak": Swing(0.5, 1.2), "none": Swing(0.0, 1.2)}
    fig = pictures.energies_over_time(karate, swings, seed=0)
    ends = {}
    for energy, relative in zip(*(axis.lines for axis in fig.axes), strict=True):
        ends[energy.get_label()] = energy.get_ydata()[-1], relative.get_ydata()[-40:].mean()
    assert all(ends[name][0] < 1e-3 for name in ("heat", "strong", "weak")) and ends["none"][0] > 0.1
    assert all(ends[name][1] < 0.05 for name in ("heat", "strong"))
    assert all(ends[name][1] > 0.3 for name in ("weak", "none"))
    assert "E_Dir(F/‖F‖)" in words(fig)


def test_roots_stand_on_a_line_until_the_smooth_ones_turn_back(karate):
    s = Spectrum.of(karate)
    fig = pictures.roots_slider(s, 1.0, 1.2, [0.5, 2.0])
    assert [frame.name for frame in fig.frames] == ["0.5", "2"]
    weak, strong = (np.array(frame.data[0].x) for frame in fig.frames)
    np.testing.assert_allclose(weak, -0.25, atol=1e-9)
    assert strong.max() == pytest.approx(-1 + np.sqrt(1 - 0.2)) and strong.min() < -1
    colour = np.array(fig.frames[1].data[0].marker.color)
    assert colour[strong.argmax()] == pytest.approx(0, abs=1e-9)
    said = words(pictures.roots(s, 1.0, 1.2, [0.5, 2.0]))
    assert "α = 0.5" in said and "α = 2" in said


def test_bars_on_the_map_hold_all_modes_of_the_identity():
    fig = pictures.regions({"one": Swing(1.0, 1.0, 1.0), "half": Swing(0.5, 2.0, 0.5)})
    one, half = fig.axes[0].lines[:2]
    np.testing.assert_allclose(one.get_xdata(), [0, 2])
    np.testing.assert_allclose(half.get_xdata(), [0.25, 0.75])
    said = words(fig)
    assert "no frequency wins" in said and "one" in said


def test_one_edge_merges_with_friction_and_swings_without():
    fig = pictures.one_edge({"a": Swing(1.0, 1.0, 0.5), "b": Swing(0.0, 1.0, 0.5)}, (1.5, 0.5), 30)
    apart = [np.subtract(*(line.get_ydata() for line in axis.lines)) for axis in fig.axes]
    assert apart[0][0] == apart[1][0] == 1
    assert abs(apart[0][-1]) < 1e-3 and abs(apart[1][-10:]).max() > 0.5
    assert "layer" in words(fig)


def test_layers_draw_medians_before_and_after_over_the_first_value():
    row = {
        "depth": 2,
        "damping": 0.0,
        "stiffness": 1.0,
        "energy": [4.0, 2.0, 1.0],
        "direction": [0.4, 0.2, 0.1],
    }
    row |= {"energy_at_first": [4.0, 0.4, 0.04], "direction_at_first": [0.4, 0.1, 0.0]}
    fig = pictures.layers(pd.DataFrame([row, row | {"energy": [4.0, 4.0, 4.0]}]))
    before, after, *_ = (line.get_ydata() for line in fig.axes[0].lines)
    np.testing.assert_allclose(before, [1, 0.1, 0.01])
    np.testing.assert_allclose(after, [1, 0.75, 0.625])
    assert "α = 0, γ = 1" in words(fig)
