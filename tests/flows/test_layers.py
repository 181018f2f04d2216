"""Convolution and attention against PyTorch Geometric's layers, in value and gradient."""

import pytest
import torch
from random_graphs import random_graph
from torch_geometric.nn import GATConv, GCNConv

from flowprune.flows.attention import Attention, Edges
from flowprune.flows.convolution import Convolution


@pytest.mark.parametrize("seed", range(3))
def test_convolution_equals_gcnconv(seed):
    graph, g = random_graph(12, seed), torch.Generator().manual_seed(seed)
    ours, theirs = Convolution([seed, seed + 1], "c", 5, 4).double(), GCNConv(5, 4).double()
    F = torch.randn(12, 2, 5, generator=g, dtype=torch.float64)
    weights = torch.randn(12, 4, generator=g, dtype=torch.float64)
    with torch.no_grad():
        ours.bias.copy_(torch.randn(2, 4, generator=g, dtype=torch.float64))
    out = ours(F, graph.with_self_loops().norm_adjacency)
    (out * weights.unsqueeze(1)).sum().backward()
    for r in range(2):
        with torch.no_grad():
            theirs.lin.weight.copy_(ours.linear.weight[r].T)
            theirs.bias.copy_(ours.bias[r])
        theirs.zero_grad()
        expected = theirs(F[:, r], graph.edge_index)
        (expected * weights).sum().backward()
        torch.testing.assert_close(out[:, r], expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(
            ours.linear.weight.grad[r].T, theirs.lin.weight.grad, rtol=1e-10, atol=1e-10
        )


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_equals_gatconv(heads):
    graph, g = random_graph(12, heads), torch.Generator().manual_seed(heads)
    loops = graph.with_self_loops()
    ours = Attention([4, 5], "a", 5, 6, heads).double()
    theirs = GATConv(5, 6 // heads, heads).double()
    F = torch.randn(12, 2, 5, generator=g, dtype=torch.float64)
    weights = torch.randn(12, 6, generator=g, dtype=torch.float64)
    out = ours(F, Edges(loops.adjacency, 2 * heads))
    (out * weights.unsqueeze(1)).sum().backward()
    for r in range(2):
        with torch.no_grad():
            theirs.lin.weight.copy_(ours.linear.weight[r].T)
            theirs.att_src.copy_(ours.source[r][None])
            theirs.att_dst.copy_(ours.target[r][None])
            theirs.bias.copy_(ours.bias[r])
        theirs.zero_grad()
        expected = theirs(F[:, r], graph.edge_index)
        (expected * weights).sum().backward()
        torch.testing.assert_close(out[:, r], expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(ours.linear.weight.grad[r].T, theirs.lin.weight.grad, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(ours.source.grad[r][None], theirs.att_src.grad, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(ours.target.grad[r][None], theirs.att_dst.grad, rtol=1e-9, atol=1e-9)


def test_attention_rows_sum_to_one():
    graph = random_graph(10, 0).with_self_loops()
    layer, edges = Attention([0, 1, 2], "a", 4, 8, 2).double(), Edges(graph.adjacency, 6)
    F = torch.randn(10, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sums = torch.zeros(10, 6, dtype=torch.float64).index_add(0, edges.row, layer.attended(F, edges)[1])
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_attention_refuses_unequal_heads():
    with pytest.raises(ValueError, match="5 channels cannot be shared by 2 heads"):
        Attention([0], "a", 4, 5, 2)
