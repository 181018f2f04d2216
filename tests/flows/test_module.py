"""The drop-in layer: the same numbers as the replica flow, and at home in PyTorch Geometric and torch.compile."""

from __future__ import annotations

import shutil

import pytest
import torch
from random_graphs import random_graph
from torch import nn
from torch.nn import functional
from torch_geometric.nn import Sequential
from torch_geometric.utils import to_torch_csr_tensor

from flowprune.flows.gradient import GRAFF, STRUCTURES
from flowprune.flows.module import GRAFFConv
from flowprune.graphs import load


def features(n: int, d: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def conv(d: int, structure: str = "dd", seed: int = 0, **options) -> GRAFFConv:
    """A layer in float64 whose β is not zero, so that the source is seen."""
    torch.manual_seed(seed)
    layer = GRAFFConv(d, structure, **options).double()
    with torch.no_grad():
        layer.graff.β.fill_(0.3)
    return layer


def dense_step(layer: GRAFFConv, A: torch.Tensor, x: torch.Tensor, x_0: torch.Tensor) -> torch.Tensor:
    """The equation in dense matrices; Ā with degrees of the columns, as ``edge_index`` points from row to column."""
    scale = A.sum(0).rsqrt().nan_to_num(posinf=0)
    Ā = (scale.view(-1, 1) * A * scale).T
    W, Ω = layer.graff.W[0].matrix()[0], torch.diag(layer.graff.ω[0])
    update = -x @ Ω + Ā @ x @ W + layer.graff.β[0] * x_0
    return x + layer.step * (update.relu() if layer.relu else update)


# --- the same flow -------------------------------------------------------------------------------


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_one_module_applied_again_and_again_is_the_replica_flow(structure, relu, loops, dtype, tolerance):
    graph = random_graph(14, 3).to(dtype=dtype)
    flow = GRAFF([7], 5, structure, time=2.0, step=0.5, relu=relu).to(dtype)
    with torch.no_grad():
        flow.β.fill_(-0.4)
    layer = GRAFFConv(5, structure, step=0.5, relu=relu, add_self_loops=loops).to(dtype)
    layer.graff.load_state_dict(flow.state_dict())
    F0 = features(14, 5, dtype)
    x = F0
    for _ in flow.steps:
        x = layer(x, graph.edge_index, x_0=F0)
    adjacency = (graph.with_self_loops() if loops else graph).norm_adjacency
    expected = flow(F0.unsqueeze(1), adjacency)[:, 0]
    torch.testing.assert_close(x, expected, rtol=tolerance, atol=tolerance)
    x.square().sum().backward()
    expected.square().sum().backward()
    for mine, theirs in zip(layer.parameters(), flow.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=100 * tolerance, atol=100 * tolerance)


def test_without_x_0_the_source_holds_on_to_the_input():
    graph, layer, x = random_graph(6, 0), conv(3), features(6, 3)
    torch.testing.assert_close(layer(x, graph.edge_index), layer(x, graph.edge_index, x_0=x))
    assert not torch.allclose(layer(x, graph.edge_index), layer(x, graph.edge_index, x_0=2 * x))


def test_what_is_switched_off_is_zero_and_not_learned():
    graph, x = random_graph(6, 0), features(6, 4)
    layer = GRAFFConv(4, "diag", omega=False, source=False).double()
    layer(x, graph.edge_index).sum().backward()
    assert {name for name, p in layer.named_parameters() if p.grad is not None} == {"graff.W.0.w"}
    expected = x + graph.norm_adjacency @ x * layer.graff.W[0].w[0]
    torch.testing.assert_close(layer(x, graph.edge_index), expected)


# --- the library's conventions -------------------------------------------------------------------


def test_edge_weights_and_sparse_matrices_say_the_same():
    graph, layer, x = random_graph(10, 2), conv(4), features(10, 4)
    edge_index = graph.edge_index
    weight = torch.rand(10, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    weight = (weight + weight.T)[edge_index[0], edge_index[1]]
    A = torch.zeros(10, 10, dtype=torch.float64)
    A[edge_index[0], edge_index[1]] = weight
    out = layer(x, edge_index, weight)
    torch.testing.assert_close(out, dense_step(layer, A, x, x), rtol=1e-12, atol=1e-12)
    matrix = to_torch_csr_tensor(edge_index, weight, size=(10, 10))
    torch.testing.assert_close(layer(x, matrix), out, rtol=1e-12, atol=1e-12)


def test_normalised_weights_can_be_handed_in():
    graph, x = random_graph(10, 2), features(10, 4)
    layer, given = conv(4), conv(4, normalize=False)
    Ā = graph.norm_adjacency
    expected = layer(x, graph.edge_index)
    torch.testing.assert_close(given(x, graph.edge_index, Ā.values()), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(given(x, Ā), expected, rtol=1e-12, atol=1e-12)


def jacobian(layer: GRAFFConv, edge_index: torch.Tensor, n: int) -> torch.Tensor:
    J = torch.autograd.functional.jacobian(
        lambda x: layer(x, edge_index, x_0=torch.zeros_like(x)), features(n, 2)
    )
    return J.reshape(2 * n, 2 * n)


def test_the_update_is_a_gradient_on_an_undirected_graph_and_not_on_a_directed_one():
    layer, graph = conv(2), random_graph(7, 4)
    J = jacobian(layer, graph.edge_index, 7)
    torch.testing.assert_close(J, J.T, rtol=0, atol=1e-14)
    one_way = graph.edge_index[:, graph.edge_index[0] < graph.edge_index[1]]
    J = jacobian(layer, one_way, 7)
    assert (J - J.T).abs().max() > 0.1


def test_on_a_directed_graph_messages_go_from_source_to_target():
    layer, x, x_0 = conv(3), features(5, 3), features(5, 3, seed=1)
    edge_index = torch.tensor([[0, 0, 1, 3, 4], [1, 2, 2, 2, 3]])
    A = torch.zeros(5, 5, dtype=torch.float64)
    A[edge_index[0], edge_index[1]] = 1
    out = layer(x, edge_index, x_0=x_0)
    torch.testing.assert_close(out, dense_step(layer, A, x, x_0), rtol=1e-12, atol=1e-12)


def test_a_cached_graph_stays_until_the_layer_is_reset():
    first, second, x = random_graph(8, 0), random_graph(8, 1), features(8, 3)
    layer, fresh = conv(3, cached=True), conv(3)
    out = layer(x, first.edge_index)
    torch.testing.assert_close(layer(x, second.edge_index), out)
    torch.testing.assert_close(fresh(x, first.edge_index), out)
    layer.reset_parameters()
    fresh.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x, second.edge_index), fresh(x, second.edge_index))


def test_parameters_are_drawn_from_torchs_generator_and_reset_in_place():
    layer, same, other = conv(4, seed=1), conv(4, seed=1), conv(4, seed=2)
    before = {name: p.clone() for name, p in layer.named_parameters()}
    assert all(torch.equal(p, before[name]) for name, p in same.named_parameters())
    assert not torch.equal(other.graff.W[0].free, layer.graff.W[0].free)
    held = list(layer.parameters())
    layer.reset_parameters()
    assert all(a is b for a, b in zip(held, layer.parameters(), strict=True))
    assert layer.graff.β.item() == 0
    assert not torch.equal(layer.graff.W[0].free, before["graff.W.0.free"])
    assert layer.graff.W[0].free.dtype == torch.float64


def test_it_says_what_it_is_and_what_it_does_not_know():
    assert repr(GRAFFConv(16, "diag", step=0.25)) == "GRAFFConv(16, structure=diag, step=0.25)"
    with pytest.raises(ValueError, match="unknown structure of W: 'full'; it must be one of sum, prod"):
        GRAFFConv(16, "full")
    with pytest.raises(ValueError, match="time and step must be positive"):
        GRAFFConv(16, step=0.0)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_gradients_are_those_of_finite_differences(structure):
    graph, layer = random_graph(5, 1), conv(3, structure)
    x = features(5, 3).requires_grad_()
    weight = torch.rand(graph.edge_index.shape[1], dtype=torch.float64) + 0.5
    names = [name for name, _ in layer.named_parameters()]

    def run(x, weight, *parameters):
        named = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, named, (x, graph.edge_index, weight))

    inputs = (x, weight.requires_grad_(), *(p.detach().requires_grad_() for p in layer.parameters()))
    assert torch.autograd.gradcheck(run, inputs)


