"""R3: GraphCON with a linear coupling, F̈ = ĀFW − γF − αḞ with symmetric W, solved mode by mode.

Mode (ℓ, k) is one oscillator with μ = ν_ℓ w_k, the eigenvalue of F ↦ ĀFW. In continuous time it moves by a matrix G on
(c, ċ), in GraphCON's steps by a matrix M on (c, v); everything here follows from traces and determinants of these.
GraphCON starts from Ḟ(0) = F(0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from flowprune.dynamics.energy import dirichlet_energy, normalised_energy
from flowprune.dynamics.spectra import TOLERANCE, Spectrum, limit_energy, rates
from flowprune.experiments.theory.instances import Finding, features, instances, symmetric
from flowprune.experiments.theory.smoothing import VANISHED, looped
from flowprune.flows.wave import GraphCON
from flowprune.graphs import Graph
from flowprune.study.passes import threads


@dataclass(frozen=True)
class Swing:
    """Damping α, stiffness γ and step τ of an oscillating flow; τ = 0 stands for continuous time."""

    α: float
    γ: float
    τ: float = 0.0

    def matrix(self, μ: Tensor) -> Tensor:
        """G in continuous time, M by steps: ``[…, 2, 2]`` on (c, v), for κ = γ − μ ``[…]``."""
        α, τ, κ = self.α, self.τ, self.γ - μ
        one = torch.ones_like(κ)
        if τ:
            entries = (1 - τ**2 * κ, τ * (1 - α * τ) * one, -τ * κ, (1 - α * τ) * one)
        else:
            entries = (0 * one, one, -κ, -α * one)
        return torch.stack(entries, -1).unflatten(-1, (2, 2))

    def discriminant(self, μ: Tensor) -> Tensor:
        """Of the characteristic polynomial, ``[…]``; below zero the mode oscillates."""
        trace, determinant = self._invariants(μ)
        return trace.square() - 4 * determinant

    def growth(self, μ: Tensor) -> Tensor:
        """The largest real part of a root, or the logarithm of the largest modulus of a factor: ``[…]``."""
        trace, determinant = self._invariants(μ)
        root = self.discriminant(μ).clamp_min(0).sqrt()
        if not self.τ:
            return (trace + root) / 2
        shared = torch.full_like(μ, max(determinant, 0.0)).sqrt()
        return torch.where(root > 0, (trace.abs() + root) / 2, shared).log()

    def _invariants(self, μ: Tensor) -> tuple[Tensor, Tensor | float]:
        if self.τ:
            return 2 - self.α * self.τ - self.τ**2 * (self.γ - μ), 1 - self.α * self.τ
        return torch.full_like(μ, -self.α), self.γ - μ

    def moved(self, μ: Tensor, x: Tensor, t: float, lift: float = 0.0) -> Tensor:
        """(c, v) ``[…, 2]`` after time t, or after t steps, over e^{lift t} so that nothing overflows."""
        matrix, one = self.matrix(μ), torch.eye(2, dtype=μ.dtype)
        power = (
            torch.linalg.matrix_power(matrix / np.exp(lift), int(t))
            if self.τ
            else torch.linalg.matrix_exp(t * (matrix - lift * one))
        )
        return (power @ x.unsqueeze(-1)).squeeze(-1)

    def amplitudes(self, μ: Tensor, x: Tensor) -> Tensor:
        """Squared amplitude ``[…]`` of each oscillating mode: the largest c² on the ellipse through x.

        The form x ∧ Mx is multiplied by the determinant of what moves x, the same for every mode.
        """
        (a, b), (c, d) = self.matrix(μ).movedim((-2, -1), (0, 1))
        form = c * x[..., 0] ** 2 + (d - a) * x[..., 0] * x[..., 1] - b * x[..., 1] ** 2
        return form * -b / (-b * c - (d - a) ** 2 / 4)


def start(s: Spectrum, W: Tensor, F0: Tensor) -> Tensor:
    """(c, v) of F(0) and Ḟ(0) = F(0) in the eigenbases of Δ and of W: ``[n, d, 2]``."""
    return (s.φ.T @ F0 @ torch.linalg.eigh(W)[1]).unsqueeze(-1).expand(-1, -1, 2)


def solved(s: Spectrum, W: Tensor, F0: Tensor, swing: Swing, t: float) -> Tensor:
    """F ``[n, d]`` at time t, or after t steps, by modes."""
    c = swing.moved(rates(s, W), start(s, W, F0), t)[..., 0]
    return s.φ @ c @ torch.linalg.eigh(W)[1].T


def exponential(graph: Graph, W: Tensor, F0: Tensor, swing: Swing, t: float) -> Tensor:
    """The same in continuous time by one dense matrix exponential, for any W."""
    n, d = F0.shape
    one = torch.eye(n * d, dtype=torch.float64)
    K = torch.kron(graph.norm_adjacency.to_dense(), W.T.contiguous()) - swing.γ * one
    G = torch.cat([torch.cat([0 * one, one], 1), torch.cat([K, -swing.α * one], 1)])
    return (torch.linalg.matrix_exp(t * G) @ F0.flatten().repeat(2))[: n * d].view(n, d)


def network(W: Tensor, swing: Swing, steps: int) -> GraphCON:
    """The GraphCON of the library with this W ``[d, d]`` in its one convolution, without bias, in float64."""
    model = GraphCON(
        [0], len(W), dropout=[0.0], time=steps * swing.τ, step=swing.τ, damping=swing.α, stiffness=swing.γ
    )
    model = model.double().eval().requires_grad_(False)
    model.inner.linear.weight.copy_(W[None])
    return model


def implemented(graph: Graph, W: Tensor, F0: Tensor, swing: Swing, steps: int) -> Tensor:
    """The linear flow inside GraphCON with its ReLU: channels (F₊, F₋) mixed by ((W, −W), (−W, W)).

    ReLU(x) − ReLU(−x) = x, so F₊ − F₋ moves as if there were no ReLU.
    """
    doubled = torch.cat([torch.cat([W, -W], 1), torch.cat([-W, W], 1)])
    F = torch.cat([F0, torch.zeros_like(F0)], 1).unsqueeze(1)
    plus, minus = network(doubled, swing, steps)(F, graph.norm_adjacency)[:, 0].chunk(2, 1)
    return plus - minus


def drawn(rng: np.random.Generator, top: float, form: str) -> Swing:
    """Parameters in every regime: a third undamped, a third such that modes oscillate, a third at random.

    ``top`` is the largest |μ|, so that γ above it leaves every mode bound.
    """
    kind = int(rng.integers(3))
    γ = top * (rng.uniform(1.1, 2.0) if kind < 2 else rng.uniform(0.0, 1.5))
    α = (0.0, rng.uniform(0.05, 0.5), rng.uniform(0.1, 4.0))[kind] * float(np.sqrt(top))
    bound = 2 / (α / 2 + float(np.sqrt(α**2 / 4 + γ + top)))  # the step from which a mode μ = −top would grow
    return Swing(α, γ, rng.uniform(0.1, (0.9, 0.9, 1.4)[kind]) * bound if form == "steps" else 0.0)


def one_instance(graph: Graph, rng: np.random.Generator, form: str) -> dict[str, object]:
    """One linear flow: what the criterion says of both energies, what late times show, and how far solvers differ.

    ``won`` says which modes have the largest growth: all (none wins), smooth ones, or others.
    """
    graph = looped(graph, rng)
    s, W, F0 = Spectrum.of(graph), symmetric(rng), features(graph, rng)
    μ = rates(s, W)
    swing = drawn(rng, μ.abs().max().item(), form)
    few = int(rng.integers(1, 12)) if swing.τ else float(rng.uniform(0.5, 4.0))
    other = (implemented if swing.τ else exponential)(graph, W, F0, swing, few)
    deviation = ((solved(s, W, F0, swing, few) - other).norm() / other.norm()).item()
    growth, rough = swing.growth(μ), ~s.lowest.unsqueeze(1).expand_as(μ)
    tied = bool((swing.discriminant(μ) < 0).all())
    limit = limit_energy(s, W, F0, growth)
    low, drift = late(s, W, F0, swing, tied)
    after = log_energy(s, W, F0, swing, rough)
    return {
        "form": form,
        "won": "none" if tied else "smooth" if limit < VANISHED else "other",
        "vanishes": bool(growth[rough].max() < -TOLERANCE),
        "vanished": after < np.log(VANISHED),
        "smooths": not tied and limit < VANISHED,
        "smoothed": low < VANISHED,
        "deviation": max(deviation, drift if tied else abs(low - limit)),
    }


def late(s: Spectrum, W: Tensor, F0: Tensor, swing: Swing, tied: bool) -> tuple[float, float]:
    """The mean of E_Dir(F/‖F‖) at late times; and, when no mode wins, the drift of the energy of the amplitudes."""
    μ, x = rates(s, W), start(s, W, F0)
    growth = swing.growth(μ)
    top = growth.max()
    behind = (top - growth)[growth < top - TOLERANCE]
    wait = 30 / behind.min().item() if behind.numel() and not tied else 100.0
    times = [int(wait) + m for m in range(12)] if swing.τ else [wait + 0.37 * m for m in range(12)]
    states = [swing.moved(μ, x, t, top.item()) for t in times]
    energies = [_relative(s, state[..., 0].square()) for state in states]
    if not tied:
        return float(np.mean(energies)), 0.0
    first, *rest = (_relative(s, swing.amplitudes(μ, state)) for state in (x, *states))
    return float(np.mean(energies)), max(abs(E - first) for E in rest)


def _relative(s: Spectrum, share: Tensor) -> float:
    return (0.5 * (s.λ @ share).sum() / share.sum()).item()


def log_energy(s: Spectrum, W: Tensor, F0: Tensor, swing: Swing, rough: Tensor) -> float:
    """log E_Dir(F)/E_Dir(0) by the mean over late times; time is counted in units of the slowest rough growth."""
    μ, x = rates(s, W), start(s, W, F0)
    lift = swing.growth(μ)[rough].max().item()
    wait = min(30 / max(abs(lift), TOLERANCE), 1e5)
    times = [int(wait) + m for m in range(12)] if swing.τ else [wait + 0.37 * m for m in range(12)]
    energy = [_energy(s, swing.moved(μ, x, t, lift)[rough[:, 0], :, 0], rough) for t in times]
    first = _energy(s, x[rough[:, 0], :, 0], rough)
    return float(np.log(np.mean(energy) / first) + 2 * lift * wait)


def _energy(s: Spectrum, c: Tensor, rough: Tensor) -> float:
    return (0.5 * (s.λ[rough[:, 0]] @ c.square()).sum()).item()


def survey(count: int, seed: int = 0) -> pd.DataFrame:
    """``count`` linear flows on random graphs, half in continuous time and half in GraphCON's steps."""
    with threads(1):
        return pd.DataFrame(
            {"family": family, **one_instance(graph, rng, ("time", "steps")[i % 2])}
            for i, (family, graph, rng) in enumerate(instances(count, seed))
        )


