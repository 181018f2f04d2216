"""DYNAMO: attention pruned by the covariance that noise reveals (Chakraborty et al., arXiv 2412.07243).

The rule knows no layer. It is given the attention of every edge and the covariance of the states at its two ends, and
says how much weaker the edge becomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from flowprune.training import kernels
from flowprune.training.operations import tally

Sign = Literal["minus", "plus", "correlation", "none"]
Covariance = tuple[Tensor, Tensor, Tensor]  # C_ii, C_jj and C_ij of every edge


def edge_covariance(H: Tensor, row: Tensor, col: Tensor) -> Covariance:
    """C_ii, C_jj, C_ij of every edge (i, j) over the d channels of one state: ``[n, d]`` to ``[E]``, ``[n, R, d]`` to
    ``[E, R]``; only the edges' entries of the N × N covariance are computed."""
    return _products((H - H.mean(-1, keepdim=True)) / (H.shape[-1] - 1) ** 0.5, row, col)


def drawn_covariance(H: Tensor, row: Tensor, col: Tensor) -> Covariance:
    """The same over S draws of the noise, averaged over channels: states ``[S, n, …, d]``; this has an expectation."""
    S, d = H.shape[0], H.shape[-1]
    centred = (H - H.mean(0)) / (d * (S - 1)) ** 0.5
    return _products(torch.cat(centred.unbind(0), -1), row, col)


def _products(Z: Tensor, row: Tensor, col: Tensor, block: int = 2**16) -> Covariance:
    """⟨z_i, z_i⟩, ⟨z_j, z_j⟩ and ⟨z_i, z_j⟩ of every edge; no ``[E, d]`` is stored."""
    tally("covariance", 2 * (Z.numel() + row.numel() * Z[0].numel()))
    own = Z.square().sum(-1)
    if Z.device.type == "cpu":
        across = Z.new_empty(row.numel(), *Z.shape[1:-1])
        states = Z.reshape(len(Z), -1, Z.shape[-1])
        out = across.view(len(row), states.shape[1])  # there may be no edge left
        kernels.pair_inner(*(x.detach().contiguous().numpy() for x in (row, col, states, out)))
        return own[row], own[col], across
    pairs = zip(row.split(block), col.split(block), strict=True)
    return own[row], own[col], torch.cat([(Z[i] * Z[j]).sum(-1) for i, j in pairs])


