"""The Graphon NTK against closed forms, a public library's numbers, its own grid, and networks of finite width."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flowprune.limits import duals
from flowprune.limits.finite import empirical_ntk, masked_ntk
from flowprune.limits.mlp import mlp
from flowprune.limits.ntk import graphon_ntk, on_grid

X = torch.tensor([[1, 0, 2, -1], [0.5, -1, 0, 1], [2, 1, 1, 3.0]], dtype=torch.float64)
gelu = duals.quadrature("gelu", torch.nn.functional.gelu)
# neural-tangents 0.6.5 on jax 0.4.30 in float64: three hidden layers of Dense(W_std=1.3, parameterization="ntk"), no
# biases, and one output. The library does not import beside jax of today, so its numbers stand here.
PUBLIC = {
    "relu": [[6.117980407500002, 0.8877469217538024, 2.815799020709649],
             [0.8877469217538024, 2.2942426528125006, 2.6218699055100165],
             [2.815799020709649, 2.6218699055100165, 15.294951018750005]],
    "erf": [[4.21121814897899, -0.2863286422140923, 0.20884315515234297],
            [-0.2863286422140923, 3.4456332805230883, 1.1575278531932116],
            [0.20884315515234297, 1.1575278531932116, 5.110995132500098]],
    "linear": [[48.943843260000016, -4.078653605000002, 8.157307210000004],
               [-4.078653605000002, 18.353941222500005, 24.471921630000008],
               [8.157307210000004, 24.471921630000008, 122.35960815000004]],
}  # fmt: skip


def constant(c, layers=4, K=6, d=4):
    sizes = [d] + [K + i for i in range(layers - 1)] + [1]
    return [torch.full((b, a), c, dtype=torch.float64) for a, b in pairwise(sizes)]


def smooth(K, d=4):
    W = on_grid(lambda u, v: 0.1 + 0.8 * u * v, K, K)
    return [
        on_grid(lambda u, v: 0.2 + 0.6 * u * (1 - v), K, d),
        W,
        W,
        on_grid(lambda u, v: 0.3 + 0.5 * v**2, 1, K),
    ]


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.parametrize("counted", ["kept", "all"])
def test_without_pruning_it_is_the_kernel_of_a_public_library(name, counted):
    K = graphon_ntk(constant(1.0), X, dual=getattr(duals, name), gain=1.3, counted=counted)
    torch.testing.assert_close(K, torch.tensor(PUBLIC[name], dtype=torch.float64), rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(c=st.floats(0.05, 1.0), layers=st.integers(2, 6), name=st.sampled_from(["relu", "linear"]))
def test_a_constant_graphon_multiplies_the_kernel_by_a_power_of_c(c, layers, name):
    dual = getattr(duals, name)
    full = graphon_ntk(constant(1.0, layers), X, dual=dual)
    for counted, power in (("kept", layers), ("all", layers - 1)):
        K = graphon_ntk(constant(c, layers), X, dual=dual, counted=counted)
        torch.testing.assert_close(K, c**power * full, rtol=1e-10, atol=0)
    ends = [torch.ones_like(w) if i in (0, layers - 1) else w for i, w in enumerate(constant(c, layers))]
    partly = graphon_ntk(ends, X, dual=dual)
    if layers == 2:  # nothing is masked
        torch.testing.assert_close(partly, full, rtol=1e-12, atol=0)
    elif name == "linear":  # the two unmasked layers count all, the others only what is kept
        torch.testing.assert_close(partly, c ** (layers - 2) * full, rtol=1e-10, atol=0)


def test_no_power_of_c_serves_an_activation_that_is_not_homogeneous():
    quotient = graphon_ntk(constant(0.5), X, dual=duals.erf) / graphon_ntk(constant(1.0), X, dual=duals.erf)
    power = quotient.log() / math.log(0.5)
    assert power.max() - power.min() > 0.3


def test_the_two_counts_differ_where_degrees_differ():
    kept, every = (graphon_ntk(smooth(16), X, counted=c) for c in ("kept", "all"))
    assert ((kept / every) - (kept / every)[0, 0]).abs().max() > 1e-3


def test_two_batches_are_blocks_of_one():
    W = smooth(9)
    y = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = graphon_ntk(W, torch.cat([X, y]))
    torch.testing.assert_close(graphon_ntk(W, X, y), both[:3, 3:], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(both, both.T, rtol=1e-14, atol=0)


def test_blocks_of_rows_do_not_change_the_kernel(monkeypatch):
    x = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole = {c: graphon_ntk(smooth(8), x, counted=c) for c in ("kept", "all")}
    monkeypatch.setattr("flowprune.limits.ntk._ENTRIES", 3 * 8 * 20)
    for c, K in whole.items():
        torch.testing.assert_close(graphon_ntk(smooth(8), x, counted=c), K, rtol=1e-13, atol=0)


def test_the_grid_converges_with_its_square():
    fine = graphon_ntk(smooth(256), X)
    error = [(graphon_ntk(smooth(K), X) - fine).norm() / fine.norm() for K in (16, 32, 64)]
    assert error[2] < 1e-3
    for a, b in pairwise(error):
        assert 3.5 < a / b < 4.8


def test_several_outputs_are_averaged():
    W = smooth(8)
    two = [*W[:-1], torch.stack([W[-1][0], 1 - W[-1][0]])]
    each = [graphon_ntk([*W[:-1], row[None]], X) for row in two[-1]]
    torch.testing.assert_close(graphon_ntk(two, X), sum(each) / 2, rtol=1e-12, atol=0)
    each = [graphon_ntk([*W[:-1], row[None]], X, counted="all") for row in two[-1]]
    torch.testing.assert_close(graphon_ntk(two, X, counted="all"), sum(each) / 2, rtol=1e-12, atol=0)


class SizeOne(nn.Module):
    """A perceptron whose parameters have size one, masked by hand: what the fast products are held to."""

    def __init__(self, weights, masks, gain, function, kept):
        super().__init__()
        scale = [gain / math.sqrt(w.shape[1]) for w in weights]
        self.scale, self.masks, self.function, self.kept = scale, masks, function, kept
        self.θ = nn.ParameterList([nn.Parameter(w / s) for w, s in zip(weights, scale, strict=True)])

    def forward(self, x):
        for number, (θ, s, m) in enumerate(zip(self.θ, self.scale, self.masks, strict=True)):
            x = self.function(x) if number else x
            x = s * x @ (θ * m).T
        return x


def network(widths, density, seed=0):
    g = torch.Generator().manual_seed(seed)
    weights = [m.weight.detach() for m in mlp(widths, seed, dtype=torch.float64) if isinstance(m, nn.Linear)]
    return weights, [torch.rand(w.shape, generator=g) < density for w in weights]


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dual", [duals.relu, duals.erf, gelu], ids=lambda d: d.name)
def test_products_give_the_kernel_of_automatic_derivatives(dual, outputs):
    weights, masks = network((4, 7, 6, outputs), 0.6)
    K = masked_ntk(weights, masks, X, dual=dual)
    J = empirical_ntk(SizeOne(weights, masks, math.sqrt(2), dual.function, True), X, block=2)
    torch.testing.assert_close(K, J, rtol=1e-10, atol=1e-14)


def test_all_weights_are_counted_as_if_the_mask_were_behind_them():
    """A pruned weight counts when its gradient is that of a weight that is there: δ_i h_j with masked δ and h."""
    weights, masks = network((4, 6, 5, 1), 0.5)
    w = [(a * m).requires_grad_() for a, m in zip(weights, masks, strict=True)]
    rows = []
    for sample in X:
        h = sample
        for number, a in enumerate(w):
            h = a @ (torch.relu(h) if number else h)
        gradients = torch.autograd.grad(h[0], w)
        rows.append(torch.cat([g.flatten() * math.sqrt(2 / g.shape[1]) for g in gradients]))
    J = torch.stack(rows)
    torch.testing.assert_close(masked_ntk(weights, masks, X, counted="all"), J @ J.T, rtol=1e-10, atol=1e-14)


def test_a_module_pruned_by_torch_counts_what_is_kept_and_is_left_as_it_was():
    model = mlp((4, 6, 2), 0, dtype=torch.float64)
    mask = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    nn.utils.prune.custom_from_mask(model[0], "weight", mask)
    before = model(X)
    K = empirical_ntk(model, X)
    assert type(model[0].weight) is torch.Tensor
    torch.testing.assert_close(model(X), before, rtol=0, atol=0)
    expected = torch.zeros(3, 3, dtype=torch.float64)
    for output in range(2):
        rows = []
        for sample in X:
            model.zero_grad()
            model(sample[None])[0, output].backward()
            rows.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        J = torch.stack(rows)
        expected += J @ J.T / 2
    torch.testing.assert_close(K, expected, rtol=1e-12, atol=1e-14)


def test_wide_networks_come_near():
    """A network fluctuates by n^{-1/2}; the mean over networks is nearer."""
    limit = {c: graphon_ntk(smooth(64), X, counted=c) for c in ("kept", "all")}
    far, bias = {}, {}
    for n in (64, 256):
        U = [0.2 + 0.6 * (torch.arange(n)[:, None] + 0.5) / n * (1 - (torch.arange(4) + 0.5) / 4)]
        W = on_grid(lambda u, v: 0.1 + 0.8 * u * v, n, n)
        U += [W, W, on_grid(lambda u, v: 0.3 + 0.5 * v**2, 1, n)]
        found = {c: [] for c in limit}
        for seed in range(24):
            g = torch.Generator().manual_seed(seed)
            weights = network((4, n, n, n, 1), 1.0, seed)[0]
            masks = [torch.rand(u.shape, generator=g, dtype=torch.float64) < u for u in U]
            for c in limit:
                found[c].append(masked_ntk(weights, masks, X, counted=c))
        for c, K in limit.items():
            bias[c, n] = float((torch.stack(found[c]).mean(0) - K).norm() / K.norm())
            far[c, n] = float(torch.stack([(k - K).norm() / K.norm() for k in found[c]]).mean())
    for c in limit:
        assert far[c, 256] < 0.62 * far[c, 64]
        assert bias[c, 256] < 0.1


@pytest.mark.parametrize(
    ("graphons", "x", "said"),
    [
        ([torch.ones(3, 4)], X, "two are the least"),
        ([torch.ones(3, 4), torch.ones(1, 2)], X, "as many columns as the one before has rows"),
        ([torch.ones(3, 5), torch.ones(1, 3)], X, r"samples must be \[N, 5\]"),
        ([torch.ones(3, 4), 2 * torch.ones(1, 3)], X, r"graphon 2 must lie in \[0, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(graphons, x, said):
    with pytest.raises(ValueError, match=said):
        graphon_ntk(graphons, x)


def test_a_unit_without_inputs_passes_nothing():
    W = [torch.tensor([[1.0] * 4, [0.0] * 4], dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)]
    alone = [W[0][:1], 0.5 * torch.ones(1, 1, dtype=torch.float64)]
    for dual in (duals.relu, duals.linear):
        torch.testing.assert_close(
            graphon_ntk(W, X, dual=dual), graphon_ntk(alone, X, dual=dual), rtol=1e-12, atol=0
        )
