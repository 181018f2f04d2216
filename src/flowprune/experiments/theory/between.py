"""G28: which linear flows Ḟ = −FΩ + ĀFW + βF(0) are in the end neither low- nor high-frequency dominant.

At the frequency λ the channels move by M(λ) = (1 − λ)W − Ω. The largest eigenvalue of M(λ) is convex in λ, so among all
frequencies the fastest growth is at λ = 0 or at λ = ρ_Δ, and the flow ends there. It ends between them only when the
two ends tie, or when nothing grows and a source holds F at the fixed point c_λ ↦ β c_λ (Ω − (1 − λ)W)⁻¹.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import TOLERANCE, Spectrum
from flowprune.experiments.theory.instances import Finding, examine, features, symmetric
from flowprune.flows.integrators import euler
from flowprune.graphs import Graph, load

KINDS = ("free", "tied", "held")
REACHED = 1e-6  # an end counts as reached when the energy is this close, relative to its range


def evidence(count: int, seed: int) -> dict[str, Any]:
    """The search for a flow that stays between although its ends do not tie and no source holds it.

    ``repaired`` is the largest deviation of any limit, ties and sources included, from what the two ends predict.
    """
    deviations = []

    def check(graph: Graph, rng: np.random.Generator) -> Finding:
        finding = limits(graph, rng)
        deviations.append(finding.deviation)
        return finding

    found = examine(check, count, seed, condition="the ends do not tie, and no source holds the flow")
    graph = load("path?n=2").to(dtype=torch.float64)
    W = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    F0 = torch.tensor([[1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    energy = 2 * normalised_energy(graph, late(Spectrum.of(graph), W, 0 * W, F0)) / graph.rho
    smallest = f"one edge, W = diag(1, −1): the energy stays at {energy:.2g} of its range"
    return found | {"repaired": max(deviations), "smallest": smallest}


def limits(graph: Graph, rng: np.random.Generator) -> Finding:
    """G28 on one graph, every second one with self-loops: free flows end at one end, tied and held ones do not."""
    graph = graph.with_self_loops(10.0 ** rng.uniform(-1, 1)) if rng.integers(2) else graph
    s, W, Ω, F0 = Spectrum.of(graph), symmetric(rng), symmetric(rng), features(graph, rng)
    kind = KINDS[rng.integers(3)]
    identity = torch.eye(len(W), dtype=torch.float64)
    low, high = ends(s, W, Ω)
    if (
        kind == "tied"
    ):  # adding c I to W moves the rate of the low end by c and that of the high end by −(ρ_Δ − 1)c
        W = W + identity * (high - low) / s.ρ
    if kind == "held":
        Ω = Ω + identity * (max(low, high) + 1)
        F, expected = held(graph, W, Ω, F0), fixed_point(s, W, Ω, F0)
        deviation = ((F - expected).norm() / expected.norm()).item()
        share = normalised_energy(graph, F).item() / (s.ρ / 2)
    else:
        share = normalised_energy(graph, late(s, W, Ω, F0)).item() / (s.ρ / 2)
        deviation = max(abs(share - predicted(s, W, Ω, F0)), interior_excess(s, W, Ω))
    return Finding(deviation, min(share, 1 - share) < REACHED, covered=kind == "free")


def ends(s: Spectrum, W: Tensor, Ω: Tensor) -> tuple[float, float]:
    """The largest growth rates at λ = 0 and at λ = ρ_Δ."""
    return tuple(torch.linalg.eigvalsh(ν * W - Ω)[-1].item() for ν in (1.0, 1 - s.ρ))


def interior_excess(s: Spectrum, W: Tensor, Ω: Tensor) -> float:
    """How much faster than both ends some frequency between them grows: never above 0, says convexity."""
    rates = torch.linalg.eigvalsh(s.ν.view(-1, 1, 1) * W - Ω)
    return max(0.0, rates.max().item() - max(ends(s, W, Ω)))


def predicted(s: Spectrum, W: Tensor, Ω: Tensor, F0: Tensor) -> float:
    """The share of F(0)'s fastest modes that lies at the high end, looking at the two ends alone."""
    low, high = (torch.linalg.eigh(ν * W - Ω) for ν in (1.0, 1 - s.ρ))
    fastest = max(low[0][-1], high[0][-1])
    weight = [
        (φ.T @ F0 @ U[:, m > fastest - TOLERANCE]).square().sum().item()
        for φ, (m, U) in ((s.φ[:, s.ν > 1 - TOLERANCE], low), (s.φ[:, s.highest], high))
    ]
    return weight[1] / sum(weight)


def late(s: Spectrum, W: Tensor, Ω: Tensor, F0: Tensor) -> Tensor:
    """F(t)/‖F(t)‖ of Ḟ = −FΩ + ĀFW when the slower modes have fallen e²⁵-fold behind, solved frequency by frequency."""
    m, U = torch.linalg.eigh(s.ν.view(-1, 1, 1) * W - Ω)
    slower = m[m < m.max() - TOLERANCE]
    time = 25 / (m.max() - slower.max()) if slower.numel() else 1.0
    c = torch.einsum("il,ie,lek->lk", s.φ, F0, U) * (time * (m - m.max())).exp()
    F = s.φ @ torch.einsum("lk,lek->le", c, U)
    return F / F.norm()


def fixed_point(s: Spectrum, W: Tensor, Ω: Tensor, F0: Tensor) -> Tensor:
    """Where a source β = 1 holds the flow: every frequency of F(0) filtered by (Ω − (1 − λ)W)⁻¹."""
    resolvent = torch.linalg.inv(Ω - s.ν.view(-1, 1, 1) * W)
    return s.φ @ torch.einsum("le,lek->lk", s.φ.T @ F0, resolvent)


def held(graph: Graph, W: Tensor, Ω: Tensor, F0: Tensor) -> Tensor:
    """The state after many Euler steps with the source β = 1, for rates of at most −1."""
    Ā = graph.norm_adjacency.to_dense()
    scale = (
        torch.linalg.matrix_norm(W, 2).item() * max(1.0, graph.rho - 1)
        + torch.linalg.matrix_norm(Ω, 2).item()
    )
    return euler(lambda F: Ā @ F @ W - F @ Ω + F0, F0, [1 / scale] * int(25 * scale + 1))
