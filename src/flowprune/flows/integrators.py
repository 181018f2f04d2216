"""Ways to follow a flow Ḟ = v(F) from F(0) to F(T): explicit Euler, Runge–Kutta of order four, adaptive, exact.

A velocity v maps features ``[n, R, d]`` to features of the same shape. That of GRAFF is

    v = lambda F: flow.velocity(F, F0, adjacency)

All of them are differentiable in whatever v and F(0) depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchdiffeq import odeint

from flowprune.flows.gradient import GRAFF

Velocity = Callable[[Tensor], Tensor]


def euler(velocity: Velocity, F0: Tensor, steps: Sequence[float]) -> Tensor:
    """Explicit Euler, F ← F + τ v(F), one velocity a step; the error at T is of order τ."""
    F = F0
    for τ in steps:
        F = F + τ * velocity(F)
    return F


def rk4(velocity: Velocity, F0: Tensor, steps: Sequence[float]) -> Tensor:
    """The classical Runge–Kutta method, four velocities a step; the error at T is of order τ⁴ for a smooth v."""
    F = F0
    for τ in steps:
        k1 = velocity(F)
        k2 = velocity(F + τ / 2 * k1)
        k3 = velocity(F + τ / 2 * k2)
        k4 = velocity(F + τ * k3)
        F = F + τ / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return F


def adaptive(
    velocity: Velocity, F0: Tensor, time: float, *, rtol: float = 1e-6, atol: float = 1e-9
) -> Tensor:
    """Dormand and Prince's method of order five (torchdiffeq's ``dopri5``), which chooses its steps by an estimate of
    the error of each: at most ``atol + rtol |F|`` in the root mean square of all entries.

    In float32 an ``rtol`` below 1e-6 asks for more than the numbers hold, and torchdiffeq refuses steps that vanish.
    """
    times = torch.tensor([0.0, time], dtype=F0.dtype, device=F0.device)
    return odeint(lambda _, F: velocity(F), F0, times, rtol=rtol, atol=atol, method="dopri5")[-1]


def exact(flow: GRAFF, F0: Tensor, adjacency: Tensor, time: float) -> Tensor:
    """F(time) of the linear GRAFF flow without any step, by the eigenvectors of Ā: dense, for small graphs.

    In the eigenbasis φ of Ā, with eigenvalues μ, every row of coefficients is on its own: ċ = cM + βc(0) with the
    symmetric M = μW − Ω, hence c(t) = c(0) (e^{tM} + βt ϕ₁(tM)) where ϕ₁(x) = (eˣ − 1)/x.

    Args:
        F0: ``[n, R, d]``; adjacency: the symmetric Ā ``[n, n]``.

    Raises:
        ValueError: for a flow with ReLU, time-dependent W or batch normalisation, which has no such solution.
    """
    if flow.relu or len(flow.W) > 1 or flow.norms is not None:
        raise ValueError(
            "exact: the flow must be linear with one W: without ReLU, time-dependent W and batch normalisation"
        )
    μ, φ = torch.linalg.eigh(adjacency.to_dense())
    M = μ.view(-1, 1, 1, 1) * flow.W[0].matrix() - torch.diag_embed(flow.ω.detach())
    m, U = torch.linalg.eigh(M)  # [n, R, d], [n, R, d, d]
    c = torch.einsum("lrd,lrde->lre", torch.einsum("il,ird->lrd", φ, F0), U)
    x = time * m
    ϕ1 = torch.where(x.abs() < 1e-12, torch.ones_like(x), x.expm1() / x)
    c = c * (x.exp() + flow.β.detach() * time * ϕ1)
    return torch.einsum("il,lrd->ird", φ, torch.einsum("lre,lrde->lrd", c, U))
