"""The figures of the chapter that asks whether attention is a contraction, drawn from few data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import words

from flowprune.experiments.pictures import attention as pictures
from flowprune.experiments.theory.attention import diameter
from flowprune.graphs import load


def test_the_hull_shrinks_for_small_weights_and_not_for_large():
    graph = load("cycle?n=30").to(dtype=torch.float64)
    found = pictures.trails(graph, 0, [1, 4, 60])
    small, large = found.values()
    assert [diameter(small[t]) > diameter(small[u]) for t, u in ((0, 1), (1, 4), (4, 60))] == [True] * 3
    assert diameter(small[60]) < 1e-3 < 1 < diameter(large[60])
    assert "layer 60" in words(pictures.hulls(found))


def test_the_counterexamples_are_counterexamples():
    _, before, after = pictures.path_of_three()
    assert before.norm().item() == pytest.approx(1)
    assert after.norm().item() > 1.02
    norms = pictures.two_nodes([1, 1e3, 2e3])
    assert norms[0] < 1 < norms[1]
    assert norms[2] == pytest.approx(2 * norms[1], rel=0.01)
    _, _, apart = pictures.path_of_four()
    assert apart[0].item() > 0.7 and apart[3].item() < -0.7
    assert "averages grow longer" in words(pictures.counterexamples([1, 10, 100]))


def test_training_draws_the_largest_layer_by_epoch():
    row = {"dataset": "x", "norm_at_0": [1.0, 2.0], "norm_at_5": [3.0, 0.5]}
    row |= {f"{name}_at_{e}": [0.1, 0.2] for name in ("radius", "omitted") for e in (0, 5)}
    fig = pictures.training(pd.DataFrame([row, row | {"norm_at_5": [5.0, 0.5]}]), [0, 5])
    np.testing.assert_allclose(fig.axes[0].lines[0].get_ydata(), [2, 4])
    assert "ρ(J), largest layer" in words(fig)


def test_decays_draw_every_network_and_the_plateau():
    row = {"dataset": "x", "plateau": 0.1, "mu_at_first": [0.5, 0.2, 0.1], "mu": [0.5, 0.01, 0.0]}
    table = pd.DataFrame([row | {"model": m, "split": k} for m in ("gcn", "gat") for k in range(2)])
    fig = pictures.decays(table)
    lines = [len(axis.lines) for axis in fig.axes]
    assert lines == [3, 2, 2, 2]  # the plateau is drawn once
    np.testing.assert_allclose(fig.axes[2].lines[0].get_ydata(), [0.5, 0.01, 1e-16])
    assert "GAT, trained" in words(fig)
