"""DYNAMO on torch-geometric's attention: against the plain layers, our own layer, and a layer on the pruned graph."""

import copy

import pytest
import torch
from random_graphs import random_graph
from torch import nn
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, Sequential
from torch_geometric.nn.models import GAT
from torch_geometric.utils import scatter, softmax

from flowprune.flows.attention import Edges
from flowprune.flows.dynamo import PrunedAttention
from flowprune.pruning.attach import Pruner, attach
from flowprune.pruning.dynamo import Dynamo
from flowprune.training.operations import Operations

EXACT = {"rtol": 1e-11, "atol": 1e-11}
LAYERS = [
    lambda: GATConv(6, 5, heads=3, dropout=0.4),
    lambda: GATConv(6, 5, heads=2, concat=False, add_self_loops=False),
    lambda: GATConv(6, 5, heads=2, edge_dim=4, residual=True),
    lambda: GATv2Conv(6, 5, heads=2, dropout=0.4),
    lambda: GATv2Conv(6, 5, heads=3, concat=False, edge_dim=4, share_weights=True),
]


def inputs(layer: nn.Module, n: int = 25, seed: int = 0):
    """The arguments of a layer on a random graph: x, edge_index and, where it asks for them, edge features."""
    rng = torch.Generator().manual_seed(seed)
    edge_index = random_graph(n, seed).edge_index
    x = torch.randn(n, 6, generator=rng, dtype=torch.float64)
    if layer.edge_dim is None:
        return x, edge_index
    return x, edge_index, torch.randn(edge_index.shape[1], 4, generator=rng, dtype=torch.float64)


def entering(conv: nn.Module, *args) -> int:
    """How many edges enter propagate."""
    seen = []
    handle = conv.register_propagate_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    conv(*args)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("make", LAYERS)
def test_without_rate_and_noise_it_is_the_layer_exactly_in_value_and_gradient(make):
    plain = make().double()
    pruned = copy.deepcopy(plain)
    attach(pruned, Dynamo(rate=0.0, noise=0.0))
    found = []
    for conv in (plain, pruned):
        x, *rest = inputs(conv)
        x.requires_grad_()
        for _ in range(2):
            torch.manual_seed(3)  # for the dropout of attention
            out = conv(x, *rest)
        gradients = torch.autograd.grad(out.square().sum(), [x, *conv.parameters()])
        found.append((out, *gradients))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "rule",
    [
        Dynamo(noise=0.0, rate=0.4, limit=0.5),
        Dynamo(noise=0.0, rate=0.4, sign="correlation", growth=0.5, floor=0.3),
        Dynamo(noise=0.0, rate=0.4, adaptive=False, recalibrate=False),
        Dynamo(noise=0.0, gradual=False, limit=0.3, sign="plus"),
    ],
)
def test_it_is_our_own_layer_step_by_step(rule):
    graph = random_graph(25, 1)
    full = Edges(graph.with_self_loops().adjacency, 2)
    torch.manual_seed(0)
    layers = [PrunedAttention([m], m, 6, 2, full, rule, [0.0]).double() for m in range(2)]
    model = nn.ModuleList(GATConv(6, 3, heads=2) for _ in range(2)).double()
    for conv, layer in zip(model, layers, strict=True):
        own = layer.attention
        conv.load_state_dict(
            {
                "att_src": own.source,
                "att_dst": own.target,
                "bias": own.bias[0],
                "lin.weight": own.linear.weight[0].T,
            }
        )
    pruner = attach(model, rule)
    mirrored = graph.edge_index.flip(0)  # theirs run from source to target; ours has the target first
    x = torch.randn(25, 6, dtype=torch.float64)
    for _ in range(15):
        for conv, layer in zip(model, layers, strict=True):
            torch.testing.assert_close(conv(x, mirrored), layer(x[:, None])[:, 0], **EXACT)
            torch.testing.assert_close(conv.dynamo.w, layer.w[0, layer.joins], **EXACT)
    removed = torch.stack([layer.removed()[0] for layer in layers])
    assert removed.min() > 0.1
    torch.testing.assert_close(pruner.removed().float(), removed)
    for conv, layer in zip(model.eval(), layers, strict=True):
        torch.testing.assert_close(conv(x, mirrored), layer.eval()(x[:, None])[:, 0], **EXACT)


@pytest.mark.parametrize("make", LAYERS[1:4])
def test_whatever_is_left_is_the_softmax_of_score_plus_log_w(make):
    conv = make().double()
    attach(conv, Dynamo(rate=0.5, noise=0.0, floor=0.3, limit=0.6))
    args = inputs(conv)
    plain = copy.deepcopy(conv)
    Pruner(plain).detach()
    for _ in range(6):
        conv(*args)
    w = conv.dynamo.w
    kept = w > 0
    assert 0.39 < kept.double().mean() < 0.95 and (w[kept] < 1).any()
    left = [args[0], args[1][:, kept], *(e[kept] for e in args[2:])]
    _, (edge_index, α) = plain.eval()(*left, return_attention_weights=True)
    log_w = torch.cat([w[kept].log(), w.new_zeros(len(α) - int(kept.sum()))])
    expected = softmax(α.log() + log_w[:, None], edge_index[1], num_nodes=25)
    _, (entered, found) = conv.eval()(*args, return_attention_weights=True)
    assert torch.equal(entered, edge_index)
    torch.testing.assert_close(found, expected, **EXACT)
    totals = scatter(found, edge_index[1], 0, dim_size=25)
    assert ((totals - 1).abs() < 1e-10).logical_or(totals == 0).all()


