"""Scores against automatic and finite differences; masks against exact counts, torch's own pruning and laws."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune as torch_prune

from flowprune.limits.mlp import mlp
from flowprune.pruning.largest import largest
from flowprune.pruning.saliency import METHODS, TEMPERATURE, collapsed, masks, prune, scores

EXACT = {"rtol": 1e-10, "atol": 1e-14}


def net(seed: int = 0, widths=(5, 7, 6, 3)) -> nn.Sequential:
    return mlp(widths, seed, dtype=torch.float64)


def data(seed: int = 0, n: int = 8, d: int = 5, classes: int = 3):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=rng, dtype=torch.float64)
    return x, torch.randint(classes, (n,), generator=rng)


def flat(tensors: dict) -> torch.Tensor:
    return torch.cat([t.flatten() for t in tensors.values()])


def loss_of(model: nn.Module, x, y, temperature: float = 1):
    """The loss as a function of one vector of all weights, and that vector."""
    names = list(dict(model.named_parameters()))
    shapes = [p.shape for p in model.parameters()]

    def loss(v):
        parts = torch.split(v, [s.numel() for s in shapes])
        state = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return cross_entropy(torch.func.functional_call(model, state, x) / temperature, y)

    return loss, torch.cat([p.detach().flatten() for p in model.parameters()])


# --- scores --------------------------------------------------------------------------------------------


def test_magnitude_and_random_are_what_they_are_called():
    model = net()
    for name, s in scores(model, "magnitude").items():
        assert torch.equal(s, model.get_submodule(name).weight.abs())
    one, again, other = (flat(scores(model, "random", seed=s)) for s in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.min() >= 0 and one.max() < 1 and abs(one.mean() - 0.5) < 0.1


def test_snip_is_the_first_order_change_of_the_loss_by_finite_differences():
    model, (x, y) = net(), data()
    loss, θ = loss_of(model, x, y)
    found, h = flat(scores(model, "snip", x, y)), 1e-6
    for i in range(len(θ)):
        e = torch.zeros_like(θ)
        e[i] = h * θ[i]
        assert float(found[i]) == pytest.approx(abs(float(loss(θ + e) - loss(θ - e))) / (2 * h), abs=2e-9)


def test_grasp_is_the_weight_times_hessian_times_gradient():
    model, (x, y) = net(3), data(3)
    loss, θ = loss_of(model, x, y, TEMPERATURE)
    g, H = torch.func.grad(loss)(θ), torch.func.hessian(loss)(θ)
    torch.testing.assert_close(flat(scores(model, "grasp", x, y)), θ * (H @ g), **EXACT)
    pruned = net(3)
    m = flat(prune(pruned, "random", 0.3))  # a masked weight is no parameter
    g, H = m * torch.func.grad(loss)(θ * m), torch.func.hessian(loss)(θ * m)
    torch.testing.assert_close(flat(scores(pruned, "grasp", x, y)), θ * m * (H @ g), **EXACT)


def test_removing_what_grasp_removes_raises_the_norm_of_the_gradient():
    """To first order the loss of weight q changes |g|² by −2 θ_q (Hg)_q: the lowest score raises it most."""
    model, (x, y) = net(1), data(1)
    loss, θ = loss_of(model, x, y, TEMPERATURE)
    s, ε = flat(scores(model, "grasp", x, y)), 1e-5
    worst = s.argmin()
    less = θ.clone()
    less[worst] *= 1 - ε
    change = torch.func.grad(loss)(less).square().sum() - torch.func.grad(loss)(θ).square().sum()
    assert s[worst] < 0 < change and float(change) == pytest.approx(-2 * ε * float(s[worst]), rel=1e-3)


def test_synflow_is_the_product_of_absolute_paths():
    model = net(2)
    A, B, C = (model[i].weight.detach().abs() for i in (0, 2, 4))
    left, right = (
        (torch.ones(3, dtype=torch.float64) @ C @ B, torch.ones(3, dtype=torch.float64) @ C),
        A.sum(1),
    )
    expected = {"0": A * left[0][:, None], "2": B * left[1][:, None] * right, "4": C * (B @ right)}
    for name, s in scores(model, "synflow").items():
        torch.testing.assert_close(s, expected[name], **EXACT)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    widths=st.lists(st.integers(1, 8), min_size=3, max_size=6),
    s=st.floats(0, 0.8),
)
def test_synaptic_flow_is_conserved_in_every_neuron_and_every_layer(seed, widths, s):
    model = net(seed, widths)
    prune(model, "random", s, seed=seed)
    found = list(scores(model, "synflow").values())
    for below, above in pairwise(found):
        torch.testing.assert_close(below.sum(1), above.sum(0), **EXACT)
    totals = torch.stack([f.sum() for f in found])
    torch.testing.assert_close(totals, totals[:1].expand(len(totals)), **EXACT)


def test_synflow_of_very_deep_networks_neither_overflows_nor_vanishes():
    for gain in (60.0, 1e-3):
        model = mlp([8] * 60, 0, gain=gain, dtype=torch.float32)
        exact = mlp([8] * 60, 0, gain=gain, dtype=torch.float32).double()
        s, t = flat(scores(model, "synflow")), flat(scores(exact, "synflow"))
        assert (s > 0).all() and torch.isfinite(s).all()
        torch.testing.assert_close(s.double() / s.double().max(), t / t.max(), rtol=1e-5, atol=0)


def test_scores_leave_the_network_as_it_was():
    model, (x, y) = net(), data()
    model.insert(1, nn.BatchNorm1d(7).double())
    prune(model, "random", 0.3)
    model(x)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    weights = [m.weight.clone() for m in model if hasattr(m, "weight")]
    for method in ("magnitude", "synflow", "random"):
        scores(model, method, x, y)
    assert model[0].weight.dtype == torch.float64 and all(m.training for m in model.modules())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    now = [m.weight for m in model if hasattr(m, "weight")]
    assert all(torch.equal(a, b) for a, b in zip(now, weights, strict=True))
    for method in ("snip", "grasp"):  # a pass in training moves the averages of a norm, as any pass does
        scores(model, method, x, y)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("method", ["random", "magnitude", "snip", "synflow"])
def test_a_masked_weight_scores_nothing_and_counts_as_zero(method):
    model, (x, y) = net(4), data(4)
    kept = prune(model, "random", 0.4, seed=1)
    zeroed = net(4)
    with torch.no_grad():
        for name, mask in kept.items():
            zeroed.get_submodule(name).weight *= mask
    found, plain = scores(model, method, x, y, seed=3), scores(zeroed, method, x, y, seed=3)
    for name, mask in kept.items():
        assert (found[name][~mask] == 0).all()
        torch.testing.assert_close(found[name][mask], plain[name][mask], **EXACT)


# --- the largest ---------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=4),
    share=st.floats(0, 1),
    levels=st.sampled_from([1, 3, 10**6]),
    signed=st.booleans(),
)
def test_the_largest_are_those_of_a_sort(seed, sizes, share, levels, signed):
    rng = np.random.default_rng(seed)
    there = [rng.random(n) < 0.7 for n in sizes]
    parts = [t * rng.integers(-levels * signed, levels + 1, t.size).astype(np.float32) for t in there]
    left = sum(t.sum() for t in there)
    count = round(share * left)
    kept = np.concatenate(largest(parts, there, count, rng))
    values, alive = np.concatenate(parts), np.concatenate(there)
    assert kept.sum() == count and not (kept & ~alive).any()
    np.testing.assert_array_equal(np.sort(values[kept]), np.sort(values[alive])[left - count :])


# --- masks ---------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    method=st.sampled_from(METHODS),
    s=st.floats(0, 1),
    seed=st.integers(0, 99),
    budget=st.sampled_from(["global", "layerwise"]),
)
def test_exactly_as_many_are_kept_as_asked(method, s, seed, budget):
    model, (x, y) = net(seed), data(seed)
    kept = prune(model, method, s, x, y, seed=seed, budget=budget, rounds=4)
    sizes = [m.numel() for m in kept.values()]
    if budget == "layerwise":
        assert [int(m.sum()) for m in kept.values()] == [round((1 - s) * n) for n in sizes]
    assert budget == "layerwise" or sum(int(m.sum()) for m in kept.values()) == round((1 - s) * sum(sizes))
    for name, mask in kept.items():
        layer = model.get_submodule(name)
        assert mask.dtype == torch.bool and torch.equal(masks(model)[name], mask)
        assert torch.equal(layer.weight, layer.weight_orig * mask)


def test_the_kept_have_the_highest_scores_also_where_a_sample_seeks_the_border():
    model, (x, y) = net(0, (5, 300, 200, 3)), data()
    for method in ("snip", "grasp", "magnitude"):
        s = flat(scores(model, method, x, y))
        kept = flat(prune(net(0, (5, 300, 200, 3)), method, 0.83, x, y))
        assert s[kept].min() >= s[~kept].max() and int(kept.sum()) == round(0.17 * len(s))


@pytest.mark.parametrize("s", [0.0, 0.5, 0.93])
def test_magnitude_is_torchs_own_global_pruning(s):
    ours, theirs = net(7, (30, 40, 50, 3)), net(7, (30, 40, 50, 3))
    prune(ours, "magnitude", s)
    pairs = [(m, "weight") for m in theirs if isinstance(m, nn.Linear)]
    torch_prune.global_unstructured(pairs, torch_prune.L1Unstructured, amount=s)
    for a, (b, _) in zip((m for m in ours if isinstance(m, nn.Linear)), pairs, strict=True):
        assert torch.equal(a.weight, b.weight)
    for m, _ in pairs:
        torch_prune.remove(m, "weight")


def test_synflow_is_its_definition_round_by_round():
    model = net(5, (6, 9, 8, 3))
    kept, total = {n: torch.ones_like(m.weight).bool() for n, m in model.named_children() if n in "024"}, 150
    for k in range(1, 21):
        trial = net(5, (6, 9, 8, 3))
        with torch.no_grad():
            for n, m in kept.items():
                trial.get_submodule(n).weight *= m
        s = scores(trial, "synflow")
        border = flat(s).sort(descending=True).values[round(0.3 ** (k / 20) * total) - 1]
        kept = {n: s[n] >= border for n in kept}
    found = prune(model, "synflow", 0.7, rounds=20)
    assert all(torch.equal(found[n], kept[n]) for n in kept) and int(flat(found).sum()) == 45


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_synflow_collapses_no_layer_where_any_mask_could_avoid_it(seed):
    """Each round keeps more than a share of the flow that one layer holds: Theorem 3 of Tanaka et al. (2020)."""
    widths = (6, 12, 12, 12, 3)
    total = sum(a * b for a, b in pairwise(widths))
    model = net(seed, widths)
    prune(model, "synflow", 1 - 6 / total)
    assert collapsed(model) == []
    assert all(float(s.sum()) > 0 for s in scores(model, "synflow").values())


def test_others_collapse_layers_and_it_is_told():
    found = set()
    for seed in range(8):
        for method in ("random", "magnitude", "snip"):
            model, (x, y) = net(seed, (6, 12, 12, 12, 3)), data(seed, d=6)
            prune(model, method, 0.985, x, y, seed=seed)
            if layers := collapsed(model):
                found.add(method)
                assert all(not masks(model)[n].any() for n in layers)
    assert found == {"random", "magnitude", "snip"}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), c=st.floats(0.01, 100))
def test_snip_does_not_see_a_factor_moved_from_one_layer_to_the_next_but_magnitude_does(seed, c):
    (x, y), one, other = data(seed), net(seed), net(seed)
    with torch.no_grad():
        other[0].weight *= c
        other[2].weight /= c
    for a, b in zip(scores(one, "snip", x, y).values(), scores(other, "snip", x, y).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-14)
    ratio = scores(other, "magnitude")["0"] / scores(one, "magnitude")["0"]
    torch.testing.assert_close(ratio, torch.full_like(ratio, c), **EXACT)


def test_pruning_goes_on_from_what_is_left():
    model, (x, y) = net(0, (20, 30, 30, 3)), data(0, d=20)
    first = prune(model, "snip", 0.5, x, y)
    second = prune(model, "synflow", 0.8, rounds=5)
    assert int(flat(second).sum()) == round(0.2 * flat(first).numel())
    assert not (flat(second) & ~flat(first)).any()
    with pytest.raises(ValueError, match=r"954 weights are to be kept, but only 318 are left"):
        prune(model, "random", 0.4)
    torch_prune.remove(model[0], "weight")
    assert masks(model)["0"].all() and int((model[0].weight != 0).sum()) == int(second["0"].sum())


def test_lots_are_drawn_among_equals():
    model = nn.Linear(40, 50, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    one, again, other = (
        prune(nn.Linear(40, 50, bias=False).requires_grad_(True), "random", 0.5, seed=s)[""]
        for s in (0, 0, 1)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)
    kept = prune(model, "magnitude", 0.75, seed=0)[""].double()
    assert kept.sum() == 500
    rows = (
        kept.sum(1) - 10
    )  # a lot leaves rows about equal; the first or last 500 would leave most of them empty
    assert float(rows.square().mean()) == pytest.approx(40 * 0.25 * 0.75, rel=0.5)


def test_layers_are_chosen_and_convolutions_are_layers():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10)
    )
    x, y = torch.randn(6, 1, 8, 8), torch.arange(6)
    for method in METHODS:
        kept = prune(model, method, 0.0, x, y, layers=["4"])
        assert list(kept) == ["0", "4"]
    prune(model, "synflow", 0.9, x, layers=["4"])
    assert masks(model)["0"].all() and int(masks(model)["4"].sum()) == 144
    with pytest.raises(ValueError, match="the first layer is a convolution"):
        scores(model, "synflow")


def test_bad_input_is_named():
    model, (x, y) = net(), data()
    for call, words in [
        (lambda: prune(model, "magic", 0.5), r"method 'magic' is unknown; allowed are random"),
        (lambda: prune(model, "snip", 0.5, x), r"snip reads gradients; it needs a batch"),
        (lambda: prune(model, "random", 1.5), r"sparsity = 1.5 is refused"),
        (lambda: prune(model, "synflow", 0.5, rounds=0), r"rounds = 0 is refused"),
        (lambda: prune(model, "random", 0.5, budget="both"), r"budget 'both' is unknown"),
        (lambda: prune(model, "random", 0.5, layers=["9"]), r"layers \['9'\] are not in the model"),
        (lambda: scores(nn.ReLU(), "random"), r"ReLU has no nn.Linear or nn.Conv2d layer"),
        (lambda: prune(model, "snip", 0.5, x * math.inf, y), r"scores are not numbers"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    assert not any(torch_prune.is_pruned(m) for m in model)
    assert np.isfinite(flat(scores(model, "snip", x, y)).numpy()).all()
