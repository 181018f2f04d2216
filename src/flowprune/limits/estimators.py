"""Other estimators of a mask's graphon than :func:`~flowprune.limits.graphon.sorted_average`, of the same signature."""

from __future__ import annotations

import numpy as np
from numpy import ndarray
from scipy.linalg import eigh
from sklearn.cluster import KMeans

from .graphon import Mask, average, by_degree, dense, sorted_average

GROUPS = 12  # of the block approximation, on each side
LEADING = 4  # singular vectors that tell groups apart
STEPS = 300  # of the dual iteration for total variation


def split_average(mask: Mask, K: int = 64) -> ndarray:
    """Sorting without the illusion: a node's place is chosen by other edges than those that are averaged.

    Both sides are halved (every other node). In each of the four quarters rows are sorted by their degrees in the other
    half of the columns, columns by theirs in the other half of the rows; the four averages are averaged. Where edges
    are independent, so are the order and what it arranges: a flat mask stays flat on average.

    Raises ValueError for a mask with a side of one node.
    """
    M = dense(mask)
    if min(M.shape) < 2:
        raise ValueError(f"a mask of shape {M.shape} has a side that cannot be halved")
    quarters = [
        M[a::2, b::2][by_degree(M[a::2, 1 - b :: 2])][:, by_degree(M[1 - a :: 2, b::2].T)]
        for a in (0, 1)
        for b in (0, 1)
    ]
    return np.mean([average(Q, K) for Q in quarters], 0)


def block_average(mask: Mask, K: int = 64) -> ndarray:
    """A stochastic block approximation: nodes are put into groups, and each pair of groups has one density.

    Groups are found by k-means on the four leading singular vectors, scaled by their singular values, and follow each
    other by falling mean degree. After Airoldi, Costa and Chan (2013), who compare rows directly.
    """
    M = dense(mask)
    U, V = _leading(M, LEADING)
    rows, columns = _groups(U, M.sum(1)), _groups(V, M.sum(0))
    R, C = np.eye(rows.max() + 1)[rows], np.eye(columns.max() + 1)[columns]
    density = (R.T @ M @ C) / np.outer(R.sum(0), C.sum(0))
    return average(density[np.sort(rows)][:, np.sort(columns)], K)


def smooth_average(mask: Mask, K: int = 64) -> ndarray:
    """The sorted average, smoothed by total variation, as in sorting and smoothing (Chan and Airoldi 2014).

    The weight of the variation is the standard deviation of a cell's density in a flat mask.
    """
    M = dense(mask)
    p = M.mean()
    return denoise(sorted_average(M, K), float(np.sqrt(p * (1 - p) / M.size) * K))


def denoise(f: ndarray, weight: float, steps: int = STEPS) -> ndarray:
    """The minimiser of ½‖u − f‖² + weight · Σ |∇u| (Rudin, Osher and Fatemi 1992), by dual projection (Chambolle 2005).

    ∇ are forward differences, |·| is Euclidean at each cell. Raises ValueError for a negative weight.
    """
    if weight < 0:
        raise ValueError(f"weight = {weight} is refused: it is at least zero")
    if weight == 0:
        return f.copy()
    p = np.zeros((2, *f.shape))
    for _ in range(steps):
        p += _gradient(_divergence(p) - f) / 4.1  # stable below 2/‖∇‖² = 1/4
        p *= weight / np.maximum(np.hypot(*p), weight)
    return f - _divergence(p)


def _gradient(u: ndarray) -> ndarray:
    down, right = np.zeros_like(u), np.zeros_like(u)
    down[:-1], right[:, :-1] = np.diff(u, axis=0), np.diff(u, axis=1)
    return np.stack([down, right])


def _divergence(p: ndarray) -> ndarray:
    """Minus the adjoint of the gradient."""
    down, right = p[0, :-1], p[1][:, :-1]
    return np.diff(down, axis=0, prepend=0, append=0) + np.diff(right, axis=1, prepend=0, append=0)


def singular_value_threshold(mask: Mask, K: int = 64) -> ndarray:
    """Universal singular value thresholding (Chatterjee 2015), then sorted by its own degrees and averaged.

    Singular values up to 1.01 σ (rows^½ + columns^½), which independent edges of variance σ² = p (1 − p) reach by
    themselves, are set to zero, and densities are cut to [0, 1].
    """
    M = dense(mask)
    p = M.mean()
    least = 1.01 * np.sqrt(p * (1 - p)) * np.sqrt(M.shape).sum()
    A = M if M.shape[0] <= M.shape[1] else M.T
    _, U = eigh(A @ A.T, subset_by_value=(max(least**2, 1e-9), np.inf))
    P = np.clip(U @ (U.T @ A), 0, 1)
    P = P if M.shape[0] <= M.shape[1] else P.T
    return average(P[by_degree(P)][:, by_degree(P.T)], K)


def _leading(M: ndarray, count: int) -> tuple[ndarray, ndarray]:
    """Leading singular vectors times their singular values, of rows and of columns."""
    count = min(count, *M.shape)
    tall = M.shape[0] > M.shape[1]
    A = M.T if tall else M
    _, U = eigh(A @ A.T, subset_by_index=(len(A) - count, len(A) - 1))
    V = A.T @ U
    U = U * np.sqrt((V**2).sum(0))
    return (V, U) if tall else (U, V)


def _groups(features: ndarray, degrees: ndarray) -> ndarray:
    """A number for each node, 0 for the group of the largest mean degree; empty groups have none."""
    different = len(np.unique(features.round(9), axis=0))
    found = KMeans(min(GROUPS, different), n_init=1, random_state=0).fit(features.round(9)).labels_
    mean = np.bincount(found, degrees) / np.bincount(found)
    return np.argsort(np.argsort(-mean, kind="stable"))[found]
