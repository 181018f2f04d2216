"""The figures of the chapters on noise and on pruned spectra, drawn from few data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import words

from flowprune.experiments.pictures import noise as noise_pictures
from flowprune.experiments.pictures import pruned_spectrum as pictures
from flowprune.experiments.theory import noise, preservation, pruning_rate
from flowprune.experiments.theory import pruned_spectrum as theory
from flowprune.graphs import load


@pytest.fixture(scope="module")
def barbell():
    return load("barbell?m=4").to(dtype=torch.float64)


def test_maps_of_scores_leave_the_diagonal_out_and_have_mean_one(barbell):
    fig = noise_pictures.scores_by_layer(barbell, [0, 1, 8], channels=200, seed=0)
    edges, *maps = (axis.images[0].get_array() for axis in fig.axes)
    assert np.array_equal(np.asarray(edges), barbell.adjacency.to_dense().numpy())
    for S in maps:
        off = np.ma.filled(S.astype(float), np.nan)
        assert np.isnan(np.diag(off)).all()
        assert np.nanmean(off) == pytest.approx(1)
    late = np.ma.filled(maps[-1].astype(float), np.nan)
    assert np.nanmean(late[:4, :4]) < np.nanmean(late[:4, 4:])
    said = words(fig)
    assert "fresh noise" in said and "1 layer |" in said + " |" and "8 layers" in said


def test_the_bridge_is_drawn_widest_and_says_one(barbell):
    fig = noise_pictures.resistances(barbell)
    widths = [line.get_linewidth() for line in fig.axes[0].lines]
    assert max(widths) == pytest.approx(5.6) and sum(w == max(widths) for w in widths) == 1
    assert {"1.00", "0.50"} <= set(words(fig).split(" | "))


def test_convergence_and_told_apart_draw_every_instance():
    rates = pd.DataFrame(
        {"T": [32, 64], "measured": [0.2, 0.1], "exact": [0.2, 0.1], "low": 0.05, "high": 0.3}
    )
    fig = noise_pictures.convergence(rates, [2.0, -1.0, 0.5])
    np.testing.assert_allclose(fig.axes[1].lines[1].get_ydata(), [-1, 0.5, 2])
    assert "32" in words(fig)
    found = noise.separation(9, [0, 1], channels=8, seed=0)
    fig = noise_pictures.told_apart(found)
    dots = [line for line in fig.axes[0].lines if len(line.get_xdata()) == len(found)]
    np.testing.assert_allclose(dots[1].get_ydata(), found[1])
    assert "fresh noise" in words(fig)


def test_preservation_draws_medians_by_rule():
    compared = preservation.compare(2, [0.5, 0.8], seed=0)
    fig = noise_pictures.preservation(compared)
    medians = compared.groupby(["rule", "kept"])["error"].median()
    np.testing.assert_allclose(fig.axes[0].lines[0].get_ydata(), medians["noise-prune"])
    said = words(fig)
    assert all(rule in said for rule in preservation.RULES)


def test_rates_and_shares():
    scene = pruning_rate.Scene.of("syn-cora?homophily=0.7&n=60&words=40&seed=1", 8, 0)
    rates, share = np.geomspace(0.1, 10, 3), np.array([0.0, 0.5, 1.0])
    said = words(noise_pictures.collapse(rates, {0.1: (share, share), 1.0: (share, share)}, {0.1: share}))
    assert "σ = 0.1" in said and "r₀σ²" in said
    found = pd.DataFrame({"reading": ["one state"] * 2 + ["draws"] * 2, "σ": [0.1, 1.0] * 2})
    said = words(noise_pictures.wanted_rates(scene, found.assign(measured=1.0, closed=1.0)))
    assert "σ*" in said and "2σ² = mean score" in said
    best = {(0.5, sign): np.array([[0.5, 0.6], [0.7, 0.6]]) for sign in theory.SIGNS}
    fig = noise_pictures.best_share([0.0, 1.0], best)
    np.testing.assert_allclose(fig.axes[0].containers[0].lines[0].get_ydata(), [60, 60])
    assert "homophily 0.5" in words(fig)


def test_spectra_end_at_one_where_rows_sum_to_one(barbell):
    layers = pictures.pruned_layers(barbell, 0.5, seed=0)
    assert list(layers) == list(theory.SIGNS)
    assert all(torch.equal(layer.A, layers["minus"].A) for layer in layers.values())
    full, pruned, again = pictures._rows(layers["minus"])
    assert full[0] == pytest.approx(1) == again[0] and pruned[0] < 1 - 1e-6
    said = words(pictures.spectra(layers))
    assert f"γ = {theory.gap(layers['plus'].A):.2f}" in said and "recalibrated" in said


def test_the_slider_moves_the_middle_row(barbell):
    fig = pictures.spectra_slider(barbell, [0.0, 0.5, 1.0], 0, "minus")
    assert [frame.name for frame in fig.frames] == ["0", "0.5", "1"]
    largest = [frame.data[0].x[barbell.n] for frame in fig.frames]
    assert largest[0] == pytest.approx(1) and largest == sorted(largest, reverse=True)


def test_counterexamples_say_what_changed_and_dash_what_is_pruned():
    A = theory.even(load("path?n=4").to(dtype=torch.float64))
    p = torch.zeros(4, 4, dtype=torch.float64)
    p[1, 2] = p[2, 1] = 1
    bridge = theory.Layer(A, p, torch.eye(4, dtype=torch.float64))
    fig = pictures.counterexamples({"bridge": (bridge, True), "again": (bridge, False)})
    assert [line.get_linestyle() for line in fig.axes[0].lines] == ["-", "--", "-"]
    said = words(fig)
    assert "rank  3 → 1" in said and "rank  3 → 2" in said and "ρ  1.00 → 1.00" in said


def test_gaps_and_floors():
    fig = pictures.gaps(theory.survey(6, seed=0))
    assert [len(line.get_xdata()) for line in fig.axes[0].lines] == [2, 6, 6, 6]
    assert "not recalibrated" in words(fig)
    floors = pd.DataFrame([theory.noise_floor(20, 2, signal, 10, 0) for signal in (0.0, 5.0)])
    fig = pictures.floors(floors)
    np.testing.assert_allclose(fig.axes[0].lines[0].get_ydata(), [0.95, 0.95])
    assert "N = 20" in words(fig)
