"""GRAFF: message passing as the descent of a learnable energy (Di Giovanni et al., arXiv 2206.10991).

The energy is E_tot(F) = ½ Σ_i ⟨f_i, Ω f_i⟩ − ½ Σ_ij ā_ij ⟨f_i, W f_j⟩ with symmetric W and Ω; its gradient flow, with
a source, and one explicit Euler step of it are

    Ḟ = −F Ω + Ā F W + β F(0),        F(t+τ) = F(t) + τ (−F Ω + Ā F W + β F(0)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from flowprune.training import kernels
from flowprune.training.operations import passed, tally
from flowprune.training.replicas import BatchNorm, draw, mix, product, propagate

STRUCTURES = ("sum", "prod", "neg-prod", "diag", "dd")


class _Trajectory(torch.autograd.Function):
    """All Euler steps in one node of the autograd graph, with the adjoint written by hand.

    Every step is F ← aF + (ĀF)b + cF(0) with a = 1 − τω, b = τW, c = τβ; with ReLU the same form gives the update
    (a = −ω, b = W, c = β), and F ← F + τσ(update). Only the states are kept. Going back, with G the incoming gradient
    (times τσ′ with ReLU) and Q = ĀG, which is also the transposed product because Ā is symmetric,

        ∂F = aG + Qbᵀ,   ∂W = Σ_m τ FᵀQ,   ∂ω = −Σ_m τ F ⊙ G,   ∂β = Σ_m τ ⟨F(0), G⟩,   ∂F(0) = Σ_m τβ G.
    """

    @staticmethod
    def forward(
        ctx, adjacency: Tensor, F0: Tensor, W: Tensor, ω: Tensor, β: Tensor, steps: list[float], relu: bool
    ):
        training = any(ctx.needs_input_grad)
        states, active, F = [], [], F0
        for m, τ in enumerate(steps):
            a, b, c = _coefficients(W, ω, β, m, τ, relu)
            P = product(adjacency, F)
            update = P.mul_(b) if b.dim() == 2 else mix(P, b)
            update = update.addcmul_(F, a).addcmul_(F0, c)
            if training:
                states.append(F)
                active.append(update > 0 if relu else None)
            F = update.relu_().mul_(τ).add_(F) if relu else update
        ctx.save_for_backward(F0, W, ω, β)
        ctx.adjacency, ctx.states, ctx.active, ctx.steps, ctx.relu = adjacency, states, active, steps, relu
        return F

    @staticmethod
    def backward(ctx, dF: Tensor):
        F0, W, ω, β = ctx.saved_tensors
        dW, dω, dF0 = torch.zeros_like(W), torch.zeros_like(ω), torch.zeros_like(F0)
        for m in reversed(range(len(ctx.steps))):
            F, τ, w = ctx.states[m], ctx.steps[m], min(m, len(W) - 1)
            a, b, _ = _coefficients(W, ω, β, m, τ, ctx.relu)
            G, weight = (dF * ctx.active[m] * τ, 1.0) if ctx.relu else (dF, τ)
            Q = product(ctx.adjacency, G)
            if b.dim() == 2:
                dW[w].add_((F * Q).sum(0), alpha=weight)
            else:
                dW[w].baddbmm_(F.permute(1, 2, 0), Q.transpose(0, 1), alpha=weight)
            dω.add_((F * G).sum(0), alpha=-weight)
            dF0.add_(G, alpha=weight)
            back = (Q.mul_(b) if b.dim() == 2 else mix(Q, b.mT)).addcmul_(G, a)
            dF = back.add_(dF) if ctx.relu else back
        dβ = (F0 * dF0).sum((0, 2)).unsqueeze(-1)
        return None, dF0.mul_(β).add_(dF), dW, dω, dβ, None, None


class _DiagonalTrajectory(torch.autograd.Function):
    """The linear trajectory with diagonal W on a CPU: :class:`_Trajectory` as one compiled loop each way."""

    @staticmethod
    def forward(ctx, adjacency: Tensor, F0: Tensor, W: Tensor, ω: Tensor, β: Tensor, steps: list[float]):
        τ = torch.tensor(steps, dtype=F0.dtype).view(-1, 1, 1)
        a, b, c = ((x + torch.zeros_like(ω)).flatten(1) for x in (1 - τ * ω, τ * W, τ * β))
        training = any(ctx.needs_input_grad)
        states = F0.new_empty(len(steps) if training else 2, F0.shape[0], a.shape[1])
        csr = [x.numpy() for x in (adjacency.crow_indices(), adjacency.col_indices(), adjacency.values())]
        tally("sparse", 2 * len(a) * adjacency.values().numel() * F0[0].numel())
        flat = F0.flatten(1).numpy()  # a step goes through Ā, F, F(0) and the next F
        passed(*csr, *3 * [flat], times=len(a), gathered=_along(csr, flat, a))
        kernels.linear_trajectory(*csr, flat, *(x.numpy() for x in (a, b, c, states)))
        ctx.save_for_backward(F0, W, ω, β)
        ctx.csr, ctx.a, ctx.b, ctx.states, ctx.steps = csr, a, b, states, steps
        return states[(len(steps) - 1) % len(states)].view(F0.shape)

    @staticmethod
    def backward(ctx, dF: Tensor):
        F0, W, ω, β = ctx.saved_tensors
        dW, dω, dF0 = torch.zeros_like(W), torch.zeros_like(ω), torch.zeros_like(F0)
        weight = torch.tensor(ctx.steps, dtype=F0.dtype)
        arrays = [x.numpy() for x in (ctx.a, ctx.b, weight, ctx.states)]
        sums = [x.flatten(-2).numpy() for x in (dF.contiguous(), dW.view(-1, *ω.shape), dω, dF0)]
        tally("sparse", 2 * len(ctx.a) * ctx.csr[2].size * F0[0].numel())
        flat = F0.flatten(1).numpy()  # a step goes through Ā, G, F, the next G, and ∂F(0) twice
        passed(*ctx.csr, *5 * [flat], times=len(ctx.a), gathered=_along(ctx.csr, flat, ctx.a))
        back = kernels.linear_adjoint(*ctx.csr, flat, *arrays, *sums)
        dβ = (F0 * dF0).sum((0, 2)).unsqueeze(-1)
        return None, dF0.mul_(β).add_(torch.from_numpy(back).view(F0.shape)), dW, dω.neg_(), dβ, None


def _along(csr: list[np.ndarray], F: np.ndarray, steps: Tensor) -> int:
    """Bytes of the rows of F that so many sparse products read, one for every entry of Ā."""
    return len(steps) * csr[2].size * F[0].nbytes


def _coefficients(
    W: Tensor, ω: Tensor, β: Tensor, m: int, τ: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """a, b and c of the m-th step, from W stacked over steps (or one W for all)."""
    W = W[min(m, len(W) - 1)]
    return (-ω, W, β) if relu else (1 - τ * ω, τ * W, τ * β)


def times(F: Tensor, W: Tensor) -> Tensor:
    """F W for diagonal W ``[R, d]`` or full ones ``[R, d, d]``: ``[n, R, d] → [n, R, d]``."""
    return F * W if W.dim() == 2 else mix(F, W)


def steps_of(time: float, step: float) -> list[float]:
    """Explicit Euler's step sizes up to ``time``: all equal but the last, which is what remains.

    >>> steps_of(2.099, 1.0)
    [1.0, 1.0, 0.099]
    """
    if not (step > 0 and time > 0):
        raise ValueError(f"time and step must be positive, got time={time}, step={step}")
    full = math.floor(time / step + 1e-9)
    rest = round(time - full * step, 12)
    return [step] * full + ([rest] if rest > 1e-9 else [])


class ChannelMixing(nn.Module):
    """The symmetric channel mixing W of R replicas in one of the published structures.

    ========  ===================================  ==================================
    name      W                                    spectrum
    ========  ===================================  ==================================
    sum       W′ + W′ᵀ                             any sign
    prod      W′ᵀ W′                               ≥ 0: attraction only
    neg-prod  −W′ᵀ W′                              ≤ 0: repulsion only
    diag      diag(w)                              any sign; w drawn from U[−1, 1]
    dd        W⁰ + diag(q_α Σ_β abs(W⁰_αβ) + r_α)  moved by q and r (Gershgorin)
    ========  ===================================  ==================================

    With ``trained=False`` W stays as it was drawn.
    """

    def __init__(self, seeds: Sequence[int], d: int, structure: str, name: str = "W", trained: bool = True):
        super().__init__()
        if structure not in STRUCTURES:
            raise ValueError(
                f"unknown structure of W: {structure!r}; it must be one of {', '.join(STRUCTURES)}"
            )
        self.structure = structure
        if structure == "diag":
            self.w = nn.Parameter(draw(seeds, f"{name}.w", (d,), 1.0))
        else:
            self.free = nn.Parameter(draw(seeds, f"{name}.free", (d, d), math.sqrt(3 / d)))  # Glorot's bound
        if structure == "dd":
            self.q = nn.Parameter(draw(seeds, f"{name}.q", (d,), 1.0))
            self.r = nn.Parameter(draw(seeds, f"{name}.r", (d,), 1.0))
        self.requires_grad_(trained)

    def forward(self) -> Tensor:
        """W: ``[R, d]`` for the diagonal structure, else ``[R, d, d]``, symmetric."""
        if self.structure == "diag":
            return self.w
        free = self.free
        if self.structure == "sum":
            return (free + free.mT) / 2  # W′ := free/2 keeps Glorot's scale for W
        if self.structure == "prod":
            return free.mT @ free
        if self.structure == "neg-prod":
            return -(free.mT @ free)
        off = (free + free.mT) / 2
        off = off - torch.diag_embed(off.diagonal(dim1=-2, dim2=-1))
        return off + torch.diag_embed(self.q * off.abs().sum(-1) + self.r)

    def matrix(self) -> Tensor:
        """W as matrices ``[R, d, d]``, detached, for reading its spectrum."""
        W = self.forward().detach()
        return torch.diag_embed(W) if W.dim() == 2 else W


class GRAFF(nn.Module):
    """The GRAFF flow: explicit Euler on Ḟ = −FΩ + ĀFW + βF(0), W and Ω shared by all steps.

    Args:
        seeds: one integer a replica.
        d: channels.
        structure, trained: of W, see :class:`ChannelMixing`.
        time, step: T and τ; the last step is shorter when τ does not divide T.
        omega: "diag" (learned, U[−1, 1] at first) or "zero".
        source: whether β (one learned scalar, 0 at first) drives the flow with F(0).
        relu: apply ReLU to every update, σ(−FΩ + ĀFW + βF(0)).
        time_dependent: a W of its own for every step.
        batch_norm: normalise every channel over the nodes after each step.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        d: int,
        structure: str = "diag",
        *,
        trained: bool = True,
        time: float = 3.0,
        step: float = 1.0,
        omega: str = "diag",
        source: bool = True,
        relu: bool = False,
        time_dependent: bool = False,
        batch_norm: bool = False,
    ):
        super().__init__()
        if omega not in ("diag", "zero"):
            raise ValueError(f"unknown Ω: {omega!r}; it must be diag or zero")
        self.steps, self.relu = steps_of(time, step), relu
        names = [f"W{m}" for m in range(len(self.steps))] if time_dependent else ["W"]
        self.W = nn.ModuleList(ChannelMixing(seeds, d, structure, name, trained) for name in names)
        R = len(seeds)
        ω = draw(seeds, "Ω", (d,), 1.0) if omega == "diag" else torch.zeros(R, d)
        self.ω = nn.Parameter(ω, requires_grad=omega == "diag")
        self.β = nn.Parameter(torch.zeros(R, 1), requires_grad=source)

        self.norms = nn.ModuleList(BatchNorm(R, d) for _ in self.steps) if batch_norm else None

    def forward(self, F0: Tensor, adjacency: Tensor) -> Tensor:
        """``F(0) → F(T)``, both ``[n, R, d]``, over the symmetric Ā ``[n, n]``."""
        if self.norms is not None:
            return self.trajectory(F0, adjacency)[-1]
        W = torch.stack([mixing() for mixing in self.W])
        if F0.device.type == "cpu" and W.dim() == 3 and not self.relu:
            return _DiagonalTrajectory.apply(adjacency, F0, W, self.ω, self.β, self.steps)
        return _Trajectory.apply(adjacency, F0, W, self.ω, self.β, self.steps, self.relu)

    def velocity(self, F: Tensor, F0: Tensor, adjacency: Tensor, m: int = 0) -> Tensor:
        """−FΩ + ĀFW + βF(0) with the m-th W (ReLU of it with ``relu``): ``[n, R, d]``."""
        W, P = self.W[min(m, len(self.W) - 1)](), propagate(adjacency, F)
        update = times(P, W) - F * self.ω + self.β * F0
        return update.relu() if self.relu else update

    def trajectory(self, F0: Tensor, adjacency: Tensor) -> list[Tensor]:
        """F(0), F(τ), …, F(T): the states that :meth:`forward` passes through, each ``[n, R, d]``."""
        states = [F0]
        for m, τ in enumerate(self.steps):
            F = states[-1] + τ * self.velocity(states[-1], F0, adjacency, m)
            states.append(F if self.norms is None else self.norms[m](F))
        return states
