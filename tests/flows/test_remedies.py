"""PairNorm, DropEdge, DAGNN and gradient gating against computations written out."""

import pytest
import torch
from random_graphs import random_graph
from torch_geometric.nn import PairNorm

from flowprune.flows.attention import GAT, Edges, edge_softmax
from flowprune.flows.convolution import DAGNN
from flowprune.flows.gating import GradientGating
from flowprune.flows.remedies import DropEdge, pair_norm


def features(n: int, R: int = 2, d: int = 6) -> torch.Tensor:
    return torch.randn(n, R, d, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def test_pair_norm_equals_that_of_torch_geometric():
    F = features(15)
    for r in range(2):
        expected = PairNorm(scale=1.0, scale_individually=False, eps=0)(F[:, r])
        torch.testing.assert_close(pair_norm(F)[:, r], expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(pair_norm(torch.ones(4, 1, 2)), torch.zeros(4, 1, 2))


def test_drop_edge_drops_pairs_both_ways_keeps_loops_and_the_rate():
    edges = Edges(random_graph(60, 0).with_self_loops().adjacency, 4)
    drop = DropEdge([1, 2], 0.4, heads=2)
    score = torch.zeros(edges.col.numel(), 4, dtype=torch.float64)
    weights = drop(edges, score)
    dense = torch.zeros(60, 60, 4, dtype=torch.float64)
    dense[edges.row, edges.col] = weights
    kept = dense > 0
    assert torch.equal(kept, kept.transpose(0, 1))
    assert kept.diagonal().all()
    assert torch.equal(kept[..., 0], kept[..., 1]) and not torch.equal(kept[..., 0], kept[..., 2])
    torch.testing.assert_close(dense.sum(1), torch.ones(60, 4, dtype=torch.float64))
    joins = edges.row != edges.col
    share = (weights[joins][:, ::2] == 0).double().mean().item()
    assert abs(share - 0.4) < 5 * (0.24 / joins.sum().item()) ** 0.5  # half as many pairs, two replicas
    assert not torch.equal(drop(edges, score), weights)  # the next pass drops others
    assert torch.equal(drop.eval()(edges, score), edge_softmax(edges, score))


def test_drop_edge_of_a_replica_is_the_same_alone():
    graph = random_graph(20, 1).with_self_loops()
    F = features(20)
    gat = lambda seeds: GAT(  # noqa: E731
        seeds, 6, 2, dropout=[0.0] * len(seeds), heads=2, normalise=DropEdge(seeds, 0.5, 2)
    ).double()
    both, second = gat([3, 4]), gat([4])
    torch.testing.assert_close(both(F, graph.adjacency)[:, 1], second(F[:, 1:], graph.adjacency)[:, 0])


def test_dagnn_is_its_sum():
    graph = random_graph(12, 2).with_self_loops()
    model, F, Ā = DAGNN([1, 2], 6, 5).double(), features(12), graph.norm_adjacency
    for r in range(2):
        u, b = model.gate.weight[r, :, 0], model.gate.bias[r]
        powers = [torch.linalg.matrix_power(Ā.to_dense(), k) @ F[:, r] for k in range(6)]
        expected = sum(torch.sigmoid(X @ u + b).unsqueeze(1) * X for X in powers)
        torch.testing.assert_close(model(F, Ā)[:, r], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("inner", ["gcn", "gat"])
def test_gradient_gating_is_its_equation_edge_by_edge(inner):
    graph = random_graph(10, 3).with_self_loops()
    Ā, F = graph.norm_adjacency, features(10)
    model = GradientGating([1, 2], 6, 3, inner, dropout=[0.0, 0.0], heads=2).double()
    over = Edges(Ā, 4) if inner == "gat" else Ā
    X = F
    row, col = graph.edge_index
    for _ in range(3):
        Y = model.gate(X, over).relu()
        gap = (Y[col] - Y[row]).abs().square()
        τ = torch.tanh(torch.zeros_like(Y).index_add(0, row, gap))
        X = (1 - τ) * X + τ * model.layer(X, over).relu()
    torch.testing.assert_close(model(F, Ā), X, rtol=1e-10, atol=1e-10)


def test_gradient_gating_refuses_another_network():
    with pytest.raises(ValueError, match="'mlp'; it must be gcn or gat"):
        GradientGating([1], 4, 2, "mlp", dropout=[0.0])
