"""What one edge is worth: every edge of every trained network is removed, alone, and the function compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.stats import spearmanr

from flowprune.argnn import Networks, Truth, evaluate, train, train_on
from flowprune.experiments.choice import sparse
from flowprune.experiments.logic import TableTrial, truth
from flowprune.experiments.network_rows import short
from flowprune.pruning.spectral import (
    ROUNDING,
    Choice,
    Mode,
    Rule,
    choose,
    feedback,
    laplacian,
    local_laplacian,
    solver,
)
from flowprune.study.specs import Count, spec

MODES: tuple[Mode, ...] = ("D", "DW")
CHOICES: tuple[Choice, ...] = (
    "published",
    "smallest",
    "feedback",
    "eigenvector",
)  # and a random edge, and the best
READINGS = ("complex D", "complex DW", "list D", "list DW", "opposite")
NOTHING = -9.0  # stands for a mean over nothing; no change and no correlation is that small
FRESH = 10**6  # added to the seeds for the rows of further training


def without(nets: Networks, r: ndarray, e: ndarray) -> Networks:
    """Copies ``[K]`` of the networks r, the k-th without its edge e_k."""
    copies = replace(
        nets,
        seeds=tuple(nets.seeds[i] for i in r),
        **{name: getattr(nets, name)[r] for name in ("V", "E", "w", "alive")},
    )
    every = np.arange(len(r))
    copies.w[every, e], copies.alive[every, e] = 0, False
    return copies


def removals(nets: Networks, table: Truth, further: int, updates: int) -> tuple[ndarray, ndarray]:
    """Mean |answer − answer before| after each single removal ``[R, E]``: at once, and after so many further inputs.

    The second compares with the whole network trained further on the same rows. NaN where there is no edge.
    """
    r, e = nets.alive.nonzero()
    copies = without(nets, r, e)
    now, later = np.full(nets.alive.shape, np.nan), np.full(nets.alive.shape, np.nan)
    now[r, e] = np.abs(evaluate(copies, table, updates) - evaluate(nets, table, updates)[r]).mean((1, 2))
    fresh = [
        train_on(replace(x, seeds=tuple(s + FRESH for s in x.seeds)), table, inputs=further, updates=updates)
        for x in (nets, copies)
    ]
    later[r, e] = np.abs(fresh[1].answers - fresh[0].answers[r]).mean((1, 2))
    return now, later


def names(W: ndarray, A: ndarray, c: int, mode: Mode, choice: Choice) -> tuple[int, int] | None:
    """The edge (from, to) that a node of one network names, ``[n, n]`` weights and adjacency; None if it names none."""
    near = A[c] | A[:, c]
    near[c] = True
    nodes = np.arange(len(A)) if choice == "published" else near.nonzero()[0]
    inside = np.ix_(nodes, nodes)
    L = laplacian(W[inside], A[inside], mode) if choice == "ego" else local_laplacian(W, A, c, mode)[inside]
    values = np.linalg.eigvals(L)
    rng = np.random.default_rng(0)  # untouched: a random edge is told by its expectation
    found = choose(choice, L, values, int((nodes == c).argmax()), A[nodes, c], rng)
    if not found:
        return None
    source, target = int(nodes[found[0][0]]), int(nodes[found[0][1]])
    return (source, target) if A[source, target] else None


def complex_star(W: ndarray, A: ndarray, c: int, mode: Mode) -> bool:
    """Whether the star of c has a complex pair that is no rounding."""
    L = local_laplacian(W, A, c, mode)
    if not (feedback(L, c) < 0).any():
        return False
    keep = L.any(0) | L.any(1)
    return bool(np.linalg.eigvals(L[np.ix_(keep, keep)]).imag.max() > ROUNDING * np.linalg.norm(L))


def real_shift(W: ndarray, A: ndarray, mode: Mode) -> ndarray:
    """Σ|Re λ_k − Re λ′_k| of the target's star with and without each edge, values in ascending order: ``[n, n]``."""
    shift = np.full(A.shape, np.nan)
    for c in range(len(A)):
        sources = A[:, c].nonzero()[0]
        cut = np.repeat(A[None], len(sources) + 1, axis=0)
        cut[np.arange(len(sources)), sources, c] = False
        L = np.array([local_laplacian(W, x, c, mode) for x in cut])
        real = np.sort(np.linalg.eigvals(L).real, axis=1)
        shift[sources, c] = np.abs(real[:-1] - real[-1]).sum(1)
    return shift


def matched(change: ndarray, size: ndarray, inside: ndarray, others: ndarray) -> float:
    """Mean change of edges minus that of the others nearest in size: ``[K]`` each; NaN if a side is empty."""
    if not inside.any() or not others.any():
        return np.nan
    nearest = np.abs(size[inside, None] - size[others]).argmin(1)
    return float((change[inside] - change[others][nearest]).mean())


