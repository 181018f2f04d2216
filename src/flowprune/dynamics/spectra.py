"""Frequencies of a graph, and linear flows solved exactly by them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from flowprune.graphs import Graph


@dataclass(frozen=True)
class Spectrum:
    """Eigenpairs of the normalised Laplacian Δ, ascending: ``λ [n]``, orthonormal columns ``φ [n, n]``; dense."""

    λ: Tensor
    φ: Tensor

    @classmethod
    def of(cls, graph: Graph) -> Spectrum:
        return cls(*torch.linalg.eigh(graph.laplacian.to_dense().double()))

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


def linear_flow(spectrum: Spectrum, W: Tensor, F0: Tensor, t: float) -> tuple[Tensor, float]:
    """The solution of Ḟ = ĀFW at time t, exactly, for symmetric W: its direction and the logarithm of its norm.

    In the bases of Δ and W the flow multiplies coefficient (ℓ, k) by exp(t (1 − λ_ℓ) w_k). The largest term is taken
    out first, so that no time is too long. The coefficients that decide a limit may be tiny, hence float64.

    Args:
        spectrum: of the graph; W: ``[d, d]`` symmetric; F0: ``[n, d]``.

    Returns:
        F(t)/‖F(t)‖ ``[n, d]`` and log ‖F(t)‖.
    """
    w, U = torch.linalg.eigh(W)
    c = spectrum.φ.T @ F0 @ U
    exponent = (
        t * (1 - spectrum.λ).unsqueeze(1) * w + c.abs().log()
    )  # minus infinity where F(0) has no component
    largest = exponent.max()
    F = spectrum.φ @ (c.sign() * (exponent - largest).exp()) @ U.T
    norm = F.norm()
    return F / norm, (largest + norm.log()).item()


def heat_flow(spectrum: Spectrum, F0: Tensor, t: float) -> Tensor:
    """e^{−tΔ} F(0): ``[n, d]``."""
    return spectrum.φ @ ((-t * spectrum.λ).exp().unsqueeze(1) * (spectrum.φ.T @ F0))
