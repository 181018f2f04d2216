"""Integrators: orders measured by halving the step, against the exact solution, and gradients against each other."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from random_graphs import random_graph

from flowprune.flows.gradient import GRAFF, STRUCTURES
from flowprune.flows.integrators import adaptive, euler, exact, rk4

T, D, N = 1.5, 3, 8


def case(structure: str = "dd", relu: bool = False, seeds: tuple[int, ...] = (1, 2), **options):
    """A flow in float64 with a source, its graph and F(0)."""
    graph = random_graph(N, 5)
    flow = GRAFF(seeds, D, structure, time=T, step=T / 8, relu=relu, **options).double()
    with torch.no_grad():
        flow.β.copy_(torch.linspace(0.5, -0.3, len(seeds)).unsqueeze(1))
    g = torch.Generator().manual_seed(0)
    return flow, torch.randn(N, len(seeds), D, generator=g, dtype=torch.float64), graph.norm_adjacency


def velocity(flow, F0, adjacency):
    return lambda F: flow.velocity(F, F0, adjacency)


def orders(integrator, wanted, v, F0, counts):
    errors = [((integrator(v, F0, [T / m] * m) - wanted).norm() / wanted.norm()).item() for m in counts]
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:])), errors


@pytest.mark.parametrize("structure", STRUCTURES)
def test_exact_is_the_matrix_exponential_with_its_source(structure):
    """vec F(T) = e^{TL} vec F(0) + ∫ e^{(T−s)L} β vec F(0) ds, as one exponential of an augmented matrix."""
    flow, F0, adjacency = case(structure)
    found = exact(flow, F0, adjacency, T)
    A = adjacency.to_dense().numpy()
    for r in range(2):
        W, Ω = flow.W[0].matrix()[r].numpy(), np.diag(flow.ω[r].detach().numpy())
        L = np.kron(W.T, A) - np.kron(Ω, np.eye(N))
        f = F0[:, r].numpy().flatten("F")
        augmented = np.block([[L, (flow.β[r].item() * f)[:, None]], [np.zeros((1, N * D + 1))]])
        wanted = (scipy.linalg.expm(T * augmented) @ np.append(f, 1))[:-1].reshape(N, D, order="F")
        np.testing.assert_allclose(found[:, r].numpy(), wanted, rtol=1e-11, atol=1e-11)


def test_exact_holds_where_an_exponent_vanishes():
    """Ω = 0 and W = 0: nothing moves but by the source, F(T) = (1 + βT) F(0)."""
    flow, F0, adjacency = case("diag", omega="zero")
    with torch.no_grad():
        flow.W[0].w.zero_()
    torch.testing.assert_close(exact(flow, F0, adjacency, T), F0 * (1 + T * flow.β.detach()))


@pytest.mark.parametrize("options", [{"relu": True}, {"time_dependent": True}, {"batch_norm": True}])
def test_flows_without_a_closed_solution_are_refused(options):
    flow, F0, adjacency = case(**options)
    with pytest.raises(ValueError, match="exact: the flow must be linear with one W"):
        exact(flow, F0, adjacency, T)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_order_of_euler_is_one_and_of_rk4_four(structure):
    flow, F0, adjacency = case(structure)
    v, wanted = velocity(flow, F0, adjacency), exact(flow, F0, adjacency, T)
    found, errors = orders(euler, wanted, v, F0, (128, 256, 512))
    assert np.all(np.abs(found - 1) < 0.05), found
    assert errors[-1] > 1e-4
    found, errors = orders(rk4, wanted, v, F0, (32, 64, 128))
    assert np.all(np.abs(found - 4) < 0.1), found
    assert errors[-1] < 1e-6


def test_rk4_has_order_four_for_a_velocity_that_is_not_linear():
    """Ḟ = F − F³ has the solution F(0)eᵗ/√(1 + F(0)²(e²ᵗ − 1)); a Taylor polynomial of the linear part would fail."""
    F0 = torch.linspace(-0.9, 0.8, 6, dtype=torch.float64).view(2, 1, 3)
    grown = np.exp(T)
    wanted = F0 * grown / (1 + F0.square() * (grown**2 - 1)).sqrt()
    found, _ = orders(rk4, wanted, lambda F: F - F**3, F0, (16, 32, 64))
    assert np.all(np.abs(found - 4) < 0.2), found
    found, _ = orders(euler, wanted, lambda F: F - F**3, F0, (128, 256, 512))
    assert np.all(np.abs(found - 1) < 0.05), found


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("structure", ["diag", "dd"])
def test_euler_on_the_velocity_is_the_fused_flow(structure, relu):
    flow, F0, adjacency = case(structure, relu)
    found = euler(velocity(flow, F0, adjacency), F0, flow.steps)
    torch.testing.assert_close(found, flow(F0, adjacency), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
def test_the_adaptive_method_keeps_its_tolerance(rtol):
    flow, F0, adjacency = case()
    calls = 0

    def counted(F):
        nonlocal calls
        calls += 1
        return flow.velocity(F, F0, adjacency)

    found, wanted = adaptive(counted, F0, T, rtol=rtol), exact(flow, F0, adjacency, T)
    error = ((found - wanted).square().mean() / wanted.square().mean()).sqrt().item()
    assert error < 10 * rtol  # each step keeps the tolerance, a few of them add up
    assert calls < 300


def test_the_adaptive_method_works_for_as_much_accuracy_as_is_asked():
    flow, F0, adjacency = case()
    wanted = exact(flow, F0, adjacency, T)
    errors = [
        (adaptive(velocity(flow, F0, adjacency), F0, T, rtol=rtol) - wanted).norm().item()
        for rtol in (1e-2, 1e-5, 1e-8)
    ]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


@pytest.mark.parametrize("structure", ["diag", "dd", "neg-prod"])
@pytest.mark.parametrize("relu", [False, True])
def test_gradients_through_all_integrators_agree(structure, relu):
    """Within the error that each of them makes: tiny for RK4 and dopri5, of order τ for Euler."""
    flow, F0, adjacency = case(structure, relu)
    F0.requires_grad_()
    inputs = [F0, *flow.parameters()]
    weight = torch.randn(F0.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    v = velocity(flow, F0, adjacency)
    outs = {
        "dopri5": adaptive(v, F0, T, rtol=1e-10, atol=1e-12),
        "rk4": rk4(v, F0, [T / 400] * 400),
        "euler": euler(v, F0, [T / 400] * 400),
        "coarse euler": euler(v, F0, [T / 4] * 4),
    }
    gradients = {name: torch.autograd.grad((out * weight).sum(), inputs) for name, out in outs.items()}
    size = max(g.abs().max().item() for g in gradients["rk4"])

    def apart(name: str) -> float:
        pairs = zip(gradients[name], gradients["rk4"], strict=True)
        return max((a - b).abs().max().item() for a, b in pairs) / size

    assert apart("dopri5") < (1e-3 if relu else 1e-8)  # the kinks of ReLU lower every order
    assert apart("euler") < 0.05
    assert apart("coarse euler") > 2 * apart("euler")
