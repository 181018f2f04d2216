"""What masks without structure look like when they are sorted: null models, and their expected pictures."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy import ndarray
from scipy.special import bdtrc
from torch import Tensor

from .graphon import Mask, average_rows, dense, weights

TRADES = 20  # rounds in which every row trades with another


def erdos_renyi(rows: int, columns: int, edges: int, seed: int = 0) -> Tensor:
    """A mask with exactly so many edges, all such masks equally likely. Raises ValueError for more than there are."""
    if not 0 <= edges <= rows * columns:
        raise ValueError(f"a {rows} × {columns} mask has 0 to {rows * columns} edges, not {edges}")
    mask = np.zeros(rows * columns, bool)
    mask[np.random.default_rng(seed).choice(mask.size, edges, replace=False, shuffle=False)] = True
    return torch.from_numpy(mask.reshape(rows, columns))


def same_degrees(mask: Mask, seed: int = 0, rounds: int = TRADES) -> Tensor:
    """A random mask in which every row and every column keeps its number of edges.

    In each round rows are paired at random, and each pair deals the columns that only one of them has anew between
    them, every row getting as many as before: global trades (Carstens, Berger and Strona 2018), whose chain has the
    uniform law over all masks of these degrees as its limit.
    """
    M = dense(mask) > 0
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        order = rng.permutation(len(M))
        a, b = order[: len(M) // 2], order[len(M) // 2 : 2 * (len(M) // 2)]
        either = M[a] ^ M[b]
        mine = (M[a] & either).sum(1, keepdims=True)
        lots = np.where(either, rng.random(either.shape, dtype=np.float32), 2)
        dealt = np.argsort(np.argsort(lots, 1), 1) < mine
        M[a], M[b] = np.where(either, dealt, M[a]), np.where(either, ~dealt, M[b])
    return torch.from_numpy(M)


@cache
def expected_degrees(n: int, trials: int, p: float, K: int) -> ndarray:
    """Mean share of edges in each of K equal cells of n binomial degrees, sorted from the largest: exact, ``[K]``.

    The j largest of D_1, …, D_n have the mean sum Σ_{x≥0} E min(j, N_x), with N_x ~ Bin(n, P(D > x)) the number
    above x. For large n cell k has p + (p (1 − p)/trials)^½ K (φ(z_k) − φ(z_{k−1})), z_k = Φ⁻¹(1 − k/K), k from 1: the
    gradient that sorting makes of nothing vanishes like trials^−½.
    """
    above = bdtrc(np.arange(trials), trials, p)
    sure, open_ = (above > 1 - 1e-14).sum(), (above > 1e-14) & (above <= 1 - 1e-14)
    reached = bdtrc(np.arange(n), n, above[open_][:, None])  # by the j-th largest, j = 1, …, n
    return average_rows((sure + reached.sum(0)) / trials, K)


def expected_histogram(rows: int, columns: int, p: float, K: int = 64) -> ndarray:
    """The mean sorted average of flat masks of density p: W_kl = r_k + c_l − p, up to O(1/n).

    r and c are :func:`expected_degrees`; given all degrees, an edge is the more likely the larger its own two.
    """
    return expected_degrees(rows, columns, p, K)[:, None] + expected_degrees(columns, rows, p, K)[None, :] - p


def expected_distance(rows: int, columns: int, p: float, K: int = 64) -> float:
    """Root mean square L2 distance between the sorted average of a flat mask and its density.

    The sorted degrees give the expected histogram. What edges do beyond their degrees is noise, p (1 − p) for each, of
    which averaging leaves (K − 1)²/(rows · columns) where K divides both sides.
    """
    gradient = np.square(expected_histogram(rows, columns, p, K) - p).mean()
    left = [np.square(weights(n, K)).sum() - K / n for n in (rows, columns)]
    return float(np.sqrt(gradient + p * (1 - p) * left[0] * left[1] / K**2))
