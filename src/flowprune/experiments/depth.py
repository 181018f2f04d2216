"""Depth: a GCN read layer by layer, before and after training; what its weights do to the Dirichlet energy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

import pandas as pd
import torch
from torch import Tensor

from flowprune.dynamics.energy import dirichlet_energy
from flowprune.experiments.evolution import measured_on, trajectory
from flowprune.experiments.nodes import NodeTrial, operator, prepared
from flowprune.experiments.theory.smoothing import contraction
from flowprune.flows.classifier import NodeClassifier
from flowprune.study.specs import spec


@spec
class DepthTrial(NodeTrial):
    """Train a GCN as a node trial does; read ‖W‖, E_Dir(F) and E_Dir(F/‖F‖)/(ρ_Δ/2) of its layers before and after.

    Energies are those of the graph with self-loops, over which the GCN moves. ``mu`` is the largest |1 − λ_ℓ| over the
    frequencies above zero: a layer with ‖W‖μ < 1 and without bias contracts E_Dir. Dense, so for a few thousand nodes.
    """

    experiment: ClassVar[str] = "depth"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"test_accuracy": 0.06}

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        t = trials[0]
        _, spectrum = measured_on(t.dataset, t.component, True)
        if spectrum is None:
            raise ValueError(f"{t.dataset} is too large: μ is read from the whole spectrum")
        for trial, row, seen in cls.read_and_fitted(trials, lambda model: read(model, t)):
            reached = {"test_accuracy": row["test_accuracy"], "mu": contraction(spectrum)}
            yield trial, reached | {name: values.tolist() for name, values in seen.items()}


@torch.no_grad()
def read(model: NodeClassifier, t: NodeTrial) -> dict[str, Tensor]:
    """Of every replica: norms of W by layer ``[R, depth]``, energies of F(0), …, F(depth) ``[R, depth + 1]``."""
    graph, _ = measured_on(t.dataset, t.component, True)
    model.eval()
    moved_over = operator(prepared(t.dataset, t.component), t)
    states = [F.double() for F in trajectory(model.flow, model.evolve()[0], moved_over)]
    energy = torch.stack([dirichlet_energy(graph, F) for F in states], 1)
    size = torch.stack([F.square().sum((0, 2)) for F in states], 1)
    norms = [torch.linalg.matrix_norm(layer.linear.weight.double(), 2) for layer in model.flow.layers]
    direction = (energy / size).nan_to_num(0) * (2 / graph.rho)  # a network that died has none
    return {"norm": torch.stack(norms, 1), "energy": energy, "direction": direction}


def depths(
    dataset: str, layers: Sequence[int] = (2, 4, 8, 16), *, splits: int = 3, epochs: int = 100
) -> list[DepthTrial]:
    """Plain GCNs of these depths, trained alike: Adam at 0.01, weight decay 5e-4, dropout ½, 64 channels, one seed."""
    fields = {"dataset": dataset, "model": "gcn", "component": "largest", "epochs": epochs, "seed": 0}
    training = {"lr": 0.01, "weight_decay": 0.0005, "dropout": 0.5, "input_dropout": 0.5}
    return [DepthTrial(**fields, **training, depth=m, split=k) for m in layers for k in range(splits)]


def condition_met(trained: pd.DataFrame) -> dict[str, float]:
    """For the ledger: how many networks, the share with ‖W‖μ < 1 in every layer, after and before, the median ‖W‖."""
    met = lambda name: [max(norms) * μ < 1 for norms, μ in zip(trained[name], trained.mu, strict=True)]  # noqa: E731
    return {
        "networks": len(trained),
        "satisfied": sum(met("norm")) / len(trained),
        "satisfied_at_first": sum(met("norm_at_first")) / len(trained),
        "norm": float(trained.norm.explode().astype(float).median()),
    }
