"""What the evolution does: a trained network read state by state, from F(0) to F(T).

A trial here trains exactly as a :class:`NodeTrial` and is then looked at with its best weights. Every state is decoded
and taken apart into frequencies; of GRAFF the spectrum of W says to which of them the flow would go in the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import Spectrum
from flowprune.experiments.nodes import NodeTrial, operator, prepared
from flowprune.flows.attention import GAT
from flowprune.flows.convolution import DAGNN, GCN
from flowprune.flows.dynamo import DynamoGAT
from flowprune.flows.gating import GradientGating
from flowprune.flows.gradient import GRAFF
from flowprune.flows.wave import GraphCON
from flowprune.graphs import Graph
from flowprune.study.specs import spec

DENSE = 3000  # nodes up to which states are taken apart into frequencies; above, only their energy is read


@spec
class EvolutionTrial(NodeTrial):
    """Train as a node trial of GRAFF, GCN, GAT or MLP does, then read every state F(0), …, F(T).

    Energies and frequencies are those of the graph that GRAFF moves over: without self-loops unless the trial asks for
    them. The other models, whose operator always has loops, are read on that same graph.
    """

    experiment: ClassVar[str] = "evolution"
    version: ClassVar[int] = 1
    # rounding of another processor or number of threads leaves most runs as they are, to five digits
    tolerance: ClassVar[dict[str, float]] = NodeTrial.tolerance | {
        "homophily_by_step": 0.1,
        "energy_by_step": 0.15,
    }

    @classmethod
    def comparable(
        cls, published: Mapping[str, Any], recomputed: Mapping[str, Any]
    ) -> tuple[Mapping[str, float], str]:
        """Where rounding made another epoch the best one, states are those of other weights: accuracies alone."""
        epochs = published.get("best_epoch"), recomputed["best_epoch"]
        if epochs[0] in (None, epochs[1]):
            return super().comparable(published, recomputed)
        reason = f"best epoch {epochs[1]}, published {epochs[0]}: accuracies are compared, states are not"
        return NodeTrial.tolerance, reason

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        graph, model, rows = cls.fitted(trials)
        t = trials[0]
        measured = measured_on(t.dataset, t.component, t.self_loops)
        model.eval()
        with torch.no_grad():
            states = trajectory(model.flow, model.evolve()[0], operator(graph, t))
            logits = torch.stack([model.decode(F) for F in states]).cpu()
        states = torch.stack(states).cpu().double()
        labels = energies(measured[0], one_hot(measured[0].labels)[None].double()).item()
        test = measured[0].test[[trial.split for trial in trials]]
        for r, (trial, row) in enumerate(zip(trials, rows, strict=True)):
            read = predictions(measured[0], logits[:, :, r].argmax(-1), test[r])
            read |= frequencies(*measured, states[:, :, r])
            read["energy_of_labels"] = labels
            if isinstance(model.flow, GRAFF):
                read |= tendencies(model.flow, r, measured[0].rho)
            yield trial, row | read


@lru_cache(maxsize=4)  # the next pass is on the same graph
def measured_on(dataset: str, component: str, self_loops: bool) -> tuple[Graph, Spectrum | None]:
    """The graph that energies speak of, in float64, and its spectrum where that can be had (up to ``DENSE`` nodes)."""
    graph = prepared(dataset, component).to(dtype=torch.float64)
    graph = graph.with_self_loops() if self_loops else graph
    return graph, Spectrum.of(graph) if graph.n <= DENSE else None


def trajectory(flow: nn.Module | None, F0: Tensor, adjacency: Tensor) -> list[Tensor]:
    """F(0), …, F(T) in evaluation mode, each ``[n, R, d]``; of a perceptron F(0) alone.

    A flow with a method ``trajectory(F0, adjacency)`` says them itself. Raises TypeError for one whose states are not
    known.
    """
    if flow is None:
        return [F0]
    if hasattr(flow, "trajectory"):
        return flow.trajectory(F0, adjacency)
    states: list[Tensor] = []
    # nothing drops out in evaluation mode, so what enters a layer is the state
    hooks = [module.register_forward_pre_hook(lambda _, F: states.append(F[0])) for module in entered(flow)]
    last = flow(F0, adjacency)
    for hook in hooks:
        hook.remove()
    return [*states, last]


def entered(flow: nn.Module) -> Sequence[nn.Module]:
    """The modules that every state but the last enters, in order. Raises TypeError where they are not known."""
    if isinstance(flow, GCN | GAT):
        return list(flow.dropouts)
    if isinstance(flow, DynamoGAT):
        return list(flow.layers)
    if isinstance(flow, GradientGating | GraphCON):
        return [flow.dropout]
    if isinstance(flow, DAGNN):
        return [flow.gate]
    raise TypeError(f"the states of {type(flow).__name__} cannot be read: it has no method trajectory")


def predictions(graph: Graph, predicted: Tensor, test: Tensor) -> dict[str, Any]:
    """Of labels predicted at each state, ``[T + 1, n]``: edge homophily and test accuracy; and the true homophily."""
    row, column = graph.edge_index
    between = row != column
    same = predicted[:, row[between]] == predicted[:, column[between]]
    right = (predicted == graph.labels)[:, test]
    return {
        "homophily_true": graph.homophily(),
        "homophily_by_step": same.double().mean(1).tolist(),
        "accuracy_by_step": right.double().mean(1).tolist(),
    }


def frequencies(graph: Graph, spectrum: Spectrum | None, states: Tensor) -> dict[str, Any]:
    """Of states ``[T + 1, n, d]``: E_Dir(F/‖F‖)/(ρ_Δ/2) in [0, 1], and the share of ‖F‖² in thirds of [0, ρ_Δ].

    Without a spectrum the shares are left out. A state of zeros has the energy and the shares 0.
    """
    read = {"rho": graph.rho, "energy_by_step": energies(graph, states).tolist()}
    if spectrum is None:
        return read
    content = (spectrum.φ.T @ states).square().sum(-1)  # ‖c_ℓ‖² of every state
    content = content / content.sum(1, keepdim=True).clamp_min(torch.finfo(content.dtype).tiny)
    thirds = {"low_by_step": spectrum.λ < graph.rho / 3, "high_by_step": spectrum.λ > 2 * graph.rho / 3}
    return read | {name: content[:, part].sum(1).tolist() for name, part in thirds.items()}


def energies(graph: Graph, states: Tensor) -> Tensor:
    """E_Dir(F/‖F‖)/(ρ_Δ/2) of states ``[T + 1, n, d]``: 0 for the smoothest signal, 1 for the roughest; ``[T + 1]``."""
    energy = normalised_energy(graph, states.permute(1, 0, 2)) / (graph.rho / 2)
    return energy.nan_to_num(0).clamp(0, 1)


def tendencies(flow: GRAFF, r: int, rho: float) -> dict[str, float]:
    """Where replica r of a linear GRAFF would go: rates at the two ends of the spectrum, and its phase coordinates.

    At the frequency λ the channels move by (1 − λ)W − Ω. The largest eigenvalue of that symmetric matrix is convex in
    λ, so the fastest growth is at λ = 0 (``rate_low``) or at λ = ρ_Δ (``rate_high``); likewise the largest modulus of
    1 + τ·eigenvalue, by which one Euler step multiplies (``step_low``, ``step_high``). Of a W that depends on time the
    first one is read.
    """
    W = flow.W[0].matrix()[r].double().cpu()
    Ω = torch.diag(flow.ω.detach()[r].double().cpu())
    τ = flow.steps[0]
    w = torch.linalg.eigvalsh(W)
    low, high = (torch.linalg.eigvalsh((1 - λ) * W - Ω) for λ in (0.0, rho))
    return {
        "attraction": w[-1].clamp_min(0).item(),  # λ₊
        "repulsion": (-w[0]).clamp_min(0).item() * (rho - 1),  # |λ₋|(ρ_Δ − 1)
        "negative_share": (w.clamp_max(0).square().sum() / w.square().sum()).item(),  # of ‖W‖²
        "rate_low": low[-1].item(),
        "rate_high": high[-1].item(),
        "step_low": (1 + τ * low).abs().max().item(),
        "step_high": (1 + τ * high).abs().max().item(),
        "beta": flow.β[r].item(),
    }
