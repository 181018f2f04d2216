"""The DYNAMO rule against dense covariances and its own formula written out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import random_graph

from flowprune.pruning.dynamo import Dynamo, drawn_covariance, edge_covariance


def states(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(2, 30), st.integers(0, 10**6), st.integers(2, 9))
def test_covariance_on_edges_is_that_of_the_dense_matrix(n, seed, d):
    row, col = random_graph(n, seed).edge_index
    H = states(seed, n, 2, d)
    ours = edge_covariance(H, row, col)
    for r in range(2):
        C = np.cov(H[:, r].numpy())
        expected = (C[row, row], C[col, col], C[row, col])
        for mine, dense in zip(ours, expected, strict=True):
            np.testing.assert_allclose(mine[:, r], dense, atol=1e-12)


def test_drawn_covariance_averages_channels_and_finds_the_expectation():
    """H = S ξ with white ξ has the covariance S Sᵀ; 20,000 draws come within five standard errors."""
    row, col = random_graph(6, 1).edge_index
    S, draws = states(0, 6, 6), 20_000
    H = torch.einsum("ij,sjk->sik", S, states(1, draws, 6, 2)) + 3.0
    found = drawn_covariance(H, row, col)[2]
    by_channel = [np.cov(H[:, :, k].T.numpy())[row, col] for k in range(2)]
    np.testing.assert_allclose(found, np.mean(by_channel, 0), atol=1e-12)
    C = S @ S.T
    error = ((C[row, row] * C[col, col] + C[row, col] ** 2) / (2 * draws)).sqrt()
    assert ((found - C[row, col]).abs() < 5 * error).all()


@pytest.mark.parametrize("sign", ["minus", "plus", "correlation", "none"])
@pytest.mark.parametrize("layer", [0, 3])
def test_strength_is_the_formula_edge_by_edge(sign, layer):
    rule = Dynamo(sign=sign, rate=0.2, growth=0.5, beta=2.0)
    row, col = random_graph(8, 2).edge_index
    α, H = states(3, len(row)).sigmoid(), states(4, 8, 5)
    C = np.cov(H.numpy())
    scores = []
    for i, j in zip(row.tolist(), col.tolist(), strict=True):
        scores.append(
            {
                "minus": C[i, i] + C[j, j] - 2 * C[i, j],
                "plus": C[i, i] + C[j, j] + 2 * C[i, j],
                "correlation": max(C[i, j], 0) / np.sqrt(C[i, i] * C[j, j]),
                "none": 1.0,
            }[sign]
        )
    a = α.numpy()
    τ = np.mean(a) + 2.0 * np.std(a)
    expected = 0.2 * (1 + 0.5 * layer) * a / τ * np.array(scores) / np.mean(scores)
    found = rule.strength(α, edge_covariance(H, row, col), layer)
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), rtol=1e-10)


def test_means_are_taken_over_what_is_left():
    rule = Dynamo(beta=0.7)
    row, col = random_graph(8, 2).edge_index
    α, H = states(3, len(row), 1).sigmoid(), states(4, 8, 1, 5)
    alive = states(5, len(row), 1) > 0
    part = alive[:, 0]
    whole = rule.strength(α, edge_covariance(H, row, col), alive=alive)
    alone = rule.strength(α[part], edge_covariance(H, row[part], col[part]))
    torch.testing.assert_close(whole[part], alone)


def test_edges_weaken_and_leave_below_the_floor():
    w = torch.tensor([[1.0], [0.2], [0.0], [0.5]], dtype=torch.float64)
    p = torch.tensor([[0.5], [0.6], [0.3], [0.0]], dtype=torch.float64)
    assert Dynamo(floor=0.1).weaken(w, p).flatten().tolist() == [0.5, 0.0, 0.0, 0.5]


def test_no_more_edges_leave_than_the_limit_allows_and_the_weakest_go_first():
    w = torch.ones(10, 1)
    p = torch.linspace(0.91, 0.99, 10).unsqueeze(1)
    left = Dynamo(floor=0.1, limit=0.3).weaken(w, p).flatten()
    assert (left == 0).nonzero().flatten().tolist() == [7, 8, 9]
    assert (left[:7] == 1).all()  # below the floor but beyond the limit: they stay as they were
    again = Dynamo(floor=0.1, limit=0.3).weaken(left.unsqueeze(1), p).flatten()
    assert torch.equal(again, left)


def test_one_shot_removes_the_share_at_once_and_only_once():
    rule = Dynamo(gradual=False, limit=0.25)
    p = torch.tensor([[0.1], [0.4], [0.2], [0.3], [0.0], [0.0], [0.0], [0.0]])
    w = rule.weaken(torch.ones(8, 1), p)
    assert w.flatten().tolist() == [1, 0, 1, 0, 1, 1, 1, 1]
    assert torch.equal(rule.weaken(w, p.flip(0)), w)


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"sign": "both"}, "sign 'both' must be minus, plus, correlation or none"),
        ({"noise": -1.0}, "noise = -1.0 must be at least 0"),
        ({"rate": float("nan")}, "rate = nan must be at least 0"),
        ({"floor": 1.0}, "floor = 1.0 and limit = 1.0"),
        ({"limit": 1.5}, "limit = 1.5 must lie in"),
        ({"draws": 1}, "draws = 1 must be 0 or at least 2"),
    ],
)
def test_values_out_of_range_are_refused(fields, sentence):
    with pytest.raises(ValueError, match="DYNAMO") as error:
        Dynamo(**fields)
    assert sentence in str(error.value)
