"""Perceptrons: sizes, scales, seeds, and weights that no mask of an equal seed knows."""

import math

import pytest
import torch
from torch import nn

from flowprune.limits.mlp import mlp


def test_weights_have_the_size_of_their_fan_in():
    model = mlp((50, 400, 300, 7), 0)
    linear = [m for m in model if isinstance(m, nn.Linear)]
    assert [tuple(m.weight.shape) for m in linear] == [(400, 50), (300, 400), (7, 300)]
    assert all(m.bias is None for m in linear)
    for m in linear[:2]:
        assert m.weight.detach().std() * math.sqrt(m.in_features / 2) == pytest.approx(1, rel=0.02)
    x = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    h = x
    for number, m in enumerate(linear):
        h = m(torch.relu(h) if number else h)
    torch.testing.assert_close(model(x), h, rtol=0, atol=0)


def test_a_seed_is_a_network():
    a, b, c = (mlp((3, 4, 2), seed)[0].weight for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.isclose(a, c).any()


def test_a_mask_of_an_equal_seed_is_independent_of_the_weights():
    for seed in range(5):
        θ = mlp((200, 200), seed)[0].weight.detach().flatten()
        u = torch.rand(200 * 200, generator=torch.Generator().manual_seed(seed))
        for power in (1, 2):
            assert abs(torch.corrcoef(torch.stack([θ**power, u]))[0, 1]) < 0.025


@pytest.mark.parametrize("widths", [(3,), (3, 0, 1)])
def test_widths_that_are_none_are_refused(widths):
    with pytest.raises(ValueError, match="at least two positive numbers"):
        mlp(widths, 0)
