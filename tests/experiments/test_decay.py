"""How the over-smoothing coefficient falls: series of known shape, and readings against states computed by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from flowprune.dynamics.oversmoothing import coefficient
from flowprune.experiments import decay
from flowprune.experiments.nodes import build, operator, prepared

SMALL = "syn-cora?homophily=0.8&n=80"
T = np.arange(33)


def trials(**fields):
    return decay.deep([SMALL], depth=5, splits=2, epochs=2, **fields)


@pytest.mark.parametrize(
    ("mu", "exponential"),
    [
        (0.7 * 0.8**T, True),
        (0.7 * 0.8**T * np.exp(0.05 * np.sin(T)), True),
        (0.5 / (1 + T), False),  # a power
        (0.1 + 0.6 * 0.5**T, False),  # a plateau
        (0.7 * 0.3**T, True),  # below the floor from layer 24 on
        (0.1 * 1.05**T, False),  # rises
        (np.full(33, 0.2), False),
    ],
)
def test_shapes_are_told_apart(mu, exponential):
    assert decay.shape(mu).exponential == exponential


def test_the_rate_is_the_slope_above_the_floor():
    found = decay.shape(0.7 * 0.3**T)
    assert found.rate == pytest.approx(-np.log(0.3))
    assert found.straight == pytest.approx(1)
    assert found.late == pytest.approx(1)
    power = decay.shape(0.5 / np.maximum(T, 1))
    assert power.power == pytest.approx(1)
    with pytest.raises(ValueError, match="3 layers"):
        decay.shape([1.0, 0.5, 0.2, 0.1, 0.0, 0.3])


@pytest.mark.parametrize("model", ["gcn", "gat"])
def test_coefficients_are_those_of_the_states(model):
    group = [t for t in trials() if t.model == model]
    rows = [row for _, row in decay.DecayTrial.run(group)]
    alone = [row for _, row in decay.DecayTrial.run(group[1:])]
    np.testing.assert_allclose(rows[1]["mu_at_first"], alone[0]["mu_at_first"], rtol=1e-6)
    t = group[0]
    graph = prepared(t.dataset, t.component)
    net = build(graph, [t]).double().eval()
    net.flow.layers, net.flow.dropouts = net.flow.layers[:2], net.flow.dropouts[:2]
    with torch.no_grad():
        F = net.evolve()[1] if model == "gcn" else net.flow(net.encoder(), operator(graph, t).double())
    assert rows[0]["mu_at_first"][2] == pytest.approx(coefficient(F[:, 0]).item(), rel=1e-9)
    root = graph.with_self_loops().degree.double().sqrt().unsqueeze(1)
    assert rows[0]["mu_level_at_first"][2] == pytest.approx(coefficient(F[:, 0] / root).item(), rel=1e-9)
    assert rows[0]["plateau"] == pytest.approx(coefficient(root).item())
    assert rows[0]["mu"] != rows[0]["mu_at_first"]
    assert len(rows[0]["mu"]) == 6


def test_evidence_names_every_case():
    falling, level = (0.7 * 0.8**T).tolist(), (0.1 + 0.6 * 0.5**T).tolist()
    row = {"dataset": "x", "mu_at_first": falling, "mu": level}
    row |= {"mu_level_at_first": falling, "mu_level": falling}
    table = pd.DataFrame([row | {"model": m, "split": k} for m in ("gcn", "gat") for k in range(2)])
    said = decay.evidence(decay.shapes(table))
    assert said["networks"] == 4
    assert (said["gcn_first"], said["gcn"], said["gat_first"], said["gat"]) == (1, 0, 1, 0)
    assert (said["least"], said["most"], said["levelled"]) == (0, 1, 1)
    assert said["rate"] == pytest.approx(-np.log(0.8))
