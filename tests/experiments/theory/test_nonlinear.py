"""The non-linear flows on many graphs side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_graphs import random_graph

from flowprune.dynamics.energy import dirichlet_energy, normalised_energy
from flowprune.experiments.theory import nonlinear as theory
from flowprune.experiments.theory.smoothing import looped
from flowprune.graphs import Graph, load


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def some_graphs() -> list[Graph]:
    return [looped(random_graph(n, n), rng(n)) for n in (2, 5, 9)]


def test_graphs_side_by_side_do_not_touch():
    parts = some_graphs()
    union, member = theory.side_by_side(parts)
    blocks = torch.block_diag(*(part.adjacency.to_dense() for part in parts))
    assert torch.equal(union.adjacency.to_dense(), blocks)
    assert member.tolist() == [0] * 2 + [1] * 5 + [2] * 9
    F = torch.from_numpy(rng().standard_normal((union.n, 4, 3)))
    ρ = torch.tensor([part.rho for part in parts], dtype=torch.float64)
    energy, size = theory.relative_energies(union, member, F, ρ)
    for g, part in enumerate(parts):
        own = F[member == g]
        expected = [normalised_energy(part, own[:, r]).item() * 2 / part.rho for r in range(4)]
        np.testing.assert_allclose(energy[g], expected, rtol=1e-10)
        np.testing.assert_allclose(size[g], own.square().sum((0, 2)), rtol=1e-12)


def test_relu_on_edges_in_both_orders_is_the_linear_flow_at_half_its_speed():
    graph = some_graphs()[2]
    K = torch.from_numpy(rng(1).standard_normal((4, 3, 3)))
    F = torch.from_numpy(rng(2).standard_normal((graph.n, 4, 3)))
    both = theory.pde_gcn_step(graph, K, torch.relu, both=True)(F) - F
    linear = theory.pde_gcn_step(graph, K, lambda x: x)(F) - F
    torch.testing.assert_close(both, linear / 2, rtol=1e-10, atol=1e-12)


def test_relu_on_edges_in_one_order_descends_its_own_energy():
    """½‖ReLU(GFK)‖² never rises, with the step of the module."""
    graph = random_graph(9, 4)
    K = torch.from_numpy(rng(1).standard_normal((64, 3, 3)))
    F = torch.from_numpy(rng(2).standard_normal((graph.n, 64, 3)))
    step = theory.pde_gcn_step(graph, K, torch.relu)
    for _ in range(30):
        before, F = F, step(F)
        own = [
            torch.einsum("mrd,rde->mre", theory.apply(graph.gradient, X), K).relu().square().sum((0, 2))
            for X in (before, F)
        ]
        assert (own[1] <= own[0] * (1 + 1e-12)).all()


def test_relu_on_edges_in_one_order_can_raise_the_dirichlet_energy():
    """The smallest case: two edges out of one node, f = (0, −1, 5). ReLU silences the edge that holds the centre up."""
    star, K = load("star?n=3").to(dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
    F = torch.tensor([0.0, -1.0, 5.0], dtype=torch.float64).view(3, 1, 1)
    after = {σ: theory.pde_gcn_step(star, K, σ)(F) for σ in (torch.relu, torch.tanh)}
    E = {σ: dirichlet_energy(star, X).item() for σ, X in after.items()}
    before = dirichlet_energy(star, F).item()
    assert E[torch.relu] > before > E[torch.tanh]


def test_recomputed_attention_keeps_a_constant_and_the_isolated_node():
    graph = Graph.from_edges("path and node", [[0, 1], [1, 2]], 4, dtype=torch.float64)
    Q, K = (torch.from_numpy(rng(seed).standard_normal((2, 3, 3))) for seed in (1, 2))
    step = theory.grand_step(graph, Q, K)
    constant = torch.ones(4, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(step(constant), constant)
    F = torch.from_numpy(rng(3).standard_normal((4, 2, 3)))
    new = step(F)
    assert torch.equal(new[3], F[3])
    assert (new[:3].amax(0) <= F[:3].amax(0) + 1e-12).all()  # a mean of neighbours stays among them
    assert not torch.allclose(new[:3], F[:3])


def test_the_table_tells_the_linear_flow_from_the_others():
    measured = theory.measure(9, R=2, steps=150).set_index("model")
    assert measured.loc["PDE-GCN_D, linear", "low (%)"] > 80
    assert measured.loc["PDE-GCN_D, linear", "rises (%)"] == 0
    assert measured.loc["PDE-GCN_D, ReLU, one order", "low (%)"] < 50
    assert measured.loc["PDE-GCN_D, ReLU, one order", "rises (%)"] > 0
    assert (measured["high (%)"] == 0).all()
    assert measured.loc["GCN, ReLU, no bias", "median"] == pytest.approx(0, abs=0.1)
