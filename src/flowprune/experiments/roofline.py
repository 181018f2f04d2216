"""What limits a computation: its bytes, products and calls against what this machine does with each alone.

A roofline (Williams, Waterman and Patterson 2009) with a third roof for calls. The counts come from a real run. Every
operation reads its arguments and writes its result once; a sparse product reads besides a row for each of its entries.
What is read again because a cache was too small is not counted, nor are operations that only name memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from time import perf_counter
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from flowprune.experiments.growth import in_turn
from flowprune.training.operations import KINDS, Operations

LIMITS = ("bandwidth", "arithmetic", "calls")
LEAST = 0.25  # of the time; below, no rate describes what a computation waits for
SMALLEST = 2**18  # bytes; copying less would measure calls
NOTHING_MOVES = ("empty", "new_empty", "sparse_compressed")  # how operations begin that only set memory aside


@dataclass(frozen=True)
class Work:
    """What a computation takes: bytes read and written, multiplications with an addition, calls of an operation.

    ``largest``: bytes of the largest tensor among its arguments and results.
    """

    bytes: int
    products: float
    calls: int
    largest: int = 0


@dataclass(frozen=True)
class Rates:
    """What a machine does in a second if it does nothing else: bytes copied, products, calls."""

    copy: float
    product: float
    call: float


class _Counter(Operations):
    kinds: ClassVar[tuple[str, ...]] = (*KINDS, "bytes", "calls")
    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if not func.is_view and not func.overloadpacket.__name__.lstrip("_").startswith(NOTHING_MOVES):
            sizes = [_bytes(x) for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor)]
            self.largest = max(self.largest, *sizes, 0)
            self.counts["bytes"] += sum(sizes)
            self.counts["calls"] += 1
            if func.overloadpacket.__name__ in ("mm", "addmm") and args[-2].layout != torch.strided:
                self.counts["bytes"] += args[-2]._nnz() * args[-1][0].numel() * args[-1].element_size()
        return out


_PARTS = {
    torch.sparse_coo: (Tensor._indices, Tensor._values),
    torch.sparse_csr: (Tensor.crow_indices, Tensor.col_indices, Tensor.values),
    torch.sparse_csc: (Tensor.ccol_indices, Tensor.row_indices, Tensor.values),
}


def _bytes(x: Tensor) -> int:
    """Bytes that a tensor holds; one that is expanded holds each number once."""
    if x.layout in _PARTS:
        return sum(_bytes(part(x)) for part in _PARTS[x.layout])
    return min(x.numel() * x.element_size(), x.untyped_storage().nbytes())


def counted(call: Callable[[], Any]) -> Work:
    """What one call of a torch computation takes, forward and backward, compiled loops of ours included."""
    with _Counter() as seen:
        call()
    products = sum(seen.counts[kind] for kind in KINDS) / 2
    return Work(seen.counts["bytes"], products, seen.counts["calls"], seen.largest)


def least(call: Callable[[], Any], times: int = 9) -> float:
    """The shortest of several times of a call in seconds, after one that is not counted."""
    call()
    taken = []
    for _ in range(times):
        start = perf_counter()
        call()
        taken.append(perf_counter() - start)
    return min(taken)


def copy_rate(size: int) -> float:
    """Bytes a second, read and written, of copying one tensor of ``size`` bytes, at least SMALLEST, to another."""
    source = torch.ones(max(size, SMALLEST), dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * source.numel() / least(lambda: target.copy_(source))


def product_rate(dtype: torch.dtype = torch.float32, size: int = 512) -> float:
    """Multiplications with an addition a second of the product of two dense square matrices."""
    A = torch.ones(size, size, dtype=dtype)
    return size**3 / least(lambda: A @ A)


def call_rate(empty: Callable[[], Any], calls: int) -> float:
    """Calls a second of a computation that makes so many and has next to nothing to compute in each."""
    return calls / least(empty)


def shares(work: Work, seconds: float, rates: Rates) -> dict[str, float]:
    """For each of LIMITS the share of the time that the machine would need for this alone."""
    needed = work.bytes / rates.copy, work.products / rates.product, work.calls / rates.call
    return dict(zip(LIMITS, (x / seconds for x in needed), strict=True))


def limit(work: Work, seconds: float, rates: Rates) -> str:
    """The one of LIMITS with the largest share, or "none of them" when all are below LEAST.

    >>> limit(Work(bytes=80, products=10, calls=1), 1.0, Rates(copy=100, product=100, call=100))
    'bandwidth'
    """
    found = shares(work, seconds, rates)
    largest = max(found, key=lambda name: found[name])
    return largest if found[largest] >= LEAST else "none of them"


def measured(
    ways: Mapping[str, Callable[[], Any]],
    empty: Mapping[str, Callable[[], Any]],
    rounds: int,
    dtype: torch.dtype = torch.float32,
) -> dict[str, list[float]]:
    """Results of a trial of torch computations: each timed in turn and counted, and what the machine does besides.

    ``empty`` holds the same computations of next to nothing, which tell what calls cost. For every way its milliseconds
    in each round, and what :func:`told` adds.
    """
    times: dict[str, list[float]] = in_turn(ways, rounds)
    product = product_rate(dtype)
    for name, way in ways.items():
        work, call = counted(way), call_rate(empty[name], counted(empty[name]).calls)
        times |= told(name, work, Rates(copy_rate(work.largest), product, call))
    return times


def told(name: str, work: Work, rates: Rates) -> dict[str, list[float]]:
    """What a result holds beside the times of a way: its :class:`Work` and :class:`Rates` as lists, ``NAME/work`` and
    ``NAME/rates``."""
    return {f"{name}/work": list(astuple(work)), f"{name}/rates": list(astuple(rates))}


def limits(row: Mapping[str, Any], ways: Sequence[str]) -> pd.DataFrame:
    """Of one collected row a line a way: way, milliseconds (the least of its rounds), the share of each limit in per
    cent, and what limits it."""
    lines = []
    for name in ways:
        work, rates, ms = Work(*row[f"{name}/work"]), Rates(*row[f"{name}/rates"]), min(row[name])
        percent = {key: 100 * share for key, share in shares(work, ms / 1000, rates).items()}
        lines.append(
            {"way": name, "milliseconds": ms, **percent, "limited by": limit(work, ms / 1000, rates)}
        )
    return pd.DataFrame(lines)
