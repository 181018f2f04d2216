"""The timing of the kernel: the plain formula is the same kernel, and a row is a timing."""

import torch

from flowprune.experiments.kernel_speed import KernelSpeedTrial, given, linear, plain
from flowprune.limits.ntk import graphon_ntk


def test_the_plain_formula_is_the_same_kernel():
    W, x = given(20, 3, 8, 30)
    torch.testing.assert_close(plain(W, x), graphon_ntk(W, x), rtol=1e-12, atol=1e-14)


def test_a_row_tells_time_and_memory():
    ((_, told),) = KernelSpeedTrial.run([KernelSpeedTrial(samples=64, inputs=30, compared=20, rounds=1)])
    assert set(told) == {"took", "bytes", "bytes_half", "ours", "plain"}
    assert min(told["took"], told["ours"], told["plain"]) > 0 and told["bytes"] >= 0


def test_linear_growth_is_two():
    assert linear({"bytes": 8 * 100**2 + 5000, "bytes_half": 8 * 50**2 + 2500}, 100) == 2
