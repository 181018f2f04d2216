"""One position for each unit of a masked network: what the graphons of neighbouring layers must agree on.

A unit of layer l is a row of mask l and a column of mask l + 1. If each mask is sorted by its own degrees, as in the
published estimator, the same position means two different units in the two graphons, and their composition describes a
network with shuffled layers. Here a unit has one place: by its number of inputs, and by that of its outputs among those
of similar number of inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy import ndarray

from .graphon import Mask, average_rows, by_degree, dense

GROUPS = 8  # of units of similar in-degree


def unit_order(below: Mask, above: Mask, groups: int = GROUPS) -> ndarray:
    """The units between two masks: ``groups`` equal parts by falling in-degree, each by falling out-degree."""
    incoming, outgoing = dense(below).sum(1), dense(above).sum(0)
    order = np.argsort(-incoming, kind="stable")
    parts = np.array_split(order, min(groups, len(order)))
    return np.concatenate([part[np.argsort(-outgoing[part], kind="stable")] for part in parts])


def connected(masks: Sequence[Mask]) -> float:
    """The share of hidden units that have inputs and outputs, the mean over hidden layers, each counting alike."""
    units = [(a.any(1) & b.any(0)).mean() for a, b in pairwise(map(dense, masks))]
    return float(np.mean(units))


def network_graphons(masks: Sequence[Mask], K: int = 64) -> list[ndarray]:
    """Step graphons of all masks of a network in one order of its units; inputs and outputs stay as they are.

    Args:
        masks: ``[n_1, d]``, ``[n_2, n_1]``, …, ``[o, n_L]``.

    Returns:
        ``[K, d]``, ``[K, K]``, …, ``[o, K]``, as :func:`flowprune.limits.ntk.graphon_ntk` takes them.
    """
    dense_masks = [dense(m) for m in masks]
    orders = [unit_order(a, b) for a, b in pairwise(dense_masks)]
    rows = [*orders, np.arange(len(dense_masks[-1]))]
    columns = [np.arange(dense_masks[0].shape[1]), *orders]
    return _averages(dense_masks, rows, columns, K)


def sorted_graphons(masks: Sequence[Mask], K: int = 64) -> list[ndarray]:
    """The same with every mask sorted by its own degrees, whatever its neighbours say: the published way."""
    dense_masks = [dense(m) for m in masks]
    rows = [by_degree(m) for m in dense_masks[:-1]] + [np.arange(len(dense_masks[-1]))]
    columns = [np.arange(dense_masks[0].shape[1])] + [by_degree(m.T) for m in dense_masks[1:]]
    return _averages(dense_masks, rows, columns, K)


def _averages(masks: list[ndarray], rows: list[ndarray], columns: list[ndarray], K: int) -> list[ndarray]:
    out = []
    for number, (m, i, j) in enumerate(zip(masks, rows, columns, strict=True)):
        size = (len(i) if number == len(masks) - 1 else K, len(j) if number == 0 else K)
        averaged = average_rows(average_rows(m[i][:, j], size[0]).T, size[1]).T
        out.append(np.clip(averaged, 0, 1))  # an average of ones may be 1 + ε
    return out
