"""The graph transformer against PyTorch's and PyTorch Geometric's attention, itself alone, and its own patterns."""

import pytest
import torch
from random_graphs import random_graph
from torch_geometric.nn import TransformerConv

from flowprune.flows.attention import Edges
from flowprune.flows.dynamo import PrunedAttention
from flowprune.flows.transformer import FURTHEST, DotAttention, GraphTransformer, LayerNorm, hop_classes
from flowprune.graphs import Graph
from flowprune.pruning.dynamo import Dynamo
from flowprune.training.operations import Operations

EXACT = {"rtol": 1e-10, "atol": 1e-10}
STILL = Dynamo(rate=0.0, noise=0.0)


def looped(n: int = 20, seed: int = 0) -> torch.Tensor:
    return random_graph(n, seed).with_self_loops().adjacency


def features(n: int, R: int = 1, d: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, R, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(seeds, adjacency, rule, depth=2, **options) -> GraphTransformer:
    rates = [0.3] * len(seeds)
    return GraphTransformer(seeds, 8, depth, adjacency, rule, dropout=rates, heads=2, **options).double()


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_over_neighbours_equals_transformerconv(heads):
    graph = random_graph(12, heads).with_self_loops()
    ours = DotAttention([4, 5], "a", 5, 6, heads).double()
    theirs = TransformerConv(5, 6 // heads, heads, root_weight=False).double()
    F, weights = features(12, 2, 5), features(12, 2, 6, seed=1)
    out, attention = ours.attended(F, Edges(graph.adjacency, 2 * heads))
    (out * weights).sum().backward()
    linear = (theirs.lin_query, theirs.lin_key, theirs.lin_value)
    for r in range(2):
        with torch.no_grad():
            W, b = ours.maps.weight[r].T.chunk(3), ours.maps.bias[r].chunk(3)
            for lin, weight, bias in zip(linear, W, b, strict=True):
                lin.weight.copy_(weight)
                lin.bias.copy_(bias)
        theirs.zero_grad()
        moved, (index, α) = theirs(F[:, r], graph.edge_index.flip(0), return_attention_weights=True)
        expected = moved @ ours.out.weight[r].detach() + ours.out.bias[r].detach()
        (expected * weights[:, r]).sum().backward()
        torch.testing.assert_close(out[:, r], expected, **EXACT)
        dense = torch.zeros(12, 12, heads, dtype=torch.float64)
        dense[index[1], index[0]] = α
        row, col = graph.edge_index
        torch.testing.assert_close(attention[:, r * heads : (r + 1) * heads], dense[row, col], **EXACT)
        gradient = torch.cat([lin.weight.grad for lin in linear]).T
        torch.testing.assert_close(ours.maps.weight.grad[r], gradient, **EXACT)
        bias = torch.cat([lin.bias.grad for lin in linear])
        torch.testing.assert_close(ours.maps.bias.grad[r], bias, **EXACT)


def test_attention_over_all_pairs_equals_torch_with_a_mask_of_distances():
    A, heads = looped(15), 2
    hops = hop_classes(A)
    ours = DotAttention([3], "a", 8, 8, heads, hops).double()
    with torch.no_grad():
        ours.bias.copy_(torch.randn(ours.bias.shape, generator=torch.Generator().manual_seed(0)))
    F, full = features(15), Edges(torch.ones(15, 15).to_sparse_csr(), heads)
    out, _ = ours.attended(F, full)
    q, k, v = (ours.maps(F)[:, 0].view(15, 3, heads, 4).permute(1, 2, 0, 3)).unbind(0)
    moved = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=ours.bias[0][:, hops])
    expected = ours.out(moved.transpose(0, 1).reshape(15, 1, 8))
    torch.testing.assert_close(out, expected, **EXACT)
    weights, parameters = features(15, seed=1), list(ours.parameters())
    for one, other in zip(
        torch.autograd.grad((out * weights).sum(), parameters),
        torch.autograd.grad((expected * weights).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, **EXACT)


def test_the_whole_network_equals_torch_encoder_layers():
    A, F = looped(15), features(15)
    ours = network([7], A, STILL, depth=2, pairs="all").eval()
    x = F.transpose(0, 1)
    for block in ours.blocks:
        theirs = torch.nn.TransformerEncoderLayer(8, 2, 16, norm_first=True, batch_first=True).double().eval()
        own = block.attention.attention
        theirs.load_state_dict(
            {
                "self_attn.in_proj_weight": own.maps.weight[0].T,
                "self_attn.in_proj_bias": own.maps.bias[0],
                "self_attn.out_proj.weight": own.out.weight[0].T,
                "self_attn.out_proj.bias": own.out.bias[0],
                "linear1.weight": block.wider.weight[0].T,
                "linear1.bias": block.wider.bias[0],
                "linear2.weight": block.narrower.weight[0].T,
                "linear2.bias": block.narrower.bias[0],
                "norm1.weight": block.first.weight[0],
                "norm1.bias": block.first.bias[0],
                "norm2.weight": block.second.weight[0],
                "norm2.bias": block.second.bias[0],
            }
        )
        x = theirs(x)
    torch.testing.assert_close(ours(F, A), x.transpose(0, 1), **EXACT)


@pytest.mark.parametrize("pairs", ["neighbours", "all"])
def test_without_rate_and_noise_nothing_but_attention_is_left(pairs):
    A, F = looped(), features(20, 2)
    ours = network([1, 2], A, STILL, pairs=pairs)
    for block in ours.blocks:
        layer = block.attention
        mine = layer(F)
        layer.dropout.passes -= 1  # the same mask again
        theirs = layer.attention.attended(layer.dropout(F), layer.full)[0]
        assert torch.equal(mine, theirs)
    assert ours.removed().max() == 0


@pytest.mark.parametrize("pairs", ["neighbours", "all"])
def test_a_replica_prunes_as_the_network_alone(pairs):
    A, F = looped(25), features(25, 2)
    rule = Dynamo(rate=0.3, limit=0.6)
    together = network([1, 2], A, rule, pairs=pairs)
    alone = [network([seed], A, rule, pairs=pairs) for seed in (1, 2)]
    for _ in range(10):
        out = together(F, A)
        for r, one in enumerate(alone):
            torch.testing.assert_close(out[:, r], one(F[:, r : r + 1], A)[:, 0], **EXACT)
    removed = together.removed()
    assert removed.min() > 0.1 and removed.max() <= 0.6
    for r, one in enumerate(alone):
        torch.testing.assert_close(removed[:, r], one.removed()[:, 0])


@pytest.mark.parametrize("pairs", ["neighbours", "all"])
def test_removed_entries_leave_the_pattern_and_the_weights(pairs):
    A, F = looped(30), features(30)
    net = network([1], A, Dynamo(gradual=False, limit=0.4), pairs=pairs)

    def sparse() -> int:
        with torch.no_grad(), Operations() as seen:
            net.eval()(F, A)
        return seen.counts["sparse"]

    full = sparse()
    net.train()(F, A)
    left = torch.stack([layer.w[0] > 0 for layer in net.layers]).double().mean().item()
    assert sparse() == pytest.approx(left * full, rel=1e-6) and left < 0.75
    layer = net.layers[0]
    edges, kept = layer.entries()
    assert len(kept) == int((layer.w > 0).sum()) and (edges.row == edges.col).sum() == 30
    weights = layer.attend(F)[1]
    sums = torch.zeros(30, 2, dtype=torch.float64).index_add(0, edges.row, weights)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_the_bias_follows_its_pairs_when_others_leave():
    A, F = looped(15), features(15)
    layer = network([1], A, STILL, depth=1, pairs="all").eval().layers[0]
    with torch.no_grad():
        layer.attention.bias.copy_(torch.arange(2 * (FURTHEST + 1)).view(1, 2, -1) / 5)
        layer.w[0, layer.joins] = (torch.arange(15 * 14) % 3 > 0).double()
    dense = torch.full((15, 15, 2), -torch.inf, dtype=torch.float64)
    full, weights = layer.full, layer.attend(F)[1]
    with torch.no_grad():
        layer.w.fill_(1)
    dense[full.row, full.col] = layer.attend(F)[1].log()
    layer.w[0, layer.joins] = (torch.arange(15 * 14) % 3 > 0).double()
    edges = layer.entries()[0]
    kept = torch.zeros(15, 15, 1, dtype=torch.bool)
    kept[edges.row, edges.col] = True
    expected = dense.masked_fill(~kept, -torch.inf).softmax(1)
    torch.testing.assert_close(weights, expected[edges.row, edges.col], **EXACT)


def test_layer_norm_equals_torch_for_every_replica():
    ours, F = LayerNorm(2, 8).double(), features(10, 2)
    with torch.no_grad():
        ours.weight.copy_(features(2)[:, 0])
        ours.bias.copy_(features(2, seed=1)[:, 0])
    for r in range(2):
        theirs = torch.nn.LayerNorm(8).double()
        theirs.load_state_dict({"weight": ours.weight[r], "bias": ours.bias[r]})
        torch.testing.assert_close(ours(F)[:, r], theirs(F[:, r]))


def test_distances_are_those_of_powers_of_the_adjacency():
    A = looped(12, 3)
    dense, reached = A.to_dense() > 0, torch.eye(12, dtype=torch.bool)
    expected = torch.zeros(12, 12, dtype=torch.long)
    for _ in range(FURTHEST):
        expected += ~reached
        reached = (reached.double() @ dense.double()) > 0
    assert torch.equal(hop_classes(A), expected)
    apart = Graph.from_edges("two", [[0, 2], [1, 3]]).with_self_loops().adjacency
    assert hop_classes(apart)[0].tolist() == [0, 1, FURTHEST, FURTHEST]


def test_refuses_unequal_heads_and_all_pairs_of_a_large_graph():
    with pytest.raises(ValueError, match="5 channels cannot be shared by 2 heads"):
        DotAttention([0], "a", 4, 5, 2)
    A = Graph.from_edges("path", [range(2000), range(1, 2001)]).with_self_loops().adjacency
    with pytest.raises(ValueError, match="at most 2000 nodes"):
        GraphTransformer([0], 4, 1, A, STILL, dropout=[0.0], heads=1, pairs="all")


def test_any_of_the_two_layers_can_be_pruned():
    A, F = looped(), features(20)
    full = Edges(A, 2)
    for attention in ({}, {"attention": DotAttention}):
        layer = PrunedAttention([1], 0, 8, 2, full, Dynamo(rate=0.5), [0.0], **attention).double()
        for _ in range(8):
            layer(F)
        assert layer.removed().item() > 0.1
