"""Trials of kernels at finite width, and the evidence of W6, W7 and W12."""

import numpy as np
import pandas as pd
import pytest
import torch

from flowprune.experiments import kernels_study as study
from flowprune.experiments.images import batch, images
from flowprune.experiments.kernels import WidthTrial
from flowprune.experiments.perceptrons import weights
from flowprune.experiments.theory import graphon_kernel as theory
from flowprune.limits import duals
from flowprune.limits.finite import masked_ntk
from flowprune.limits.graphon import sample
from flowprune.limits.mlp import mlp
from flowprune.limits.ntk import graphon_ntk
from flowprune.study.trials import collect


@pytest.fixture(scope="module")
def wide():
    return collect(study.widths((40, 160), networks=6))


@pytest.fixture(scope="module")
def pruned():
    return collect(study.pruned((30, 90), networks=3, images="digits"))


def test_a_row_is_what_its_networks_say():
    trial = WidthTrial(graphon="near", width=50, hidden=2, networks=2, activation="erf", seed=3)
    (told,) = [result for _, result in WidthTrial.run([trial])]
    x, _ = batch("digits", 24)
    limit = graphon_ntk([torch.tensor(w) for w in trial.at(128, 64)], x.double(), dual=duals.erf)
    found = []
    for seed in (3, 4):
        θ = weights(mlp((64, 50, 50, 10), seed))
        generator = torch.Generator().manual_seed(seed)
        m = [sample(w, *w.shape, generator) for w in trial.at(50, 64)]
        found.append(masked_ntk(θ, m, x, dual=duals.erf).double())
    far = [float((K - limit).norm() / limit.norm()) for K in found]
    assert told["apart_kept"] == pytest.approx(far, rel=1e-3)
    assert told["mean_kept"] == pytest.approx(float((sum(found) / 2 - limit).norm() / limit.norm()))
    assert told["spread_kept"] == pytest.approx(
        float((found[0] - found[1]).norm() / 2 / limit.norm()), rel=1e-4
    )
    assert 0 < told["grid"] < 2e-3


def test_exponents_and_bias_come_from_rows(wide):
    found = study.exponents(wide, resamples=100)
    assert len(found) == 4 * 3 * 2 and (found.networks == 6).all()
    assert (found.lower <= found.exponent).all() and (found.exponent <= found.upper).all()
    left = study.bias(wide)
    assert (left.bias <= left["apart"]).all() and len(left) == len(wide)


def test_an_exponent_made_by_hand_is_read_off():
    n = np.array([100.0, 200, 400, 800])
    noise = np.random.default_rng(0).normal(1, 0.02, (4, 50))
    rows = [
        {"status": "done", "graphon": "product", "hidden": 2, "activation": "relu", "width": w}
        | {f"apart_{c}": list(w**-0.5 * e) for c in ("kept", "all")}
        for w, e in zip(n, noise, strict=True)
    ]
    found = study.exponents(pd.DataFrame(rows))
    assert found.exponent.to_numpy() == pytest.approx(-0.5, abs=0.01)
    assert ((found.lower < -0.5) & (found.upper > -0.5)).all() and (found.upper - found.lower < 0.02).all()


def test_own_weights_make_the_kernel_larger_but_for_random_pruning(pruned):
    """The kept weights of a magnitude are large, and the limit takes them for ordinary ones."""
    cases = study.dependence(pruned).set_index(["method", "width"])
    assert (cases.networks == 3).all() and set(cases.index.get_level_values(0)) == set(study.METHODS)
    assert cases.loc["magnitude"]["size"].min() > 10 * cases.loc["random"]["size"].max()
    assert cases.loc["magnitude"]["own"].min() > 10 * cases.loc["magnitude"]["fresh"].max()


def test_the_evidence_of_w6_has_every_name(wide, pruned):
    told = study.evidence(wide, pruned)
    assert told["cells"] == 24 and told["networks"] == 6 and told["widest"] == 160
    assert 0 <= told["meets"] <= 1 and told["fastest"] <= told["slowest"] < 0
    assert told["own"] > told["random_own"] > 0


def test_images_have_one_length_and_a_fixed_order():
    x, y = images("digits")
    assert x.shape == (1797, 64) and y.bincount().min() > 170
    torch.testing.assert_close((x * x).sum(1), torch.full((1797,), 64.0))
    a, b = batch("digits", 30, 1), batch("digits", 30, 1)
    assert torch.equal(a[0], b[0]) and not torch.equal(a[0], batch("digits", 30, 2)[0])
    assert torch.equal(batch("digits", 10)[1], batch("digits", 30)[1][:10])
    for size in (0, 1798):
        with pytest.raises(ValueError, match="1 to 1797 images"):
            batch("digits", size)


def test_w7_counts_decide_the_power():
    table = theory.powers(48)
    sampled = {c: theory.sampled_power(0.5, 60, 12, c) for c in ("kept", "all")}
    told = theory.power_evidence(table, sampled)
    assert max(told["paper"], told["kept"], told["kept_ends"]) < 1e-10
    assert told["kept_from_L"] == pytest.approx(1, abs=1e-9)
    assert told["others"] > 0.01 and told["mixed"] > 0.01
    assert told["sampled"] < 4


def test_w12_inactive_inputs_do_not_matter_and_others_may_not_suffice():
    told = theory.reach_evidence(10, theory.bounds((40, 120), tests=100))
    assert told["inactive"] <= 1e-12 and told["ray"] < 1e-12
    assert told["one_hidden"] < 1e-8 < 1e-4 < told["deeper"]
    assert told["cases"] == 24 and told["violations"] == 0
    assert told["same_error"] < 1e-9
    assert told["longer_bound"] == pytest.approx(5, rel=1e-6)  # 0.2^{-(L + 1)/2} with L = 1


def test_active_inputs_do_matter():
    x = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = x.clone()
    y[:, 0] += 1
    a, b = (graphon_ntk(theory.blind(2, 6, 2), v) for v in (x, y))
    assert (a - b).norm() > 0.01 * a.norm()
