"""Figures of the chapter on mixed homophily."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import words

from flowprune.experiments import gates, mixed
from flowprune.experiments.pictures import mixed as pictures
from flowprune.graphs import load
from flowprune.study import figures

pytestmark = pytest.mark.usefixtures("nothing_left_open")


def test_regions_stand_apart_and_edges_are_counted_by_colour():
    graph = load("mixed?n=30&degree=4&seed=0")
    same = (graph.labels[graph.edge_index[0]] == graph.labels[graph.edge_index[1]]).sum().item()
    fig = pictures.regions(graph)
    different, equal, *classes = fig.axes[0].collections
    assert len(equal.get_segments()) == same
    assert len(equal.get_segments()) + len(different.get_segments()) == graph.edge_index.shape[1]
    assert sum(len(dots.get_offsets()) for dots in classes) == graph.n
    left = sum((np.asarray(dots.get_offsets())[:, 0] < 0).sum() for dots in classes)
    assert left == 15
    said = words(fig)
    assert all(part in said for part in ("homophilic region", "heterophilic region", "different labels"))


def test_accuracies_have_a_panel_for_each_design_and_a_point_for_each_variant():
    rows = pd.DataFrame(
        [["mlp", "a", 60.0, 58.0, 61.0], ["fixed", "a", 70.0, 69.0, 72.0], ["mlp", "b", 50.0, 48.0, 51.0]],
        columns=["variant", "design", "mean", "low", "high"],
    )
    fig = pictures.accuracy_by_design(rows)
    a, b = fig.axes
    assert [line.get_xdata().tolist() for line in a.lines] == [[58, 61], [60], [69, 72], [70]]
    assert a.lines[1].get_color() == figures.COLOUR["MLP"]
    assert len(b.lines) == 2
    said = words(fig)
    assert mixed.NAMES["fixed"] in said and "test accuracy (%)" in said


def test_gates_are_drawn_with_equal_labels_on_the_right():
    graph = load("mixed?n=100&seed=0")
    same = torch.from_numpy(gates.kinds(graph)[0])
    S = torch.where(same, -0.5, 0.5).unsqueeze(1)  # W₁ could change sign with it
    fig = pictures.gates_by_kind({"known": (graph, S)})
    said = words(fig)
    assert "known: AUC 1.00" in said
    assert "equal labels" in said and "different labels" in said
