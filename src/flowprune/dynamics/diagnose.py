"""What is wrong with a graph network: any torch-geometric model read layer by layer, and the reading put into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse.linalg import ArpackError
from torch import Tensor, nn
from torch_geometric.data import Data

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.jacobian import Jacobian
from flowprune.dynamics.oversmoothing import effective_rank, estimate
from flowprune.dynamics.trace import Call, evaluating, trace
from flowprune.graphs import Graph

# The thresholds, all of them. White noise has an energy of about ½, the roughest signal ρ_Δ/2.
SMOOTH = 0.01  # E_Dir(X/‖X‖) below which a state is smooth
ALIKE = 0.05  # μ below which nodes are alike
SHARP = 2 / 3  # how far from noise (0) to the roughest signal (1) the energy of a sharp state lies at least
VANISHED, EXPLODED = 1e-3, 1e3  # gradient behind the first layer over that behind the last

RULES = {
    "over-smoothing": f"some state behind a layer has μ < {ALIKE:g} or E_Dir(X/‖X‖) < {SMOOTH:g}",
    "over-sharpening": f"the last state has (2 E_Dir(X/‖X‖) − 1)/(ρ_Δ − 1) > {SHARP:.2f}",
    "vanishing gradients": f"gradient behind the first layer / behind the last < {VANISHED:g}",
    "exploding gradients": f"the same ratio > {EXPLODED:g}, or a state or gradient that is not finite",
}
"""What each finding means; the last state is the output of the last layer, before what follows it."""

LARGE = 50_000  # entries of a state up to which a layer's spectral radius is computed


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` read; ``str()`` of it is a short paragraph.

    Attributes:
        table: a row for each state, those that enter a layer and the output of the last one. Columns: state, channels,
            μ, energy E_Dir(X/‖X‖), rank (effective), radius (spectral, of the Jacobian of the layer that the state
            enters, without what the model puts around the layer) and gradient ‖∂loss/∂X‖. μ, energy and rank are over
            the nodes of the largest component. What could not be read is not a number.
        findings: the names of :data:`RULES` that apply, with a sentence each.
        skipped: why a column or an entry was not read.
        common: the share of nodes with the most frequent prediction; not a number without class scores for nodes.
        highest: ρ_Δ/2, the largest energy there is on the largest component.
        about: layers and nodes, in words.
    """

    table: pd.DataFrame
    findings: dict[str, str]
    skipped: tuple[str, ...]
    common: float
    highest: float
    about: str

    def __str__(self) -> str:
        found = [f"{name.capitalize()}: {words}" for name, words in self.findings.items()]
        parts = [self.about, *(found or ["Nothing is found wrong by the rules."])]
        if not np.isnan(self.common):
            parts.append(f"The most frequent prediction is that of {100 * self.common:.0f} % of the nodes.")
        return " ".join(parts)


def diagnose(model: nn.Module, data: Data) -> Diagnosis:
    """Read every call of a message-passing layer in one evaluation of the model on the data.

    The model is called as :func:`flowprune.dynamics.trace.trace` says. It runs in evaluation mode, and is left as it
    was. Gradients are those of the cross entropy on ``train_mask`` (of several masks the first).

    Args:
        data: ``x [n, p]`` and ``edge_index``, which is read as undirected for energies; ``edge_weight``, ``y`` and
            ``train_mask`` if there.

    Raises:
        ValueError: for a model without message passing or one whose arguments the data does not have, for layers
            that do not see all nodes, and for data without edges.
    """
    if data.get("edge_index") is None or data.edge_index.numel() == 0:
        raise ValueError("diagnose: the data has no edges; an edge_index [2, E] with at least one is needed")
    with evaluating(model):
        calls, output = trace(model, data)
        states = [call.state for call in calls] + [calls[-1].output]
        for name, X in zip([c.name for c in calls] + ["the output"], states, strict=True):
            if X.dim() < 2 or len(X) != data.num_nodes:
                raise ValueError(
                    f"diagnose: the state at {name} has shape {list(X.shape)}; allowed are features of all "
                    f"{data.num_nodes} nodes in every layer"
                )
        skipped: list[str] = []
        gradients = _gradients(states, output, data, skipped)
        radii = [_radius(call, skipped) for call in calls] + [np.nan]
    graph, inside = _largest_component(data)
    graph = graph.to(states[0].device, torch.float64)
    names = [f"into {c.name}" for c in calls] + [f"out of {calls[-1].name}"]
    rows = [
        {"state": name, "channels": X[0].numel(), **_measures(X.detach().flatten(1)[inside], graph)}
        for name, X in zip(names, states, strict=True)
    ]
    table = pd.DataFrame(rows).assign(radius=radii, gradient=gradients)
    kinds = " and ".join(sorted({type(call.conv).__name__ for call in calls}))
    return Diagnosis(
        table=table,
        findings=_findings(table, graph.rho, all(X.isfinite().all() for X in states)),
        skipped=tuple(dict.fromkeys(skipped)),
        common=_common(output, data.num_nodes),
        highest=graph.rho / 2,
        about=f"{len(calls)} layer{'s' if len(calls) > 1 else ''} of {kinds} on {data.num_nodes} nodes.",
    )


