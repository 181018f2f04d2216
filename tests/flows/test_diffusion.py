"""The other flows against closed forms, dense computations and PyTorch Geometric."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph
from torch import Tensor
from torch_geometric.nn import GATConv, GCNConv

from flowprune.dynamics.energy import dirichlet_energy
from flowprune.flows.attention import GAT, Edges, additive_scores, edge_inner, edge_softmax, edge_sum
from flowprune.flows.convolution import GCN
from flowprune.flows.diffusion import CGNN, GRAND, PDEGCN, Harmonic, Heat
from flowprune.flows.gradient import GRAFF
from flowprune.flows.wave import GraphCON, Wave
from flowprune.training.replicas import BatchNorm

SEEDS = [3, 8]
CLOSE = {"rtol": 1e-10, "atol": 1e-10}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exponential(A: Tensor) -> Tensor:
    return torch.from_numpy(scipy.linalg.expm(A.detach().numpy()))


def order(errors: list[float]) -> float:
    """How fast the error falls when the step is halved, as a power."""
    return math.log2(errors[0] / errors[1])


# --- linear flows have closed forms --------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_heat_tends_to_the_exponential_with_order_one(seed):
    graph, F = random_graph(9, seed), normal(9, 2, 3, seed=seed)
    exact = torch.einsum("ij,jrd->ird", exponential(-graph.laplacian.to_dense()), F)
    errors = [(Heat(time=1.0, step=h)(F, graph.laplacian) - exact).norm().item() for h in (0.02, 0.01)]
    assert order(errors) == pytest.approx(1, abs=0.1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_harmonic_flow_tends_to_its_exponential(seed):
    graph, F, d = random_graph(8, seed), normal(8, 2, 3, seed=seed), 3
    errors = []
    for h in (0.01, 0.005):
        flow = Harmonic(SEEDS, d, time=1.0, step=h).double()
        out = flow(F, graph.laplacian)
        exact = []
        for r in range(2):
            W = flow.W[0][r]
            A = torch.kron(
                graph.laplacian.to_dense(), (W.T @ W).detach()
            )  # rows stacked: vec of the transpose
            exact.append((exponential(-A) @ F[:, r].flatten()).view(8, d))
        errors.append((out - torch.stack(exact, 1)).norm().item())
    assert order(errors) == pytest.approx(1, abs=0.15)


def test_pde_gcn_is_the_harmonic_flow_where_no_edge_is_cut():
    """With features such that every G F K is positive, ReLU changes nothing."""
    graph = random_graph(1 + 1, 0)  # one edge: F can be chosen so that its gradient has any sign
    flow = PDEGCN(SEEDS, 3, time=1.5, step=0.5).double()
    plain = Harmonic(SEEDS, 3, time=1.5, step=0.5, time_dependent=True).double()
    with torch.no_grad():
        for W, K in zip(plain.W, flow.K, strict=True):
            K.copy_(torch.eye(3, dtype=torch.float64) * 0.6)
            W.copy_(K.mT)
    F = torch.stack([torch.ones(2, 3), torch.zeros(2, 3)]).double()
    torch.testing.assert_close(flow(F, graph.gradient), plain(F, graph.laplacian), **CLOSE)
    torch.testing.assert_close(flow(-F, graph.gradient), -F, **CLOSE)  # all cut: nothing moves


@pytest.mark.parametrize("seed", range(3))
def test_pde_gcn_against_a_sum_over_edges(seed):
    graph, F = random_graph(9, seed), normal(9, 2, 3, seed=seed)
    flow = PDEGCN(SEEDS, 3, time=0.4, step=0.4).double()
    expected = F.clone()
    for i, j in graph.edge_index.T.tolist():
        if i < j:
            a, b = graph.degree[i].rsqrt(), graph.degree[j].rsqrt()
            for r in range(2):
                K = flow.K[0][r].detach()
                along = ((F[i, r] * a - F[j, r] * b) @ K).relu() @ K.T
                expected[i, r] -= 0.4 * a * along
                expected[j, r] += 0.4 * b * along
    torch.testing.assert_close(flow(F, graph.gradient).detach(), expected, **CLOSE)
    G = graph.gradient.to_dense()
    torch.testing.assert_close(G.T @ G, graph.laplacian.to_dense(), **CLOSE)


@pytest.mark.parametrize("seed", range(3))
def test_cgnn_against_dense_euler_and_the_limit_of_its_source(seed):
    graph, F0 = random_graph(7, seed), normal(7, 2, 3, seed=seed)
    flow, Δ = CGNN(SEEDS, 3, time=1.3, step=0.5).double(), graph.laplacian.to_dense()
    F = F0.clone()
    for τ in (0.5, 0.5, 0.3):
        F = F + τ * (torch.einsum("nrd,rde->nre", F, flow.Ω()) - torch.einsum("ij,jrd->ird", Δ, F) + F0)
    torch.testing.assert_close(flow(F0, graph.laplacian), F, **CLOSE)
    with torch.no_grad():  # Ω̃ = −I: the limit solves (Δ + I) F = F(0)
        flow.Ω.free.copy_(-torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    flow.steps = [0.5] * 200
    limit = torch.linalg.solve(Δ + torch.eye(7, dtype=torch.float64), F0.flatten(1)).view(F0.shape)
    torch.testing.assert_close(flow(F0, graph.laplacian), limit, **CLOSE)


# --- attention -----------------------------------------------------------------------------------


def dense_attention(flow: GRAND, F: Tensor, pattern: Tensor) -> Tensor:
    """𝒜 of every replica as matrices ``[R, n, n]``."""
    n, R, d = F.shape
    out = []
    for r in range(R):
        q = (F[:, r] @ flow.query.weight[r] + flow.query.bias[r]).view(n, flow.heads, -1)
        k = (F[:, r] @ flow.key.weight[r] + flow.key.bias[r]).view(n, flow.heads, -1)
        score = torch.einsum("ihc,jhc->hij", q, k) / math.sqrt(d // flow.heads)
        out.append(score.masked_fill(pattern == 0, -math.inf).softmax(-1).mean(0))
    return torch.stack(out)


@pytest.mark.parametrize("recomputed", [False, True])
def test_grand_against_dense_attention(recomputed):
    graph, F0 = random_graph(8, 1).with_self_loops(), normal(8, 2, 4)
    flow = GRAND(SEEDS, 4, time=1.0, step=0.4, heads=2, recomputed=recomputed).double()
    pattern, F = graph.adjacency.to_dense(), F0
    A = dense_attention(flow, F0, pattern)
    for τ in (0.4, 0.4, 0.2):
        A = dense_attention(flow, F, pattern) if recomputed else A
        F = F + τ * (torch.einsum("rij,jrd->ird", A, F) - F)
    out = flow(F0, graph.adjacency)
    torch.testing.assert_close(out, F, **CLOSE)
    weights, parameters = normal(8, 2, 4, seed=5), list(flow.parameters())
    ours = torch.autograd.grad((out * weights).sum(), parameters)
    theirs = torch.autograd.grad((F * weights).sum(), parameters)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_linear_grand_ends_in_one_vector():
    graph, F0 = random_graph(8, 2).with_self_loops(), normal(8, 2, 4)
    out = GRAND(SEEDS, 4, time=400.0, step=1.0).double()(F0, graph.adjacency)
    torch.testing.assert_close(out, out[:1].expand_as(out), **CLOSE)


def test_compiled_edge_loops_have_the_gradients_of_their_formulas():
    graph = random_graph(6, 4)
    edges, E = Edges(graph.adjacency, 3), graph.adjacency.col_indices().numel()
    w, G, H = normal(E, 3), normal(6, 3, 2, seed=1), normal(6, 3, 2, seed=2)
    for x in (w, G, H):
        x.requires_grad_()
    assert torch.autograd.gradcheck(lambda w, H: edge_sum(edges, w, H), (w, H))
    assert torch.autograd.gradcheck(lambda G, H: edge_inner(edges, G, H), (G, H))
    assert torch.autograd.gradcheck(lambda w: edge_softmax(edges, w), (w,))
    a, b = normal(3, 2, seed=3).requires_grad_(), normal(3, 2, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(lambda *x: additive_scores(edges, *x, 0.2), (H, a, b))
    ends = (H * b).sum(-1)[edges.row] + (H * a).sum(-1)[edges.col]
    torch.testing.assert_close(
        additive_scores(edges, H, a, b, 0.2), torch.nn.functional.leaky_relu(ends, 0.2), **CLOSE
    )
    by_hand = torch.zeros(6, 3, 2, dtype=torch.float64)
    by_hand.index_add_(0, edges.row, (w.unsqueeze(-1) * H[edges.col]).detach())
    torch.testing.assert_close(edge_sum(edges, w, H).detach(), by_hand, **CLOSE)
    torch.testing.assert_close(edge_inner(edges, G, H), (G[edges.row] * H[edges.col]).sum(-1), **CLOSE)


def test_block_products_of_other_devices_equal_the_compiled_loop():
    graph = random_graph(7, 5)
    edges, E = Edges(graph.adjacency, 2), graph.adjacency.col_indices().numel()
    w, H = normal(E, 2), normal(7, 2, 3, seed=1)
    crow, col, flat = edges._blocks
    matrix = torch.sparse_csr_tensor(crow, col, w.reshape(-1)[flat], (14, 14))
    torch.testing.assert_close((matrix @ H.reshape(14, 3)).view(7, 2, 3), edges.product(w, H), **CLOSE)


def test_residual_attention_adds_to_what_it_had():
    graph, F = random_graph(8, 0).with_self_loops(), normal(8, 2, 4)
    plain, residual = (
        GAT(SEEDS, 4, 1, dropout=[0.0, 0.0], heads=2, residual=flag).double() for flag in (False, True)
    )
    torch.testing.assert_close(residual(F, graph.adjacency), F + plain(F, graph.adjacency), **CLOSE)


# --- waves ---------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_wave_from_rest_is_a_cosine_and_keeps_its_energy(seed):
    graph, F = random_graph(8, seed), normal(8, 2, 3, seed=seed)
    λ, φ = torch.linalg.eigh(graph.laplacian.to_dense())
    cosine = φ @ torch.diag((2.0 * λ.clamp_min(0).sqrt()).cos()) @ φ.T
    exact = torch.einsum("ij,jrd->ird", cosine, F)
    errors = [(Wave(time=2.0, step=h)(F, graph.laplacian) - exact).norm().item() for h in (0.02, 0.01)]
    assert order(errors) == pytest.approx(1, abs=0.15)
    late = Wave(time=300.0, step=0.1)(F, graph.laplacian)
    assert (dirichlet_energy(graph, late) < 1.2 * dirichlet_energy(graph, F)).all()
    assert (late.norm(dim=(0, 2)) > 1e-3 * F.norm(dim=(0, 2))).all()


@pytest.mark.parametrize("inner", ["gcn", "gat"])
def test_graphcon_against_layers_of_torch_geometric(inner):
    graph, F0 = random_graph(9, 3), normal(9, 2, 4)
    flow = GraphCON(
        SEEDS, 4, inner, dropout=[0.0, 0.0], time=1.5, step=0.5, damping=0.7, stiffness=0.3, heads=2
    ).double()
    loops = graph.with_self_loops()
    out = flow(F0, loops.norm_adjacency if inner == "gcn" else loops.adjacency)
    for r in range(2):
        theirs = (GCNConv(4, 4) if inner == "gcn" else GATConv(4, 2, 2)).double()
        with torch.no_grad():
            theirs.lin.weight.copy_(flow.inner.linear.weight[r].T)
            if inner == "gat":
                theirs.att_src.copy_(flow.inner.source[r][None])
                theirs.att_dst.copy_(flow.inner.target[r][None])
        X = Y = F0[:, r]
        for _ in range(3):
            Y = Y + 0.5 * (theirs(X, graph.edge_index).relu() - 0.3 * X - 0.7 * Y)
            X = X + 0.5 * Y
        torch.testing.assert_close(out[:, r], X, **CLOSE)


def test_what_is_refused():
    with pytest.raises(ValueError, match="5 channels cannot be shared by 4 heads"):
        GRAND([0], 5, time=1.0, step=1.0)
    with pytest.raises(ValueError, match="it must be gcn or gat"):
        GraphCON([0], 4, "mlp", dropout=[0.0], time=1.0, step=1.0)


# --- replicas, batch normalisation, linear layers ------------------------------------------------

FLOWS = {
    "harmonic": lambda seeds: Harmonic(seeds, 4, time=1.0, step=0.5),
    "pde-gcn": lambda seeds: PDEGCN(seeds, 4, time=1.0, step=0.5),
    "cgnn": lambda seeds: CGNN(seeds, 4, time=1.0, step=0.5),
    "grand": lambda seeds: GRAND(seeds, 4, time=1.0, step=0.5, recomputed=True),
    "graphcon": lambda seeds: GraphCON(seeds, 4, dropout=[0.5] * len(seeds), time=1.0, step=0.5),
    "graff, batch norm": lambda seeds: GRAFF(seeds, 4, "dd", time=1.0, step=0.5, batch_norm=True),
}


@pytest.mark.parametrize("name", FLOWS)
def test_a_replica_is_the_model_alone(name):
    graph, F = random_graph(9, 0).with_self_loops(), normal(9, 2, 4).float()
    operator = (graph.gradient if name == "pde-gcn" else graph.norm_adjacency).float()
    together = FLOWS[name](SEEDS)(F, operator)
    for r, seed in enumerate(SEEDS):
        alone = FLOWS[name]([seed])(F[:, r : r + 1], operator)
        torch.testing.assert_close(together[:, r : r + 1], alone, rtol=1e-5, atol=1e-6)


def test_batch_norm_equals_that_of_torch_in_training_and_evaluation():
    ours, theirs = BatchNorm(2, 3).double(), [torch.nn.BatchNorm1d(3).double() for _ in range(2)]
    with torch.no_grad():
        ours.weight.copy_(normal(2, 3, seed=9))
        for r in range(2):
            theirs[r].weight.copy_(ours.weight[r])
    for evaluating in (False, False, True):
        ours.train(not evaluating)
        F = 2 + 3 * normal(20, 2, 3, seed=int(evaluating))
        out = ours(F)
        for r in range(2):
            theirs[r].train(not evaluating)
            torch.testing.assert_close(out[:, r], theirs[r](F[:, r]), **CLOSE)
    assert not ours.mean.requires_grad
    assert (ours.mean != 0).all()


def test_graff_passes_through_the_states_of_its_trajectory():
    graph, F0 = random_graph(9, 1), normal(9, 2, 4).float()
    for structure, relu in (("diag", False), ("dd", False), ("sum", True)):
        flow = GRAFF(SEEDS, 4, structure, time=1.2, step=0.5, relu=relu, time_dependent=relu)
        with torch.no_grad():
            flow.β.fill_(0.3)
        states = flow.trajectory(F0, graph.norm_adjacency.float())
        assert len(states) == 4
        torch.testing.assert_close(states[-1], flow(F0, graph.norm_adjacency.float()), rtol=1e-5, atol=1e-6)


def test_a_linear_convolution_is_a_power_of_the_adjacency():
    graph, F = random_graph(9, 2), normal(9, 1, 3)
    flow = GCN([0], 3, 2, dropout=[0.0], linear=True).double()
    W = [layer.linear.weight[0].detach() for layer in flow.layers]
    Ā = graph.norm_adjacency.to_dense()
    expected = np.linalg.matrix_power(Ā.numpy(), 2) @ (F[:, 0] @ W[0] @ W[1]).numpy()
    np.testing.assert_allclose(flow(F, graph.norm_adjacency)[:, 0].detach().numpy(), expected, rtol=1e-10)


def test_entries_of_more_nodes_than_a_square_of_32_bits_holds_are_mirrored():
    n = 50_000  # n² > 2³¹
    around = torch.arange(n)
    ends = torch.stack([torch.cat([around, (around + 1) % n]), torch.cat([(around + 1) % n, around])])
    pattern = torch.sparse_coo_tensor(ends, torch.ones(2 * n), (n, n)).coalesce().to_sparse_csr()
    parts = (x.int() for x in (pattern.crow_indices(), pattern.col_indices()))
    edges = Edges(torch.sparse_csr_tensor(*parts, pattern.values(), (n, n)), 1)
    mirrored, order = edges.transposed
    assert mirrored is edges
    assert torch.equal(edges.row[order], edges.col.long()) and torch.equal(edges.col[order].long(), edges.row)
