"""GCNs read layer by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from flowprune.dynamics.energy import dirichlet_energy
from flowprune.experiments import depth
from flowprune.experiments.evolution import measured_on
from flowprune.experiments.nodes import build, operator, prepared

SMALL = "syn-cora?homophily=0.8&n=200"


def trials(layers=(3,), **fields):
    return depth.depths(SMALL, layers, splits=2, epochs=4, **fields)


def test_layers_are_those_of_the_network_and_each_replica_is_read_alone():
    group = trials()
    rows = [row for _, row in depth.DepthTrial.run(group)]
    alone = [row for trial in group for _, row in depth.DepthTrial.run([trial])]
    for row, single in zip(rows, alone, strict=True):
        assert len(row["norm"]) == len(row["norm_at_first"]) == 3
        assert len(row["energy"]) == len(row["direction"]) == 4
        for name in ("norm_at_first", "energy_at_first", "direction_at_first", "mu"):
            np.testing.assert_allclose(row[name], single[name], rtol=1e-4)
        assert row["norm"] != row["norm_at_first"]
        assert 0 < row["mu"] < 1


def test_readings_are_energies_of_states_computed_by_hand():
    """One replica, at first: encode, then ReLU(ĀFW + b) layer by layer with dense matrices."""
    t = trials()[0]
    graph = prepared(t.dataset, t.component)
    model = build(graph, [t]).eval()
    found = depth.read(model, t)
    looped, spectrum = measured_on(t.dataset, t.component, True)
    Ā = operator(graph, t).to_dense()
    F = model.encoder()[:, 0].detach()
    for m, layer in enumerate(model.flow.layers):
        assert found["energy"][0, m].item() == pytest.approx(
            dirichlet_energy(looped, F.double()).item(), rel=1e-4
        )
        W = layer.linear.weight[0].detach()
        σ = np.linalg.svd(W.numpy(), compute_uv=False)[0]
        assert found["norm"][0, m].item() == pytest.approx(float(σ), rel=1e-5)
        F = torch.relu(Ā @ F @ W + layer.bias[0].detach())
    last = dirichlet_energy(looped, F.double()).item()
    assert found["energy"][0, -1].item() == pytest.approx(last, rel=1e-4)
    relative = last / F.double().square().sum().item() / (spectrum.ρ / 2)
    assert found["direction"][0, -1].item() == pytest.approx(relative, rel=1e-4)


def test_without_bias_the_layers_obey_the_contraction():
    """The theorem on real weights: at first biases are zero, so E_Dir falls by (‖W‖μ)² a layer at least."""
    for _, row in depth.DepthTrial.run(trials((6,))):
        energy, norm = np.array(row["energy_at_first"]), np.array(row["norm_at_first"])
        assert (energy[1:] <= (norm * row["mu"]) ** 2 * energy[:-1] * (1 + 1e-5)).all()


def test_the_condition_is_counted_by_network():
    table = pd.DataFrame(
        {"mu": [0.5, 0.5], "norm": [[1.0, 1.9], [1.0, 2.1]], "norm_at_first": [[1.0, 1.0], [1.0, 1.0]]}
    )
    assert depth.condition_met(table) == {
        "networks": 2,
        "satisfied": 0.5,
        "satisfied_at_first": 1.0,
        "norm": 1.45,
    }


def test_a_graph_that_is_too_large_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(depth, "measured_on", lambda *_: (measured_on(SMALL, "largest", True)[0], None))
    with pytest.raises(ValueError, match="too large: μ is read from the whole spectrum"):
        next(depth.DepthTrial.run(trials()))