# --- in models -----------------------------------------------------------------------------------


def model(d: int = 16) -> Sequential:
    """Encode, three steps of one shared layer, decode."""
    layer = GRAFFConv(d, step=0.5)
    step = (layer, "x, edge_index, none, x_0 -> x")
    return Sequential(
        "x, edge_index, none",
        [
            (nn.Linear(34, d), "x -> x_0"),
            (layer, "x_0, edge_index -> x"),
            step,
            step,
            nn.ReLU(),
            nn.Linear(d, 4),
        ],
    )


def test_it_trains_inside_a_sequential_model_with_shared_weights():
    torch.manual_seed(0)
    graph = load("karate")
    net = model()
    shared = 34 * 16 + 16 + 16 * 16 + 3 * 16 + 1 + 16 * 4 + 4
    assert sum(p.numel() for p in net.parameters()) == shared
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    before = [p.detach().clone() for p in net.parameters()]
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = functional.cross_entropy(net(graph.features, graph.edge_index, None), graph.labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert all(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


class Steps(nn.Module):
    """Three steps of one layer from F(0)."""

    def __init__(self, layer: GRAFFConv):
        super().__init__()
        self.layer = layer

    def forward(self, x_0: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        x = x_0
        for _ in range(3):
            x = self.layer(x, edge_index, x_0=x_0)
        return x


@pytest.mark.filterwarnings("ignore:.*torch._prims_common.check.*:FutureWarning")
@pytest.mark.parametrize(
    ("backend", "structure"),
    [("eager", "diag"), ("aot_eager", "dd"), ("aot_eager", "neg-prod"), ("inductor", "dd")],
)
def test_it_compiles_into_one_graph_with_the_same_values_and_gradients(backend, structure):
    if backend == "inductor" and not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("no C++ compiler is at hand")
    torch._dynamo.reset()
    torch.manual_seed(0)
    graph = random_graph(20, 0).to(dtype=torch.float32)
    steps = Steps(GRAFFConv(8, structure, step=0.5))
    compiled = torch.compile(steps, backend=backend, fullgraph=True)
    x = features(20, 8, torch.float32)
    results = []
    for run in (steps, compiled):
        steps.zero_grad()
        out = run(x, graph.edge_index)
        out.square().mean().backward()
        results.append([out.detach(), *(p.grad.clone() for p in steps.parameters())])
    for plain, fused in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-4)
