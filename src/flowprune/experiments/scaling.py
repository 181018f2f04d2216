"""Time of a GRAFF step against the numbers of nodes and edges (G20): regular graphs of up to 10⁷ edges as trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from scipy import stats
from torch import Tensor

from flowprune.experiments.theory.counting import STRUCTURES
from flowprune.flows.gradient import GRAFF
from flowprune.study.specs import Count, Trial, spec
from flowprune.study.stats import Interval

DEGREE = 20  # of every linked node


def ring(nodes: int, linked: int, shuffled: bool) -> Tensor:
    """Ā of a regular graph, ``[nodes, nodes]``: the first ``linked`` nodes have DEGREE neighbours each, the rest none.

    On a ring, node i is joined to i ± s for DEGREE/2 random shifts s. As it is, neighbours are read from memory in
    DEGREE orderly streams; shuffled, they lie anywhere. Built without sorting edges.
    """
    if linked <= DEGREE or nodes < linked:
        raise ValueError(
            f"a ring of {linked} among {nodes} nodes: it needs more than {DEGREE} and at most all of them"
        )
    rng = np.random.default_rng(0)
    shift = 1 + rng.choice((linked - 1) // 2, DEGREE // 2, replace=False)
    place = np.arange(linked)  # of each node on the ring
    node = rng.permutation(linked) if shuffled else place.copy()
    place[node] = np.arange(linked)
    column = np.sort(node[(place[:, None] + np.concatenate([shift, -shift])) % linked], axis=1)
    offset = np.minimum(np.arange(nodes + 1), linked) * DEGREE
    value = torch.full((column.size,), 1 / DEGREE)
    parts = (torch.from_numpy(x.ravel().astype(np.int32)) for x in (offset, column))
    return torch.sparse_csr_tensor(*parts, value, (nodes, nodes), check_invariants=False)


@spec
class ScaleTrial(Trial):
    """Time the GRAFF flow without gradients on a regular graph with ``edges`` undirected edges among ``nodes`` nodes.

    ``shuffled``: whether neighbours lie anywhere in memory, see :func:`ring`. Nodes without an edge are allowed.
    """

    experiment: ClassVar[str] = "scale"
    version: ClassVar[int] = 1

    edges: Annotated[int, Field(ge=DEGREE // 2 * (DEGREE + 1), multiple_of=DEGREE // 2)]
    nodes: Count
    shuffled: bool
    structure: Literal["diag", "dd"]
    rounds: Count
    width: Count = 16
    steps: Count = 4

    def weight(self) -> float:
        return 1e-6 * (self.edges + self.nodes)

    @classmethod
    def device(cls) -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, {"milliseconds": trial.measure()}

    @torch.no_grad()
    def measure(self) -> list[float]:
        """Milliseconds of one step, one number a round."""
        device = self.device()
        adjacency = ring(self.nodes, 2 * self.edges // DEGREE, self.shuffled).to(device)
        flow = GRAFF([0], self.width, self.structure, time=float(self.steps)).to(device)
        F0 = torch.randn(self.nodes, 1, self.width, generator=torch.Generator().manual_seed(0)).to(device)
        flow(F0, adjacency)  # loads the compiled loop
        return [clocked(lambda: flow(F0, adjacency)) / self.steps for _ in range(self.rounds)]


def clocked(function: Callable[[], Any]) -> float:
    """Milliseconds that a call takes, the accelerator's queue included."""
    _finish()
    start = perf_counter()
    function()
    _finish()
    return 1000 * (perf_counter() - start)


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def sizes(low: int, high: int) -> list[int]:
    """Four sizes a decade from 10^low to 10^high, rounded to multiples of ten.

    >>> sizes(3, 4)
    [1000, 1780, 3160, 5620, 10000]
    """
    return [10 * round(10 ** (low - 1 + i / 4)) for i in range(4 * (high - low) + 1)]


def by_edges(decades: int = 4, rounds: int = 10) -> list[ScaleTrial]:
    """From 10³ edges upwards over so many decades, a tenth as many nodes, in order and shuffled, diag and DD."""
    return [
        ScaleTrial(edges=E, nodes=2 * E // DEGREE, shuffled=shuffled, structure=structure, rounds=rounds)
        for shuffled in (False, True)
        for structure in STRUCTURES
        for E in sizes(3, 3 + decades)
    ]


def by_nodes(decades: int = 2, rounds: int = 10) -> list[ScaleTrial]:
    """The same 1000 edges among ever more nodes, from 10⁴ upwards over so many decades."""
    return [
        ScaleTrial(edges=1000, nodes=n, shuffled=False, structure=structure, rounds=rounds)
        for structure in STRUCTURES
        for n in sizes(4, 4 + decades)
    ]


def exponent(size: Sequence[float], time: Sequence[float], level: float = 0.95) -> Interval:
    """b of time ∝ size^b: the slope of a log-log regression with Student's interval.

    Raises ValueError for fewer than three sizes, which leave no spread to judge the slope by.

    >>> round(exponent([1, 10, 100], [2, 20, 200]).mean, 9)
    1.0
    """
    if len(size) < 3:
        raise ValueError(f"an exponent needs at least 3 sizes, not {len(size)}")
    line = stats.linregress(np.log(size), np.log(time))
    half = float(line.stderr * stats.t.ppf((1 + level) / 2, len(size) - 2))
    b = float(line.slope)
    return Interval(b, b - half, b + half, level, len(size))


def exponents(timed: pd.DataFrame, size: str) -> pd.DataFrame:
    """One row a structure and order of the nodes: the exponent (an interval) of the median time against ``size``.

    ``timed``: collected scale trials. Raises ValueError when none is done.
    """
    done = medians(timed)
    rows = [
        {"structure": structure, "shuffled": shuffled, "exponent": exponent(part[size], part["median"])}
        for (structure, shuffled), part in done.groupby(["structure", "shuffled"], sort=False)
    ]
    return pd.DataFrame(rows)


def growth(edges: pd.DataFrame, nodes: pd.DataFrame) -> dict[str, float]:
    """The timed evidence of G20 from collected :func:`by_edges` and :func:`by_nodes`: decades, largest exponents."""
    found, over_nodes = exponents(edges, "edges"), exponents(nodes, "nodes")
    upper = {s: max(i.upper for i in found[found.shuffled == s].exponent) for s in (False, True)}
    return {
        "decades": float(np.log10(edges.edges.max() / edges.edges.min())),
        "edges_ordered": upper[False],
        "edges_shuffled": upper[True],
        "nodes": max(i.upper for i in over_nodes.exponent),
    }


def medians(timed: pd.DataFrame) -> pd.DataFrame:
    """The done scale trials with the median of their rounds, in milliseconds a step."""
    done = timed[timed.status == "done"]
    if done.empty:
        raise ValueError(
            f"none of {len(timed)} scale trials is done; the first failed with {timed.error.iloc[0]}"
        )
    return done.assign(median=done.milliseconds.map(np.median))
