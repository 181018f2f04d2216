"""GRAFF with a gate on every edge: against dense matrices, its energies, and GRAFF itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph

from flowprune.flows.gradient import GRAFF
from flowprune.flows.local import GATES, LocalGRAFF

D = 4


def features(n, R, seed=0):
    return torch.randn(n, R, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def local(seeds, gate, structure="diag", **settings):
    """A flow in double precision whose source and offset are not at their zeros."""
    flow = LocalGRAFF(seeds, D, structure, gate=gate, rank=6, **settings).double()
    with torch.no_grad():
        flow.β.fill_(0.3)
        if gate != "energy":
            flow.b.fill_(0.2)
    return flow


def dense_mixing(flow, r):
    """W₀ and W₁ of one replica as matrices, with their gradients."""
    return [torch.diag_embed(W) if W.dim() == 1 else W for W in (mixing()[r] for mixing in flow.W)]


def dense_gates(flow, r, F):
    """S [n, n] of one replica on all pairs, from the definition."""
    if flow.gate == "energy":
        return (F @ dense_mixing(flow, r)[1] @ F.T / D**0.5).tanh()
    u = F @ flow.ends.weight[r] + flow.ends.bias[r]
    J = torch.diag(torch.tensor([1.0, 1, 1, -1, -1, -1], dtype=F.dtype))
    return (u @ J @ u.T / 6**0.5 + flow.b[r]).tanh()


def dense_forward(flow, r, A, F0):
    """The Euler steps of one replica in dense matrices."""
    (W0, W1), F = dense_mixing(flow, r), F0
    for τ in flow.steps:
        S = dense_gates(flow, r, F0 if flow.gate == "fixed" else F)
        F = F + τ * (-F * flow.ω[r] + A @ F @ W0 + (A * S) @ F @ W1 + flow.β[r] * F0)
    return F


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**16), gate=st.sampled_from(GATES), structure=st.sampled_from(["diag", "dd"]))
def test_flow_and_gradients_equal_the_dense_computation(seed, gate, structure):
    graph, F0 = random_graph(9, seed), features(9, 2, seed).requires_grad_()
    flow = local([seed, seed + 1], gate, structure, time=1.2, step=0.5)
    A, weights = graph.norm_adjacency.to_dense(), features(9, 2, seed + 1)
    inputs = [F0, *flow.parameters()]
    out = flow(F0, graph.norm_adjacency)
    expected = torch.stack([dense_forward(flow, r, A, F0[:, r]) for r in range(2)], dim=1)
    torch.testing.assert_close(out, expected, rtol=1e-11, atol=1e-11)
    got, want = (torch.autograd.grad((x * weights).sum(), inputs) for x in (out, expected))
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gate", GATES)
def test_a_replica_equals_the_model_alone(gate):
    graph, F0 = random_graph(10, 3), features(10, 3)
    together = LocalGRAFF([5, 6, 7], D, "dd", gate=gate).double()(F0, graph.norm_adjacency)
    alone = LocalGRAFF([6], D, "dd", gate=gate).double()(F0[:, 1:2], graph.norm_adjacency)
    torch.testing.assert_close(together[:, 1:2], alone, rtol=1e-12, atol=1e-12)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**16), gate=st.sampled_from(GATES), structure=st.sampled_from(["diag", "sum"]))
def test_velocity_is_minus_the_gradient_of_its_energy(seed, gate, structure):
    """For the gate ``energy`` with S moving along; for the others with S held fast."""
    graph, F = random_graph(8, seed), features(8, 2, seed).requires_grad_()
    flow, F0, A = local([seed, 1], gate, structure), features(8, 2, 99), graph.norm_adjacency
    S = flow.gates(F, A).detach()
    (gradient,) = torch.autograd.grad(flow.energy(F, F0, A, S).sum(), F)
    torch.testing.assert_close(flow.velocity(F, F0, A, S), -gradient, rtol=1e-10, atol=1e-10)


def test_with_the_gate_moving_along_the_quadratic_energy_has_another_gradient():
    graph, F = random_graph(8, 1), features(8, 1).requires_grad_()
    flow, A = local([0], "recomputed"), graph.norm_adjacency
    S = flow.gates(F, A)
    (gradient,) = torch.autograd.grad(flow.energy(F, F.detach(), A, S).sum(), F)
    assert (flow.velocity(F, F.detach(), A, S) + gradient).abs().max() > 0.01


@pytest.mark.parametrize("gate", ["fixed", "energy"])
def test_energy_falls_along_a_gradient_flow(gate):
    graph, F0 = random_graph(12, 4), features(12, 2)
    flow, A = local([0, 1], gate), graph.norm_adjacency
    F, S, energies = F0, flow.gates(F0, A), []
    for _ in range(200):
        energies.append(flow.energy(F, F0, A, S))
        F = F + 0.005 * flow.velocity(F, F0, A, S if gate == "fixed" else flow.gates(F, A))
    assert (torch.stack(energies).diff(dim=0) < 0).all()


@pytest.mark.parametrize("gate", GATES)
def test_gates_are_symmetric_and_between_minus_one_and_one(gate):
    graph, F = random_graph(15, 2), features(15, 2)
    flow, A = local([0, 1], gate), graph.norm_adjacency
    S = flow.gates(F, A)
    for r in range(2):
        dense = torch.sparse_csr_tensor(A.crow_indices(), A.col_indices(), S[:, r], A.shape).to_dense()
        torch.testing.assert_close(dense, dense.T, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(dense, dense_gates(flow, r, F[:, r]) * (A.to_dense() != 0))
    assert S.abs().max() < 1
    assert S.min() < 0 < S.max()


@pytest.mark.parametrize("structure", ["diag", "dd"])
def test_without_the_gated_part_it_is_graff(structure):
    graph, F0 = random_graph(10, 0), features(10, 2)
    flow = local([3, 4], "recomputed", structure, time=2.5)
    graff = GRAFF([3, 4], D, structure, time=2.5).double()
    with torch.no_grad():
        for p in flow.W[1].parameters():
            p.zero_()
        for ours, theirs in zip(flow.W[0].parameters(), graff.W[0].parameters(), strict=True):
            theirs.copy_(ours)
        graff.ω.copy_(flow.ω)
        graff.β.copy_(flow.β)
    torch.testing.assert_close(flow(F0, graph.norm_adjacency), graff(F0, graph.norm_adjacency))


def test_fixed_and_recomputed_gates_part_at_the_second_step():
    graph, F0 = random_graph(10, 0), features(10, 1)
    for time, same in ((1.0, True), (2.0, False)):
        fixed, moving = (local([0], gate, time=time)(F0, graph.norm_adjacency) for gate in GATES[:2])
        assert torch.equal(fixed, moving) == same


def test_large_scores_do_not_overflow():
    graph, F = random_graph(6, 0), 1e3 * features(6, 1)
    flow, A = local([0], "energy"), graph.norm_adjacency
    energy = flow.energy(F, F, A, flow.gates(F, A))
    assert torch.isfinite(energy).all()


def test_wrong_settings_name_what_is_allowed():
    with pytest.raises(ValueError, match="unknown gate: 'open'; it must be one of fixed, recomputed, energy"):
        LocalGRAFF([0], D, gate="open")
    with pytest.raises(ValueError, match="rank = 5 must be an even number, at least 2"):
        LocalGRAFF([0], D, rank=5)
