"""DYNAMO-GAT against GAT, dense attention, itself alone, and the clock of its own patterns."""

import pytest
import torch
from random_graphs import random_graph

from flowprune.flows.attention import GAT, Edges, edge_inner, edge_sum
from flowprune.flows.dynamo import DynamoGAT
from flowprune.graphs import load
from flowprune.pruning.dynamo import Dynamo
from flowprune.training.operations import Operations


def looped(n: int = 20, seed: int = 0) -> torch.Tensor:
    return random_graph(n, seed).with_self_loops().adjacency


def features(n: int, R: int = 1, d: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, R, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(seeds, adjacency, rule, depth=3, **options) -> DynamoGAT:
    return DynamoGAT(
        seeds, 8, depth, adjacency, rule, dropout=[0.3] * len(seeds), heads=2, **options
    ).double()


@pytest.mark.parametrize("options", [{}, {"residual": True, "step": 0.5}])
def test_without_rate_and_noise_it_is_gat_exactly_in_value_and_gradient(options):
    A, F = looped(), features(20, 2)
    gat = GAT([1, 2], 8, 3, dropout=[0.3, 0.3], heads=2, **options).double()
    ours = network([1, 2], A, Dynamo(rate=0.0, noise=0.0), **options)
    for _ in range(2):
        theirs, mine = gat(F, A), ours(F, A)
        assert torch.equal(theirs, mine)
    theirs.square().sum().backward()
    mine.square().sum().backward()
    for one, other in zip(gat.layers, ours.layers, strict=True):
        assert torch.equal(one.linear.weight.grad, other.attention.linear.weight.grad)
        assert torch.equal(one.source.grad, other.attention.source.grad)


@pytest.mark.parametrize("recalibrate", [True, False])
def test_weights_are_the_multiplied_softmax_of_a_dense_computation(recalibrate):
    A = looped()
    layer = network([1], A, Dynamo(recalibrate=recalibrate), depth=1).eval().layers[0]
    E = layer.full.col.numel()
    w = torch.rand(E, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    w[(w < 0.4) & layer.joins] = 0
    layer.w.copy_(w[None])
    F = features(20)
    kept = layer.entries()[1]
    assert len(kept) == (int((w > 0).sum()) if recalibrate else E)
    H = layer.attention.linear(F).view(20, 1, 2, 4)
    full = layer.full
    source, target = ((H * a).sum(-1)[:, 0] for a in (layer.attention.source, layer.attention.target))
    score = torch.nn.functional.leaky_relu(source[full.col] + target[full.row], 0.2)
    dense = torch.full((20, 20, 2), -torch.inf, dtype=torch.float64)
    dense[full.row, full.col] = score
    W = torch.zeros(20, 20, 1, dtype=torch.float64)
    W[full.row, full.col, 0] = w
    attention = dense.softmax(1) * W
    if recalibrate:
        attention = attention / attention.sum(1, keepdim=True)
    expected = torch.einsum("ijk,jkc->ikc", attention, H[:, 0]).reshape(20, 8)
    torch.testing.assert_close(layer.attend(F)[0][:, 0], expected, rtol=1e-12, atol=1e-12)


def test_products_over_a_pattern_that_is_not_symmetric_have_right_gradients():
    edges = Edges(looped(8), 2)
    part = edges.keep(torch.rand(edges.col.numel(), generator=torch.Generator().manual_seed(0)) > 0.4)
    weights = torch.rand(part.col.numel(), 2, dtype=torch.float64, requires_grad=True)
    G, H = (features(8, 2, 3, seed).requires_grad_() for seed in (1, 2))
    assert torch.autograd.gradcheck(lambda w, h: edge_sum(part, w, h), (weights, H))
    assert torch.autograd.gradcheck(lambda g, h: edge_inner(part, g, h), (G, H))


def test_a_replica_prunes_as_the_network_alone():
    A, F = looped(40), features(40, 3)
    rule = Dynamo(rate=0.3, limit=0.6)
    together = network([1, 2, 3], A, rule)
    alone = [network([seed], A, rule) for seed in (1, 2, 3)]
    for _ in range(12):
        out = together(F, A)
        for r, one in enumerate(alone):
            torch.testing.assert_close(out[:, r], one(F[:, r : r + 1], A)[:, 0], rtol=1e-10, atol=1e-10)
    removed = together.removed()
    assert removed.min() > 0 and removed.max() <= 0.6
    for r, one in enumerate(alone):
        torch.testing.assert_close(removed[:, r], one.removed()[:, 0])
    for layer in together.layers:
        assert (layer.w[:, ~layer.joins] == 1).all()


def test_evaluation_prunes_nothing_and_draws_no_noise():
    A, F = looped(), features(20)
    net = network([1], A, Dynamo(rate=0.5, noise=1.0)).eval()
    assert torch.equal(net(F, A), net(F, A))
    assert net.removed().max() == 0


def test_earlier_weights_bring_their_entries_back():
    A, F = looped(), features(20)
    net = network([1], A, Dynamo(rate=0.5, noise=0.0))
    before = net.eval()(F, A)
    kept = [p.detach().clone() for p in net.parameters()]
    net.train()
    for _ in range(10):
        net(F, A)
    assert net.eval()(F, A).sub(before).abs().max() > 1e-3 and net.removed().min() > 0.2
    with torch.no_grad():
        for p, old in zip(net.parameters(), kept, strict=True):
            p.copy_(old)
    assert torch.equal(net(F, A), before)


@pytest.mark.parametrize(
    "rule", [Dynamo(draws=4), Dynamo(gradual=False, limit=0.3), Dynamo(adaptive=False, recalibrate=False)]
)
def test_variants_prune(rule):
    A, F = looped(), features(20)
    net = network([1], A, rule)
    for _ in range(3):
        net(F, A).sum().backward()
    assert any((layer.w < 1).any() for layer in net.layers)
    if not rule.gradual:
        assert (net.removed() - 0.3).abs().max() < 0.05
    if not rule.adaptive:
        assert all(layer.τ.isfinite().all() for layer in net.layers)


def test_a_network_without_edges_goes_on_as_one_that_looks_at_each_node_alone():
    A, F = looped(), features(20, 2)
    net = network([1, 2], A, Dynamo(rate=1e6, limit=1.0), depth=1)
    for _ in range(3):
        out = net(F, A)
    out.sum().backward()
    assert (net.removed() == 1).all()
    alone = torch.cat([net.eval()(F[i : i + 1].expand(20, -1, -1), A)[:1] for i in range(20)])
    torch.testing.assert_close(net(F, A), alone, rtol=1e-12, atol=1e-12)


def test_operations_fall_in_proportion_to_the_edges_removed():
    graph = load("syn-cora?n=400&homophily=0.8")
    A = graph.with_self_loops().adjacency
    F = torch.randn(400, 1, 8)
    net = DynamoGAT([1], 8, 2, A, Dynamo(gradual=False, limit=0.5), dropout=[0.0], heads=2)

    def sparse() -> int:
        with torch.no_grad(), Operations() as seen:
            net.eval()(F, A)
        return seen.counts["sparse"]

    full = sparse()
    net.train()(F, A)
    left = sum(int((layer.w > 0).sum()) for layer in net.layers) / sum(
        layer.w.numel() for layer in net.layers
    )
    assert sparse() == pytest.approx(left * full, rel=1e-6) and left < 0.7
