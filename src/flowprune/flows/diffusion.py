"""Diffusion on a graph: the heat equation Ḟ = −ΔF, the gradient flow of the Dirichlet energy."""

from __future__ import annotations

from torch import Tensor, nn

from flowprune.flows.gradient import steps_of
from flowprune.training.replicas import propagate


class Heat(nn.Module):
    """Explicit Euler on Ḟ = −ΔF: F(t+τ) = F(t) − τΔF(t); without parameters.

    The step is stable for τ < 2/ρ_Δ, hence always for τ < 1. As τ → 0, F(T) → e^{−TΔ} F(0) with order one.
    """

    def __init__(self, *, time: float, step: float):
        super().__init__()
        self.steps = steps_of(time, step)

    def forward(self, F: Tensor, laplacian: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]`` over the Laplacian Δ ``[n, n]``."""
        for τ in self.steps:
            F = F - τ * propagate(laplacian, F)
        return F
