"""What a kernel's spectrum says: its shape in four numbers, the training it predicts, and a bound on the error."""

from __future__ import annotations

import torch
from torch import Tensor

FIT = (2, 0.25)  # α is fitted from this rank to this share of the ranks


def metrics(kernel: Tensor) -> dict[str, float]:
    """The four numbers of Pham et al. (2025) of a symmetric kernel ``[N, N]``, N at least 16.

    ``decay``: α of λ_k ∝ k^{-α}, least squares in logarithms over the ranks 2 to N/4; ``rank``: tr Θ/λ₁, 1 to N;
    ``gap``: λ₁/λ₂; ``top5``: the share of the trace in the five largest.
    """
    if len(kernel) < 16:
        raise ValueError(f"a spectrum is fitted to 16 samples or more, got {len(kernel)}")
    λ = torch.linalg.eigvalsh(kernel.double()).flip(0)
    first, last = FIT[0], int(len(λ) * FIT[1])
    k = torch.arange(first, last + 1, dtype=torch.float64, device=λ.device).log()
    e = λ[first - 1 : last].clamp_min(torch.finfo(torch.float64).tiny).log()
    k, e = k - k.mean(), e - e.mean()
    return {
        "decay": float(-(k @ e) / (k @ k)),
        "rank": float(λ.sum() / λ[0]),
        "gap": float(λ[0] / λ[1]),
        "top5": float(λ[:5].sum() / λ.sum()),
    }


def predicted_loss(kernel: Tensor, residual: Tensor, rate: float, steps: Tensor) -> Tensor:
    """Loss ½ Σ r²/N that the kernel predicts for gradient descent on it, if the kernel stays as it is.

    A mode of the kernel with eigenvalue λ shrinks by 1 - rate·λ/N a step.

    Args:
        kernel: ``[N, N]``.
        residual: f - y at the start, ``[N]`` or ``[N, o]``.
        rate: of the parameters of size one.
        steps: at which steps, ``[k]``.

    Returns:
        ``[k]``.
    """
    λ, Q = torch.linalg.eigh(kernel)
    N = len(kernel)
    energy = ((Q.T @ residual.reshape(N, -1)) ** 2).sum(1)
    shrunk = (1 - rate * λ / N)[None, :] ** (2 * steps.to(λ)[:, None])
    return 0.5 / N * shrunk @ energy


def norm_bound(kernel: Tensor, target: Tensor) -> float:
    """√(2 yᵀΘ⁻¹y/N), which bounds the error on new samples of a network trained to the end (Arora et al. 2019).

    Their theorem is for two layers, a target in [-1, 1], and adds a term that falls as √(log(1/δ)/N). Raises ValueError
    when the kernel is singular to rounding: then no bound is said.
    """
    λ, Q = torch.linalg.eigh(kernel.double())
    if λ[0] <= len(λ) * torch.finfo(torch.float64).eps * λ[-1]:
        raise ValueError(f"the kernel is singular: λ from {λ[0]:.2g} to {λ[-1]:.2g}, so yᵀΘ⁻¹y is unknown")
    y = Q.T @ target.double()
    return float((2 * (y * y / λ).sum() / len(y)).sqrt())
