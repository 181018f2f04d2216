"""Operations of real runs against torch's own counter and against formulas."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from flowprune.flows.attention import GAT
from flowprune.flows.convolution import GCN
from flowprune.flows.gradient import GRAFF
from flowprune.graphs import load
from flowprune.pruning.dynamo import edge_covariance
from flowprune.training.operations import Operations, tally

n, d, heads = 34, 8, 2
ADJACENCY = load("karate").with_self_loops().norm_adjacency
E = ADJACENCY.values().numel()


def counts(model: torch.nn.Module, backward: bool = False) -> dict[str, int]:
    F = torch.randn(n, 1, d, requires_grad=True)
    with Operations() as seen:
        out = model(F, ADJACENCY)
        if backward:
            out.sum().backward()
    return dict(seen.counts)


def test_dense_products_are_those_of_torch_forth_and_back():
    layers = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3))
    X = torch.randn(11, 5)
    with FlopCounterMode(display=False) as theirs:
        layers(X).sum().backward()
    with Operations() as ours:
        layers(X).sum().backward()
    assert ours.counts["dense"] == theirs.get_total_flops() > 0
    batched = torch.randn(4, 5, 6), torch.randn(4, 6, 2)
    with FlopCounterMode(display=False) as theirs, Operations() as ours:
        torch.bmm(*batched)
    assert ours.counts["dense"] == theirs.get_total_flops() == 2 * 4 * 5 * 6 * 2


def test_a_convolution_costs_two_products_and_its_gradient_three():
    gcn = GCN([0], d, 2, dropout=[0.0])
    assert counts(gcn) == {"dense": 4 * n * d * d, "sparse": 4 * E * d, "softmax": 0, "covariance": 0}
    assert counts(gcn, backward=True)["dense"] == 3 * 4 * n * d * d
    assert counts(gcn, backward=True)["sparse"] == 2 * 4 * E * d


def test_attention_costs_products_sums_and_softmax():
    gat = GAT([0], d, 1, dropout=[0.0], heads=heads)
    assert counts(gat) == {
        "dense": 2 * n * d * d,
        "sparse": 2 * E * d,
        "softmax": 4 * E * heads,
        "covariance": 0,
    }
    back = counts(gat, backward=True)
    assert back["sparse"] == 3 * 2 * E * d and back["softmax"] == 8 * E * heads


@pytest.mark.parametrize("structure", ["diag", "dd"])
def test_a_compiled_flow_tells_what_the_plain_one_shows(structure):
    """Diagonal W runs as one compiled loop, which no counter sees; a full W runs through torch."""
    flow = GRAFF([0], d, structure, time=3.0)
    assert counts(flow)["sparse"] == 3 * 2 * E * d
    assert counts(flow, backward=True)["sparse"] == 2 * 3 * 2 * E * d


def test_the_covariance_costs_edges_times_channels():
    row, col = torch.arange(10), torch.arange(10).flip(0)
    with Operations() as seen:
        edge_covariance(torch.randn(10, d), row, col)
    assert seen.counts["covariance"] == 2 * (10 * d + 10 * d)


def test_blocks_of_equal_counts_close_in_their_order():
    with Operations() as outer:
        with Operations() as inner:
            pass
        tally("sparse", 4)
    assert (outer.counts["sparse"], inner.counts["sparse"]) == (4, 0)


def test_what_a_count_does_not_hold_is_not_added():
    with Operations() as seen:
        tally("bytes", 100)
    assert set(seen.counts) == {"dense", "sparse", "softmax", "covariance"}


def test_counts_nest_and_close():
    with Operations() as outer:
        tally("sparse", 3)
        with Operations() as inner:
            tally("sparse", 4)
    tally("sparse", 5)
    assert (outer.counts["sparse"], inner.counts["sparse"]) == (7, 4)
