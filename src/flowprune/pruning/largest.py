"""The largest of many numbers, exactly as many as asked, without sorting them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

STRIDE = 211  # of a sample of scores; a prime, to meet every column
MARGIN = 0.01  # how far off its ranks may be


def largest(
    parts: Sequence[ndarray], there: Sequence[ndarray], count: int, rng: np.random.Generator
) -> list[ndarray]:
    """Masks of the ``count`` largest entries over all these vectors; among equals at the border, lots are drawn.

    Args:
        parts: vectors of scores, 0 wherever ``there`` is not.
        there: masks of the entries that may be kept, at least ``count``.

    Raises ValueError for scores that are not numbers.
    """
    if count == 0:
        return [np.zeros(p.shape, bool) for p in parts]
    least = np.min([p.min() for p in parts])
    if np.isnan(least):
        raise ValueError("scores are not numbers; the loss of the network is not finite")
    if least < 0:
        parts = [np.where(t, p, -np.inf) for p, t in zip(parts, there, strict=True)]
    border = _border(parts, count)
    kept = [(p >= border) & t for p, t in zip(parts, there, strict=True)]
    if surplus := sum(map(np.count_nonzero, kept)) - count:
        ties = [np.flatnonzero((p == border) & t) for p, t in zip(parts, there, strict=True)]
        which = np.repeat(np.arange(len(parts)), [t.size for t in ties])
        place = np.concatenate(ties)
        for i in rng.choice(place.size, surplus, replace=False):
            kept[which[i]][place[i]] = False
    return kept


def _border(parts: Sequence[ndarray], count: int) -> float:
    """The ``count``-th largest entry. A sample tells between which two values to look; the rest is only counted."""
    size = sum(p.size for p in parts)
    sample = np.concatenate([p[::STRIDE] for p in parts])
    rank = (1 - count / size) * sample.size
    ends = np.clip([rank - MARGIN * sample.size, rank + MARGIN * sample.size], 0, sample.size - 1).astype(int)
    low, high = np.partition(sample, ends)[ends]
    above = sum(np.count_nonzero(p > high) for p in parts)
    band = np.concatenate([p[(p > low) & (p <= high)] for p in parts])
    if not above < count <= above + band.size:
        above, band = 0, np.concatenate(parts)
    at = band.size - (count - above)
    return np.partition(band, at)[at]
