"""Spectral edge pruning (Bessone 2025): which edge the local spectrum of a node names, and when there is none.

Node c looks at its own star: the edges into c and out of c. Its local Laplacian L = D − A ⊙ W, an edge i → j in row i
and column j, is an *arrowhead*: a diagonal d_i, one full row and one full column. With b_i = L_ci L_ic

    det(λ − L) = Π_i (λ − d_i) · (λ − d_c − Σ_i b_i / (λ − d_i)),

so that a neighbour without feedback, b_i = 0, has the eigenvalue d_i, and the others solve the secular equation. Mode D
counts edges: each mutual neighbour has d_i = 2, and at most one pair is complex. Mode DW sums weights.

The rule as published acts on Im λ > 0 however small, and names nodes by their *place in the list* that LAPACK returns.
Such a place has nothing to do with a node, and an imaginary part of 10⁻¹⁷ is rounding; both are part of the rule and
are kept, and every removal tells |Im λ|/‖L‖ (Frobenius). The other choices name an edge by what it does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numba
import numpy as np
from numpy import ndarray
from threadpoolctl import threadpool_info

Mode = Literal["none", "D", "DW"]
Choice = Literal[
    "published",
    "neighbourhood",
    "lot",
    "random",
    "smallest",
    "feedback",
    "eigenvector",
    "both",
    "spectrum",
    "ego",
]
Edge = tuple[int, int]  # from, to

# LAPACK's values are those of L + E with ‖E‖ ≤ ROUNDING · ‖L‖; two orders of magnitude to spare at these sizes.
ROUNDING = 1e4 * np.finfo(float).eps


@dataclass(frozen=True)
class Rule:
    """When a node removes an edge, and which.

    A node acts on its visit if its local Laplacian has an eigenvalue with Im λ > threshold · ‖L‖. It then removes

    - ``published``: from the node at the place of the smallest Im λ to the one at the place of the largest in LAPACK's
      list for all n nodes, if there is such an edge: it need not touch c at all;
    - ``neighbourhood``: the same in the list of the matrix of c and its neighbours only, in ascending order;
    - ``lot``: one of the edges k + 1 → k that are left, by lot: what ``published`` can name, without a spectrum;
    - ``random``: one of the edges into c;
    - ``smallest``: the edge into c with the smallest absolute weight;
    - ``feedback``: the edge into c with the most negative b_i;
    - ``eigenvector``: the edge into c from the node with the largest :func:`participation` in the largest Im λ;
    - ``both``: that edge and its reverse;
    - ``spectrum``: the edge into c that carries most of Σ|Im λ|, see :func:`carried`;
    - ``ego``: the same with all edges among c and its neighbours: couplings of more than two nodes.

    Args:
        mode: degrees counted (D) or weighted (DW); none never prunes.
        threshold: at least 0, the published value.
        limit: the most edges a network loses; None for no limit.

    Raises ValueError for a value outside its range.
    """

    mode: Mode = "D"
    choice: Choice = "published"
    threshold: float = 0.0
    limit: int | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("mode", get_args(Mode)), ("choice", get_args(Choice))):
            if getattr(self, name) not in allowed:
                found = getattr(self, name)
                raise ValueError(f"spectral pruning: {name} {found!r} must be one of {', '.join(allowed)}")
        if not 0 <= self.threshold < math.inf:
            raise ValueError(f"spectral pruning: threshold = {self.threshold} must be at least 0")
        if self.limit is not None and self.limit < 0:
            raise ValueError(f"spectral pruning: limit = {self.limit} must be at least 0, or None")


def local_laplacian(W: ndarray, A: ndarray, c: int, mode: Mode) -> ndarray:
    """L of the star around c: weights and adjacency ``[n, n]``, i → j in row i, to ``[n, n]``; other rows are zero."""
    star = np.zeros_like(A)
    star[c], star[:, c] = A[c], A[:, c]
    return laplacian(W, star, mode)


def laplacian(W: ndarray, A: ndarray, mode: Mode) -> ndarray:
    """D − A ⊙ W with D the number of edges into and out of a node (mode D) or the sum of their weights (DW)."""
    coupled = np.where(A, W, 0.0)
    counted = A.astype(float) if mode == "D" else coupled
    return np.diag(counted.sum(0) + counted.sum(1)) - coupled


def feedback(L: ndarray, c: int) -> ndarray:
    """b_i = L_ci L_ic ``[n]`` of a local Laplacian; zero at c."""
    b = L[c] * L[:, c]
    b[c] = 0
    return b


def secular(L: ndarray, c: int, λ: complex) -> complex:
    """λ − d_c − Σ_i b_i/(λ − d_i), zero at the eigenvalues that no neighbour has for itself."""
    b = feedback(L, c)
    i = b.nonzero()[0]
    return λ - L[c, c] - (b[i] / (λ - np.diag(L)[i])).sum()


def closed_form(L: ndarray, c: int) -> ndarray:
    """All eigenvalues ``[n]`` of a local Laplacian of mode D, in no order.

    2 (m − 1 times for m mutual neighbours), d_i of every other node, and ½(d_c + 2 ± √((d_c − 2)² + 4 Σ_i b_i)): the
    imaginary part depends on the degree and the total feedback alone.

    >>> closed_form(np.array([[3.0, -4.0, 0.0], [1.0, 2.0, 0.0], [-5.0, 0.0, 1.0]]), 0)
    array([1. +0.j        , 2.5+1.93649167j, 2.5-1.93649167j])
    """
    b, d = feedback(L, c), np.diag(L)
    mutual = b != 0
    alone = np.delete(d, np.append(mutual.nonzero()[0], c))
    if not mutual.any():
        return np.append(alone, d[c]).astype(complex)
    root = np.sqrt(complex((d[c] - 2) ** 2 + 4 * b.sum()))
    pair = (d[c] + 2 + np.array([1, -1]) * root) / 2
    return np.concatenate([alone, np.full(mutual.sum() - 1, 2.0), pair])


def participation(L: ndarray, c: int, λ: complex) -> ndarray:
    """|x_i y_i| of the right and left eigenvectors of λ, normed to sum one: ``[n]``.

    x_i = L_ic/(λ − d_i) and y_i = L_ci/(λ − d_i) for x_c = y_c = 1. Unlike |x_i|² it does not change when a node is
    rescaled. In mode D it is proportional to |b_i|.
    """
    away = λ - np.diag(L)
    away[c] = 1
    mass = np.abs(feedback(L, c) / away**2)
    mass[c] = 1
    return mass / mass.sum()


def carried(L: ndarray) -> ndarray:
    """How much of Σ_k |Im λ_k| hangs on each entry: ``[n, n]``, of any matrix with a full set of eigenvectors.

    To first order a share ε of L_ji taken away lowers the sum by ε times the entry (j, i): with dual bases yₖ and xₖ,
    Σ_k sign(Im λ_k) Im(y_kj L_ji x_ki). The diagonal included, the entries sum to Σ_k |Im λ_k|.
    """
    λ, X = np.linalg.eig(L)
    Y = np.linalg.inv(X)  # row k is the left eigenvector with yₖᵀ xₖ = 1
    return L * np.einsum("k,kj,ik->ji", np.sign(λ.imag), Y, X).imag


def named(values: ndarray) -> tuple[ndarray, ndarray]:
    """The places of the smallest and the largest imaginary part in each list of eigenvalues: ``[P, n]`` to two ``[P]``.

    LAPACK returns a pair in neighbouring places, the positive part first, so that only an edge k + 1 → k can be named.
    """
    return values.imag.argmin(-1), values.imag.argmax(-1)


def choose(
    choice: Choice, L: ndarray, values: ndarray, c: int, into: ndarray, rng: np.random.Generator
) -> list[Edge]:
    """The edges to remove at a visit of c, as (from, to) in the rows of L; empty if none is named.

    Args:
        L: the matrix of c and its neighbours ``[s, s]``, all edges among them for ``ego``, else the star.
        values: its eigenvalues ``[s]``.
        into: which rows have an edge into c, ``[s]`` boolean.
        rng: draws for ``random``; no other choice touches it.
    """
    if choice in ("published", "neighbourhood"):
        source, target = named(values)
        return [(int(source), int(target))] if source != target else []
    if choice == "lot":
        raise ValueError("spectral pruning: 'lot' chooses among all edges of a network, not at a node")
    sources = into.nonzero()[0]
    if choice == "random":
        return [(int(rng.choice(sources)), c)] if sources.size else []
    score = _score(choice, L, values, c)
    if score is None or not sources.size:
        return []
    best = int(sources[score[sources].argmax()])
    return [(best, c), (c, best)] if choice == "both" else [(best, c)]


def _score(choice: Choice, L: ndarray, values: ndarray, c: int) -> ndarray | None:
    """What is largest for the edge to remove, ``[s]``; None if nothing distinguishes the edges."""
    if choice == "smallest":
        return -np.abs(L[:, c])
    if choice == "feedback":
        return -feedback(L, c) if feedback(L, c).any() else None
    if not values.imag.any():
        return None
    if choice in ("eigenvector", "both"):
        return participation(L, c, values[values.imag.argmax()])
    return carried(L)[:, c]


@numba.njit(cache=True, error_model="numpy")
def surely_real(counted, d_c, d, b, skew, norm, threshold):
    """Whether LAPACK, too, finds no Im λ > threshold · ‖L‖: True only if rounding cannot make one.

    Args: counted: mode D; d_c; d and b ``[m]`` of the mutual neighbours; skew: κ = the ratio of the largest to the
    smallest of 1 and √|L_ic/L_ci|; norm: ‖L‖. The computed values are those of L + E with ‖E‖ ≤ ε‖L‖, ε = ROUNDING.

    - m = 0: L is triangular up to the order of its nodes, and LAPACK finds that without arithmetic.
    - All b_i > 0: a diagonal scaling makes L symmetric, so values move by at most η = κε‖L‖ (Bauer and Fike). They stay
      real if they are further apart than 2η. Poles at least G apart keep every value min(G/2, b G/(2‖L‖(G + ‖L‖)))
      away from every pole, and there is a pole between any two.
    - m = 1 or mode D: with z = λ − d and β = Σb the resolvent is a fraction with denominator z(z − z₊)(z − z₋),
      z± the roots of z² − (d_c − d) z − β. If 0, z₊, z₋ are real, z is at least half of their gaps away from the two
      that are not nearest: the norm is below (1 + 36 ‖L‖²/s)/τ, s = min(|β|, |z±| |z₊ − z₋|), wherever |Im z| ≥ τ, or,
      with each value simple (m ≤ 2), on circles whose radius τ is half the least gap.
    """
    m, β, least = b.size, 0.0, math.inf
    for x in b:
        β, least = β + x, min(least, x)
    if m == 0:
        return True
    if m == 1 or counted:
        δ = d_c - d[0]
        root = δ * δ + 4 * β
        if root > 0:
            root = math.sqrt(root)
            near = min(abs(δ + root), abs(δ - root)) / 2
            g, s = (root, root * root) if m == 1 else (min(root, near), min(abs(β), near * root))
            τ = max(threshold * norm, g / 2 if m <= 2 else 0.0)
            if ROUNDING * norm * (s + 36 * norm * norm) < τ * s:
                return True
    if least <= 0:
        return False
    η = skew * ROUNDING * norm
    if threshold * norm > η:
        return True
    if counted:
        return False
    G = 2 * norm
    for i in range(m):
        for j in range(i):
            G = min(G, abs(d[i] - d[j]))
    return min(G / 2, least * G / (2 * norm * (G + norm))) > η


@numba.njit(cache=True, error_model="numpy")
def leading(counted, d_c, b, norm):
    """How many places of the list, of those that the visited node and its mutual neighbours have, come before any pair.

    None in mode DW; two in mode D if z± of :func:`surely_real`, whose arguments these are, are clear of each other and
    of 0. The values are 2 + z± and otherwise 2, so that any pair is one of rounding, of two values near 2.

    - A root that is nearly double moves by the square root of rounding. So |z₊ z₋| = |β| and (z₊ − z₋)² are clear above
      √ε ‖L‖²; exceptions to what follows begin two orders of magnitude below.
    - L − 2 has rank two, and its Hessenberg form ends in rounding after the first two or three rows, which hold z±. QR
      takes its shifts from that end: a sweep multiplies the first two vectors by (L − 2)², which turns them into the
      plane of z± again, whatever rounding did before. So z± are listed first. Only a single 2 may split off before the
      first sweep and stand among them, and that is real. This is how the algorithm goes, not a bound.
    """
    if not counted:
        return 0
    β = 0.0
    for x in b:
        β += x
    root = (d_c - 2) * (d_c - 2) + 4 * β
    return 2 if min(abs(β), root) > math.sqrt(ROUNDING) * norm * norm else 0


def solver() -> str:
    """Which LAPACK numpy calls, and for which processor its kernels are.

    Its order of eigenvalues and its last bits, and so what the published rule removes, may differ between them.
    """
    lapack = np.show_config(mode="dicts")["Build Dependencies"]["lapack"]
    kernels = [x.get("architecture", "") for x in threadpool_info() if "numpy" in x["filepath"]]
    return " ".join([lapack.get("name", "unknown"), lapack.get("version", ""), *kernels]).strip()
