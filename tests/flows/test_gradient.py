"""GRAFF against its formula, automatic differentiation, the matrix exponential and its own compiled loop."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph

from flowprune.flows.diffusion import Heat
from flowprune.flows.gradient import (
    GRAFF,
    STRUCTURES,
    ChannelMixing,
    _DiagonalTrajectory,
    _Trajectory,
    steps_of,
)


def dense_trajectory(A, F0, W, ω, β, steps, relu):
    """The equation, written once more in dense matrices for automatic differentiation."""
    F = F0
    for m, τ in enumerate(steps):
        Wm = W[min(m, len(W) - 1)]
        mixed = torch.einsum("ij,jrc->irc", A, F)
        mixed = mixed * Wm if Wm.dim() == 2 else torch.einsum("irc,rcd->ird", mixed, Wm)
        update = -F * ω + mixed + β * F0
        F = F + τ * (update.relu() if relu else update)
    return F


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    diagonal=st.booleans(),
    relu=st.booleans(),
    layers=st.sampled_from([1, 3]),
    R=st.integers(1, 3),
)
def test_the_handwritten_adjoint_equals_automatic_differentiation(seed, diagonal, relu, layers, R):
    g = torch.Generator().manual_seed(seed)
    graph, d, steps = random_graph(9, seed), 4, [0.5, 0.5, 0.2]
    shape = (layers, R, d) if diagonal else (layers, R, d, d)
    inputs = [
        torch.randn(*s, generator=g, dtype=torch.float64, requires_grad=True)
        for s in ((9, R, d), shape, (R, d), (R, 1))
    ]
    expected = dense_trajectory(graph.norm_adjacency.to_dense(), *inputs, steps, relu)
    weights = torch.randn(9, R, d, generator=g, dtype=torch.float64)
    wanted = torch.autograd.grad((expected * weights).sum(), inputs)
    functions = [lambda *x: _Trajectory.apply(graph.norm_adjacency, *x, steps, relu)]
    if diagonal and not relu:
        functions.append(lambda *x: _DiagonalTrajectory.apply(graph.norm_adjacency, *x, steps))
    for function in functions:
        out = function(*inputs)
        torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
        for got, want in zip(torch.autograd.grad((out * weights).sum(), inputs), wanted, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def test_compiled_and_torch_trajectories_agree_in_single_precision():
    graph = random_graph(60, 1).to(dtype=torch.float32)
    g = torch.Generator().manual_seed(1)
    F0, W, ω, β = (torch.randn(*s, generator=g) for s in ((60, 5, 16), (1, 5, 16), (5, 16), (5, 1)))
    steps = steps_of(3.0, 0.25)
    compiled = _DiagonalTrajectory.apply(graph.norm_adjacency, F0, W, ω, β, steps)
    generic = _Trajectory.apply(graph.norm_adjacency, F0, W, ω, β, steps, False)
    torch.testing.assert_close(compiled, generic, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_linear_flow_tends_to_the_matrix_exponential_with_order_one(structure):
    """vec F(T) = exp(T (W ⊗ Ā − Ω ⊗ I)) vec F(0); halving τ halves the error of explicit Euler."""
    graph, d, T = random_graph(7, 5), 3, 1.0
    F0 = torch.randn(7, 1, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = []
    for step in (1 / 64, 1 / 128, 1 / 256):
        flow = GRAFF([3], d, structure, time=T, step=step, source=False).double()
        A, W = graph.norm_adjacency.to_dense().numpy(), flow.W[0].matrix()[0].numpy()
        Ω = np.diag(flow.ω[0].detach().numpy())
        generator = np.kron(W.T, A) - np.kron(Ω, np.eye(7))
        exact = (scipy.linalg.expm(T * generator) @ F0[:, 0].numpy().flatten("F")).reshape(7, d, order="F")
        errors.append(np.abs(flow(F0, graph.norm_adjacency)[:, 0].detach().numpy() - exact).max())
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert errors[-1] < 0.05
    assert np.all(np.abs(orders - 1) < 0.1), orders


def test_heat_tends_to_the_matrix_exponential_with_order_one():
    graph = random_graph(8, 2)
    F0 = torch.randn(8, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    Δ = graph.laplacian.to_dense().numpy()
    exact = np.einsum("ij,jrc->irc", scipy.linalg.expm(-1.5 * Δ), F0.numpy())
    errors = [
        np.abs(Heat(time=1.5, step=τ)(F0, graph.laplacian).numpy() - exact).max()
        for τ in (1 / 50, 1 / 100, 1 / 200)
    ]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(np.abs(orders - 1) < 0.05), orders


@pytest.mark.parametrize("structure", STRUCTURES)
def test_channel_mixing_is_symmetric_with_the_promised_spectrum(structure):
    W = ChannelMixing(range(20), 6, structure).double().matrix()
    torch.testing.assert_close(W, W.mT, rtol=0, atol=0)
    eigenvalues = torch.linalg.eigvalsh(W)
    if structure == "prod":
        assert eigenvalues.min() > -1e-12
    if structure == "neg-prod":
        assert eigenvalues.max() < 1e-12
    if structure in ("sum", "diag", "dd"):
        assert eigenvalues.min() < 0 < eigenvalues.max()


def test_diagonally_dominant_mixing_obeys_gershgorin():
    mixing = ChannelMixing([0, 1], 5, "dd").double()
    W = mixing.matrix()
    diagonal = W.diagonal(dim1=-2, dim2=-1)
    radius = W.abs().sum(-1) - diagonal.abs()
    torch.testing.assert_close(diagonal, (mixing.q * radius + mixing.r).detach())
    eigenvalues = torch.linalg.eigvalsh(W)
    assert (eigenvalues[:, 0] >= (diagonal - radius).amin(-1) - 1e-12).all()
    assert (eigenvalues[:, -1] <= (diagonal + radius).amax(-1) + 1e-12).all()


def test_untrained_mixing_has_no_gradient():
    graph = random_graph(6, 0).to(dtype=torch.float32)
    flow = GRAFF([0], 4, "dd", trained=False, omega="zero", source=False)
    flow(torch.randn(6, 1, 4, requires_grad=True), graph.norm_adjacency).sum().backward()
    assert all(p.grad is None for p in flow.parameters())


def test_time_dependent_flow_uses_a_matrix_for_every_step():
    flow = GRAFF([0], 4, "sum", time=2.5, step=1.0, time_dependent=True)
    assert len(flow.W) == 3
    assert not torch.equal(flow.W[0].free, flow.W[1].free)


@pytest.mark.parametrize(
    ("time", "step", "expected"),
    [(3.0, 0.25, [0.25] * 12), (0.5756, 0.5, [0.5, 0.0756]), (0.3, 0.1, [0.1] * 3)],
)
def test_steps_end_at_the_time(time, step, expected):
    assert steps_of(time, step) == pytest.approx(expected)
    assert sum(steps_of(time, step)) == pytest.approx(time)


def test_wrong_settings_name_what_is_allowed():
    with pytest.raises(ValueError, match=r"unknown structure of W: 'full'; it must be one of sum, prod"):
        ChannelMixing([0], 3, "full")
    with pytest.raises(ValueError, match=r"must be positive, got time=1\.0, step=-1"):
        GRAFF([0], 3, step=-1, time=1.0)
    with pytest.raises(ValueError, match="unknown Ω: 'full'; it must be diag or zero"):
        GRAFF([0], 3, omega="full")