def evidence(found: pd.DataFrame) -> dict[str, float]:
    """What the ledger wants of a survey."""
    wrong = (found.vanishes != found.vanished) | (found.smooths != found.smoothed)
    return {
        "linear": len(found),
        "linear_deviation": float(found.deviation.max()),
        "linear_wrong": int(wrong.sum()),
        "vanishing": float(found.vanished.mean()),
        "tied": float((found.won == "none").mean()),
        "smoothing": float((found.won == "smooth").mean()),
    }


def keeps_its_energy(graph: Graph, rng: np.random.Generator) -> Finding:
    """R3 inside the source's conditions: ReLU, γ = 1, α ≥ ½, a coupling ĀF that keeps smooth states at rest.

    The library's GraphCON runs from √d ⊙ u, u in [½, 3/2], with a stable step. True if its Dirichlet energy stays above
    ``VANISHED`` of the first. Deviation: of its last state from the solution by modes, which knows no ReLU.
    """
    graph = looped(graph, rng)
    s, α = Spectrum.of(graph), rng.uniform(0.5, 2.0)
    edge = (-α + np.sqrt(α**2 + 8)) / 2  # where the mode ν = −1 leaves the region of stability
    swing = Swing(α, 1.0, rng.uniform(0.4, 0.9) * edge)
    F0 = (graph.degree.sqrt().unsqueeze(1) * torch.from_numpy(rng.uniform(0.5, 1.5, (graph.n, 3)))).double()
    W = torch.eye(3, dtype=torch.float64)
    slowest = swing.growth(s.ν[~s.lowest]).max().item()
    steps = min(int(-np.log(VANISHED) / -slowest) + 20, 5000)
    F = network(W, swing, steps)(F0.unsqueeze(1), graph.norm_adjacency)[:, 0]
    off = (F - solved(s, W, F0, swing, steps)).norm() / F.norm()
    left = dirichlet_energy(graph, F) / dirichlet_energy(graph, F0)
    low = normalised_energy(graph, F) < VANISHED
    return Finding(off.item(), not bool((left < VANISHED) & low))
