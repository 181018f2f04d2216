"""Truth tables: what an asynchronous network is asked to compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import ndarray


@dataclass(frozen=True, eq=False)
class Truth:
    """Rows of inputs and the outputs that belong to them.

    Args:
        name: for pages and records.
        inputs, outputs: ``[rows, n_in]`` and ``[rows, n_out]``, each value 0 or 1.

    Raises ValueError for another shape or another value.
    """

    name: str
    inputs: ndarray
    outputs: ndarray

    def __post_init__(self) -> None:
        for side in ("inputs", "outputs"):
            values = np.asarray(getattr(self, side), dtype=float)
            if values.ndim != 2 or 0 in values.shape:
                raise ValueError(
                    f"truth table {self.name!r}: {side} of shape {list(values.shape)} must be [rows, columns], "
                    f"with at least one of each"
                )
            if not np.isin(values, (0.0, 1.0)).all():
                wrong = values[~np.isin(values, (0.0, 1.0))][0]
                raise ValueError(
                    f"truth table {self.name!r}: {side} hold {wrong:g}; each value must be 0 or 1"
                )
            object.__setattr__(self, side, values)
        if len(self.inputs) != len(self.outputs):
            raise ValueError(
                f"truth table {self.name!r}: {len(self.inputs)} rows of inputs and {len(self.outputs)} of outputs; "
                f"there must be as many of one as of the other"
            )


def gate(name: str) -> Truth:
    """The gates of the paper: and, or, xor.

    >>> gate("xor").outputs[:, 0]
    array([0., 1., 1., 0.])
    """
    gates = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}
    if name not in gates:
        raise ValueError(f"truth table: gate {name!r} must be one of {', '.join(gates)}")
    return _table(name, 2, lambda a, b: [gates[name](a, b)])


def parity(k: int) -> Truth:
    """Whether the number of ones among k inputs is odd."""
    return _table(f"parity {k}", k, lambda *bits: [sum(bits) % 2])


def adder(bits: int) -> Truth:
    """The sum of two numbers of so many bits, lowest bit first: 2 · bits inputs, bits + 1 outputs."""

    def add(*x: int) -> list[int]:
        total = sum((x[i] + x[bits + i]) << i for i in range(bits))
        return [total >> i & 1 for i in range(bits + 1)]

    return _table(f"adder {bits}", 2 * bits, add)


def multiplexer(k: int) -> Truth:
    """Which of 2^k data inputs k address inputs select, lowest bit first: k + 2^k inputs, one output."""
    return _table(f"multiplexer {k}", k + 2**k, lambda *x: [x[k + sum(x[i] << i for i in range(k))]])


def random_table(inputs: int, outputs: int, seed: int) -> Truth:
    """Every output of every row is a fair coin."""
    rng = np.random.default_rng(seed)
    return _table(f"random {inputs} {outputs} {seed}", inputs, lambda *x: rng.integers(0, 2, outputs))


def _table(name: str, k: int, f: Callable) -> Truth:
    """All 2^k rows, the first input changing slowest."""
    if k < 1:
        raise ValueError(f"truth table: {name} needs at least 1 input")
    if k > 16:
        raise ValueError(f"truth table: {name} has {k} inputs and 2^{k} rows; at most 16 inputs are allowed")
    rows = [[i >> (k - 1 - j) & 1 for j in range(k)] for i in range(2**k)]
    return Truth(name, np.array(rows), np.array([f(*row) for row in rows]))
