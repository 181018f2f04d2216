"""The timing of the kernel: the plain formula is the same kernel, and a row is a timing."""

import pytest
import torch

from flowprune.experiments.kernel_speed import KernelSpeedTrial, KernelWaysTrial, given, linear, plain
from flowprune.limits.ntk import graphon_ntk


def test_the_plain_formula_is_the_same_kernel():
    W, x = given(20, 3, 8, 30)
    torch.testing.assert_close(plain(W, x), graphon_ntk(W, x), rtol=1e-12, atol=1e-14)


def test_a_row_tells_time_and_memory():
    ((_, told),) = KernelSpeedTrial.run([KernelSpeedTrial(samples=64, inputs=30, compared=20, rounds=1)])
    assert set(told) == {"took", "bytes", "bytes_half", "ours", "plain"}
    assert min(told["took"], told["ours"], told["plain"]) > 0 and told["bytes"] >= 0


def test_both_ways_are_timed_and_counted():
    ((_, told),) = KernelWaysTrial.run([KernelWaysTrial(samples=100, hidden=2, inputs=30, rounds=2)])
    assert len(told["ours"]) == len(told["plain"]) == 2 and min(told["ours"] + told["plain"]) > 0
    ours, plainly = told["ours/work"], told["plain/work"]
    each = 64 * 30 + 2 * (64 * 64 + 64)  # of a pair: the first layer, values and slopes of the others
    assert plainly[1] == pytest.approx(100**2 * each, rel=0.05)
    assert 0.5 < ours[1] / plainly[1] < 0.7 and ours[0] < plainly[0]  # one half, and the diagonal's blocks


def test_linear_growth_is_two():
    assert linear({"bytes": 8 * 100**2 + 5000, "bytes_half": 8 * 50**2 + 2500}, 100) == 2
