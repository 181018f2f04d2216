"""The figures of the chapter on what always smooths, drawn from few data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import words

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import Spectrum
from flowprune.experiments.pictures import smoothing as pictures
from flowprune.experiments.theory import never_high
from flowprune.graphs import load


@pytest.fixture
def karate():
    return load("karate").to(dtype=torch.float64)


def test_the_first_picture_shows_what_the_text_says(karate):
    """Harmonic smooth, GRAND constant and not smooth, CGNN between, long steps at the top."""
    signals = pictures.late_states(karate, seed=0)
    energy = {name: (normalised_energy(karate, x) * 2 / karate.rho).item() for name, x in signals.items()}
    assert energy["harmonic"] == pytest.approx(0, abs=1e-12)
    assert signals["GRAND"].std().item() < 1e-9 * signals["GRAND"].abs().max().item()
    assert 0.05 < energy["GRAND"] < energy["CGNN, Ω̃ = −½"] < energy["long step"]
    assert energy["long step"] == pytest.approx(1, abs=0.01)
    said = words(pictures.states(karate, signals))
    assert all(name in said for name in signals)
    assert "\n-0" not in said


def test_a_step_beyond_two_lifts_the_top_above_one(karate):
    spectrum, reaches = Spectrum.of(karate), [1.0, 3.0]
    slider = pictures.step_gain_slider(spectrum, reaches)
    assert [frame.name for frame in slider.frames] == ["1", "3"]
    short, long = (np.array(frame.data[0].y) for frame in slider.frames)
    assert short.max() == pytest.approx(1) and short.argmax() == 0
    assert long.max() == pytest.approx(2) and long.argmax() == karate.n - 1
    assert "τρ_Δ‖W‖² = 3" in words(pictures.step_gain(spectrum, reaches))


def test_sorted_energies_name_every_model():
    found = never_high.search(3, R=8)
    fig = pictures.relative_energies(found)
    lines = [line for line in fig.axes[0].lines if len(line.get_xdata()) > 2]
    assert all((np.diff(line.get_ydata()) >= 0).all() for line in lines)
    said = words(fig)
    assert all(model in said for model in never_high.MODELS)


def test_constant_vectors_rise_with_the_graph():
    fig = pictures.constant_vectors([3, 10, 30], [1, 2, 3])
    star, core = (line.get_ydata() for line in fig.axes[0].lines[:2])
    assert (np.diff(star) > 0).all() and (np.diff(core) > 0).all()
    assert max(star) < 0.5
    assert "core and rim" in words(fig)


def test_layers_draw_a_band_over_splits_before_and_after():
    row = {"depth": 2, "energy": [4.0, 2.0, 1.0], "direction": [0.4, 0.2, 0.1]}
    row |= {"energy_at_first": [4.0, 0.4, 0.04], "direction_at_first": [0.4, 0.1, 0.0]}
    other = row | {"energy": [8.0, 4.0, 2.0]}
    fig = pictures.layers(pd.DataFrame([row, other]))
    first, trained = (line.get_ydata() for line in fig.axes[0].lines)
    np.testing.assert_allclose(first, [4.0, 0.4, 0.04])
    np.testing.assert_allclose(trained, [6.0, 3.0, 1.5])
    said = words(fig)
    assert "E_Dir(F)" in said and "layer" in said
