"""GATs read as maps: the sparse map is the network's layer, and its readings are those of dense matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from flowprune.dynamics.jacobian import Jacobian
from flowprune.dynamics.oversmoothing import coefficient
from flowprune.experiments import attention
from flowprune.experiments.attention import AttentionTrial, Head
from flowprune.experiments.nodes import build, operator, prepared
from flowprune.experiments.theory.attention import Layer, printed_jacobian

SMALL = "syn-cora?homophily=0.8&n=60"


def trials(**fields):
    return attention.maps({SMALL: 1}, depth=2, snapshots=(1, 3), **fields)


@pytest.fixture(scope="module")
def row() -> dict:
    [(_, row)] = AttentionTrial.run(trials())
    return row


def network():
    [t] = trials()
    graph = prepared(t.dataset, t.component)
    return t, graph, build(graph, [t]).eval()


def test_the_map_is_the_layer_of_the_network():
    t, graph, model = network()
    with torch.no_grad():
        X = model.encoder()
        expected = model.flow(X, operator(graph, t))[:, 0]
    found = X[:, 0].double()
    for layer in model.flow.layers:
        found = Head(layer, operator(graph, t))(found)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_readings_are_those_of_dense_matrices(row):
    t, graph, model = network()
    layer = model.flow.layers[0]
    head = Head(layer, operator(graph, t))
    edge = operator(graph, t).to_dense() > 0
    dense = Layer(edge, head.W, head.target, head.source, head.bias)
    with torch.no_grad():
        X = model.encoder()[:, 0].double()
    np.testing.assert_allclose(dense(X), head(X), atol=1e-12)
    assert row["mu_at_0"][0] == pytest.approx(coefficient(X).item())
    assert row["norm_at_0"][0] == pytest.approx(dense.norm)
    moduli = np.linalg.eigvals(dense.attention(X).numpy())
    assert row["second_at_0"][0] == pytest.approx(np.sort(abs(moduli))[-2])
    J = Jacobian(dense, X).dense()
    assert row["radius_at_0"][0] == pytest.approx(abs(np.linalg.eigvals(J.numpy())).max(), rel=1e-3)
    missing = ((J - printed_jacobian(dense, X)).norm() / J.norm()).item()
    assert row["omitted_at_0"][0] == pytest.approx(missing, rel=0.3)  # eight random directions
    equal = Jacobian(dense, torch.zeros_like(X))  # without bias all nodes settle at zero
    assert row["fixed_at_0"][0] == pytest.approx(equal.radius(), rel=1e-3)
    assert row["constant_at_0"][0] > row["norm_at_0"][0]


def test_the_network_is_read_while_it_trains(row):
    assert {"norm_at_0", "norm_at_1", "norm_at_3"} <= set(row)
    assert row["norm_at_0"] != row["norm_at_1"] != row["norm_at_3"]
    assert len(row["mu_at_3"]) == 3
    [(_, longer)] = AttentionTrial.run(attention.maps({SMALL: 1}, depth=2, snapshots=(1, 4)))
    assert longer["norm_at_1"] == row["norm_at_1"]


def test_the_walk_is_that_of_the_graph_with_loops(row):
    _, graph, _ = network()
    A = graph.with_self_loops().adjacency.to_dense().double()
    moduli = torch.linalg.eigvals(A / A.sum(1, keepdim=True)).abs().sort().values
    assert row["walk"] == pytest.approx(moduli[-2].item())


def test_the_second_eigenvalue_of_a_large_chain_is_found_by_iteration():
    """A cycle with loops has the eigenvalues (1 + 2cos(2πk/n))/3."""
    n = 500
    ring = sp.csr_array(
        (
            np.full(3 * n, 1 / 3),
            ((np.arange(n)[:, None] + [0, 1, -1]) % n).ravel(),
            np.arange(0, 3 * n + 1, 3),
        )
    )
    assert attention.second(ring) == pytest.approx((1 + 2 * np.cos(2 * np.pi / n)) / 3, abs=1e-6)


def test_a_layer_that_does_not_settle_has_no_radius_at_its_fixed_point():
    t, graph, model = network()
    layer = model.flow.layers[0]
    with torch.no_grad():
        layer.linear.weight.copy_(2 * torch.eye(32)[None])
        layer.bias.fill_(1.0)
    assert Head(layer, operator(graph, t)).fixed(steps=50) is None


def test_the_condition_is_counted_by_network():
    table = pd.DataFrame(
        {
            "norm_at_0": [[0.9, 0.8], [0.9, 1.1]],
            "norm_at_3": [[1.2, 0.8], [2.0, 1.1]],
            "radius_at_0": [[0.1, 0.3], [0.5, 0.7]],
            "radius_at_3": [[0.5, 1.5], [1.1, 0.9]],
            "omitted_at_3": [[0.1, 0.1], [0.3, 0.1]],
        }
    )
    assert attention.condition_met(table, 3) == {
        "networks": 2,
        "satisfied": 0.0,
        "satisfied_at_first": 0.5,
        "radius_at_first": 0.4,
        "radius": 1.0,
        "expanding": 0.5,
        "omitted": 0.1,
    }
