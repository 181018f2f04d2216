"""The replica axis: sparse products, dropout by hash, and the same numbers alone or among others."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph

from flowprune.training.replicas import (
    BlockFeatures,
    Dropout,
    Encoder,
    Linear,
    draw,
    hashed_mask,
    mix,
    propagate,
    stream,
)


def sparse_features(n: int, p: int, seed: int, density: float = 0.3) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    dense = torch.rand(n, p, generator=g) * (torch.rand(n, p, generator=g) < density)
    dense[0] = 0  # a row without entries
    return dense


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), R=st.integers(1, 4), d=st.integers(1, 5))
def test_propagate_and_mix_equal_dense_products(seed, R, d):
    graph, g = random_graph(8, seed), torch.Generator().manual_seed(seed)
    F = torch.randn(8, R, d, generator=g, dtype=torch.float64, requires_grad=True)
    W = torch.randn(R, d, 3, generator=g, dtype=torch.float64, requires_grad=True)
    out = mix(propagate(graph.norm_adjacency, F), W)
    expected = torch.einsum("ij,jrc,rcd->ird", graph.norm_adjacency.to_dense(), F, W)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn(out.shape, generator=g, dtype=torch.float64)
    for got, want in zip(
        torch.autograd.grad((out * weights).sum(), (F, W)),
        torch.autograd.grad((expected * weights).sum(), (F, W)),
        strict=True,
    ):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), R=st.integers(1, 4))
def test_block_features_equal_the_dense_product(seed, R):
    dense = sparse_features(7, 5, seed).double()
    blocks = BlockFeatures(dense.to_sparse_csr(), R)
    W = torch.randn(
        R, 5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, requires_grad=True
    )
    out = blocks(W, Dropout(range(R), "x", [0.5] * R).eval())
    expected = torch.einsum("ij,rjc->irc", dense, W)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    got = torch.autograd.grad((out * weights).sum(), W)[0]
    torch.testing.assert_close(
        got, torch.autograd.grad((expected * weights).sum(), W)[0], rtol=1e-11, atol=1e-11
    )


def test_sparse_input_dropout_drops_stored_entries_and_keeps_the_mean():
    X = torch.eye(400).to_sparse_csr()
    encoder = Encoder(X, [0, 1], 1, [0.25, 0.6]).train()
    with torch.no_grad():
        encoder.linear.weight.fill_(1.0)
        encoder.linear.bias.zero_()
    passes = torch.stack([encoder() for _ in range(200)]).squeeze(-1)  # [passes, n, R]
    for r, rate in enumerate([0.25, 0.6]):
        values = passes[..., r]
        assert values.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
        assert (values == 0).float().mean().item() == pytest.approx(rate, abs=0.006)  # 3.5 standard errors


def test_dropout_masks_look_independent():
    """Rate, and correlation between passes, replicas, layers and neighbours, within 4.5 standard errors."""
    n, d, rate = 500, 64, 0.4
    masks = {}
    for name in ("a", "b"):
        layer = Dropout([0, 1], name, [rate, rate]).train()
        masks[name] = torch.stack([layer.mask(n, d) > 0 for _ in range(4)]).float()  # [passes, n, R, d]
    z = (
        torch.stack([masks["a"], masks["b"]]).permute(0, 1, 3, 2, 4).reshape(16, n * d)
    )  # layers, passes, replicas
    bound = 4.5 / (n * d) ** 0.5
    assert ((z.mean(1) - (1 - rate)).abs() / (rate * (1 - rate)) ** 0.5).max() < bound
    correlation = torch.corrcoef(z)
    assert (correlation - torch.eye(16)).abs().max() < bound
    for lag in (1, d):
        pairs = torch.stack([torch.corrcoef(torch.stack([row[:-lag], row[lag:]]))[0, 1] for row in z])
        assert pairs.abs().max() < bound


def test_the_compiled_mask_is_the_formula():
    layer = Dropout([5, 6, 7], "x", [0.1, 0.5, 0.9]).train()
    twin = Dropout([5, 6, 7], "x", [0.1, 0.5, 0.9]).train()
    key = twin.keys().view(-1, 1)
    entry = torch.arange(11 * 4, dtype=torch.int32).view(11, 1, 4)
    expected = hashed_mask(entry, key, twin.threshold.view(-1, 1), twin.scale.view(-1, 1))
    torch.testing.assert_close(layer.mask(11, 4), expected, rtol=0, atol=0)
    entry, replica = torch.arange(30, dtype=torch.int32), torch.arange(30, dtype=torch.int32) % 3
    value, key = torch.rand(30), twin.keys()
    expected = value * hashed_mask(entry, key[replica], twin.threshold[replica], twin.scale[replica])
    torch.testing.assert_close(layer.drop_entries(entry, replica, value), expected)


def test_dropout_depends_on_seed_name_and_pass_alone():
    alone = Dropout([3], "x", [0.5]).train()
    among = Dropout([1, 3, 2], "x", [0.2, 0.5, 0.9]).train()
    for _ in range(3):
        assert torch.equal(alone.mask(20, 6)[:, 0], among.mask(20, 6)[:, 1])
    assert not torch.equal(alone.mask(20, 6), alone.mask(20, 6))
    F = torch.ones(4, 1, 3)
    assert alone.eval()(F) is F


def test_streams_and_parameters_do_not_depend_on_their_neighbours():
    assert len({stream(s, n) for s in range(50) for n in "abc"}) == 150
    assert torch.equal(draw([4, 9], "w", (3, 2), 1.0)[1], draw([9], "w", (3, 2), 1.0)[0])
    layer, reference = Linear([0], "x", 1000, 8), torch.nn.Linear(1000, 8)
    assert layer.weight.abs().max() <= 1000**-0.5
    assert layer.weight.std().item() == pytest.approx(reference.weight.std().item(), rel=0.05)


@pytest.mark.parametrize("rate", [[1.0], [-0.1], [0.2, 0.3]])
def test_wrong_rates_are_named(rate):
    with pytest.raises(ValueError, match=r"dropout x: rates must be 1 numbers in \[0, 1\)"):
        Dropout([0], "x", rate)
