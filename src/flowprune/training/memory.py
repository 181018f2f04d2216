"""Freed memory that a process keeps, so that large graphs are timed without the system's share."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

TRIM, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX = -1, -2, -3, -4  # parameters of glibc's mallopt
MIB = 2**20


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Blocks of any size are kept when they are freed, and taken again; yields whether this C library can do so.

    By itself glibc gives blocks above 32 MiB back at once. A step on a large graph then fetches all its tensors anew,
    page by page, which on 10⁷ edges takes as long as the arithmetic. Afterwards all is as it was, and freed memory goes
    back. Other C libraries are left alone.
    """
    library = ctypes.CDLL(None)
    able = hasattr(library, "mallopt") and hasattr(library, "malloc_trim")
    if able:
        library.mallopt(MMAP_MAX, 0)
        library.mallopt(TRIM, 2**31 - 1)
    try:
        yield able
    finally:
        if able:
            for name, value in ((MMAP_MAX, 65536), (MMAP_THRESHOLD, 32 * MIB), (TRIM, 64 * MIB)):
                library.mallopt(name, value)
            library.malloc_trim(0)
