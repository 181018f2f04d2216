"""How much faster networks train side by side than one after another in plain numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy import ndarray
from pydantic import Field

from flowprune.argnn import Networks, Removal, Truth, train
from flowprune.argnn.kernels import CLIP, RATE
from flowprune.argnn.networks import ORDERS, ROWS, draws
from flowprune.experiments.logic import Count, Index, truth
from flowprune.experiments.logic_study import HIDDEN, MODES
from flowprune.pruning.spectral import Mode, Rule, local_laplacian, named
from flowprune.study.specs import Trial, spec


@spec
class LogicSpeedTrial(Trial):
    """Train ``networks`` networks of one table, size and mode side by side, and the first ``alone`` of them one after
    another in plain numpy with an eigendecomposition at every visit; in turn, on one core. Results are seconds."""

    experiment: ClassVar[str] = "logic-speed"
    version: ClassVar[int] = 1

    table: str
    hidden: Index
    mode: Mode
    networks: Count = 10
    alone: Count = 1
    inputs: Annotated[int, Field(ge=1)] = 2000
    updates: Count = 10

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, trial.measure()

    def measure(self) -> dict[str, float]:
        """``ours`` for all networks and ``plain`` for those that ran alone."""
        given, rule, shown = (
            truth(self.table),
            Rule(self.mode),
            {"inputs": self.inputs, "updates": self.updates},
        )
        train(given, self.hidden, rule, range(self.networks), inputs=1, updates=1)  # compiles
        times = [perf_counter()]
        train(given, self.hidden, rule, range(self.networks), **shown)
        times.append(perf_counter())
        for seed in range(self.alone):
            plain(given, self.hidden, self.mode, seed, **shown)
        times.append(perf_counter())
        ours, one_by_one = np.diff(times)
        return {"ours": float(ours), "plain": float(one_by_one)}


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
                    values = np.linalg.eigvals(local_laplacian(W, A, c, mode))
                    source, target = (int(i) for i in named(values))
                    if values.imag.max() > 0 and A[source, target]:
                        A[source, target], W[source, target] = False, 0.0
                        removals.append(Removal(0, t, update, visit, int(c), source, target, float("nan")))
                visit += 1
    return W, removals


def cells(hidden: Sequence[int], networks: int = 10, **fields: Any) -> list[LogicSpeedTrial]:
    """XOR at every size and in every mode."""
    place = {"table": "xor", "networks": networks}
    return [LogicSpeedTrial(hidden=h, mode=m, **place, **fields) for h in hidden for m in MODES]


def study() -> list[LogicSpeedTrial]:
    """The published trials: the paper's sizes, modes and length of training."""
    return cells(HIDDEN)


def speedups(table: pd.DataFrame) -> pd.DataFrame:
    """Seconds a network, plain and side by side, and their ratio, by size and mode; the last row is the whole."""
    done = table[table.status == "done"]
    each = pd.DataFrame(
        {
            "h": done.hidden.astype(str),
            "mode": done["mode"],
            "plain": done.plain / done.alone,
            "side by side": done.ours / done.networks,
        }
    )
    total = {"h": "all", "mode": "all", **each[["plain", "side by side"]].sum().to_dict()}
    each = pd.concat([each, pd.DataFrame([total])], ignore_index=True)
    return each.assign(ratio=each.plain / each["side by side"])
