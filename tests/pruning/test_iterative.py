"""Rounds of magnitude pruning and RigL against brute force: what goes, what comes, and what is as it was."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune as torch_prune

from flowprune.limits.mlp import mlp
from flowprune.pruning.iterative import dense_gradient, magnitude_rounds, rewire, rigl
from flowprune.pruning.saliency import masks, prune


def net(seed: int = 0, widths=(5, 7, 6, 3)) -> nn.Sequential:
    return mlp(widths, seed, dtype=torch.float64)


def data(seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(12, 5, generator=g, dtype=torch.float64), torch.randint(3, (12,), generator=g)


def loss_of(model, seed: int = 0):
    x, y = data(seed)
    return lambda: cross_entropy(model(x), y)


def trained(model, steps: int = 5, rate: float = 0.1):
    optimiser, loss = torch.optim.Adam(model.parameters(), rate), loss_of(model)
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()


def kept(found) -> int:
    return sum(int(m.sum()) for m in found.values())


def flat(tensors) -> torch.Tensor:
    return torch.cat([t.detach().flatten() for t in tensors])


# --- rounds ----------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(sparsity=st.floats(0.05, 0.97), rounds=st.integers(1, 5))
def test_each_round_keeps_its_share_of_what_is_left(sparsity, rounds):
    model, total = net(), 5 * 7 + 7 * 6 + 6 * 3
    counts = [kept(m) for m in magnitude_rounds(model, sparsity, trained, rounds=rounds)]
    expected = [round((1 - sparsity) ** (k / rounds) * total) for k in range(1, rounds)]
    assert counts == [*expected, round((1 - sparsity) * total)]
    assert kept(masks(model)) == counts[-1]


def test_a_round_removes_the_smallest_of_what_is_left_after_training():
    model = net(1)
    after, before = [], [torch.ones(95, dtype=torch.bool)]

    def train(m):
        trained(m)
        m(data()[0])  # masked weights follow their parameters with a forward pass
        after.append(flat(layer.weight for layer in m if isinstance(layer, nn.Linear)).abs())

    for found in magnitude_rounds(model, 0.8, train, rounds=3):
        now, size = flat(found.values()), after[-1]
        gone = before[-1] & ~now
        assert not (now & ~before[-1]).any() and gone.any()
        assert size[gone].max() <= size[now].min()
        before.append(now)


def test_weights_and_buffers_are_rewound_exactly_and_training_starts_there():
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).double()
    parameters, first = list(model.parameters()), [p.detach().clone() for p in model.parameters()]
    means, seen = model[1].running_mean.clone(), []

    def train(m):
        seen.append([p.detach().clone() for p in parameters])
        trained(m)
        assert not torch.equal(m[1].running_mean, means)

    for found in magnitude_rounds(model, 0.7, train, rounds=3):
        assert all(torch.equal(p, q) for p, q in zip(parameters, first, strict=True))
        assert torch.equal(model[1].running_mean, means) and model[1].num_batches_tracked == 0
        for name, m in found.items():
            layer = model.get_submodule(name)
            assert torch.equal(layer.weight, layer.weight_orig * m)
    assert len(seen) == 3
    assert all(torch.equal(p, q) for start in seen for p, q in zip(start, first, strict=True))
    torch_prune.remove(model[0], "weight")
    assert int((model[0].weight != 0).sum()) == int(found["0"].sum())


# --- rewiring --------------------------------------------------------------------------------------------


def sparse(seed: int = 0, sparsity: float = 0.6):
    model = net(seed)
    prune(model, "random", sparsity, seed=seed)
    return model


def test_the_dense_gradient_is_that_of_a_network_without_masks():
    model = sparse()
    before, out = masks(model), model(data()[0]).detach()
    plain = net()
    with torch.no_grad():
        for name, m in before.items():
            plain.get_submodule(name).weight.mul_(m)
    loss_of(plain)().backward()
    for name, g in dense_gradient(model, loss_of(model)).items():
        torch.testing.assert_close(g, plain.get_submodule(name).weight.grad, rtol=1e-12, atol=1e-15)
    assert all(torch.equal(m, before[n]) for n, m in masks(model).items())
    torch.testing.assert_close(model(data()[0]), out, rtol=0, atol=0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), share=st.floats(0, 1), sparsity=st.floats(0.2, 0.9))
def test_the_smallest_go_and_the_largest_gradients_come(seed, share, sparsity):
    model = sparse(seed, sparsity)
    before, loss = masks(model), loss_of(model, seed)
    size = {n: model.get_submodule(n).weight.detach().abs() for n in before}
    g = {n: v.abs() for n, v in dense_gradient(model, loss).items()}
    rewire(model, loss, share)
    for n, now in masks(model).items():
        count = math.floor(share * int(before[n].sum()))
        assert now.sum() == before[n].sum()
        there = sorted(before[n].nonzero().tolist(), key=lambda ij: float(size[n][tuple(ij)]))
        stay = there[count:]
        grown = [ij for ij in now.nonzero().tolist() if ij not in stay]
        assert len(grown) == count  # so all that should stay did
        free = [[i, j] for i in range(len(now)) for j in range(now.shape[1]) if [i, j] not in stay]
        largest = sorted((float(g[n][tuple(ij)]) for ij in free), reverse=True)[:count]
        assert sorted((float(g[n][tuple(ij)]) for ij in grown), reverse=True) == largest  # dead units tie
        w, new = model.get_submodule(n).weight.detach().abs(), now & ~before[n]
        assert not w[new].any() and torch.equal(w[now & before[n]], size[n][now & before[n]])


def test_the_optimiser_forgets_grown_weights_and_those_alone():
    model = sparse(2)
    optimiser, loss = torch.optim.Adam(model.parameters(), 0.05), loss_of(model)
    for _ in range(3):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    before = masks(model)
    for p in model.parameters():  # as if every weight had a past
        optimiser.state[p]["exp_avg"].fill_(2.0)
        optimiser.state[p]["exp_avg_sq"].fill_(3.0)
    rewire(model, loss, 0.5, optimiser)
    grown = 0
    for n, now in masks(model).items():
        new, state = now & ~before[n], optimiser.state[model.get_submodule(n).weight_orig]
        grown += int(new.sum())
        assert not state["exp_avg"][new].any() and not state["exp_avg_sq"][new].any()
        assert (state["exp_avg"][~new] == 2).all() and state["step"] == 3
        assert (state["exp_avg_sq"][~new] == 3).all()
    assert grown > 3


def test_grown_weights_learn_and_counts_stay_along_the_way():
    model = sparse(3)
    start, optimiser = masks(model), torch.optim.Adam(model.parameters(), 0.02)
    loss = loss_of(model)
    before, path = loss().item(), []
    for t, found in rigl(model, loss, optimiser, 40, every=5):
        path.append(t)
        assert all(found[n].sum() == m.sum() for n, m in start.items())
    assert path == [5, 10, 15, 20, 25]  # 30 is three quarters
    end, w = masks(model), {n: model.get_submodule(n).weight for n in start}
    new = {n: end[n] & ~start[n] for n in start}
    assert kept(new) > 0 and all(w[n][m].all() for n, m in new.items())
    assert loss().item() < before
    assert all(torch.equal(v != 0, end[n]) for n, v in w.items())


def test_the_share_falls_by_half_a_cosine(monkeypatch):
    told = []
    monkeypatch.setattr("flowprune.pruning.iterative.rewire", lambda m, f, share, o: told.append(share))
    model = sparse()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    list(rigl(model, loss_of(model), optimiser, 40, every=10, share=0.4, until=1.0))
    assert told == pytest.approx([0.2 * (1 + math.cos(math.pi * t / 40)) for t in (10, 20, 30)])


def test_a_layer_without_a_mask_stays_dense_and_pruning_goes_on_afterwards():
    model = net()
    prune(model, "random", 0.5, layers=["2"])
    rewire(model, loss_of(model), 0.4)
    assert masks(model)["0"].all() and int(masks(model)["2"].sum()) == 21
    prune(model, "magnitude", 0.8, layers=["2"])
    assert int(masks(model)["2"].sum()) == 8


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="no masked layer"):
        rewire(net(), lambda: torch.zeros(()), 0.1)
    with pytest.raises(ValueError, match=r"share = 1\.5 is refused"):
        rewire(sparse(), lambda: torch.zeros(()), 1.5)
    with pytest.raises(ValueError, match="sparsity = 2 is refused"):
        next(magnitude_rounds(net(), 2, lambda m: None, rounds=1))