def test_edges_leave_before_messages_and_operations_fall():
    conv = GATConv(6, 5, heads=2, edge_dim=4)
    attach(conv, Dynamo(gradual=False, limit=0.4, noise=0.0))
    args = [a.float() if a.is_floating_point() else a for a in inputs(conv, 60)]

    def cost() -> tuple[int, int]:
        with torch.no_grad(), Operations() as seen:
            edges = entering(conv.eval(), *args)
        return edges, seen.counts["dense"]

    E = args[1].shape[1]
    (edges, before), _ = cost(), conv.train()(*args)
    left = E - int(0.4 * E)
    assert edges == E + 60
    edges, after = cost()
    assert edges == left + 60
    assert (
        before - after == 2 * (E - left) * 4 * 10
    )  # the layer's own product with edge_attr is that much shorter


def test_one_step_follows_from_the_dense_covariance_of_the_noisy_state_and_spares_self_loops():
    conv, rule = GATConv(6, 5, heads=2).double(), Dynamo(noise=0.3, rate=0.8, sign="correlation", limit=0.9)
    plain = copy.deepcopy(conv)
    attach(conv, rule)
    x, edge_index = inputs(conv)
    edge_index = torch.cat([torch.arange(25).expand(2, -1), edge_index], 1)
    torch.manual_seed(5)
    noisy = x + 0.3 * torch.randn_like(x)
    torch.manual_seed(5)
    conv(x, edge_index)
    i, j = edge_index[:, 25:]
    C = torch.cov(noisy)
    _, (_, α) = plain(noisy, edge_index, return_attention_weights=True)
    p = rule.strength(α[: len(i)].mean(1), (C[i, i], C[j, j], C[i, j]))
    expected = torch.where(1 - p < rule.floor, 0, 1 - p)
    torch.testing.assert_close(conv.dynamo.w[25:], expected, **EXACT)
    for _ in range(50):
        conv(x, edge_index)
    assert (conv.dynamo.w[:25] == 1).all() and conv.dynamo.removed() > 0.5


def test_draws_read_the_covariance_of_outputs():
    conv = GATConv(6, 5, heads=2).double()
    pruner = attach(conv, Dynamo(draws=8, noise=0.5, rate=0.5))
    args = inputs(conv)
    for _ in range(5):
        conv(*args).sum().backward()
    assert 0 < pruner.removed() < 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: GAT(6, 8, 3, 4, v2=True, heads=2, norm="batch"),
        lambda: Sequential("x, e", [(GATConv(6, 4), "x, e -> x"), nn.ELU(), (GATv2Conv(4, 4), "x, e -> x")]),
    ],
)
def test_whole_models_train_keep_their_multipliers_and_are_given_back(make):
    torch.manual_seed(0)
    model = make().double()
    graph = random_graph(25, 0)
    x = torch.randn(25, 6, dtype=torch.float64)
    before = model.eval()(x, graph.edge_index)
    names = set(model.state_dict())
    pruner = attach(model.train(), Dynamo(rate=0.3, limit=0.25))
    assert pruner.removed().max() == 0
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    for _ in range(15):
        optimiser.zero_grad()
        model(x, graph.edge_index).square().sum().backward()
        optimiser.step()
    assert ((pruner.removed() - 0.25).abs() < 0.02).all()
    pruned = model.eval()(x, graph.edge_index)
    assert torch.equal(pruned, model(x, graph.edge_index)) and not torch.equal(pruned, before)

    again = make().double()
    attach(again, Dynamo())
    again.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    assert torch.equal(again.eval()(x, graph.edge_index), pruned)
    copied = copy.deepcopy(model)
    Pruner(copied).detach()
    assert torch.equal(model(x, graph.edge_index), pruned)

    pruner.detach()
    assert set(model.state_dict()) == names
    for one in (model, copied):
        for conv in one.modules():
            assert not conv._forward_pre_hooks and not conv._forward_hooks
            assert not getattr(conv, "_edge_update_forward_hooks", None)
    if not any(isinstance(m, nn.BatchNorm1d) for m in model.modules()):  # whose averages moved with training
        assert torch.equal(model(x, graph.edge_index), before)


def test_dropout_and_layer_come_back():
    conv = GATConv(6, 5, dropout=0.4)
    pruner = attach(conv, Dynamo())
    assert conv.dropout == 0
    pruner.detach()
    assert conv.dropout == 0.4 and not hasattr(conv, "dynamo")


def test_what_cannot_be_pruned_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"GCNConv has no attention layer; a GATConv or GATv2Conv is needed"):
        attach(GCNConv(6, 5), Dynamo())
    conv = GATConv(6, 5).double()
    attach(conv, Dynamo())
    with pytest.raises(ValueError, match="attached already"):
        attach(nn.Sequential(conv), Dynamo())
    with pytest.raises(ValueError, match="no attached layer"):
        Pruner(GATConv(6, 5))
    x, edge_index = inputs(conv)
    conv.eval()(x, edge_index[:, :3])  # nothing is pruned yet, so any graph will do
    conv.train()(x, edge_index)
    for mode in (True, False):
        with pytest.raises(ValueError, match=r"layer 0 is given another edge_index.* allowed is the same"):
            conv.train(mode)(x, edge_index[:, 1:])
    with pytest.raises(ValueError, match="given x of type tuple"):
        conv((x, x), edge_index)
    with pytest.raises(ValueError, match="allowed are one dense tensor"):
        conv(x, torch.eye(25, dtype=torch.float64).to_sparse_csr())
