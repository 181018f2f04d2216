"""Designed graphons: gradients against finite differences, the budget, and optima against searches."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from flowprune.limits.design import (
    OBJECTIVES,
    alignment,
    attach,
    best_spectrum,
    budgeted,
    design,
    learned,
    speed,
    top5,
)
from flowprune.limits.mlp import mlp
from flowprune.limits.ntk import graphon_ntk
from flowprune.limits.spectrum import metrics, predicted_loss

WIDTHS = (6, 40, 30, 3)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def data(N: int = 20, seed: int = 0):
    x = torch.rand(N, WIDTHS[0], generator=rng(seed), dtype=torch.float64)
    return x, torch.nn.functional.one_hot(torch.arange(N) % WIDTHS[-1]).double()


def graphons(seed: int, K: int = 3):
    shapes = ((K, WIDTHS[0]), (K, K), (WIDTHS[-1], K))
    return [torch.rand(*s, generator=rng(seed), dtype=torch.float64) * 0.8 + 0.1 for s in shapes]


def kernel(N: int = 20, seed: int = 0) -> torch.Tensor:
    J = torch.randn(N, 2 * N, generator=rng(seed), dtype=torch.float64)
    return J @ J.T + 5


# --- gradients -------------------------------------------------------------------------------------------


def test_the_kernel_has_the_gradient_of_finite_differences_on_its_diagonal_too():
    x, _ = data(4)
    x = torch.cat([x, x[:1], 2 * x[1:2]])  # one sample twice, and one of the same direction
    W = [w.requires_grad_() for w in graphons(1)]
    for counted in ("kept", "all"):
        assert torch.autograd.gradcheck(lambda *W: graphon_ntk(W, x, counted=counted), W)  # noqa: B023


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_have_the_gradient_of_finite_differences(name):
    _, y = data(9)
    K = kernel(9).requires_grad_()
    assert torch.autograd.gradcheck(lambda K: OBJECTIVES[name]((K + K.T) / 2, y), K)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), density=st.floats(0.01, 0.99))
def test_the_budget_is_met_and_differentiable(seed, density):
    z = [3 * torch.randn(s, generator=rng(seed), dtype=torch.float64) for s in ((2, 3), (2, 2))]
    W = budgeted(z, (50, 20), density)
    assert float(50 * W[0].mean() + 20 * W[1].mean()) / 70 == pytest.approx(density, rel=1e-12)
    order = torch.cat([w.flatten() for w in W]).argsort()
    assert torch.equal(order, torch.cat([v.flatten() for v in z]).argsort())
    z = [v.requires_grad_() for v in z]
    assert torch.autograd.gradcheck(lambda *z: tuple(budgeted(z, (50, 20), density)), z)


# --- objectives ------------------------------------------------------------------------------------------


def test_objectives_say_what_they_are_called():
    (_, y), K = data(), kernel()
    λ = np.linalg.eigvalsh(K.numpy())
    fall = sum(float(y[:, o] @ K @ y[:, o]) for o in range(3))
    assert speed(K, y).item() == pytest.approx(math.log(fall))
    assert alignment(K, y).item() == pytest.approx(math.log(fall / λ[-1] / len(y)))
    assert top5(K, y).item() == pytest.approx(math.log(metrics(K)["top5"]))
    for steps in (0, 1, 50):
        loss = predicted_loss(K, y, len(y) / λ[-1] / 2, torch.tensor([steps]))
        assert learned(K, y, steps).item() == pytest.approx(-math.log(loss.item()), rel=1e-9)


def test_speed_is_how_the_loss_begins_to_fall_at_one_rate():
    (_, y), K, η = data(), kernel(), 1e-5
    loss = predicted_loss(K, y, η, torch.tensor([0, 1]))
    assert float(loss[0] - loss[1]) == pytest.approx(η * speed(K, y).exp().item() / len(y) ** 2, rel=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 7.0])
def test_only_speed_sees_the_scale(scale):
    (_, y), K = data(), kernel()
    for name, f in OBJECTIVES.items():
        gain = (f(scale * K, y) - f(K, y)).item()
        assert gain == pytest.approx(math.log(scale) if name == "speed" else 0, abs=1e-9)


# --- designs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_design_beats_every_graphon_of_a_random_search(name):
    x, y = data(16)
    f = OBJECTIVES[name]
    found = design(x, y, WIDTHS, 0.7, f, cells=4, steps=120)
    assert len(found.history) == 121 and found.history[-1] > found.history[0]
    assert [tuple(w.shape) for w in found.graphons] == [(4, 6), (4, 4), (3, 4)]
    sizes = (240, 1200, 90)
    mean = sum(s * float(w.mean()) for s, w in zip(sizes, found.graphons, strict=True)) / sum(sizes)
    assert mean == pytest.approx(0.3, rel=1e-10)
    T = graphon_ntk(found.graphons, x)
    assert f(T, y).item() == pytest.approx(found.history[-1], rel=1e-12)
    flat = graphon_ntk([torch.full_like(w, 0.3) for w in found.graphons], x)
    assert T.trace() > 0.8 * flat.trace()
    for seed in range(60):
        z = [2 * torch.randn(w.shape, generator=rng(seed), dtype=torch.float64) for w in found.graphons]
        other = graphon_ntk(budgeted(z, sizes, 0.3), x)
        if other.trace() >= flat.trace():
            assert f(other, y).item() < found.history[-1]


def test_at_one_rate_a_narrow_dense_network_is_better_than_a_wide_sparse_one():
    """The scale of a narrow one of share f is f^L, that of a constant graphon c^{L+1}, and f² ≈ c."""
    x, _ = data()
    f, c, L = 0.5, 0.25, 3
    W = [torch.full((4, 6), c), *[torch.full((4, 4), c)] * (L - 1), torch.full((3, 4), c)]
    alive = (torch.arange(4) < 2).double()
    inner = alive[:, None] * alive
    narrow = [alive[:, None].expand(4, 6), *[inner] * (L - 1), alive.expand(3, 4)]
    full = graphon_ntk([torch.ones_like(w) for w in W], x)
    torch.testing.assert_close(graphon_ntk(narrow, x), f**L * full, rtol=1e-12, atol=0)
    torch.testing.assert_close(graphon_ntk(W, x), c ** (L + 1) * full, rtol=1e-12, atol=0)


def test_a_seed_is_a_design_and_another_seed_another():
    x, y = data(10)
    one, again, other = (design(x, y, WIDTHS, 0.5, cells=3, steps=3, seed=s).graphons for s in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0])


def test_masks_of_a_design_have_its_densities_and_one_position_a_unit():
    x, y = data(10)
    W = design(x, y, WIDTHS, 0.5, cells=2, steps=2).graphons
    W[0][1], W[1][:, 1] = 0, 0  # the second half of the first hidden layer is not there
    model = mlp((6, 4000, 40, 3), 0)
    masks = attach(model, W, 5)
    assert all(torch.equal(model[i].weight_mask != 0, m) for i, m in zip((0, 2, 4), masks, strict=True))
    assert not masks[0][2000:].any() and not masks[1][:, 2000:].any()
    assert float(masks[1][:20, :2000].double().mean()) == pytest.approx(float(W[1][0, 0]), abs=0.01)
    assert all(torch.equal(a, b) for a, b in zip(masks, attach(mlp((6, 4000, 40, 3), 1), W, 5), strict=True))
    with pytest.raises(ValueError, match="2 graphons do not fit 3 linear layers"):
        attach(model, W[:2])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sparsity": 1.0}, r"sparsity = 1\.0 is refused"),
        ({"widths": (6, 3)}, "widths must be 6 inputs"),
        ({"widths": (5, 4, 3)}, "widths must be 6 inputs"),
        ({"target": torch.zeros(3, 3)}, r"the target must be \[20, o\]"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    x, y = data()
    with pytest.raises(ValueError, match=said):
        design(**{"x": x, "target": y, "widths": WIDTHS, "sparsity": 0.5} | change)


# --- the best spectrum -----------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@example(e=[1.0, 2.0], trace=3.0, time=3.0)
@given(
    e=st.lists(st.floats(0.05, 20), min_size=2, max_size=6), trace=st.floats(0.2, 5), time=st.floats(0.1, 4)
)
def test_water_fills_the_spectrum_as_a_solver_finds_it(e, trace, time):
    e = np.array(e)
    λ = best_spectrum(e, trace, time)
    assert λ.min() >= 0 and λ.sum() == pytest.approx(trace, rel=1e-9)

    def left(v):
        return (e * np.exp(-2 * time * v)).sum()

    found = minimize(  # of the logarithm, convex too, as what is left may be tiny
        lambda v: np.log(left(v)),
        np.full(e.size, trace / e.size),
        bounds=[(0, None)] * e.size,
        constraints={"type": "eq", "fun": lambda v: v.sum() - trace},
        options={"ftol": 1e-13, "maxiter": 500},
    )
    assert left(λ) <= left(np.clip(found.x, 0, None) * trace / found.x.sum()) * (1 + 1e-9)
    assert np.log(left(λ)) == pytest.approx(found.fun, abs=1e-4)


def test_with_little_time_all_goes_to_the_first_mode():
    assert best_spectrum(np.array([3.0, 1, 2]), 1.0, 1e-3).tolist() == pytest.approx([1, 0, 0])
    assert (best_spectrum(np.array([3.0, 1, 2]), 1.0, 1e3) > 0.33).all()
    with pytest.raises(ValueError, match="must be positive"):
        best_spectrum(np.array([1.0, 0.0]), 1.0, 1.0)
