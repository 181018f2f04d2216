"""What the Graphon NTK costs: seconds and memory, beside its formula written down as it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from flowprune.experiments.growth import apart, clocked, held, in_turn
from flowprune.experiments.roofline import measured
from flowprune.limits.duals import relu
from flowprune.limits.ntk import graphon_ntk
from flowprune.study.passes import threads
from flowprune.study.specs import Count, Trial, spec


@spec
class KernelSpeedTrial(Trial):
    """One kernel of random graphons and samples in float64 on two threads: ``took`` seconds and ``bytes`` beyond what
    was there before, in a process of its own; ``bytes_half`` for half as many samples.

    ``ours`` and ``plain``: milliseconds for ``compared`` samples, in turn, the mean of ``rounds``.
    """

    experiment: ClassVar[str] = "kernel-speed"
    version: ClassVar[int] = 1

    samples: Count = 1024
    hidden: Count = 4
    grid: Count = 64
    inputs: Count = 784
    compared: Count = 160
    rounds: Count = 5

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, trial.measure()

    def measure(self) -> dict[str, float]:
        took, most = apart(occupied, self.samples, self.hidden, self.grid, self.inputs)
        _, half = apart(occupied, self.samples // 2, self.hidden, self.grid, self.inputs)
        with threads(2):
            times = in_turn(ways(self.compared, self.hidden, self.grid, self.inputs), self.rounds)
        mean = {name: sum(t) / len(t) for name, t in times.items()}
        return {"took": took, "bytes": most, "bytes_half": half} | mean


@spec
class KernelWaysTrial(Trial):
    """The kernel of ``samples`` random samples in float64 on one thread, by blocks and from the formula, in turn.

    Results: of ``ours`` and ``plain`` what :func:`~flowprune.experiments.roofline.measured` tells.
    """

    experiment: ClassVar[str] = "kernel-ways"
    version: ClassVar[int] = 1

    samples: Count = 160
    hidden: Count = 4
    grid: Count = 64
    inputs: Count = 784
    rounds: Annotated[int, Field(ge=2)] = 7

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            size = trial.samples, trial.hidden, trial.grid, trial.inputs
            yield trial, measured(ways(*size), ways(2, trial.hidden, 1, 1), trial.rounds, torch.float64)


def ways(samples: int, hidden: int, grid: int, inputs: int) -> dict[str, Callable[[], Tensor]]:
    """The two ways to the same kernel."""
    W, x = given(samples, hidden, grid, inputs)
    return {"ours": lambda: graphon_ntk(W, x), "plain": lambda: plain(W, x)}


def given(samples: int, hidden: int, grid: int, inputs: int) -> tuple[list[Tensor], Tensor]:
    """Random step graphons of every layer of weights, and samples ``[N, d]``."""
    g = torch.Generator().manual_seed(0)
    shapes = [(grid, inputs), *[(grid, grid)] * (hidden - 1), (1, grid)]
    W = [torch.rand(s, generator=g, dtype=torch.float64) for s in shapes]
    return W, torch.randn(samples, inputs, generator=g, dtype=torch.float64)


def occupied(samples: int, hidden: int, grid: int, inputs: int) -> tuple[float, int]:
    """Seconds, and peak memory above the present one in bytes, of one kernel on two threads."""
    torch.set_num_threads(2)
    graphon_ntk(*given(8, hidden, grid, inputs))  # what is loaded once belongs to no size
    W, x = given(samples, hidden, grid, inputs)
    before = held()
    took = clocked(lambda: graphon_ntk(W, x)) / 1e3
    return took, held() - before


def plain(graphons: Sequence[Tensor], x: Tensor) -> Tensor:
    """The same kernel from the formula: each layer for all pairs at once, both halves of them."""
    g2 = 2.0
    S = torch.einsum("uj,aj,bj->uab", graphons[0], x, x) * (g2 / x.shape[1])
    T = S
    for w in graphons[1:]:
        q = torch.diagonal(S, dim1=1, dim2=2)
        p, r = q[:, :, None], q[:, None, :]
        V, D = relu.moments(p, S, r)
        S = torch.einsum("uv,vab->uab", w, V) * (g2 / w.shape[1])
        T = S + torch.einsum("uv,vab->uab", w, D * T) * (g2 / w.shape[1])
    return T.mean(0)


def study() -> list[Trial]:
    """The published timings."""
    return [KernelSpeedTrial(), KernelWaysTrial()]


def linear(row: dict[str, float], samples: int) -> float:
    """Growth of the memory beyond the kernel itself when samples double: 2 if it is linear."""
    return (row["bytes"] - 8 * samples**2) / (row["bytes_half"] - 8 * (samples // 2) ** 2)