@spec
class EdgeTrial(TableTrial):
    """Train networks without pruning, then remove every edge by itself.

    A change is the mean |answer − answer before| over the rows; *later* after training both for ``further`` inputs.
    Results are lists over networks, −9 for a mean over nothing. For each mode: the number of nodes where the published
    rule and all of smallest, feedback and eigenvector name an edge (``D_nodes``) and the mean change of what they name
    there (``D_published``, …, ``D_random`` in expectation, ``D_best``); the same for nodes whose ego spectrum names one
    (``D_ego_…``); how many nodes have a complex star (``D_stars``). ``named``: the mean change of any edge k + 1 → k.
    For each reading of a symmetric coupling: its edges, and the change of theirs minus others': ``raw``, ``matched`` in
    |w|, ``within`` mutual edges, ``later``. Rank correlations over a network's edges of the change with |w| and with
    the shift of the real parts.
    """

    experiment: ClassVar[str] = "edges"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"mean_change": 0.02}

    density: Annotated[float, Field(gt=0, le=1)] = 1.0
    further: Count = 500

    def weight(self) -> float:
        return 1e-6 * self.networks * self.further * (self.hidden + 3) ** 4

    def trained(self) -> Networks:
        """The networks before any removal."""
        table = truth(self.table)
        A = sparse(self.seeds, table.inputs.shape[1], self.hidden, 1, self.density)
        return train(
            table,
            self.hidden,
            Rule("none"),
            self.seeds,
            inputs=self.inputs,
            updates=self.updates,
            adjacency=A,
        ).nets

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            nets = trial.trained()
            now, later = removals(nets, truth(trial.table), trial.further, trial.updates)
            rows = [_one(nets, r, now[r], later[r]) for r in range(trial.networks)]
            lists = {k: short(np.nan_to_num([row[k] for row in rows], nan=NOTHING)) for k in rows[0]}
            mean = float(np.nanmean(now))
            yield trial, lists | {"solver": solver(), "mean_change": mean}


def _one(nets: Networks, r: int, now: ndarray, later: ndarray) -> dict[str, float]:
    """What is told of one network; changes ``[E]``."""
    W, A, edges = nets.weights[r], nets.adjacency[r], nets.edges
    changes = {"": np.full(A.shape, np.nan), "_later": np.full(A.shape, np.nan)}
    changes[""][edges.source, edges.target], changes["_later"][edges.source, edges.target] = now, later
    mutual = A & A.T
    told: dict[str, float] = {"edges": int(A.sum()), "mutual": float(mutual.sum() / A.sum())}
    k = np.arange(len(A) - 1)
    told |= {"named": _mean(changes[""][k + 1, k]), "named_later": _mean(changes["_later"][k + 1, k])}
    told |= {"from_inputs": _mean(changes[""][: nets.inputs]), "between": _mean(changes[""][nets.inputs :])}
    groups = {"opposite": mutual & (W * W.T < 0)}
    visited = range(nets.inputs, len(A))
    for mode in MODES:
        named = {x: [names(W, A, c, mode, x) for c in visited] for x in (*CHOICES, "ego")}
        stars = np.zeros(len(A), bool)
        stars[nets.inputs :] = [complex_star(W, A, c, mode) for c in visited]
        groups[f"complex {mode}"] = groups["opposite"] & stars[None, :]
        groups[f"list {mode}"] = np.zeros_like(A)
        for edge in filter(None, named["published"]):
            groups[f"list {mode}"][edge] = True
        told |= {f"{mode}_stars": int(stars.sum())}
        told |= _compare(changes, named, A, visited, mode, "", CHOICES)
        told |= _compare(changes, named, A, visited, mode, "ego_", ("ego", "smallest"))
        told[f"rank_real_{mode}"] = _rank(real_shift(W, A, mode), changes[""], A)
    told |= {f"rank_weight{when}": _rank(np.abs(W), change, A) for when, change in changes.items()}
    size = np.abs(W)
    for reading in READINGS:
        i, name = groups[reading], reading.replace(" ", "_")
        told |= {f"{name}_edges": int(i.sum()), f"{name}_mean": _mean(changes[""][i])}
        told[f"{name}_raw"] = _mean(changes[""][i]) - _mean(changes[""][A & ~i])
        sides = {"matched": ("", A), "within": ("", mutual), "later": ("_later", A)}
        for test, (when, among) in sides.items():
            told[f"{name}_{test}"] = matched(changes[when][A], size[A], i[A], (among & ~i)[A])
    return told


def _compare(
    changes: dict[str, ndarray],
    named: dict[str, list],
    A: ndarray,
    visited: range,
    mode: Mode,
    prefix: str,
    choices: Sequence[str],
) -> dict[str, float]:
    """Mean change of what each choice names at the nodes where all of them name an edge."""
    nodes = [k for k in range(len(visited)) if all(named[x][k] for x in choices)]
    told: dict[str, float] = {f"{mode}_{prefix}nodes": len(nodes)}
    for when, change in changes.items():
        for x in choices:
            told[f"{mode}_{prefix}{x}{when}"] = _mean([change[named[x][k]] for k in nodes])
        into = [change[A[:, visited[k]], visited[k]] for k in nodes]
        told[f"{mode}_{prefix}random{when}"] = _mean([x.mean() for x in into])
        told[f"{mode}_{prefix}best{when}"] = _mean([x.min() for x in into])
    return told


def _mean(x: ArrayLike) -> float:
    x = np.asarray(x, dtype=float)
    x = x[~np.isnan(x)]
    return float(x.mean()) if x.size else np.nan


def _rank(score: ndarray, change: ndarray, A: ndarray) -> float:
    """Spearman's correlation over the edges; NaN where one side is constant."""
    s, x = score[A], change[A]
    if len(s) < 3 or np.ptp(s) <= 1e-9 * np.abs(s).max() or np.ptp(x) == 0:
        return np.nan
    return float(spearmanr(s, x).statistic)
