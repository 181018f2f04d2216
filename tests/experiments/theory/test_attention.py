"""A GAT layer as a map: against PyTorch Geometric, automatic differentiation and the theory of Markov chains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph
from torch_geometric.nn import GATConv

from flowprune.dynamics.jacobian import Jacobian
from flowprune.experiments.theory import attention as theory
from flowprune.experiments.theory.attention import Chain, Layer
from flowprune.graphs import load

examples = settings(max_examples=20, deadline=None)
sizes, seeds = st.integers(2, 9), st.integers(0, 2**16)


def layer_and_state(n: int, seed: int, norm: float = 0.9) -> tuple[Layer, torch.Tensor]:
    rng = np.random.default_rng(seed)
    layer = theory.drawn(random_graph(n, seed), rng, 3, norm)
    return layer, torch.from_numpy(rng.standard_normal((n, 3)))


def test_the_map_is_a_gat_layer():
    layer, X = layer_and_state(8, 0)
    conv = GATConv(3, 3, heads=1).double()
    with torch.no_grad():
        conv.lin.weight.copy_(layer.W.T)
        conv.att_src.copy_(layer.source.view(1, 1, 3))
        conv.att_dst.copy_(layer.target.view(1, 1, 3))
        conv.bias.copy_(layer.bias)
        expected = torch.nn.functional.elu(conv(X, layer.edge.nonzero().T))
    np.testing.assert_allclose(layer(X), expected, atol=1e-12)


@examples
@given(n=sizes, seed=seeds)
def test_the_closed_form_is_the_jacobian(n, seed):
    layer, X = layer_and_state(n, seed)
    np.testing.assert_allclose(theory.full_jacobian(layer, X), Jacobian(layer, X).dense(), atol=1e-12)


@examples
@given(n=sizes, seed=seeds)
def test_the_printed_blocks_are_right_where_nodes_agree_or_attention_is_uniform(n, seed):
    layer, X = layer_and_state(n, seed)
    equal = X[:1].expand(n, -1)
    np.testing.assert_allclose(
        theory.printed_jacobian(layer, equal), Jacobian(layer, equal).dense(), atol=1e-12
    )
    still = replace(layer, target=0 * layer.target, source=0 * layer.source)
    np.testing.assert_allclose(theory.printed_jacobian(still, X), Jacobian(still, X).dense(), atol=1e-12)


def test_the_printed_blocks_are_wrong_elsewhere():
    layer, X = layer_and_state(6, 1)
    assert (theory.printed_jacobian(layer, X) - Jacobian(layer, X).dense()).norm() > 0.1


def test_weakened_layers_fill_the_printed_condition_and_their_attention_is_that_lipschitz():
    layer, X = layer_and_state(7, 2)
    weak = theory.weakened(layer, 0.99)
    K = 7**0.5 * weak.sensitivity
    assert weak.norm * (1 + K) == pytest.approx(0.99)
    for size in (1e-3, 1.0, 30.0):
        Y = X + size * torch.from_numpy(np.random.default_rng(3).standard_normal(X.shape))
        assert (weak.attention(X) - weak.attention(Y)).norm() <= K * (X - Y).norm()


def test_the_consensus_is_a_fixed_point_of_the_whole_graph():
    layer, _ = layer_and_state(6, 3)
    X = theory.consensus(layer).expand(6, -1)
    np.testing.assert_allclose(layer(X), X, atol=1e-12)
    growing = replace(layer, W=3 * torch.eye(3, dtype=torch.float64), bias=torch.ones(3, dtype=torch.float64))
    with pytest.raises(ValueError, match="does not settle"):
        theory.consensus(growing, steps=50)


@examples
@given(n=sizes, seed=seeds)
def test_attention_without_leaky_relu_keeps_detailed_balance(n, seed):
    """π_i is in proportion to e^{v_i} Σ_j e^{v_j}, v the scores of the sources and the sum over i's neighbours."""
    layer, X = layer_and_state(n, seed)
    v = (X @ layer.W @ layer.source).exp()
    π = v * (layer.edge.double() @ v)
    chain = Chain.of(replace(layer, slope=1.0).attention(X))
    np.testing.assert_allclose(chain.π, π / π.sum(), rtol=1e-8)
    assert chain.irreversibility < 1e-10
    assert chain.contraction == pytest.approx(chain.second, abs=1e-8)


def test_leaky_relu_breaks_detailed_balance_on_a_triangle_but_never_on_a_tree():
    rng = np.random.default_rng(0)
    for name, broken in (("complete?n=3", True), ("path?n=6", False), ("star?n=5", False)):
        layer = theory.drawn(load(name).to(dtype=torch.float64), rng, 2, 1.0, strength=3.0)
        X = torch.from_numpy(rng.standard_normal((len(layer.edge), 2)))
        assert (Chain.of(layer.attention(X)).irreversibility > 1e-3) == broken


def test_a_chain_of_two_states_has_its_closed_form():
    a, b = 0.7, 0.4
    chain = Chain.of(torch.tensor([[a, 1 - a], [b, 1 - b]], dtype=torch.float64))
    np.testing.assert_allclose(chain.π, [b / (1 - a + b), (1 - a) / (1 - a + b)])
    assert chain.second == pytest.approx(a - b)
    assert chain.contraction == pytest.approx(a - b)
    X = torch.tensor([[3.0], [4.0]], dtype=torch.float64)
    assert chain.norm(X) == pytest.approx(float(chain.π[0] * 9 + chain.π[1] * 16) ** 0.5)
