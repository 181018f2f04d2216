"""Step graphons of bipartite masks: a density for every pair of positions (output side, input side).

A graphon here is a measurable 𝒲: [0, 1]² → [0, 1]; a step graphon ``[K, K']`` is constant on equal cells, its rows are
positions of the output side, its columns of the input side. A mask ``[rows, columns]`` is a step graphon itself, of 0
and 1. Names of neurons mean nothing, so positions are given by an order; here the neurons with most edges come first.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

Mask = Tensor | ndarray


def sorted_average(mask: Mask, K: int = 64) -> ndarray:
    """The estimator of Pham et al. (2025): both sides sorted by falling degree, then averaged over K × K cells.

    The order is chosen by looking at the edges that are averaged, so that even a mask without any structure looks
    graded; :func:`flowprune.limits.null.expected_histogram` says how much.

    Args:
        mask: ``[rows, columns]``, true where an edge is kept.
        K: cells along each side; any number, also one that divides no side, or exceeds it: cells average by area.

    Returns:
        The step graphon ``[K, K]``, float64.
    """
    M = dense(mask)
    return average(M[by_degree(M)][:, by_degree(M.T)], K)


def by_degree(M: ndarray) -> ndarray:
    """Rows by falling sum; those of equal sum stay in their order."""
    return np.argsort(-M.sum(1), kind="stable")


def average(M: ndarray, K: int) -> ndarray:
    """Mean over K × K equal cells of the unit square, on which the entries of ``M`` lie as equal rectangles."""
    return average_rows(average_rows(M, K).T, K).T


def average_rows(M: ndarray, K: int) -> ndarray:
    """Mean over K equal intervals of [0, 1], on which the rows of ``M`` lie as equal intervals: ``[K, …]``."""
    return weights(len(M), K) @ M


@lru_cache(maxsize=32)
def weights(n: int, K: int) -> ndarray:
    """The share of each of n equal intervals in each of K equal intervals, ``[K, n]``; each row sums to one.

    Raises ValueError for K below 1.
    """
    if K < 1:
        raise ValueError(f"K = {K} cells are refused: at least one is needed")
    ends, starts = np.arange(K + 1) * n / K, np.arange(n)
    shared = np.minimum(starts + 1, ends[1:, None]) - np.maximum(starts, ends[:-1, None])
    return np.clip(shared, 0, None) * (K / n)


def dense(mask: Mask) -> ndarray:
    """A mask as float64. Raises ValueError unless it has two sides with at least one node each."""
    M = np.asarray(mask, dtype=float)
    if M.ndim != 2 or 0 in M.shape:
        raise ValueError(f"a mask is a matrix with at least one row and column, got shape {M.shape}")
    return M


def l1(A: ndarray, B: ndarray | float) -> float:
    """∫∫ \\|A − B\\| of two step graphons of one shape, or of one and a constant."""
    return float(np.abs(_difference(A, B)).mean())


def l2(A: ndarray, B: ndarray | float) -> float:
    """(∫∫ (A − B)²)^½ of two step graphons of one shape, or of one and a constant."""
    return float(np.sqrt(np.square(_difference(A, B)).mean()))


def _difference(A: ndarray, B: ndarray | float) -> ndarray:
    if np.ndim(B) and np.shape(A) != np.shape(B):
        raise ValueError(f"step graphons of shapes {np.shape(A)} and {np.shape(B)} have other cells")
    return np.asarray(A) - B


def sample(graphon: ndarray, rows: int, columns: int, seed: int | torch.Generator = 0) -> Tensor:
    """A random mask ``[rows, columns]``: node i sits at (i + ½)/rows, and edges are kept independently.

    Raises ValueError for a graphon with values outside of [0, 1], or fewer than one node on a side.
    """
    W = torch.as_tensor(graphon, dtype=torch.float64)
    if W.ndim != 2 or not ((W >= 0) & (W <= 1)).all():
        raise ValueError("a step graphon is a matrix of densities in [0, 1]")
    if min(rows, columns) < 1:
        raise ValueError(f"a mask has at least one node on each side, got {rows} × {columns}")
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    return torch.rand(rows, columns, generator=generator) < stretch(W, rows, columns)


def stretch(graphon: ndarray | Tensor, rows: int, columns: int) -> ndarray | Tensor:
    """The value of a step graphon at every pair of nodes, ``[rows, columns]``."""
    i, j = (
        (2 * np.arange(n) + 1) * K // (2 * n) for n, K in zip((rows, columns), graphon.shape, strict=True)
    )
    return graphon[i][:, j]


def degree_part(W: ndarray) -> ndarray:
    """The rank-one graphon r(u) c(v) / ∫∫W with the degrees r, c of ``W``; zero for the empty one.

    What remains, ``W − degree_part(W)``, has degree zero everywhere: its singular values tell whether degrees are all
    that a graphon has.
    """
    mean = W.mean()
    return np.outer(W.mean(1), W.mean(0)) / mean if mean > 0 else np.zeros_like(W)


def singular_values(W: ndarray) -> ndarray:
    """Of the operator f ↦ ∫ W(·, v) f(v) dv, largest first."""
    return np.linalg.svd(W, compute_uv=False) / np.sqrt(W.size)
