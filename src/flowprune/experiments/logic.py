"""Asynchronous recurrent networks that learn truth tables while the spectral rule removes edges (A3 to A7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from flowprune.argnn import Outcome, Truth, adder, gate, multiplexer, parity, random_table, train
from flowprune.experiments.network_rows import short
from flowprune.pruning.spectral import Choice, Mode, Rule, solver
from flowprune.study.specs import Count, Index, Trial, spec

GATES = ("and", "or", "xor")
PIECES = 40  # the training is told in so many pieces of equal length
LEARNED = 0.1  # a mean error over a piece below which a network has learned its table


@dataclass(frozen=True, kw_only=True)
class TableTrial(Trial):
    """A trial of ``networks`` asynchronous networks, alike but for their seeds ``seed``, ``seed`` + 1, …

    ``table``: a gate (and, or, xor), "parity K", "adder BITS", "multiplexer K" or "random INPUTS OUTPUTS SEED".
    Networks of equal seed and size begin with equal weights and see equal rows and orders, whatever is done to them.
    """

    table: str
    hidden: Index
    networks: Count = 200
    seed: Index = 0
    inputs: Annotated[int, Field(ge=PIECES, multiple_of=PIECES)] = 2000
    updates: Count = 10

    def __post_init__(self) -> None:
        truth(self.table)

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.networks)

    def weight(self) -> float:
        return 1e-6 * self.networks * self.inputs * (self.hidden + 3) ** 2


@spec
class LogicTrial(TableTrial):
    """Train networks by a rule, and evaluate them.

    Results are lists over networks, but for ``edges`` (at the start), ``curve_miss`` and ``curve_left`` (mean error in,
    and mean share of edges left after, each of 40 pieces of the training), ``solver`` and the means that are compared.
    """

    experiment: ClassVar[str] = "logic"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"mean_miss": 0.03, "mean_removed": 0.5}

    mode: Mode = "none"
    choice: Choice = "published"
    threshold: Annotated[float, Field(ge=0)] = 0.0

    def train(self) -> Outcome:
        """The trained networks."""
        rule = Rule(self.mode, self.choice, self.threshold)
        return train(
            truth(self.table), self.hidden, rule, self.seeds, inputs=self.inputs, updates=self.updates
        )

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, told(trial.train())


def told(o: Outcome) -> dict[str, Any]:
    """What is stored of trained networks: see :class:`LogicTrial`."""
    left, pieces = o.edges_left(), np.arange(PIECES)
    start = int(o.nets.edges.source.size)
    error = o.errors.reshape(len(o.errors), PIECES, -1).mean(2)
    removed = start - left[:, -1]
    rounding = np.bincount([x.network for x in o.removals if x.by_rounding], minlength=len(removed))
    gone = [np.array([x.input for x in o.removals if x.network == r]) for r in range(len(removed))]
    learned = error < LEARNED
    return {
        "edges": start,
        "miss": short(o.error),
        "removed": removed.tolist(),
        "by_rounding": rounding.tolist(),
        "lost": [
            " ".join(f"{x.source}>{x.target}" for x in o.removals if x.network == r)
            for r in range(len(removed))
        ],
        "half": [
            int(np.sort(t)[(t.size - 1) // 2]) if t.size else -1 for t in gone
        ],  # input of the median removal
        "learned": np.where(
            learned.any(1), learned.argmax(1), PIECES
        ).tolist(),  # the first piece below LEARNED
        "training_miss": short(error.mean(1)),
        "curve_miss": short(error.mean(0)),
        "curve_left": short(left.reshape(len(left), PIECES, -1)[:, pieces, -1].mean(0) / start),
        "clipped": o.nets.clipped.tolist(),
        "saturated": o.nets.saturated.tolist(),
        "disconnected": o.nets.disconnected.tolist(),
        "questions": o.questions.tolist(),
        "solver": solver(),
        "mean_miss": float(o.error.mean()),
        "mean_removed": float(removed.mean()),
    }


@cache
def truth(name: str) -> Truth:
    """The truth table of this name. Raises ValueError for one that is none."""
    kind, *numbers = name.split()
    makers = {
        "parity": (parity, 1),
        "adder": (adder, 1),
        "multiplexer": (multiplexer, 1),
        "random": (random_table, 3),
    }
    if kind in GATES and not numbers:
        return gate(kind)
    make, count = makers.get(kind, (None, 0))
    if make is None or len(numbers) != count or not all(x.isdigit() for x in numbers):
        raise ValueError(
            f"truth table {name!r} must be one of {', '.join(GATES)}, 'parity K', 'adder BITS', 'multiplexer K' "
            f"or 'random INPUTS OUTPUTS SEED', with whole numbers"
        )
    return make(*map(int, numbers))
