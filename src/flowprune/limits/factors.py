"""The factorised model of saliency, and the graphon that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from .graphon import average

SWEEPS = 50
LAW = 20_000  # quantiles that tell the law of what is left


@dataclass(frozen=True)
class Factors:
    """score_ij = a_i b_j ξ_ij, fitted by least squares to log|score|.

    ``a`` ``[rows]`` and ``b`` ``[columns]`` are zero where all scores of a row or column are; ``law`` holds
    quantiles of ξ, with its sign; ``share`` is the share of the variance of log|score| that a_i b_j, of rank one,
    explains.
    """

    a: ndarray
    b: ndarray
    law: ndarray
    share: float

    def graphon(self, τ: float, K: int = 64) -> ndarray:
        """W(u, v) = P(a(u) b(v) ξ > τ), both sides sorted by falling a and b, averaged over K × K cells."""
        a, b = np.sort(self.a)[::-1], np.sort(self.b)[::-1]
        scale = np.outer(a, b)
        with np.errstate(divide="ignore", invalid="ignore"):
            least = np.where(scale > 0, τ / scale, np.inf if τ >= 0 else -np.inf)
        return average(1 - np.searchsorted(self.law, least, side="right") / self.law.size, K)


def factorise(scores: ArrayLike) -> Factors:
    """Fit a, b and the law of ξ to a matrix of scores of either sign.

    A score of zero has no logarithm: whole rows and columns of zeros get a factor of zero, single zeros are left out of
    the fit. Raises ValueError when all scores are zero.
    """
    s = np.asarray(scores, dtype=float)
    live = np.ix_(s.any(1), s.any(0))
    part = s[live]
    if not part.size:
        raise ValueError("all scores are zero; there is nothing to factorise")
    known = part != 0
    y = np.log(np.abs(part), out=np.zeros_like(part), where=known)
    mean = y.sum() / known.sum()
    α, β = np.zeros(len(y)), np.zeros(y.shape[1])
    for _ in range(1 if known.all() else SWEEPS):
        α = (known * (y - mean - β)).sum(1) / known.sum(1)
        β = (known * (y - mean - α[:, None])).sum(0) / known.sum(0)
    fit = mean + α[:, None] + β
    total = np.square(y - mean)[known].sum()
    share = 1 - np.square(y - fit)[known].sum() / total if total > 0 else 0.0
    a, b = np.zeros(len(s)), np.zeros(s.shape[1])
    a[s.any(1)], b[s.any(0)] = np.exp(mean + α), np.exp(β)
    ξ = np.sort((part / np.exp(fit)).ravel())
    law = ξ if ξ.size <= LAW else np.quantile(ξ, (np.arange(LAW) + 0.5) / LAW, method="nearest")
    return Factors(a, b, law, float(share))
