"""GraphCONs read layer by layer, and the evidence that is counted from them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from flowprune.dynamics import oversmoothing
from flowprune.dynamics.energy import dirichlet_energy
from flowprune.experiments import waves
from flowprune.experiments.evolution import measured_on
from flowprune.experiments.nodes import build, operator, prepared

SMALL = "syn-cora?homophily=0.5&n=120"


def trials(depth: int = 4, **fields):
    return waves.grid([SMALL], [depth], **{"levels": [0.5], "splits": 2, "epochs": 3} | fields)


def test_readings_are_those_of_states_computed_by_hand():
    """One replica before training: V ← V + ReLU(ĀFW + b) − F/2 − V/2, F ← F + V."""
    t = trials()[0]
    graph = prepared(t.dataset, t.component)
    model = build(graph, [t]).eval()
    found = waves.read(model, t)
    looped, _ = measured_on(t.dataset, t.component, True)
    Ā, inner = operator(graph, t).to_dense(), model.flow.inner
    F = V = model.encoder()[:, 0].detach()
    states = [F]
    for _ in range(4):
        V = V + torch.relu(Ā @ F @ inner.linear.weight[0] + inner.bias[0]).detach() - F / 2 - V / 2
        F = F + V
        states.append(F)
    read = [states[m].double() for m in (0, 1, 2, 4)]
    energy = torch.stack([dirichlet_energy(looped, F) for F in read])
    size = torch.stack([F.square().sum() for F in read])
    torch.testing.assert_close(found["energy"][0], energy, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["direction"][0], energy / size * 2 / looped.rho, rtol=1e-4, atol=1e-6)
    μ = torch.stack([oversmoothing.coefficient(F) for F in read])
    torch.testing.assert_close(found["mu"][0], μ, rtol=1e-4, atol=1e-6)


def test_replicas_are_read_each_alone_before_and_after_training():
    group = trials()
    rows = [row for _, row in waves.WaveTrial.run(group)]
    for t, row in zip(group, rows, strict=True):
        ((_, alone),) = waves.WaveTrial.run([t])
        for name in ("energy", "direction", "mu"):
            assert len(row[name]) == len(row[f"{name}_at_first"]) == 4
            np.testing.assert_allclose(row[f"{name}_at_first"], alone[f"{name}_at_first"], rtol=1e-3)
        assert row["energy"] != row["energy_at_first"]


def test_the_grid_has_every_pair_of_levels_on_every_graph():
    found = waves.study()
    assert len({t.key for t in found}) == len(found) == 2 * 9 * 3 * 3
    assert {(t.damping, t.stiffness) for t in found} == {(α, γ) for α in waves.LEVELS for γ in waves.LEVELS}
    t = next(t for t in found if t.depth == 64)
    assert len(t.flow([0], [0.0], None).steps) == 64


def test_networks_that_keep_their_energy_are_counted():
    rows = pd.DataFrame(
        {
            "energy": [[1.0, 0.2], [1.0, 0.05], [4.0, 4.0], [1.0, 0.0]],
            "direction": [[0.5, 0.01], [0.5, 0.4], [0.5, 0.2], [0.5, 0.0]],
            "direction_at_first": [[0.5, 0.5]] * 3 + [[0.5, 0.01]],
        }
    )
    assert waves.kept(rows) == {"networks": 4, "kept_at_first": 0.75, "kept": 0.5, "kept_energy": 0.5}


def test_random_weights_fade_with_friction_only():
    found = waves.random_weights(2, [(0.0, 1.0, 0.5), (1.0, 1.0, 1.0)], steps=60)
    assert (found.networks == 16).all() and found.low.between(0, 1).all()
    free, damped = (found[found.α == α].set_index("inside") for α in (0.0, 1.0))
    assert damped.faded["gcn"] > 0.8 and free.faded["gcn"] == 0
    assert damped["median"]["gcn"] == pytest.approx(0, abs=1e-3)
