"""One place for each unit: graphons of neighbouring layers mean the same units, whatever names these had."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowprune.limits.graphon import sample
from flowprune.limits.ntk import graphon_ntk
from flowprune.limits.positions import network_graphons, sorted_graphons, unit_order


def masks(widths, density, seed):
    rng = np.random.default_rng(seed)
    return [rng.random((b, a)) < density for a, b in pairwise(widths)]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_new_names_of_units_change_nothing(seed):
    """Degrees are made unequal, so that the order is unique."""
    rng = np.random.default_rng(seed)
    n = 12
    first = np.arange(n)[:, None] > np.arange(20) - 4  # in-degrees 5, 6, …
    m = [first[rng.permutation(n)], *masks((n, 9, 4), 0.5, seed)]
    p = rng.permutation(n)
    renamed = [m[0][p], m[1][:, p], m[2]]
    for a, b in zip(network_graphons(m, 4)[:2], network_graphons(renamed, 4)[:2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_at_full_resolution_the_masks_are_the_graphons():
    """With a cell for each unit nothing is averaged, and the kernel is that of many copies of each unit."""
    m = masks((5, 8, 8, 3), 0.5, 0)
    W = network_graphons(m, 8)
    assert [w.shape for w in W] == [(8, 5), (8, 8), (3, 8)]
    x = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    K = graphon_ntk([torch.tensor(w) for w in W], x)
    same = graphon_ntk([torch.tensor(a, dtype=torch.float64) for a in m], x)
    torch.testing.assert_close(K, same, rtol=1e-12, atol=1e-14)


def test_masks_sorted_alone_forget_who_is_who():
    """Units with many inputs have few outputs: sorted one by one, the two layers pass more than there is."""
    n = 64
    strong = np.arange(n) < n // 2
    m = [np.where(strong[:, None], np.ones((n, 6), bool), np.arange(6) < 1)]
    m += [np.broadcast_to(~strong, (n, n)), np.ones((2, n), bool)]
    x = torch.eye(6, dtype=torch.float64)
    K, shuffled = (
        graphon_ntk([torch.tensor(w) for w in g(m, 16)], x) for g in (network_graphons, sorted_graphons)
    )
    exact = graphon_ntk([torch.tensor(a, dtype=torch.float64) for a in m], x)
    torch.testing.assert_close(K, exact, rtol=1e-10, atol=1e-14)
    assert (shuffled - exact).norm() > 0.5 * exact.norm()


def test_groups_of_in_degree_are_sorted_by_out_degree():
    m = masks((30, 40, 20), 0.4, 1)
    order = unit_order(m[0], m[1], groups=4)
    assert sorted(order) == list(range(40))
    incoming, outgoing = m[0].sum(1)[order].reshape(4, 10), m[1].sum(0)[order].reshape(4, 10)
    assert all(incoming[i].min() >= incoming[i + 1].max() for i in range(3))
    assert (np.diff(outgoing, axis=1) <= 0).all()


def test_graphons_of_sampled_masks_come_back():
    W = np.array([[0.9, 0.2], [0.4, 0.1]])
    drawn = [sample(w, *s, seed=i).numpy() for i, (w, s) in enumerate([(W, (4000, 8)), (W[:1], (3, 4000))])]
    back = network_graphons(drawn, 2)
    assert back[0].mean(1) == pytest.approx(W.mean(1), abs=0.03)
    assert back[1].mean() == pytest.approx(W[0].mean(), abs=0.03)


def test_densities_stay_in_the_unit_interval():
    full = [np.ones((100, 7), bool), np.ones((100, 100), bool), np.ones((3, 100), bool)]
    for W in network_graphons(full, 64):
        assert W.max() <= 1
        sample(W, *W.shape)
