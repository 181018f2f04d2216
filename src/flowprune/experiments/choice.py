"""The same numbers of edges at the same moments, chosen in different ways: asynchronous networks beside their twins."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy import ndarray
from pydantic import Field

from flowprune.argnn import Outcome, train
from flowprune.argnn.judge import Moments
from flowprune.experiments.logic import PIECES, TableTrial, truth
from flowprune.experiments.network_rows import short
from flowprune.pruning.spectral import Choice, Rule, solver
from flowprune.study.specs import Index, spec

ADJACENCY = 5  # the stream of random numbers that draws which edges a sparse network starts with
Kept = Choice | Literal["none"]


@spec
class ChoiceTrial(TableTrial):
    """Networks that lose edges at the moments of a leader of the same seed, each edge named by ``choice``.

    The leader follows the published rule with ``spread`` = 0. Else it is asked for an edge by the ego spectrum at so
    many visits, evenly spaced over the middle half of the training, whatever the published rule would do. Networks of
    equal seed start with equal weights and see equal rows and orders; ``none`` never loses an edge. A choice that finds
    no edge at a moment lets it pass.

    Results are lists over networks: ``miss`` (mean error in the evaluation), ``change`` (mean |answer − answer of the
    unpruned twin|), ``moments`` (removals of the leader), ``removed``; beside them ``curve_miss`` in 40 pieces of the
    training, ``mutual`` (share of the edges at the start that have a reverse) and means that are compared.
    """

    experiment: ClassVar[str] = "choice"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"mean_miss": 0.03, "mean_removed": 0.5}

    choice: Kept
    mode: Literal["D", "DW"] = "D"
    density: Annotated[float, Field(gt=0, le=1)] = 1.0
    spread: Index = 0

    def group(self) -> Hashable:
        """Trials that differ in the choice alone share their leaders."""
        return tuple((name, value) for name, value in self.fields.items() if name != "choice")

    @classmethod
    def batch_size(cls, trials: Sequence[Self]) -> int:
        return len(trials)

    def follow(self, choice: Kept, moments: Moments | None) -> Outcome:
        """Train the networks with a choice, at these visits or, with None, when the rule says so."""
        rule = Rule("none") if choice == "none" else Rule(self.mode, choice)
        A = sparse(self.seeds, truth(self.table).inputs.shape[1], self.hidden, 1, self.density)
        return train(
            truth(self.table),
            self.hidden,
            rule,
            self.seeds,
            inputs=self.inputs,
            updates=self.updates,
            adjacency=A,
            moments=None if choice == "none" else moments,
        )

    def lead(self) -> Outcome:
        """The leaders, whose moments are replayed."""
        if not self.spread:
            return self.follow("published", None)
        visits = self.inputs * self.updates * (self.hidden + 1)
        spread = np.linspace(visits / 4, 3 * visits / 4, self.spread).astype(int).tolist()
        return self.follow("ego", [spread] * self.networks)

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        whole, leader = trials[0].follow("none", None), trials[0].lead()
        moments = [[x.visit for x in leader.removals if x.network == r] for r in range(trials[0].networks)]
        for trial in trials:
            o = whole if trial.choice == "none" else trial.follow(trial.choice, moments)
            yield trial, told(o, whole, moments)


def told(o: Outcome, whole: Outcome, moments: Moments) -> dict[str, Any]:
    """What is stored of networks beside their unpruned twins: see :class:`ChoiceTrial`."""
    removed = np.bincount([x.network for x in o.removals], minlength=len(o.error))
    start = o.nets.edges
    alive = whole.nets.alive
    paired = alive & (start.reverse >= 0) & alive[:, start.reverse]
    return {
        "edges": float(alive.sum(1).mean()),
        "mutual": float(paired.sum() / alive.sum()),
        "miss": short(o.error),
        "change": short(np.abs(o.answers - whole.answers).mean((1, 2))),
        "moments": [len(visits) for visits in moments],
        "removed": removed.tolist(),
        "curve_miss": short(o.errors.reshape(len(o.errors), PIECES, -1).mean((0, 2))),
        "disconnected": o.nets.disconnected.tolist(),
        "solver": solver(),
        "mean_miss": float(o.error.mean()),
        "mean_removed": float(removed.mean()),
    }


def sparse(seeds: Sequence[int], inputs: int, hidden: int, outputs: int, density: float) -> ndarray | None:
    """Each allowed edge with this probability, for each seed its own draw: ``[R, n, n]``; None for all edges."""
    if density == 1:
        return None
    n = inputs + hidden + outputs
    A = np.stack([np.random.default_rng([s, ADJACENCY]).random((n, n)) < density for s in seeds])
    A[:, range(n), range(n)], A[:, :, :inputs] = False, False
    return A
