"""Couplings of more than two nodes: directed cycles planted where nothing else is circular, and who sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray

from flowprune.experiments.choice_edges import complex_star, names
from flowprune.pruning.spectral import ROUNDING, Mode, carried, closed_form, laplacian, local_laplacian

LENGTHS = (3, 4, 5)
NODES = 9
DENSITY = 0.4  # of the edges that lead forward


def planted(k: int, rng: np.random.Generator) -> tuple[ndarray, ndarray, list[int]]:
    """W, A ``[n, n]`` and the nodes of the only directed cycle; weights uniform in ±[1, 3].

    Nodes stand in a random order and all other edges lead forward, none of them between two nodes of the cycle: the
    cycle is the only strongly connected part with more than one node, and it has no chords.
    """
    order, start = rng.permutation(NODES), rng.integers(NODES - k + 1)
    A = np.triu(rng.random((NODES, NODES)) < DENSITY, 1)
    ring = np.arange(start, start + k)
    A[np.ix_(ring, ring)] = False
    A[ring, np.roll(ring, -1)] = True
    W = rng.uniform(1, 3, A.shape) * rng.choice([-1, 1], A.shape)
    back = np.argsort(order)
    return W[np.ix_(back, back)], A[np.ix_(back, back)], order[ring].tolist()


def ring_roots(d: ndarray, w: ndarray) -> ndarray:
    """The eigenvalues of a directed cycle: the roots of Π(λ − d_i) = (−1)^k Π w_i, ``[k]``."""
    p = np.poly(d)
    p[-1] -= (-1) ** len(d) * np.prod(w)
    return np.roots(p)


def whole_finds(W: ndarray, A: ndarray, mode: Mode) -> tuple[int, int] | None:
    """The edge that carries most of Σ|Im λ| in the spectrum of the whole graph; None if that is real."""
    L = laplacian(W, A, mode)
    if np.linalg.eigvals(L).imag.max() <= ROUNDING * np.linalg.norm(L):
        return None
    share = np.where(A, carried(L), -np.inf)
    source, target = np.unravel_index(share.argmax(), A.shape)
    return int(source), int(target)


def survey(instances: int, seed: int) -> pd.DataFrame:
    """One row a planted cycle and mode: length; nodes of it with a complex star (``stars``), with an ego spectrum that
    names an edge (``egos``), and with one of the cycle (``right``); whether the whole spectrum is complex and right.
    """
    rows = []
    for i in range(instances):
        rng = np.random.default_rng([seed, i])
        k = LENGTHS[i % len(LENGTHS)]
        W, A, ring = planted(k, rng)
        on = {(ring[j], ring[(j + 1) % k]) for j in range(k)}
        for mode in ("D", "DW"):
            egos = [names(W, A, c, mode, "ego") for c in ring]
            whole = whole_finds(W, A, mode)
            rows.append(
                {
                    "length": k,
                    "mode": mode,
                    "stars": sum(complex_star(W, A, c, mode) for c in range(NODES)),
                    "egos": sum(e is not None for e in egos),
                    "right": sum(e in on for e in egos),
                    "whole": whole is not None,
                    "whole_right": whole in on,
                }
            )
    return pd.DataFrame(rows)


def cycle_evidence(found: pd.DataFrame) -> dict[str, Any]:
    """What is known of planted cycles: the first half of the evidence of claim A12."""
    short, long = found[found.length == 3], found[found.length > 3]
    complex_ = found[found.whole]
    return {
        "cycles": len(found),
        "stars": int(found.stars.sum()),
        "ego_complex": float(short.egos.sum() / (3 * len(short))),
        "ego_right": float(short.right.sum() / max(1, short.egos.sum())),
        "ego_longer": float(long.egos.sum() / long.length.sum()),
        "whole_complex": float(found.whole.mean()),
        "whole_right": float(complex_.whole_right.mean()) if len(complex_) else 0.0,
    }


def real_parts(instances: int, seed: int) -> dict[str, Any]:
    """How closely the statements on real parts hold, over random stars: the first half of the evidence of A13.

    Mode D: a complex pair has Re λ = ½(d_c + 2), and ΣRe λ is twice the number of edges. Mode DW: ΣRe λ is twice the
    sum of the weights, and a neighbour without feedback has its weight as an eigenvalue.
    """
    worst, pairs = 0.0, 0
    for i in range(instances):
        rng = np.random.default_rng([seed, i, 1])
        n = int(rng.integers(3, 9))
        A, W = rng.random((n, n)) < 0.7, rng.uniform(-10, 10, (n, n))
        A[range(n), range(n)] = False
        edges = A[0].sum() + A[:, 0].sum()
        L = local_laplacian(W, A, 0, "D")
        values = np.linalg.eigvals(L)
        worst = max(worst, abs(values.real.sum() - 2 * edges))
        pair = closed_form(L, 0)
        if (pair.imag > 0).any():
            pairs += 1
            worst = max(worst, abs(values[values.imag.argmax()].real - (L[0, 0] + 2) / 2))
        L = local_laplacian(W, A, 0, "DW")
        values = np.linalg.eigvals(L)
        weights = W[0][A[0]].sum() + W[:, 0][A[:, 0]].sum()
        worst = max(worst, abs(values.real.sum() - 2 * weights))
        for j in (A[0] ^ A[:, 0]).nonzero()[0]:
            w = W[0, j] if A[0, j] else W[j, 0]
            worst = max(worst, float(np.abs(values - w).min()))
    return {"instances": instances, "pairs": pairs, "deviation": float(worst)}
