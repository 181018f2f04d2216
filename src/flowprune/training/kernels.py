"""Compiled loops for the CPU: one pass over the state where separate operations would each make their own.

Each has the same formula in torch beside its caller, for other devices; tests hold the two together.
"""

from __future__ import annotations

import ctypes

import numba
import numpy as np

# "contract" allows fused multiply-add and nothing else: a number that is not finite must still propagate.
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


def keep_freed_pages() -> None:
    """Ask glibc not to hand freed memory back, so that the next pass does not fault its pages in again.

    States of a few hundred kilobytes are allocated and freed at every step; without this each of them is returned to
    the kernel and faulted in anew. Does nothing where the C library is another one.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
    mallopt(M_MMAP_THRESHOLD, 1 << 25)  # the most that glibc accepts
    mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


@numba.njit(inline="always")
def _row_product(crow, col, value, F, i, moved):
    """Row i of the sparse product, Σ_j ā_ij f_j, into ``moved [D]``."""
    moved[:] = 0
    for e in range(crow[i], crow[i + 1]):
        v, j = value[e], col[e]
        for k in range(moved.size):
            moved[k] += v * F[j, k]


@_compiled
def linear_trajectory(crow, col, value, F0, a, b, c, states):
    """M steps F ← a_m F + b_m ĀF + c_m F(0), state m in ``states[m mod K]``.

    Args: CSR arrays of Ā; F0 ``[n, D]``; a, b, c ``[M, D]``; states ``[K, n, D]``, all kept when K = M.
    """
    n, D = F0.shape
    M, K = a.shape[0], states.shape[0]
    moved = np.empty(D, F0.dtype)
    for m in range(M):
        F = F0 if m == 0 else states[(m - 1) % K]
        out = states[m % K]
        am, bm, cm = a[m], b[m], c[m]
        for i in range(n):
            _row_product(crow, col, value, F, i, moved)
            for k in range(D):
                out[i, k] = am[k] * F[i, k] + bm[k] * moved[k] + cm[k] * F0[i, k]


@_compiled
def linear_adjoint(crow, col, value, F0, a, b, weight, states, G, db, da, dF0):
    """Go back through :func:`linear_trajectory`: returns the gradient that reaches F(0) through the first step.

    Adds Σ_m w_m F ⊙ ĀG to db (``[1, D]``, or ``[M, D]`` with a row for each step), Σ_m w_m F ⊙ G to da ``[D]`` and
    Σ_m w_m G to dF0 ``[n, D]``; w is ``weight [M]``.
    """
    n, D = F0.shape
    M = a.shape[0]
    moved = np.empty(D, F0.dtype)
    buffers = np.empty((2, n, D), F0.dtype)
    for m in range(M - 1, -1, -1):
        F = F0 if m == 0 else states[m - 1]
        out = buffers[m % 2]
        w, am, bm, dbm = weight[m], a[m], b[m], db[min(m, db.shape[0] - 1)]
        for i in range(n):
            _row_product(crow, col, value, G, i, moved)
            for k in range(D):
                g, f = G[i, k], w * F[i, k]
                dbm[k] += f * moved[k]
                da[k] += f * g
                dF0[i, k] += w * g
                out[i, k] = am[k] * g + bm[k] * moved[k]
        G = out
    return G


@numba.njit(inline="always")
def _scramble(x):
    x = np.uint32(np.uint32(x) * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ np.uint32(np.int32(x) >> 15))
    return np.uint32(x * np.uint32(0x9E3779B9))


@_compiled
def dropout_mask(key, threshold, scale, out):
    """The mask of :class:`~flowprune.training.replicas.Dropout` for all entries of ``out [n, R, d]``."""
    n, R, d = out.shape
    for i in range(n):
        for r in range(R):
            word = np.uint32(key[r])
            for k in range(d):
                x = _scramble(_scramble(np.uint32(i * d + k)) ^ word)
                out[i, r, k] = scale[r] if np.int32(x) >= threshold[r] else 0


@_compiled
def drop_entries(entry, replica, value, key, threshold, scale, out):
    """Stored values after dropout; value e belongs to a replica and is hashed by its entry number."""
    for e in range(entry.size):
        r = replica[e]
        x = _scramble(_scramble(np.uint32(entry[e])) ^ np.uint32(key[r]))
        out[e] = value[e] * scale[r] if np.int32(x) >= threshold[r] else 0


@_compiled
def edge_product(crow, col, weights, H, out):
    """Σ_e w_eq h_(j_e)q over the entries e of every row i: weights ``[E, Q]``, H ``[n, Q, d]`` to out ``[n, Q, d]``."""
    n, Q, d = H.shape
    for i in range(n):
        out[i] = 0
        for e in range(crow[i], crow[i + 1]):
            j = col[e]
            for q in range(Q):
                w = weights[e, q]
                for k in range(d):
                    out[i, q, k] += w * H[j, q, k]


@_compiled
def edge_inner(crow, col, G, H, out):
    """⟨g_iq, h_jq⟩ for every entry (i, j): G and H ``[n, Q, d]`` to out ``[E, Q]``."""
    n, Q, d = H.shape
    for i in range(n):
        for e in range(crow[i], crow[i + 1]):
            j = col[e]
            for q in range(Q):
                total = H.dtype.type(0)
                for k in range(d):
                    total += G[i, q, k] * H[j, q, k]
                out[e, q] = total


@_compiled
def pair_inner(row, col, Z, out):
    """⟨z_ir, z_jr⟩ for every listed pair (i, j): Z ``[n, R, d]`` to out ``[E, R]``."""
    R, d = Z.shape[1:]
    for e in range(row.size):
        i, j = row[e], col[e]
        for r in range(R):
            total = Z.dtype.type(0)
            for k in range(d):
                total += Z[i, r, k] * Z[j, r, k]
            out[e, r] = total


@_compiled
def additive_scores(crow, col, H, source, target, slope, out):
    """LeakyReLU(⟨a_dst, h_i⟩ + ⟨a_src, h_j⟩) for every entry (i, j): H ``[n, Q, d]``, source and target ``[Q, d]`` to
    out ``[E, Q]``."""
    n, Q, d = H.shape
    at_source, at_target = np.empty((n, Q), H.dtype), np.empty((n, Q), H.dtype)
    for i in range(n):
        for q in range(Q):
            s, t = H.dtype.type(0), H.dtype.type(0)
            for k in range(d):
                s += H[i, q, k] * source[q, k]
                t += H[i, q, k] * target[q, k]
            at_source[i, q], at_target[i, q] = s, t
    for i in range(n):
        for e in range(crow[i], crow[i + 1]):
            for q in range(Q):
                x = at_target[i, q] + at_source[col[e], q]
                out[e, q] = x if x > 0 else slope * x


@_compiled
def additive_scores_adjoint(crow, col, H, source, target, slope, score, G, dH, dsource, dtarget):
    """Back through :func:`additive_scores`: G ``[E, Q]`` to dH ``[n, Q, d]``, and adds to dsource and dtarget
    ``[Q, d]``, which are float64 because all nodes are summed one after the other."""
    n, Q, d = H.shape
    to_source, to_target = np.zeros((n, Q), H.dtype), np.zeros((n, Q), H.dtype)
    for i in range(n):
        for e in range(crow[i], crow[i + 1]):
            for q in range(Q):
                g = G[e, q] if score[e, q] > 0 else slope * G[e, q]
                to_target[i, q] += g
                to_source[col[e], q] += g
    for i in range(n):
        for q in range(Q):
            s, t = to_source[i, q], to_target[i, q]
            for k in range(d):
                dH[i, q, k] = s * source[q, k] + t * target[q, k]
                dsource[q, k] += s * H[i, q, k]
                dtarget[q, k] += t * H[i, q, k]


@_compiled
def row_shift(crow, score, out):
    """Scores less the largest of their row, so that none overflows in the exponential: score and out ``[E, Q]``."""
    Q = score.shape[1]
    largest = np.empty(Q, score.dtype)
    for i in range(crow.size - 1):
        largest[:] = -np.inf
        for e in range(crow[i], crow[i + 1]):
            for q in range(Q):
                largest[q] = max(largest[q], score[e, q])
        for e in range(crow[i], crow[i + 1]):
            for q in range(Q):
                out[e, q] = score[e, q] - largest[q]


@_compiled
def row_normalise(crow, weights):
    """Divide by the sum of the row, in place: weights ``[E, Q]``."""
    Q = weights.shape[1]
    total = np.empty(Q, weights.dtype)
    for i in range(crow.size - 1):
        total[:] = 0
        for e in range(crow[i], crow[i + 1]):
            for q in range(Q):
                total[q] += weights[e, q]
        for e in range(crow[i], crow[i + 1]):
            for q in range(Q):
                weights[e, q] /= total[q]


@_compiled
def row_softmax_adjoint(crow, weights, G, out):
    """Back through the softmax over the entries of every row: w ⊙ (g − Σ w g); all ``[E, Q]``."""
    Q = weights.shape[1]
    total = np.empty(Q, weights.dtype)
    for i in range(crow.size - 1):
        total[:] = 0
        for e in range(crow[i], crow[i + 1]):
            for q in range(Q):
                total[q] += weights[e, q] * G[e, q]
        for e in range(crow[i], crow[i + 1]):
            for q in range(Q):
                out[e, q] = weights[e, q] * (G[e, q] - total[q])
