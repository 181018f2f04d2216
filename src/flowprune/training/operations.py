"""Operations of a run, counted from its real tensors: multiplications and additions, by kind.

Products of dense and sparse matrices are seen on their way through torch; what runs in compiled loops of our own tells
of itself by :func:`tally`. One multiplication with its addition counts as two operations.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

KINDS = ("dense", "sparse", "softmax", "covariance")
_open: list[Counter[str]] = []


def tally(kind: str, count: int) -> None:
    """Add so many of one kind to every open count that holds this kind."""
    for counter in _open:
        if kind in counter:
            counter[kind] += count


def passed(*arrays: np.ndarray, times: int = 1, gathered: int = 0) -> None:
    """Tell of one call of a compiled loop: it goes through these arrays so many times and gathers so many bytes."""
    tally("calls", 1)
    tally("bytes", times * sum(a.nbytes for a in arrays) + gathered)


class Operations(TorchDispatchMode):
    """Count what runs inside the ``with`` block, forward and backward: afterwards ``counts[kind]``.

    Sums of products count (matrix products, sums over edges, covariances) and the softmax with four operations an
    entry; what touches each number once, as an activation or Adam, does not.

    ``kinds`` are those that are counted; a subclass may count more.

    >>> with Operations() as seen:
    ...     _ = torch.ones(2, 3) @ torch.ones(3, 5)
    >>> seen.counts["dense"]
    60
    """

    kinds: ClassVar[tuple[str, ...]] = KINDS

    def __enter__(self) -> Operations:
        self.counts: Counter[str] = Counter(dict.fromkeys(self.kinds, 0))
        _open.append(self.counts)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        _open.pop()  # its own: blocks close in the reverse order
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm", "addmm"):
            A, B = args[-2:]
            if A.layout != torch.strided:
                self.counts["sparse"] += 2 * A._nnz() * B.shape[-1]
            else:
                self.counts["dense"] += 2 * A.numel() * B.shape[-1]
        return func(*args, **(kwargs or {}))