# ---- reading the states


def _largest_component(data: Data) -> tuple[Graph, Tensor]:
    """Its graph and which nodes are in it, ``[n]``: no layer makes nodes of two components alike, nor isolated ones."""
    weight = data.get("edge_weight")
    weight = weight if weight is None else weight.detach().cpu()
    graph = Graph.from_edges("data", data.edge_index.cpu(), data.num_nodes, weight=weight)
    largest = np.bincount(graph.component_of).argmax()
    return graph.largest_component(), torch.from_numpy(graph.component_of == largest)


def _measures(X: Tensor, graph: Graph) -> dict[str, float]:
    """μ, energy (0 of a zero state) and effective rank; of X over its largest entry, as its squares may vanish."""
    X = X.double()
    if not X.isfinite().all():
        return {"μ": np.nan, "energy": np.nan, "rank": np.nan}
    X = X / X.abs().max().clamp_min(torch.finfo(X.dtype).tiny)
    E, rank = normalised_energy(graph, X).nan_to_num(0), effective_rank(X)
    return {"μ": estimate(X).item(), "energy": E.item(), "rank": rank.item()}


def _radius(call: Call, skipped: list[str]) -> float:
    X = call.state
    if not isinstance(call.given, Tensor):
        skipped.append("no radius of a layer that takes a pair of states")
    elif call.output.shape != X.shape:
        skipped.append("no radius of a layer that changes the number of channels")
    elif X.numel() > LARGE:
        skipped.append(f"no radius of a state with more than {LARGE} entries")
    elif not X.isfinite().all() or not call.output.isfinite().all():
        skipped.append("no radius at a state that is not finite")
    else:
        try:
            return Jacobian(call.again, X).radius()
        except ArpackError as error:
            skipped.append(f"no radius where the iteration failed ({' '.join(str(error).split())})")
    return np.nan


def _gradients(states: list[Tensor], output: Any, data: Data, skipped: list[str]) -> list[float]:
    """‖∂loss/∂X‖ of every state; not a number where the loss does not depend on it or there is none."""
    y, mask = data.get("y"), data.get("train_mask")
    found = [np.nan] * len(states)
    if y is None or mask is None:
        skipped.append("no gradients, as the data has no y and train_mask")
        return found
    if not _scores(output, data.num_nodes) or y.is_floating_point() or y.dim() != 1:
        skipped.append("no gradients, as output and y are not scores and classes of nodes")
        return found
    mask = mask if mask.dim() == 1 else mask[:, 0]
    loss = nn.functional.cross_entropy(output[mask], y[mask])
    able = [k for k, X in enumerate(states) if X.requires_grad]
    if loss.requires_grad and able:
        inputs = [states[k] for k in able]
        parts = torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)
        for k, g in zip(able, parts, strict=True):
            found[k] = np.nan if g is None else g.double().norm().item()
    return found


def _scores(output: Any, n: int) -> bool:
    return isinstance(output, Tensor) and output.dim() == 2 and len(output) == n and output.shape[1] > 1


def _common(output: Any, n: int) -> float:
    read = _scores(output, n) and output.isfinite().all()
    return output.argmax(1).bincount().max().item() / n if read else np.nan


# ---- the rules


def _findings(table: pd.DataFrame, ρ: float, finite: bool) -> dict[str, str]:
    """Which of :data:`RULES` apply, with a sentence each."""
    found = {}
    E, behind = table.energy, table.iloc[1:]
    smooth = behind[(behind.energy < SMOOTH) | (behind["μ"] < ALIKE)]
    if len(smooth):
        least = smooth.loc[smooth["μ"].idxmin()]
        as_before = ", as in the input" if table["μ"][0] < ALIKE else ""
        found["over-smoothing"] = (
            f"in {len(smooth)} of {len(behind)} states behind a layer nodes are hardly told apart{as_before}, most of "
            f"all {least.state}: μ = {least['μ']:.2g}, E_Dir(X/‖X‖) = {least.energy:.2g}, where noise has about 0.5."
        )
    sharpness = (2 * E - 1) / (ρ - 1)
    if sharpness.iloc[-1] > SHARP:
        found["over-sharpening"] = (
            f"the highest frequencies dominate in the end: E_Dir(X/‖X‖) is {E.iloc[-1]:.2g} of at most {ρ / 2:.2g}, "
            "where noise has about 0.5."
        )
    g = table.gradient
    ratio = g.iloc[1] / g.iloc[-1] if len(behind) > 1 and g.iloc[-1] > 0 else np.nan
    if ratio < VANISHED:
        found["vanishing gradients"] = (
            f"of the gradient behind the last layer a share of {ratio:.1g} reaches the end of the first layer."
        )
    if not finite or np.isinf(table.gradient).any():
        found["exploding gradients"] = "numbers grow beyond what is finite."
    elif ratio > EXPLODED:
        found["exploding gradients"] = (
            f"the gradient behind the first layer is {ratio:.1g} times that behind the last one."
        )
    return found
