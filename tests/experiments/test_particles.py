"""Particles: what is followed, how it is decoded, what decides; and the figures of both chapters on energies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import words
from scipy.linalg import expm

from flowprune.experiments import particles
from flowprune.experiments.pictures import energies as energy_pictures
from flowprune.experiments.pictures import particles as pictures
from flowprune.experiments.theory import edges
from flowprune.graphs import load

pytestmark = pytest.mark.usefixtures("nothing_left_open")
TIMES = np.linspace(0, 2, 5)


@pytest.fixture
def graph():
    return particles.block_graph(60, 0.1, seed=3)


@pytest.fixture
def followed(graph):
    return {name: particles.followed(graph, W, TIMES) for name, W in particles.MIXINGS.items()}


def test_positions_are_those_of_the_matrix_exponential(graph, followed):
    Ā = graph.norm_adjacency.to_dense().numpy()
    for name, W in particles.MIXINGS.items():
        w = W.diagonal().numpy()
        F = np.stack([expm(TIMES[-1] * w[k] * Ā) @ graph.features[:, k].numpy() for k in (0, 1)], 1)
        np.testing.assert_allclose(followed[name][0][-1], F / np.abs(F).max(), atol=1e-9)


def test_the_energy_of_normalised_features_falls_under_both(followed):
    for _, frame in followed.values():
        assert (np.diff(frame.total) < 1e-12).all()
    (_, repelled), (_, attracted) = followed.values()
    assert repelled.dirichlet.iloc[-1] > attracted.dirichlet.iloc[-1]
    assert repelled.grow.notna().all() and attracted.grow.isna().all()


def test_the_decoder_reads_nodes_that_it_was_not_fitted_on(graph):
    fitted = particles.halves(graph)
    assert abs(int(fitted.sum()) - graph.n / 2) <= 1
    label = graph.labels.double().unsqueeze(1)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((graph.n, 2)))
    assert particles.decoded(graph, label + 0.01 * noise, fitted) == 100
    told = torch.from_numpy(fitted).unsqueeze(1) * label + 0.01 * noise  # labels of the fitted half alone
    assert particles.decoded(graph, told, fitted) < 80


def test_the_decoder_does_not_feel_the_scale_of_a_channel(graph):
    fitted, scale = particles.halves(graph), torch.tensor([1e-6, 1e3], dtype=torch.float64)
    plain = particles.decoded(graph, graph.features, fitted)
    assert particles.decoded(graph, graph.features * scale, fitted) == plain


def test_repulsion_separates_and_attraction_does_not():
    heterophilic, homophilic = (particles.separation(h, 8, 100, 3.0) for h in (0.1, 0.9))
    evidence = particles.particle_evidence(heterophilic, homophilic)
    assert evidence["graphs"] == 8
    assert evidence["sign_lower"] > 10
    swapped = particles.particle_evidence(homophilic, heterophilic)
    assert swapped["sign_upper"] < evidence["sign_lower"]
    assert swapped["mirror_lower"] < 0


def test_without_signal_at_time_zero_nothing_is_gained():
    table = particles.separation(0.1, 4, 60, 0.0)
    both, one = particles.MIXINGS
    assert (table[both] == table["start"]).all() and (table[one] == table["start"]).all()


def test_the_moving_figure_has_a_frame_for_every_time_and_moves_only_what_moves(graph, followed):
    fig, still = pictures.moving(followed, graph.labels.numpy())
    assert [frame.name for frame in fig.frames] == ["0.00", "0.50", "1.00", "1.50", "2.00"]
    for frame in fig.frames:
        assert len(frame.traces) == len(frame.data) == 7
        assert sum(len(dots.x) for dots in frame.data[:4]) == 2 * graph.n
    first, last = fig.frames[0].data[6], fig.frames[-1].data[6]
    assert first.x == (0.0, 0.0) and last.x == (2.0, 2.0)
    assert last.y == tuple(frame.accuracy.iloc[-1] for _, frame in followed.values())
    assert {fig.data[i].xaxis for i in fig.frames[0].traces} == {"x", "x2", "x3", "x4", "x5"}
    said = words(still)
    assert all(part in said for part in ("attracts and repels", "attracts only", "accuracy", "t = 2.0"))


def test_edges_over_time_leave_out_what_w_does_not_have(followed):
    said = words(pictures.edges_over_time(followed))
    assert "attracts and repels: Θ₋ grows" in said
    assert "attracts only: Θ₊ shrinks" in said
    assert "attracts only: Θ₋" not in said


def test_pairs_show_every_graph_and_the_means():
    table = pd.DataFrame({"a": [50.0, 60.0], "start": [55.0, 65.0], "b": [70.0, 90.0]})
    fig = pictures.pairs({"homophily 0.1": table}, ["a", "start", "b"])
    axis = fig.axes[0]
    assert [line.get_ydata().tolist() for line in axis.lines[:2]] == [[50, 55, 70], [60, 65, 90]]
    said = words(fig)
    assert "start" in said and "homophily 0.1" in said


# --- the figures of the chapter on energies ----------------------------------------------------------


def test_turning_draws_a_path_for_each_node_and_one_energy_for_both():
    fig = energy_pictures.turning(load("star?n=4").to(dtype=torch.float64), 2.0, 8.0, seed=0)
    assert len(fig.axes[0].lines) == 3 * 4
    still, turned = (line.get_ydata() for line in fig.axes[2].lines)
    np.testing.assert_allclose(still, turned, atol=1e-9)
    end = lambda axis: np.array([line.get_xdata()[-20:] for line in axis.lines[::3]])  # noqa: E731
    assert np.ptp(end(fig.axes[0]), axis=1).max() < 0.05 < np.ptp(end(fig.axes[1]), axis=1).max()
    assert "1 ± 2i" in words(fig)


def test_step_sizes_cross_one_at_the_bound():
    W = torch.diag(torch.tensor([1.0, -1.5], dtype=torch.float64))
    graph, updates = load("karate").to(dtype=torch.float64), {"linear": lambda x: x, "tanh": torch.tanh}
    fig = energy_pictures.step_sizes(graph, W, 0 * W, updates)
    linear, tanh = (line.get_ydata() for line in fig.axes[0].lines[:2])
    assert linear[40] == pytest.approx(1) and linear[20] == pytest.approx(0, abs=1e-12)
    assert tanh[40] < 1
    assert "tanh" in words(fig)


def test_smallest_exceptions_rise_where_they_must():
    fig = energy_pictures.smallest_exceptions(*(load(f"path?n={n}").to(dtype=torch.float64) for n in (4, 3)))
    held, free = (np.array(line.get_ydata()) for line in fig.axes[0].lines)
    assert (np.diff(held) < 0).all() and (np.diff(free) > 0).all()
    far, near = (np.array(line.get_ydata()) for line in fig.axes[1].lines)
    assert far[0] == 0 < far[1] and (np.diff(near) < 0).all()
    assert "Ω = 0" in words(fig)


def test_obedience_draws_both_ω():
    fig = energy_pictures.obedience(edges.single_edges(9, 0, TIMES))
    assert all(len(axis.lines) == 2 for axis in fig.axes)
    assert "Ω = W" in words(fig)
