"""GraphCON read layer by layer: what damping, stiffness, weights and training do to its Dirichlet energy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from flowprune.dynamics import oversmoothing
from flowprune.dynamics.energy import dirichlet_energy, normalised_energy
from flowprune.experiments.deep import marks, short
from flowprune.experiments.evolution import measured_on, trajectory
from flowprune.experiments.nodes import Count, NodeTrial, operator, prepared
from flowprune.experiments.theory.instances import features, instances
from flowprune.experiments.theory.smoothing import looped
from flowprune.flows.classifier import NodeClassifier
from flowprune.flows.wave import GraphCON
from flowprune.graphs import Graph
from flowprune.study.passes import threads
from flowprune.study.specs import spec

LEVELS = (0.0, 0.5, 1.0)  # of damping and of stiffness
KEPT = 0.1  # of an energy: what a network must have left in its last layer to have kept it


@spec
class WaveTrial(NodeTrial):
    """Train a GraphCON with a graph convolution inside, ``depth`` steps of length ``step``; read it before and after.

    Layers 0, 1, 2, 4, … are read: E_Dir(F), E_Dir(F/‖F‖)/(ρ_Δ/2) and μ(F), over the graph with self-loops.
    """

    experiment: ClassVar[str] = "waves"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"test_accuracy": 0.06, "val_accuracy": 0.06}

    model: Literal["graphcon"] = "graphcon"
    hidden: Count = 32

    def weight(self) -> float:
        return super().weight() * self.depth

    def flow(self, seeds: Sequence[int], rates: Sequence[float], operator: Tensor) -> nn.Module:
        swing = {"damping": self.damping, "stiffness": self.stiffness}
        return GraphCON(
            seeds, self.hidden, dropout=rates, time=self.depth * self.step, step=self.step, **swing
        )

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial, row, seen in cls.read_and_fitted(trials, lambda model: read(model, trials[0])):
            yield trial, row | {name: [short(v) for v in values] for name, values in seen.items()}


@torch.no_grad()
def read(model: NodeClassifier, t: WaveTrial) -> dict[str, Tensor]:
    """Of every replica, energies and μ of the layers 0, 1, 2, 4, … and the last: ``[R, marks]``."""
    graph, _ = measured_on(t.dataset, t.component, True)
    model.eval()
    states = trajectory(model.flow, model.evolve()[0], operator(prepared(t.dataset, t.component), t))
    chosen = [states[m].double() for m in marks(t.depth)]
    relative = [normalised_energy(graph, F).nan_to_num(0) * (2 / graph.rho) for F in chosen]
    return {
        "energy": torch.stack([dirichlet_energy(graph, F) for F in chosen], 1),
        "direction": torch.stack(relative, 1),
        "mu": torch.stack([oversmoothing.coefficient(F) for F in chosen], 1),
    }


def grid(
    datasets: Sequence[str],
    depths: Sequence[int] = (4, 16, 64),
    *,
    levels: Sequence[float] = LEVELS,
    splits: int = 3,
    epochs: int = 100,
) -> list[WaveTrial]:
    """Networks of every damping and stiffness in ``levels``, trained alike; τ = 1, as the source's code has it."""
    training = {"lr": 0.01, "weight_decay": 0.0005, "dropout": 0.3, "input_dropout": 0.3, "seed": 0}
    return [
        WaveTrial(
            dataset=dataset, depth=m, damping=α, stiffness=γ, split=k, epochs=epochs, step=1.0, **training
        )
        for dataset in datasets
        for α in levels
        for γ in levels
        for m in depths
        for k in range(splits)
    ]


def study() -> list[WaveTrial]:
    """The published networks."""
    return grid(("texas", "cornell-corrected"))


def kept(trained: pd.DataFrame) -> dict[str, float]:
    """For the ledger: how many networks, and which share keeps ``KEPT`` of an energy up to its last layer."""

    def share(name: str) -> float:
        return float(np.mean([E[-1] >= KEPT * E[0] for E in trained[name]]))

    return {
        "networks": len(trained),
        "kept_at_first": share("direction_at_first"),
        "kept": share("direction"),
        "kept_energy": share("energy"),
    }


def random_weights(
    count: int, swings: Sequence[tuple[float, float, float]], seed: int = 0, steps: int = 200
) -> pd.DataFrame:
    """GraphCON with random weights inside, gcn and gat, on ``count`` random graphs, eight networks each.

    One row for each (inner, α, γ, τ): shares of networks whose relative energy ends below 0.01 (low) or above 0.99
    (high), or that keep less than a millionth of ‖F‖² (faded), and the median relative energy at the end.
    """
    rows = []
    for inner in ("gcn", "gat"):
        for α, γ, τ in swings:
            with threads(1), torch.no_grad():
                ends = [_ends(graph, rng, inner, α, γ, τ, steps) for _, graph, rng in instances(count, seed)]
            relative, left = (np.concatenate(values) for values in zip(*ends, strict=True))
            shares = {"low": relative < 0.01, "high": relative > 0.99, "faded": left < 1e-6}
            row = {"inside": inner, "α": α, "γ": γ, "τ": τ, "networks": len(relative)}
            rows.append(
                row | {name: v.mean() for name, v in shares.items()} | {"median": np.median(relative)}
            )
    return pd.DataFrame(rows)


def _ends(
    graph: Graph, rng: np.random.Generator, inner: str, α: float, γ: float, τ: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of eight networks, means over the last twelve layers, because they swing: the relative energy, 0 where nothing is
    left, and ‖F‖² over its first value."""
    graph, R, d = looped(graph, rng).with_self_loops(), 8, 4
    seeds = rng.integers(2**31, size=R).tolist()
    swing = {"time": steps * τ, "step": τ, "damping": α, "stiffness": γ}
    flow = GraphCON(seeds, d, inner, dropout=[0.0] * R, **swing).double().eval()
    states = trajectory(flow, features(graph, rng, R * d).view(graph.n, R, d), graph.norm_adjacency)
    size = torch.stack([F.square().sum((0, 2)) for F in (states[0], *states[-12:])])
    relative = torch.stack([normalised_energy(graph, F).nan_to_num(0) for F in states[-12:]]).mean(0)
    return relative.clamp_min(0).numpy() * 2 / graph.rho, (size[1:].mean(0) / size[0]).numpy()
