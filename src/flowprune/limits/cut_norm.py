"""The cut norm of a step graphon, exactly or between two bounds.

It is the largest average that a pair of sets S, T can show:

    ‖A‖_□ = max over S, T of |Σ_{i∈S, j∈T} A_ij| / (rows · columns).

The cut distance of two graphons is the least cut norm of their difference over all ways to rearrange one of them; with
both sorted by degree the norm of the difference bounds it from above.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

EXACT = 20  # the shorter side, up to which all its subsets are tried
STEPS = 100  # of the local search at the most; it ends where nothing gets better
RESTARTS = 32


def cut_norm(A: ndarray) -> float:
    """‖A‖_□, by trying all sets of the shorter side (at most 20); the best set of the other follows at once.

    Raises ValueError for a larger matrix: :func:`cut_norm_bounds` takes it.
    """
    A = np.asarray(A, dtype=float)
    A = A if A.shape[0] <= A.shape[1] else A.T
    if len(A) > EXACT:
        raise ValueError(
            f"a matrix of shape {A.shape} has too many subsets; the shorter side may have {EXACT}"
        )
    sums = np.zeros((1, A.shape[1]))
    best = 0.0
    tail, head = A[:12], A[12:]  # of the first rows all subsets at once, of the others one after the other
    for row in tail:
        sums = np.concatenate([sums, sums + row])
    for subset in range(2 ** len(head)):
        chosen = (subset >> np.arange(len(head)) & 1) @ head if len(head) else 0.0
        total = sums + chosen
        best = max(best, np.clip(total, 0, None).sum(1).max(), np.clip(-total, 0, None).sum(1).max())
    return float(best / A.size)


def cut_norm_bounds(A: ndarray, restarts: int = RESTARTS, seed: int = 0) -> tuple[float, float]:
    """A lower and an upper bound of ‖A‖_□.

    Below: a local search that chooses S and T in turns, each the best for the other, from the leading singular vectors
    and from ``restarts`` random sets. Above: the smaller of ‖A‖₂ (rows · columns)^½ and of the sums of all positive and
    of all negative entries, over rows · columns.
    """
    A = np.asarray(A, dtype=float)
    if not A.any():
        return 0.0, 0.0
    _, s, V = np.linalg.svd(A, full_matrices=False)
    chance = np.random.default_rng(seed).random((restarts, A.shape[1])) < 0.5
    starts = np.concatenate([V[:4] > 0, V[:4] < 0, chance])
    lower = max(_climb(A, starts), _climb(-A, starts))
    entries = max(np.clip(A, 0, None).sum(), np.clip(-A, 0, None).sum())
    upper = min(s[0] * np.sqrt(A.size), entries)
    return min(lower, upper) / A.size, upper / A.size  # the smaller: equal bounds may cross by rounding


def _climb(A: ndarray, T: ndarray) -> float:
    """The largest sum of ``A`` over S × T that is found from these sets of columns ``[R, columns]``."""
    best = -np.inf
    for _ in range(STEPS):
        S = T @ A.T > 0
        T = S @ A > 0
        value = np.einsum("ri,ij,rj->r", S, A, T, optimize=True).max()
        if value <= best:
            break
        best = value
    return float(best)
