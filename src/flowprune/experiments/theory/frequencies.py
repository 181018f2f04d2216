"""G15 and G17: which frequency wins in Ḟ = ĀFW and in its Euler steps; and the law behind both."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from flowprune.dynamics.energy import dirichlet_energy, normalised_energy
from flowprune.dynamics.spectra import (
    TOLERANCE,
    Spectrum,
    extremes,
    limit_energy,
    linear_flow,
    linear_steps,
    margin,
    project,
    rates,
    top_modes,
)
from flowprune.experiments.theory.instances import Finding, features
from flowprune.graphs import Graph

REACHED = 1e-6  # a limit counts as reached when the energy is this close
MODERATE = 1000  # real steps of an iteration; what lies before them is taken from the eigenbasis


# --- instances ------------------------------------------------------------------------------------


def looped(graph: Graph, rng: np.random.Generator) -> Graph:
    """Every second graph with self-loops of one random weight between 0.1 and 10 at all nodes."""
    return graph.with_self_loops(10.0 ** rng.uniform(-1, 1)) if rng.integers(2) else graph


def light(graph: Graph, rng: np.random.Generator, below: float = math.inf) -> Graph:
    """The same with 1 < ρ_Δ < ``below``: where that fails, with the heaviest of some loops that leave ρ_Δ > 1."""
    loops, weight = looped(graph, rng), 64.0
    while not 1.01 < loops.rho < below:
        loops, weight = graph.with_self_loops(weight), weight / 2
    return loops


def heavy(graph: Graph, rng: np.random.Generator) -> Graph:
    """Loops heavy enough for ρ_Δ < 1."""
    weight = 10.0 ** rng.uniform(0, 1)
    while (loops := graph.with_self_loops(weight)).rho > 0.99:
        weight *= 2
    return loops


def mixing(low: float, high: float, rng: np.random.Generator, d: int = 3) -> Tensor:
    """A symmetric W ``[d, d]`` in a random basis, its smallest and largest eigenvalue given."""
    Q = torch.from_numpy(np.linalg.qr(rng.standard_normal((d, d)))[0])
    w = torch.tensor([low, high, *rng.uniform(low, high, d - 2)], dtype=torch.float64)
    W = (Q * w) @ Q.T
    return (W + W.T) / 2


def any_mixing(ρ: float, rng: np.random.Generator) -> Tensor:
    """A W of any sign: on both sides of the line |λ₋|(ρ_Δ − 1) = λ₊, on it, semi-definite or definite."""
    low, tie = -rng.uniform(0.5, 2), abs(ρ - 1)
    high = (-low * tie * 10.0 ** rng.uniform(-1, 1), -low * tie, 0.0, low * rng.uniform(0.1, 0.9), None)
    kind = int(rng.integers(len(high)))
    return mixing(low, high[kind], rng) if kind < 4 else mixing(-low / 3, -low, rng)


def within_bounds(ρ: float, τ: float, rng: np.random.Generator, share: tuple[float, float]) -> Tensor:
    """A W with λ₊ < ρ₋ and |λ₋| the given share (low, high) of the step-size bound 2/(τ(2 − ρ_Δ))."""
    low = -rng.uniform(*share) * 2 / (τ * max(2 - ρ, 0.2))
    return mixing(low, (-low * abs(ρ - 1) * rng.uniform(0.1, 0.9), 0.0, 0.5 * low)[rng.integers(3)], rng)


# --- late states ----------------------------------------------------------------------------------


def settling(growth: Tensor) -> float:
    """After how much time the slower modes have fallen e²⁵-fold behind, from the log growth of each ``[n, d]``."""
    rest = growth[growth < growth.max() - TOLERANCE]
    return 25 / (growth.max() - rest.max()).item() if rest.numel() else 1.0


def log_growth(μ: Tensor, τ: float, residual: bool) -> Tensor:
    """log|1 + τμ| of each step with the residual, log|τμ| of each without."""
    return (τ * μ + residual).abs().log()


def iterate(
    graph: Graph, W: Tensor, F: Tensor, τ: float, steps: int, residual: bool = True
) -> tuple[Tensor, float]:
    """``steps`` real steps F ← F + τĀFW (or τĀFW), normalised after each: the direction and the log of the norm."""
    Ā, W_, X = graph.norm_adjacency.to_dense().numpy(), τ * W.numpy(), F.numpy()
    log_norm = 0.0
    for _ in range(steps):
        X = residual * X + Ā @ (X @ W_)
        norm = math.sqrt(np.vdot(X, X))
        X, log_norm = X / norm, log_norm + math.log(norm)
    return torch.from_numpy(X), log_norm


def late(graph: Graph, s: Spectrum, W: Tensor, F0: Tensor, τ: float, residual: bool = True) -> Tensor:
    """A state at which the slower modes are gone; its last steps, or all of them, are real ones. Unit norm."""
    steps = math.ceil(settling(log_growth(rates(s, W), τ, residual))) + 1
    real = min(steps, MODERATE)
    start, _ = linear_steps(s, W, F0, τ, steps - real, residual)
    return iterate(graph, W, start, τ, real, residual)[0]


# --- G15: continuous time ---------------------------------------------------------------------------


def printed(ρ: float, W: Tensor) -> float:
    """|λ₋|(ρ_Δ − 1) − λ₊: above 0 the source says high-frequency dominant, below 0 low-frequency dominant."""
    λ_minus, λ_plus = extremes(W)
    return abs(λ_minus) * (ρ - 1) - λ_plus


def reached(graph: Graph, W: Tensor, F0: Tensor) -> float:
    """E_Dir(F/‖F‖)/(ρ_Δ/2) of Ḟ = ĀFW when only its fastest modes are left: 1 is high-, 0 low-frequency dominant."""
    s = Spectrum.of(graph)
    limit, _ = linear_flow(s, W, F0, settling(rates(s, W)))
    return 2 * normalised_energy(graph, limit).item() / s.ρ


def off_criterion(graph: Graph, W: Tensor, F0: Tensor) -> float:
    """How far that limit is from what the printed criterion says; 0 where it says nothing."""
    said = printed(graph.rho, W)
    return 0.0 if abs(said) < TOLERANCE else abs(reached(graph, W, F0) - (said > 0))


def continuous_criterion(graph: Graph, rng: np.random.Generator) -> Finding:
    """G15 as printed, on any W. Covered: W has a positive eigenvalue, or ρ_Δ > 1 (so in all graphs without loops)."""
    graph = looped(graph, rng)
    W = any_mixing(graph.rho, rng)
    off = off_criterion(graph, W, features(graph, rng))
    return Finding(off, off < REACHED, covered=graph.rho > 1 + TOLERANCE or extremes(W)[1] > TOLERANCE)


def continuous_expansion(graph: Graph, rng: np.random.Generator) -> Finding:
    """G15: E_Dir(F(t)) = e^{2tρ₋}((ρ_Δ/2)‖PF(0)‖² + R) with 0 ≤ R ≤ e^{−2tε} E_Dir((I−P)F(0)) and the printed ε.

    F(t) is from the matrix exponential of W ⊗ Ā, scaled by e^{−tρ₋}, and not from the eigenbasis.
    """
    graph = light(graph, rng)
    s, F0 = Spectrum.of(graph), features(graph, rng)
    W = within_bounds(s.ρ, 1.0, rng, (0.2, 1.5))
    high, ε = printed_rates(s, W)
    P = project(s, W, F0, top_modes(s, W))
    first, rest = 0.5 * s.ρ * P.square().sum(), dirichlet_energy(graph, F0 - P)
    A = torch.kron(W, graph.norm_adjacency.to_dense()) - high * torch.eye(F0.numel(), dtype=torch.float64)
    excess = 0.0
    for decay in (0.5, 0.1, 0.01):
        t = -math.log(decay) / ε / 2
        F = (torch.linalg.matrix_exp(t * A) @ F0.T.reshape(-1)).view(F0.T.shape).T
        E = dirichlet_energy(graph, F)
        excess = max(excess, ((E - first - decay * rest) / E).item(), ((first - E) / E).item())
    return Finding(excess, excess < 1e-9)


def printed_rates(s: Spectrum, W: Tensor) -> tuple[float, float]:
    """ρ₋ = |λ₋|(ρ_Δ − 1) and ε = min{ρ₋ − λ₊, |λ₋| gap(ρ_Δ I − Δ), gap(|λ₋| I + W)(ρ_Δ − 1)} of the source."""
    λ_minus, λ_plus = extremes(W)
    w = torch.linalg.eigvalsh(W)
    above = w[w > w[0] + TOLERANCE]
    gap = (above[0] - w[0]).item() if above.numel() else math.inf
    high = abs(λ_minus) * (s.ρ - 1)
    return high, min(high - λ_plus, abs(λ_minus) * s.top_gap, gap * (s.ρ - 1))


# --- G17: steps with the residual --------------------------------------------------------------------


def residual_theorem(graph: Graph, rng: np.random.Generator) -> Finding:
    """G17 inside its bounds and with ρ_Δ > 1: the growth of E_Dir in one real step against (1 + τρ₋)².

    Also part of the deviation: the Laplacian eigenvalue of the limit against ρ_Δ.
    """
    graph, τ = light(graph, rng), 10.0 ** rng.uniform(-1, 0.5)
    s, F0 = Spectrum.of(graph), features(graph, rng)
    W = within_bounds(s.ρ, τ, rng, (0.2, 0.95))
    F = late(graph, s, W, F0, τ)
    growth = dirichlet_energy(graph, iterate_once(graph, W, F, τ)) / dirichlet_energy(graph, F)
    frequency = 2 * normalised_energy(graph, F).item()  # the Rayleigh quotient tr(FᵀΔF)/‖F‖²
    off = max(abs(growth.item() / (1 + τ * printed_rates(s, W)[0]) ** 2 - 1), abs(frequency / s.ρ - 1))
    return Finding(off, off < REACHED)


def iterate_once(graph: Graph, W: Tensor, F: Tensor, τ: float) -> Tensor:
    """F + τĀFW."""
    return F + τ * (graph.norm_adjacency @ F @ W)


def second_rate(graph: Graph, rng: np.random.Generator) -> Finding:
    """G17: with 1 + τδ the largest |1 + τμ| of the other modes, q = (1 + τδ)/(1 + τρ₋), S their projector and r(m) =
    ‖(I−P)F(mτ)‖/‖PF(mτ)‖,

        qᵐ ‖SF(0)‖/‖PF(0)‖ ≤ r(m) ≤ qᵐ r(0),   E_Dir((I−P)F(mτ))/‖PF(mτ)‖² ≤ q^{2m} E_Dir((I−P)F(0))/‖PF(0)‖².

    Checked on real steps from F(0) for m = 1, 2, 4 … while r(m) is above rounding. Deviation: the largest excess.
    """
    graph, τ = light(graph, rng), 10.0 ** rng.uniform(-1, 0.5)
    s, F0 = Spectrum.of(graph), features(graph, rng)
    W = within_bounds(s.ρ, τ, rng, (0.2, 0.95))
    top = top_modes(s, W)
    growth = log_growth(rates(s, W), τ, residual=True)
    second = (growth > growth[~top].max() - TOLERANCE) & ~top
    q = (growth[~top].max() - growth[top].max()).exp().item()

    def beside(F: Tensor) -> Tensor:
        """The rest, its slowest part, and its energy, each beside PF."""
        P, S = project(s, W, F, top), project(s, W, F, second)
        energy = dirichlet_energy(graph, F - P).sqrt()  # not negative, as Δ is not
        return torch.stack([(F - P).norm(), S.norm(), energy]) / P.norm()

    first, F, done, excess = beside(F0), F0, 0, 0.0
    for m in 2 ** np.arange(11):
        F, _ = iterate(graph, W, F, τ, int(m) - done)
        done = int(m)
        rest, _, energy = beside(F)
        if rest < REACHED:
            break
        bound = q**done * first
        excess = max(excess, *(x.item() - 1 for x in (rest / bound[0], bound[1] / rest, energy / bound[2])))
    return Finding(excess, excess < REACHED)


def not_high(graph: Graph, W: Tensor, F0: Tensor, τ: float) -> bool:
    """Whether the steps F ← F + τĀFW are not high-frequency dominant from F(0)."""
    s = Spectrum.of(graph)
    return abs(2 * normalised_energy(graph, late(graph, s, W, F0, τ)).item() / s.ρ - 1) > REACHED


def heavy_loops(graph: Graph, rng: np.random.Generator) -> Finding:
    """G17 where ρ_Δ < 1: the printed bounds hold for every λ₊ ≥ 0, as dividing by ρ_Δ − 1 turns the first one round."""
    graph, τ = heavy(graph, rng), 10.0 ** rng.uniform(-1, 0.5)
    W = within_bounds(graph.rho, τ, rng, (0.2, 0.95))
    return Finding(0.0, not not_high(graph, W, features(graph, rng), τ))


def beyond_step(graph: Graph, rng: np.random.Generator) -> Finding:
    """G17 with λ₊ < ρ₋ but |λ₋| beyond the step-size bound; ρ_Δ well below 2, as at 2 there is no bound."""
    graph, τ = light(graph, rng, below=1.8), 10.0 ** rng.uniform(-1, 0.5)
    W = within_bounds(graph.rho, τ, rng, (1.05, 3.0))
    return Finding(0.0, not not_high(graph, W, features(graph, rng), τ))


# --- the law behind all of them ----------------------------------------------------------------------


def flow_law(graph: Graph, rng: np.random.Generator) -> Finding:
    """Any W, any loops, equality included: Ḟ = ĀFW ends in the modes of largest ν w."""
    graph = looped(graph, rng)
    s, F0 = Spectrum.of(graph), features(graph, rng)
    W = any_mixing(s.ρ, rng)
    growth = rates(s, W)
    return _law(graph, s, W, F0, growth, linear_flow(s, W, F0, settling(growth))[0])


def residual_law(graph: Graph, rng: np.random.Generator) -> Finding:
    """F ← F + τĀFW ends in the modes of largest |1 + τνw|, whatever τ."""
    return _steps_law(graph, rng, residual=True)


def plain_law(graph: Graph, rng: np.random.Generator) -> Finding:
    """F ← τĀFW ends in the modes of largest |νw|, on bipartite graphs too."""
    return _steps_law(graph, rng, residual=False)


def _steps_law(graph: Graph, rng: np.random.Generator, residual: bool) -> Finding:
    graph, τ = looped(graph, rng), 10.0 ** rng.uniform(-1, 1)
    s, F0 = Spectrum.of(graph), features(graph, rng)
    W = any_mixing(s.ρ, rng)
    growth = log_growth(rates(s, W), τ, residual)
    return _law(graph, s, W, F0, growth, late(graph, s, W, F0, τ, residual))


def _law(graph: Graph, s: Spectrum, W: Tensor, F0: Tensor, growth: Tensor, limit: Tensor) -> Finding:
    """The late energy against that of the fastest modes; these lie at an end, and the faster end wins alone."""
    E, ahead = normalised_energy(graph, limit).item(), margin(s, growth)
    off = abs(E - limit_energy(s, W, F0, growth))
    if abs(ahead) > TOLERANCE:
        off = max(off, abs(E - (0.5 * s.ρ if ahead > 0 else 0.0)))
    between = growth.max() - torch.maximum(growth[s.highest].max(), growth[s.lowest].max())
    off = max(off, between.item())
    return Finding(off, off < REACHED)
