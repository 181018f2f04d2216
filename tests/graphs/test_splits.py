"""Random splits: exact sizes, disjoint, stratified, independent of how many are drawn, the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flowprune.graphs import GraphError, load, random_splits

labellings = st.lists(st.integers(0, 4), min_size=1, max_size=120)


@given(labellings, st.integers(0, 5))
def test_every_node_is_in_exactly_one_part_and_sizes_are_exact(labels: list[int], seed: int) -> None:
    train, val, test = random_splits(np.array(labels), 3, seed=seed)
    n = len(labels)
    assert (train.int() + val.int() + test.int()).eq(1).all()
    assert train.sum(1).tolist() == [round(0.48 * n)] * 3
    assert (train | val).sum(1).tolist() == [int(np.rint(0.8 * n))] * 3


@given(labellings, st.integers(0, 5))
def test_classes_have_their_share_in_train_up_to_two_nodes(labels: list[int], seed: int) -> None:
    y = np.array(labels)
    train, _, test = (part.numpy() for part in random_splits(y, 1, seed=seed))
    for c in np.unique(y):
        size = (y == c).sum()
        assert abs(train[0, y == c].sum() - 0.48 * size) <= 2
        assert abs(test[0, y == c].sum() - 0.2 * size) <= 2


def test_a_class_of_one_node_is_in_train_as_often_as_the_fraction_says() -> None:
    labels = np.array([1] + [0] * 49)
    train, val, _ = random_splits(labels, 2000)
    assert train[:, 0].float().mean().item() == pytest.approx(0.48, abs=0.04)
    assert val[:, 0].float().mean().item() == pytest.approx(0.32, abs=0.04)


def test_a_split_depends_on_seed_and_number_alone() -> None:
    labels = load("karate").labels
    few, many = random_splits(labels, 2, seed=7), random_splits(labels, 5, seed=7)
    assert all(torch.equal(a, b[:2]) for a, b in zip(few, many, strict=True))
    assert not torch.equal(few[0][0], few[0][1])
    assert not torch.equal(random_splits(labels, 2, seed=8)[0], few[0])


def test_splits_are_the_same_on_every_machine() -> None:
    train, val, _ = random_splits(np.arange(20) % 3, 2, seed=1)
    assert train[0].nonzero().flatten().tolist() == [2, 4, 7, 9, 12, 14, 16, 17, 18, 19]
    assert val[1].nonzero().flatten().tolist() == [0, 1, 9, 11, 12, 16]


def test_fractions_out_of_range_are_refused() -> None:
    for fractions in ((0.8, 0.3), (-0.1, 0.3)):
        with pytest.raises(GraphError, match="not allowed"):
            random_splits(np.zeros(5, dtype=int), 1, fractions)