@dataclass(frozen=True)
class Dynamo:
    """How edges weaken: p = r · |α|/τ · s with a score s of the covariance, then w ← w (1 − p), removed below ε.

    Every edge keeps a multiplier w, at first 1, of its attention. r = r₀ (1 + γ t) in layer t; τ = mean|α| + β std|α|
    over the edges of the layer. The score, divided by its mean over the edges, is one of

        minus        C_ii + C_jj − 2 C_ij, as printed: large between unlike nodes;
        plus         C_ii + C_jj + 2 C_ij, the other sign of the printed ∓;
        correlation  the positive part of C_ij / √(C_ii C_jj), as the text says: large between nodes that move together;
        none         1, the ablation without covariance.

    The division makes r₀ a mean strength whatever the size of the features; the source gives no value for r₀.

    Args:
        sign: the score.
        noise: σ ≥ 0 of the white noise added to every state in training.
        draws: 0 takes the covariance over the channels of one noisy state; S ≥ 2 over S draws that passed the layer.
        rate, growth: r₀ ≥ 0 and γ ≥ 0.
        beta: β ≥ 0; ``adaptive`` recomputes τ at each step, else a layer keeps its first.
        floor: ε in [0, 1).
        limit: the largest share of a layer's edges that is ever removed, in [0, 1]; the weakest go first.
        gradual: else one step removes the ``limit`` share with the largest p at once.
        recalibrate: the surviving weights of a node sum to one again.

    Raises ValueError for a value outside its range.
    """

    sign: Sign = "minus"
    noise: float = 0.05
    draws: int = 0
    rate: float = 0.05
    growth: float = 0.0
    beta: float = 1.0
    adaptive: bool = True
    floor: float = 0.1
    limit: float = 1.0
    gradual: bool = True
    recalibrate: bool = True

    def __post_init__(self) -> None:
        if self.sign not in ("minus", "plus", "correlation", "none"):
            raise ValueError(f"DYNAMO: sign {self.sign!r} must be minus, plus, correlation or none")
        for name in ("noise", "rate", "growth", "beta"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"DYNAMO: {name} = {getattr(self, name)} must be at least 0")
        if not 0 <= self.floor < 1 or not 0 <= self.limit <= 1:
            raise ValueError(f"DYNAMO: floor = {self.floor} and limit = {self.limit} must lie in [0, 1]")
        if self.draws != 0 and self.draws < 2:
            raise ValueError(f"DYNAMO: draws = {self.draws} must be 0 or at least 2")

    def score(self, covariance: Covariance) -> Tensor:
        """s of every edge, ``[E]`` or ``[E, R]``, not negative, before it is divided by its mean."""
        C_ii, C_jj, C_ij = covariance
        if self.sign == "none":
            return torch.ones_like(C_ij)
        if self.sign == "correlation":
            return C_ij.clamp_min(0) / (C_ii * C_jj).sqrt().clamp_min(torch.finfo(C_ij.dtype).tiny)
        return (C_ii + C_jj + (2 if self.sign == "plus" else -2) * C_ij).clamp_min(0)

    def threshold(self, attention: Tensor, alive: Tensor | None = None) -> Tensor:
        """τ over the edges of a layer, or those ``alive``: of ``[E, R]`` one a replica."""
        alive = torch.ones_like(attention) if alive is None else alive.to(attention.dtype)
        mean = _mean(attention.abs(), alive)
        return mean + self.beta * _mean((attention.abs() - mean).square(), alive).sqrt()

    def strength(
        self,
        attention: Tensor,
        covariance: Covariance,
        layer: int = 0,
        *,
        alive: Tensor | None = None,
        threshold: Tensor | None = None,
    ) -> Tensor:
        """p in [0, 1] of the edges of a layer, ``[E]`` or ``[E, R]``.

        Args:
            layer: t, from 0.
            alive: which edges are left, by default all; means are taken over them.
            threshold: τ, by default that of this attention.
        """
        s, tiny = self.score(covariance), torch.finfo(attention.dtype).tiny
        relative = s / _mean(s, torch.ones_like(s) if alive is None else alive.to(s.dtype)).clamp_min(tiny)
        τ = self.threshold(attention, alive) if threshold is None else threshold
        rate = self.rate * (1 + self.growth * layer)
        return (rate * attention.abs() / τ.clamp_min(tiny) * relative).clamp(0, 1)

    def weaken(self, w: Tensor, p: Tensor) -> Tensor:
        """The multipliers after one step, 0 for removed edges: ``[E, R]`` twice to ``[E, R]``."""
        allowed, gone = int(self.limit * w.shape[0] + 1e-9), w == 0
        if not self.gradual:
            first = ~gone.any(0)  # a replica is pruned once
            return torch.where(first & (p > 0) & _least(-p, allowed), 0, w)
        weaker = w * (1 - p)
        weak = weaker < self.floor
        if weak.sum(0).max() <= allowed:
            return weaker.masked_fill(weak, 0)
        full = bool((gone.sum(0) >= allowed).all())  # what is gone counts before what would now go
        going = gone if full else weak & _least(weaker.masked_fill(gone, -1), allowed)
        return torch.where(going, 0, torch.where(weak, w, weaker))


def _mean(x: Tensor, alive: Tensor) -> Tensor:
    return (x * alive).sum(0) / alive.sum(0).clamp_min(1)


def _least(x: Tensor, count: int) -> Tensor:
    """Whether an entry is among the ``count`` least of its column; of equal ones the first are."""
    least = x.argsort(dim=0, stable=True)[:count]
    return torch.zeros_like(x, dtype=torch.bool).scatter_(0, least, True)
