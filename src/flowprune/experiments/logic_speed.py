"""How much faster networks train side by side than one after another in plain numpy, and what limits either."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from numpy import ndarray
from pydantic import Field

from flowprune.argnn import Networks, Removal, Truth, train
from flowprune.argnn.kernels import CLIP, RATE
from flowprune.argnn.networks import ORDERS, ROWS, draws
from flowprune.experiments.growth import in_turn
from flowprune.experiments.logic import GATES, truth
from flowprune.experiments.logic_study import HIDDEN, MODES
from flowprune.experiments.roofline import Rates, Work, call_rate, copy_rate, product_rate, told
from flowprune.pruning.spectral import Mode, Rule, local_laplacian, named
from flowprune.study.specs import Count, Index, Trial, spec

DECOMPOSITION = 12.5  # n³ products: eigenvalues and eigenvectors of a general matrix (Golub and Van Loan)


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


@spec
class LogicWaysTrial(Trial):
    """Train ``networks`` XOR networks side by side, and one in plain numpy, in turn, ``rounds`` times.

    Results: of ``ours`` and ``plain`` milliseconds a network in each round, and what
    :func:`~flowprune.experiments.roofline.told` adds. A call is a turn of one of the nested loops over inputs, updates
    and visits; what it costs is measured on networks of the same mode without hidden nodes.
    """

    experiment: ClassVar[str] = "logic-ways"
    version: ClassVar[int] = 1

    mode: Mode
    hidden: Index = 5
    networks: Count = 30
    inputs: Count = 500
    updates: Count = 10
    rounds: Annotated[int, Field(ge=2)] = 7

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, trial.measure()

    def measure(self) -> dict[str, list[float]]:
        calls = self.ways(self.hidden)
        times = in_turn(calls, self.rounds)
        times["ours"] = [t / self.networks for t in times["ours"]]
        asked = {"ours": calls["ours"]().questions.mean(), "plain": self.visits(self.hidden)}
        machine = copy_rate(0), product_rate(torch.float64)
        for name, empty in self.ways(hidden=0).items():
            work = self.work(0 if self.mode == "none" else float(asked[name]))
            many = self.networks if name == "ours" else 1
            times |= told(name, work, Rates(*machine, call_rate(empty, many * self.turns(hidden=0))))
        return times

    def ways(self, hidden: int) -> dict[str, Callable[[], Any]]:
        """Training all networks side by side, and one of them alone, with so many hidden nodes."""
        size = {"inputs": self.inputs, "updates": self.updates}
        return {
            "ours": lambda: train(truth("xor"), hidden, Rule(self.mode), range(self.networks), **size),
            "plain": lambda: plain(truth("xor"), hidden, self.mode, 0, *size.values()),
        }

    def visits(self, hidden: int) -> int:
        """Visits of one network: of each hidden node and of the output, in every update."""
        return self.inputs * self.updates * (hidden + 1)

    def turns(self, hidden: int) -> int:
        """Turns of the loops over inputs, updates and visits."""
        return self.inputs * (1 + self.updates) + self.visits(hidden)

    def work(self, decompositions: float) -> Work:
        """What one network takes. An update multiplies along every edge twice, for values and for weights, and along
        edges out of hidden nodes once more, for errors; it reads two numbers for each product and writes weights."""
        edges = Networks.start([0], 2, self.hidden, 1).edges
        hidden = int(((edges.source >= 2) & (edges.source < 2 + self.hidden)).sum())
        products = self.inputs * self.updates * (2 * edges.source.size + hidden)
        bytes_moved = 8 * (2 * products + self.inputs * self.updates * edges.source.size)
        whole = products + decompositions * DECOMPOSITION * edges.n**3
        return Work(bytes_moved, whole, self.turns(self.hidden))


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


def limiting(**fields: Any) -> list[LogicWaysTrial]:
    """What limits both ways without pruning and with the paper's mode."""
    return [LogicWaysTrial(mode=mode, **fields) for mode in ("none", "D")]


def study() -> list[Trial]:
    """The published trials: the paper's gates, sizes, modes and length of training, and what limits both ways."""
    return [*cells(HIDDEN), *limiting()]


def speedups(table: pd.DataFrame) -> pd.DataFrame:
    """Seconds a network, plain and side by side, and their ratio, by size and mode; the last row is the whole."""
    done = table[table.status == "done"]
    each = done[["hidden", "mode", "plain", "ours"]].assign(hidden=done.hidden.astype(str))
    total = {"hidden": "all", "mode": "all", **each[["plain", "ours"]].sum().to_dict()}
    each = pd.concat([each, pd.DataFrame([total])], ignore_index=True)
    return each.assign(ratio=each.plain / each.ours)
