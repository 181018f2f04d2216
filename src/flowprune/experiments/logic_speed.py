"""How much faster networks train side by side than one after another in plain numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy import ndarray

from flowprune.argnn import Networks, Removal, Truth, train
from flowprune.argnn.kernels import CLIP, RATE
from flowprune.argnn.networks import ORDERS, ROWS, draws
from flowprune.experiments.logic import GATES, truth
from flowprune.experiments.logic_study import HIDDEN, MODES
from flowprune.pruning.spectral import Mode, Rule, local_laplacian, named
from flowprune.study.specs import Count, Index, Trial, spec


@spec
class LogicSpeedTrial(Trial):
    """Train ``networks`` networks of every table, of one size and mode, side by side, and the first ``alone`` of each
    table one after another in plain numpy with a full eigendecomposition at every visit; in turn, on one core."""

    experiment: ClassVar[str] = "logic-speed"
    version: ClassVar[int] = 2

    hidden: Index
    mode: Mode
    tables: tuple[str, ...] = GATES
    networks: Count = 10
    alone: Count = 1
    inputs: Count = 2000
    updates: Count = 10

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, trial.measure()

    def measure(self) -> dict[str, float]:
        """Seconds a network: ``ours`` of all, and ``plain`` of those that ran alone."""
        each = [truth(name) for name in self.tables for _ in range(self.networks)]
        seeds, rule = [*range(self.networks)] * len(self.tables), Rule(self.mode)
        train(each, self.hidden, rule, seeds, inputs=1, updates=1)  # compiles
        times = [perf_counter()]
        train(each, self.hidden, rule, seeds, inputs=self.inputs, updates=self.updates)
        times.append(perf_counter())
        for name in self.tables:
            for seed in range(self.alone):
                plain(truth(name), self.hidden, self.mode, seed, self.inputs, self.updates)
        times.append(perf_counter())
        ours, one_by_one = np.diff(times) / len(self.tables)
        return {"ours": float(ours / self.networks), "plain": float(one_by_one / self.alone)}


def plain(
    given: Truth, hidden: int, mode: Mode, seed: int, inputs: int, updates: int
) -> tuple[ndarray, list[Removal]]:
    """One network by the published rule: weights ``[n, n]`` and removals, to rounding those of :func:`train`."""
    nets = Networks.start([seed], given.inputs.shape[1], hidden, given.outputs.shape[1])
    W, A = nets.weights[0], nets.adjacency[0]
    n, n_in, first_output = nets.edges.n, nets.inputs, nets.edges.n - nets.outputs
    V, e, removals = np.zeros(n), np.zeros(n), []
    rows, order = draws(seed, ROWS).integers(len(given.inputs), size=inputs), draws(seed, ORDERS)
    visit = 0
    for t, row in enumerate(rows):
        V[:n_in], y = given.inputs[row], given.outputs[row]
        for update in range(updates):
            for c in order.permuted(np.arange(n_in, n)[None], axis=1)[0]:
                V[c] = 1 / (1 + np.exp(-(V @ W[:, c])))
                e[c] = (
                    RATE * (V[c] - y[c - first_output])
                    if c >= first_output
                    else V[c] * (1 - V[c]) * (W[c] @ e)
                )
                W[:, c] = np.where(A[:, c], np.clip(W[:, c] - e[c] * V, -CLIP, CLIP), 0.0)
                if mode != "none":
                    values = np.linalg.eig(local_laplacian(W, A, c, mode)).eigenvalues
                    source, target = (int(i) for i in named(values))
                    if values.imag.max() > 0 and A[source, target]:
                        A[source, target], W[source, target] = False, 0.0
                        removals.append(Removal(0, t, update, visit, int(c), source, target, float("nan")))
                visit += 1
    return W, removals


def cells(hidden: Sequence[int], **fields: Any) -> list[LogicSpeedTrial]:
    """Every size in every mode."""
    return [LogicSpeedTrial(hidden=h, mode=m, **fields) for h in hidden for m in MODES]


def study() -> list[LogicSpeedTrial]:
    """The published trials: the paper's gates, sizes, modes and length of training."""
    return cells(HIDDEN)


def speedups(table: pd.DataFrame) -> pd.DataFrame:
    """Seconds a network, plain and side by side, and their ratio, by size and mode; the last row is the whole."""
    done = table[table.status == "done"]
    each = done[["hidden", "mode", "plain", "ours"]].assign(hidden=done.hidden.astype(str))
    total = {"hidden": "all", "mode": "all", **each[["plain", "ours"]].sum().to_dict()}
    each = pd.concat([each, pd.DataFrame([total])], ignore_index=True)
    return each.assign(ratio=each.plain / each.ours)
