"""A channel mixing that depends on features and time: GRAFF with a symmetric gate on every edge.

With symmetric W₀ and W₁ and a gate s_ij = s_ji in (−1, 1) on the edges, S = (s_ij),

    Ḟ = −F Ω + Ā F W₀ + (Ā ⊙ S) F W₁ + β F(0),

so that node i sees neighbour j through W₀ + s_ij W₁: an edge may attract while the next one repels. The gate is the
hyperbolic tangent of a symmetric score of the two ends, in one of three kinds:

* ``fixed``: score ⟨u_i, J u_j⟩/√k + b with u = F A + a from F(0), J a diagonal of k signs. Ā ⊙ S is symmetric and
  stays, so this is the gradient flow of E_S(F) = ½ Σ ⟨f_i, Ω f_i⟩ − ½ Σ ā_ij ⟨f_i, (W₀ + s_ij W₁) f_j⟩.
* ``recomputed``: the same score from F(t) at every step. In general no gradient flow of any energy.
* ``energy``: score ⟨f_i, W₁ f_j⟩/√d from F(t). The gradient flow of
  E(F) = ½ Σ ⟨f_i, Ω f_i⟩ − ½ Σ ā_ij ⟨f_i, W₀ f_j⟩ − (√d/2) Σ ā_ij log cosh(⟨f_i, W₁ f_j⟩/√d).

Why: a force Σ_j ā_ij φ(⟨f_i, M f_j⟩) W₁ f_j has the mixed derivative φ W₁ + φ′ W₁ f_j (M f_i)ᵀ. A gradient needs it to
be the transpose of its mirror image, φ W₁ + φ′ M f_j (W₁ f_i)ᵀ. That holds for all f_i and f_j only if M is a multiple
of W₁. (Sums are over both orders of every edge; the source adds −β ⟨F(0), F⟩ to each energy.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowprune.flows.attention import Edges, edge_inner, edge_sum
from flowprune.flows.gradient import ChannelMixing, steps_of, times
from flowprune.training.replicas import Linear, draw, propagate

GATES = ("fixed", "recomputed", "energy")


class LocalGRAFF(nn.Module):
    """GRAFF with a gate on every edge, explicit Euler; Ω is diagonal, the source is learned.

    Args:
        seeds: one integer a replica.
        d: channels.
        structure: of W₀ and W₁, see :class:`~flowprune.flows.gradient.ChannelMixing`.
        gate: fixed, recomputed or energy, see the module.
        rank: k, the even number of channels that the score compares; the gate ``energy`` has none of its own.
        time, step: T and τ; the last step is shorter when τ does not divide T.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        d: int,
        structure: str = "diag",
        *,
        gate: str = "recomputed",
        rank: int = 8,
        time: float = 3.0,
        step: float = 1.0,
    ):
        super().__init__()
        if gate not in GATES:
            raise ValueError(f"unknown gate: {gate!r}; it must be one of {', '.join(GATES)}")
        if rank < 2 or rank % 2:
            raise ValueError(f"rank = {rank} must be an even number, at least 2")
        self.gate, self.steps, self.edges = gate, steps_of(time, step), None
        self.W = nn.ModuleList(ChannelMixing(seeds, d, structure, name) for name in ("W0", "W1"))
        self.ω = nn.Parameter(draw(seeds, "Ω", (d,), 1.0))
        self.β = nn.Parameter(torch.zeros(len(seeds), 1))
        if gate != "energy":
            self.ends = Linear(seeds, "gate", d, rank)
            self.b = nn.Parameter(torch.zeros(len(seeds)))
            signs = torch.ones(rank)
            signs[rank // 2 :] = -1.0
            self.register_buffer("signs", signs, persistent=False)

    def forward(self, F0: Tensor, adjacency: Tensor) -> Tensor:
        """``F(0) → F(T)``, both ``[n, R, d]``, over the symmetric Ā ``[n, n]``."""
        F, S = F0, None
        for τ in self.steps:
            if S is None or self.gate != "fixed":
                S = self.gates(F, adjacency)
            F = F + τ * self.velocity(F, F0, adjacency, S)
        return F

    def velocity(self, F: Tensor, F0: Tensor, adjacency: Tensor, S: Tensor) -> Tensor:
        """Ḟ ``[n, R, d]`` at F under the gates S ``[E, R]``."""
        W0, W1 = (mixing() for mixing in self.W)
        gated = edge_sum(self._edges(adjacency), adjacency.values().unsqueeze(1) * S, F)
        moved = times(propagate(adjacency, F), W0) + times(gated, W1)
        return moved - F * self.ω + self.β * F0

    def gates(self, F: Tensor, adjacency: Tensor) -> Tensor:
        """s_ij in (−1, 1) for the stored entries of Ā: ``[n, R, d] → [E, R]``."""
        return self._scores(F, adjacency).tanh()

    def energy(self, F: Tensor, F0: Tensor, adjacency: Tensor, S: Tensor) -> Tensor:
        """The energy ``[R]`` whose negative gradient in F is the flow; under ``recomputed`` gates, with S held fast."""
        W0, W1 = (mixing() for mixing in self.W)
        ā = adjacency.values().unsqueeze(1)
        if self.gate == "energy":
            score, root = self._scores(F, adjacency), math.sqrt(F.shape[-1])
            gated = root * (
                nn.functional.softplus(2 * score) - score - math.log(2)
            )  # log cosh, without overflow
        else:
            gated = S * self._between(times(F, W1), F, adjacency)
        pairs = (ā * (self._between(times(F, W0), F, adjacency) + gated)).sum(0)
        own = (F * F * self.ω).sum((0, 2)) - pairs
        return own / 2 - self.β.squeeze(-1) * (F * F0).sum((0, 2))

    def _scores(self, F: Tensor, adjacency: Tensor) -> Tensor:
        if self.gate == "energy":
            return self._between(times(F, self.W[1]()), F, adjacency) / math.sqrt(F.shape[-1])
        u = self.ends(F)
        return self._between(u * self.signs, u, adjacency) / math.sqrt(len(self.signs)) + self.b

    def _between(self, H: Tensor, F: Tensor, adjacency: Tensor) -> Tensor:
        """⟨h_i, f_j⟩ for the stored entries (i, j): ``[E, R]``."""
        return edge_inner(self._edges(adjacency), H, F)

    def _edges(self, adjacency: Tensor) -> Edges:
        if self.edges is None:
            self.edges = Edges(adjacency, len(self.ω))
        return self.edges
