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
    """score_ij = a_i b_j ξ_ij, fitted to log|score|.

    ``a`` ``[rows]`` and ``b`` ``[columns]`` are zero where all scores of a row or column are; ``law`` holds quantiles
    of ξ, with its sign; ``share`` is the share of the variance of log|score| that the rank-one a_i b_j explains, beyond
    what it would explain of noise (adjusted R²).
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

    log a and log b are the row and column effects of a least-squares fit, shrunk towards their mean by the share of
    their variance that the noise of ξ alone would give them: without that, even equal factors would look graded.
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
    mean, N = y.sum() / known.sum(), known.sum()
    α, β = np.zeros(len(y)), np.zeros(y.shape[1])
    for _ in range(1 if known.all() else SWEEPS):
        α = (known * (y - mean - β)).sum(1) / known.sum(1)
        β = (known * (y - mean - α[:, None])).sum(0) / known.sum(0)
    left = np.square(y - mean - α[:, None] - β)[known].sum() / max(N - α.size - β.size + 1, 1)
    total = np.square(y - mean)[known].sum() / max(N - 1, 1)
    fit = mean + _shrunk(α, left * α.size / N)[:, None] + _shrunk(β, left * β.size / N)
    a, b = np.zeros(len(s)), np.zeros(s.shape[1])
    a[s.any(1)], b[s.any(0)] = np.exp(fit.mean(1)), np.exp(fit.mean(0) - fit.mean())
    ξ = np.sort((part / np.exp(fit)).ravel())
    law = ξ if ξ.size <= LAW else ξ[((np.arange(LAW) + 0.5) / LAW * ξ.size).astype(int)]
    return Factors(a, b, law, float(1 - left / total) if total > 0 else 0.0)


def _shrunk(effects: ndarray, noise: float) -> ndarray:
    """Effects whose variance is freed from that of their noise (James and Stein)."""
    variance = effects.var()
    return effects * (max(0.0, 1 - noise / variance) if variance > 0 else 0.0)
