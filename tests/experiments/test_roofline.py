"""Bytes, products and calls are counted as by hand, and the largest share of the time is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowprune.experiments import roofline
from flowprune.experiments.roofline import Rates, Work, counted, limit, limits, measured, shares
from flowprune.flows.gradient import GRAFF
from flowprune.graphs import load

n, d = 34, 8
ADJACENCY = load("karate").norm_adjacency


def test_a_dense_product_moves_its_arguments_and_its_result():
    A, B = torch.ones(20, 30), torch.ones(30, 5)
    assert counted(lambda: A @ B) == Work(4 * (600 + 150 + 100), 20 * 30 * 5, 1, 4 * 600)


def test_views_and_empty_memory_take_nothing_and_copies_do():
    x = torch.ones(6, 4)
    assert counted(lambda: x.view(4, 6).T[1:].expand(5, 4)) == Work(0, 0, 0, 0)
    assert counted(lambda: torch.empty(100)) == Work(0, 0, 0, 0)
    assert counted(lambda: x.T.contiguous()) == Work(2 * 96, 0, 1, 96)
    assert counted(lambda: x[0].expand(6, 4) + x).bytes == 4 * (
        24 + 24 + 24
    )  # a row is part of what holds it


def test_a_sparse_product_reads_a_row_for_each_entry():
    F, E = torch.ones(n, d), ADJACENCY.values().numel()
    held = sum(
        x.numel() * x.element_size()
        for x in (ADJACENCY.crow_indices(), ADJACENCY.col_indices(), ADJACENCY.values())
    )
    assert counted(lambda: ADJACENCY @ F) == Work(held + 4 * (2 * n * d + E * d), E * d, 1, held)


def test_the_gradient_of_a_sparse_product_is_sparse():
    F, E = torch.ones(n, d, requires_grad=True), ADJACENCY.values().numel()
    assert counted(lambda: (ADJACENCY @ F).sum().backward()).products == 2 * E * d


def test_a_compiled_loop_tells_what_its_operations_would_move():
    """Three steps of one loop: Ā, a row for each entry, F, F(0) and the result each time."""
    flow, F, E = GRAFF([0], d, "diag", time=3.0), torch.ones(n, 1, d), ADJACENCY.values().numel()
    with torch.no_grad():
        found = counted(lambda: flow(F, ADJACENCY))
        rest = counted(lambda: torch.stack([mixing() for mixing in flow.W]))
    held = sum(np.asarray(x).nbytes for x in (ADJACENCY.crow_indices(), ADJACENCY.col_indices()))
    loop = 3 * (held + 4 * E + 3 * 4 * n * d + 4 * E * d)
    assert found.products == 3 * E * d
    assert loop < found.bytes < loop + rest.bytes + 4 * 60 * d  # coefficients are small
    assert found.calls > rest.calls


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (Work(90, 10, 1), "bandwidth"),
        (Work(10, 90, 1), "arithmetic"),
        (Work(10, 10, 90), "calls"),
        (Work(24, 24, 24), "none of them"),
        (Work(24, 25, 24), "arithmetic"),
    ],
)
def test_the_largest_share_is_the_limit(work, expected):
    assert limit(work, 1.0, Rates(100, 100, 100)) == expected


def test_shares_are_times_at_the_rates_of_the_machine():
    found = shares(Work(300, 20, 5), 2.0, Rates(copy=1000, product=100, call=50))
    assert found == pytest.approx({"bandwidth": 0.15, "arithmetic": 0.1, "calls": 0.05})


def test_rates_are_those_of_what_takes_long():
    """A copy takes longer the larger it is, at a rate that stays within orders of magnitude."""
    assert 1e8 < roofline.copy_rate(2**22) < 1e13
    assert 1e8 < roofline.product_rate(size=256) < 1e14
    x = torch.zeros(1)
    assert 1e3 < roofline.call_rate(lambda: [x + x for _ in range(100)], 100) < 1e8


def test_a_large_copy_is_limited_by_bandwidth_a_large_product_by_arithmetic_and_a_small_sum_by_calls():
    x, A, one = torch.ones(2**22), torch.ones(400, 400), torch.ones(1)
    ways = {
        "copy": x.clone,
        "product": lambda: A @ A,
        "sum": lambda: [one + one for _ in range(500)],
    }
    empty = dict.fromkeys(ways, lambda: [one + one for _ in range(200)])
    row = measured(ways, empty, 5)
    assert len(row["copy"]) == 5 and min(row["copy"]) > 0
    found = limits(row, list(ways))
    assert found["limited by"].tolist() == ["bandwidth", "arithmetic", "calls"]
    assert found.milliseconds.tolist() == [min(row[name]) for name in ways]
