"""A2, A8, A9: the spectrum of a node and its neighbours, and what it says about nodes.

Stars come from random networks of five families. Each is checked by two routes: closed form and secular equation
against determinants, LAPACK's values against both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, permutations, product

import numpy as np
import pandas as pd
from numpy import ndarray

from flowprune.argnn import Networks
from flowprune.pruning.spectral import (
    Edge,
    closed_form,
    feedback,
    local_laplacian,
    named,
    participation,
    secular,
)

INPUTS, OUTPUTS = 2, 1  # of the published networks
CLEAR = 1e-3  # an imaginary part of this share of ‖L‖ is no rounding, and its eigenvectors are well defined
POINTS = (0.3 + 0.7j, -1.1 + 2.0j, 3.7 - 0.4j)  # where two polynomials are compared

Made = tuple[ndarray, ndarray]  # weights and adjacency [n, n], an edge i → j in row i


def full(hidden: int) -> ndarray:
    """The adjacency ``[n, n]`` that the published networks start with: all edges but those into inputs."""
    return Networks.start([0], INPUTS, hidden, OUTPUTS).adjacency[0]


def _published(rng: np.random.Generator, size: float) -> Made:
    A = full(int(rng.integers(1, 6)))
    return rng.uniform(-size, size, A.shape), A


def _random(rng: np.random.Generator, sign: float) -> Made:
    """n = 2…9 nodes, each edge there with the same chance; sign ±1 gives the way back the same or the other sign."""
    n, p = int(rng.integers(2, 10)), rng.uniform(0.3, 1.0)
    W, A = rng.uniform(-5, 5, (n, n)), rng.random((n, n)) < p
    A[range(n), range(n)] = False
    return (np.triu(W) + sign * np.sign(np.triu(W)).T * np.abs(np.tril(W)) if sign else W), A


FAMILIES: dict[str, Callable[[np.random.Generator], Made]] = {
    "published start": lambda rng: _published(rng, 1.0),
    "published, large weights": lambda rng: _published(rng, 10.0),
    "random": lambda rng: _random(rng, 0.0),
    "random, feedback positive": lambda rng: _random(rng, 1.0),
    "random, feedback negative": lambda rng: _random(rng, -1.0),
}


def networks(count: int, seed: int) -> Iterator[tuple[str, Made, np.random.Generator]]:
    """``count`` networks, the families in turn, each with the generator that goes on to draw from."""
    for index, (family, make) in zip(range(count), cycle(FAMILIES.items()), strict=False):
        rng = np.random.default_rng([seed, index])
        yield family, make(rng), rng


def misfit(L: ndarray, c: int, mode: str) -> float:
    """Largest relative error of det(λ − L) by the secular equation, and in mode D by the closed form, at three λ."""
    n, worst = len(L), 0.0
    for z in POINTS:
        expected = np.linalg.det(z * np.eye(n) - L)
        said = [np.prod(z - np.delete(np.diag(L), c)) * secular(L, c, z)]
        said += [np.prod(z - closed_form(L, c))] if mode == "D" else []
        worst = max(worst, *(abs(x - expected) / abs(expected) for x in said))
    return float(worst)


def bound(L: ndarray, c: int) -> int:
    """How many pairs can be complex: min(n₋, n₊ + 1) for n₋ neighbours with negative and n₊ with positive feedback."""
    b = feedback(L, c)
    return int(min((b < 0).sum(), (b > 0).sum() + 1))


def clear_pairs(L: ndarray) -> int:
    return int((np.linalg.eigvals(L).imag > CLEAR * np.linalg.norm(L)).sum())


def as_said(L: ndarray, c: int, mode: str) -> bool:
    """Whether LAPACK's largest Im λ is the closed form's (mode D), and pairs are no more than the bound allows."""
    found, norm = np.linalg.eigvals(L).imag.max(), np.linalg.norm(L)
    fits = mode == "DW" or abs(found - closed_form(L, c).imag.max()) <= CLEAR * norm
    return bool(fits and clear_pairs(L) <= bound(L, c))


def masses(L: ndarray) -> tuple[ndarray, ndarray]:
    """|x_i|² of the eigenvectors of the largest and of the smallest Im λ: two ``[n]`` of sum one.

    By the solver for complex matrices, which does not know that L is real and returns no conjugates by construction.
    """
    λ, X = np.linalg.eig(L.astype(complex))
    mass = np.abs(X) ** 2 / (np.abs(X) ** 2).sum(0)
    return mass[:, λ.imag.argmax()], mass[:, λ.imag.argmin()]


def edge_named(L: ndarray) -> Edge:
    """From the node at the place of −a to the node at the place of +a, as the published rule has it."""
    source, target = named(np.linalg.eigvals(L))
    return int(source), int(target)


def renumbered(L: ndarray, order: ndarray) -> Edge:
    """The edge named when node ``order[k]`` has the number k, in the old numbers."""
    source, target = edge_named(L[np.ix_(order, order)])
    return int(order[source]), int(order[target])


def strongest(L: ndarray, c: int) -> set[int]:
    """c and the neighbour with the largest participation in the pair: the coupling that L has most of."""
    values = np.linalg.eigvals(L)
    mass = participation(L, c, values[values.imag.argmax()])
    mass[c] = 0
    return {c, int(mass.argmax())}


def survey(count: int, seed: int = 0) -> pd.DataFrame:
    """One random node of each of ``count`` networks, in both modes: a row each."""
    rows = []
    for family, (W, A), rng in networks(count, seed):
        c, order = int(rng.integers(len(W))), rng.permutation(len(W))
        near = A[c] | A[:, c]
        near[c] = near.any()
        star = A & ((np.arange(len(W)) == c)[:, None] | (np.arange(len(W)) == c))
        for mode in ("D", "DW"):
            L = local_laplacian(W, A, c, mode)
            row = {"family": family, "mode": mode, "n": len(W), "bound": bound(L, c), "pairs": clear_pairs(L)}
            row |= {"deviation": misfit(L, c, mode), "as_said": as_said(L, c, mode)}
            row |= {"lowest": np.diag(L)[near].min(initial=np.inf), "outside": bool((~near).any())}
            summed = np.where(star, 1.0 if mode == "D" else W, 0.0)
            row["degree"] = np.abs(np.diag(L) - summed.sum(0) - summed.sum(1)).max()
            rows.append(row | (_pair(L, c, order) if row["pairs"] else {}))
    return pd.DataFrame(rows)


def _pair(L: ndarray, c: int, order: ndarray) -> dict[str, object]:
    """What is said of the two nodes of a clear pair."""
    plus, minus = masses(L)
    edge = edge_named(L)
    return {
        "apart": float(np.abs(plus - minus).max()),
        "next": edge[0] == edge[1] + 1,
        "kept": renumbered(L, order) == edge,
        "partner": set(edge) == strongest(L, c),
        "touches": c in edge,
    }


def example(hidden: int, seed: int) -> tuple[ndarray, int]:
    """A local Laplacian of mode D_W and its node c: the first of fresh networks that names an edge without c.

    With one hidden node there is none; then the first with a clear pair.
    """
    fallback, A = None, full(hidden)
    for W in Networks.start(range(seed, seed + 1000), INPUTS, hidden, OUTPUTS).weights:
        for c in range(INPUTS, len(W)):
            L = local_laplacian(W, A, c, "DW")
            if clear_pairs(L) and c not in edge_named(L):
                return L, c
            fallback = fallback or ((L, c) if clear_pairs(L) else None)
    if fallback is None:
        raise ValueError(f"{hidden} hidden nodes: no pair to draw; a network needs at least 1")
    return fallback


def smallest_zero() -> str:
    """The smallest network with weights ±1 whose star has a zero on its diagonal in mode D_W."""
    for n in (2, 3):
        pairs = list(permutations(range(n), 2))
        for weights in product((0, 1, -1), repeat=len(pairs)):
            W = np.zeros((n, n))
            W[tuple(np.transpose(pairs))] = weights
            A = W != 0
            if (A[0] | A[:, 0])[1:].all() and (np.diag(local_laplacian(W, A, 0, "DW")) == 0).any():
                told = [f"w_{i}{j} = {w:d}" for (i, j), w in zip(pairs, weights, strict=True) if w]
                return f"n = {n}, {' and '.join(told)}"
    raise LookupError("no star of up to three nodes has a zero on its diagonal")


def _theorem(found: pd.DataFrame, wrong: int, exceptions: int, condition: str) -> dict[str, object]:
    return {
        "instances": len(found),
        "families": "; ".join(FAMILIES),
        "deviation": float(found.deviation.max()),
        "counterexamples": wrong,
        "exceptions": exceptions,
        "condition": condition,
    }


def spectrum_evidence(found: pd.DataFrame) -> dict[str, object]:
    """A2. An exception is a spectrum with more than one pair, which no square root gives."""
    weighted = found[found["mode"] == "DW"]
    condition = (
        "mode D, where Σb < −((d_c − 2)/2)² makes one pair complex; in D_W only the secular equation is left"
    )
    base = _theorem(found, int((~found.as_said).sum()), int((found.pairs > 1).sum()), condition)
    return base | {
        "most_pairs": int(weighted.pairs.max()),
        "reached": int(((weighted.pairs > 1) & (weighted.pairs == weighted.bound)).sum()),
    }


def diagonal_evidence(found: pd.DataFrame) -> dict[str, object]:
    """A8. An exception is a node outside of the star, whose row is zero in mode D too."""
    counted, weighted = (found[found["mode"] == mode] for mode in ("D", "DW"))
    condition = "a node with an edge in the star; the rows of all others are zero"
    base = _theorem(counted, int((counted.lowest <= 0).sum()), int(counted.outside.sum()), condition)
    return base | {
        "deviation": float(found.degree.max()),
        "negative": float((weighted.lowest < 0).mean()),
        "zero": smallest_zero(),
    }


def pair_evidence(found: pd.DataFrame) -> dict[str, object]:
    """A9, of all clear pairs of both modes."""
    clear = found[found.pairs > 0]
    shares = {
        name: float(clear[name].astype(float).mean()) for name in ("next", "kept", "partner", "touches")
    }
    return {"pairs": len(clear), "apart": float(clear.apart.max()), **shares}
