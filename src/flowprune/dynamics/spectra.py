"""Frequencies of a graph, and linear flows solved exactly by them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from flowprune.graphs import Graph


@dataclass(frozen=True)
class Spectrum:
    """Eigenpairs of the normalised Laplacian Δ, ascending: ``λ [n]``, orthonormal columns ``φ [n, n]``; dense.

    ``ν [n]`` are the eigenvalues of Ā on the same vectors: 1 − λ, but 0 for an isolated node, whose rows of Δ and of
    Ā are both zero.
    """

    λ: Tensor
    φ: Tensor
    ν: Tensor

    @classmethod
    def of(cls, graph: Graph) -> Spectrum:
        isolated = torch.diag(
            (graph.degree == 0).double()
        )  # moved to −1, so that no other zero mixes with them
        λ, φ = torch.linalg.eigh(graph.laplacian.to_dense().double() - isolated)
        alone = λ < -0.5
        return cls(λ.masked_fill(alone, 0.0), φ, (1 - λ).masked_fill(alone, 0.0))

    @property
    def ρ(self) -> float:
        """The largest eigenvalue ρ_Δ."""
        return self.λ[-1].item()

    @cached_property
    def lowest(self) -> Tensor:
        """Which eigenvalues are zero: ``[n]`` bool; as many as there are components."""
        return self.λ < TOLERANCE

    @cached_property
    def highest(self) -> Tensor:
        """Which eigenvalues equal ρ_Δ: ``[n]`` bool."""
        return self.λ > self.ρ - TOLERANCE

    @property
    def gap(self) -> float:
        """The smallest eigenvalue above zero (gap(Δ)); infinite when there is none."""
        above = self.λ[~self.lowest]
        return above[0].item() if above.numel() else float("inf")

    @property
    def top_gap(self) -> float:
        """ρ_Δ minus the next eigenvalue below it (gap(ρ_Δ I − Δ)); infinite when there is none."""
        below = self.λ[~self.highest]
        return self.ρ - below[-1].item() if below.numel() else float("inf")

    def share(self, F: Tensor, which: Tensor) -> Tensor:
        """‖P F‖²/‖F‖², P the projector on the chosen eigenvectors, for ``F [n, d]``."""
        return (self.φ[:, which].T @ F).square().sum() / F.square().sum()


TOLERANCE = 1e-9  # eigenvalues closer than this are one, in float64 on the graphs of the theory chapters


def rates(spectrum: Spectrum, W: Tensor) -> Tensor:
    """μ_ℓk = ν_ℓ w_k, the eigenvalues of W ⊗ Ā for symmetric ``W [d, d]``: ``[n, d]``, w ascending.

    Mode (ℓ, k) grows like e^{tμ} in Ḟ = ĀFW, like (1 + τμ)^m in its Euler steps and like (τμ)^m without the residual.
    """
    return spectrum.ν.unsqueeze(1) * torch.linalg.eigvalsh(W)


def extremes(W: Tensor) -> tuple[float, float]:
    """(λ₋, λ₊) of a symmetric W: its smallest eigenvalue clipped at 0 from above, its largest from below."""
    w = torch.linalg.eigvalsh(W)
    return min(w[0].item(), 0.0), max(w[-1].item(), 0.0)


def top_modes(spectrum: Spectrum, W: Tensor) -> Tensor:
    """Which modes (ℓ, k) have λ_ℓ = ρ_Δ and w_k the smallest eigenvalue of W: ``[n, d]`` bool."""
    w = torch.linalg.eigvalsh(W)
    return spectrum.highest.unsqueeze(1) & (w < w[0] + TOLERANCE)


def margin(spectrum: Spectrum, growth: Tensor) -> float:
    """How much faster the highest frequency grows than the lowest: above 0 means HFD, below 0 LFD.

    ``growth [n, d]`` is the logarithm of the growth of each mode: tμ, m log|1 + τμ| or m log|τμ|. Its exponential is a
    convex function of ν at fixed w, so no frequency between the two ends grows faster than both.
    """
    return (growth[spectrum.highest].max() - growth[spectrum.lowest].max()).item()


def limit_energy(spectrum: Spectrum, W: Tensor, F0: Tensor, growth: Tensor) -> float:
    """The limit of E_Dir(F/‖F‖): that of the modes of F(0) whose ``growth [n, d]`` is the largest of all."""
    fastest = growth > growth.max() - TOLERANCE
    c = fastest * (spectrum.φ.T @ F0 @ torch.linalg.eigh(W)[1]).square()
    return (0.5 * (spectrum.λ @ c).sum() / c.sum()).item()


def project(spectrum: Spectrum, W: Tensor, F: Tensor, modes: Tensor) -> Tensor:
    """The part of ``F [n, d]`` in the chosen modes ``[n, d]`` bool."""
    U = torch.linalg.eigh(W)[1]
    return spectrum.φ @ (modes * (spectrum.φ.T @ F @ U)) @ U.T


def linear_flow(spectrum: Spectrum, W: Tensor, F0: Tensor, t: float) -> tuple[Tensor, float]:
    """The solution of Ḟ = ĀFW at time t, exactly, for symmetric W: its direction and the logarithm of its norm.

    In the bases of Δ and W the flow multiplies coefficient (ℓ, k) by exp(t ν_ℓ w_k). The largest term is taken
    out first, so that no time is too long. The coefficients that decide a limit may be tiny, hence float64.

    Args:
        spectrum: of the graph; W: ``[d, d]`` symmetric; F0: ``[n, d]``.

    Returns:
        F(t)/‖F(t)‖ ``[n, d]`` and log ‖F(t)‖.
    """
    μ = rates(spectrum, W)
    return _evolved(spectrum, W, F0, t * μ, torch.ones_like(μ))


def linear_steps(
    spectrum: Spectrum, W: Tensor, F0: Tensor, τ: float, steps: int, residual: bool = True
) -> tuple[Tensor, float]:
    """The same for steps F ← F + τĀFW, or F ← τĀFW without the residual: direction and log norm after all of them.

    Direction ``[n, d]`` of a state that has vanished (W = 0 without the residual) is not a number.
    """
    factor = τ * rates(spectrum, W) + residual
    exponent = torch.xlogy(torch.tensor(float(steps)), factor.abs())
    return _evolved(spectrum, W, F0, exponent, factor.sign() if steps % 2 else torch.ones_like(factor))


def _evolved(
    spectrum: Spectrum, W: Tensor, F0: Tensor, exponent: Tensor, sign: Tensor
) -> tuple[Tensor, float]:
    U = torch.linalg.eigh(W)[1]
    c = spectrum.φ.T @ F0 @ U
    exponent = exponent + c.abs().log()  # minus infinity where F(0) has no component
    largest = exponent.max()
    F = spectrum.φ @ (sign * c.sign() * (exponent - largest).exp()) @ U.T
    norm = F.norm()
    return F / norm, (largest + norm.log()).item()


def heat_flow(spectrum: Spectrum, F0: Tensor, t: float) -> Tensor:
    """e^{−tΔ} F(0): ``[n, d]``."""
    return spectrum.φ @ ((-t * spectrum.λ).exp().unsqueeze(1) * (spectrum.φ.T @ F0))
