"""Training of pruned perceptrons: against gradient descent and Adam by hand, and rules on planted tables."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from torch.nn.functional import cross_entropy, one_hot

from flowprune.experiments import pruned_training_study as study
from flowprune.experiments.images import batch
from flowprune.experiments.network_rows import done
from flowprune.experiments.perceptrons import CLASSES, GAIN, RATE, adam
from flowprune.experiments.pruned_training import (
    EARLY,
    KERNELS,
    METRICS,
    RANKS,
    TOLD,
    PrunedTrainingTrial,
    descend,
)
from flowprune.limits.mlp import mlp
from flowprune.limits.ntk import graphon_ntk
from flowprune.pruning.saliency import METHODS, prune
from flowprune.study import claims


def pruned(widths, seed=0, sparsity=0.5, dtype=torch.float64):
    model = mlp((*widths, CLASSES), seed, dtype=dtype)
    weights = [p.detach().clone() for p in model.parameters()]
    return model, weights, list(prune(model, "random", sparsity, seed=seed).values())


def data(n=40, d=64, dtype=torch.float64):
    x, y = batch("digits", n)
    return x[:, :d].to(dtype), y


# --- training ------------------------------------------------------------------------------------------


def test_one_layer_learns_exactly_as_its_kernel_predicts():
    x, y = data()
    w = torch.randn(CLASSES, 64, dtype=torch.float64)
    mask = (torch.arange(64) % 3 > 0).expand(CLASSES, 64)  # the same inputs for every output: one kernel
    found, predicted = descend([w], [mask], x, y, 30, GAIN)
    np.testing.assert_allclose(found, predicted, rtol=1e-9)
    assert found[0] == pytest.approx(0.5) and found[-1] < 0.3


def test_gradient_descent_is_that_of_parameters_of_size_one():
    x, y = data()
    _, weights, masks = pruned((64, 20, 15))
    gain = 1.7
    found, _ = descend(weights, masks, x, y, 8, gain)
    scales = [gain / math.sqrt(w.shape[1]) for w in weights]
    u = [(w / s).requires_grad_() for w, s in zip(weights, scales, strict=True)]

    def f():
        h = x
        for i, (a, m, s) in enumerate(zip(u, masks, scales, strict=True)):
            h = torch.relu(h) if i else h
            h = h @ (s * a * m).T
        return h

    J = [torch.autograd.grad(o, u, retain_graph=True) for o in f().flatten()]
    J = torch.stack([torch.cat([g.flatten() for g in row]) for row in J]).view(len(x), CLASSES, -1)
    kernel = torch.einsum("aop,bop->ab", J, J) / CLASSES
    optimiser = torch.optim.SGD(u, lr=len(x) / 2 / float(torch.linalg.eigvalsh(kernel)[-1]))
    target = f().detach() + one_hot(y, CLASSES)
    for expected in found:
        loss = (f() - target).square().sum() / (2 * len(x))
        assert expected == pytest.approx(float(loss.detach()), rel=1e-9)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def test_the_wider_the_network_the_better_the_prediction():
    x, y = data(64, dtype=torch.float32)
    off = []
    for width in (32, 512):
        found = []
        for seed in range(3):
            _, weights, masks = pruned((64, width, width), seed, dtype=torch.float32)
            measured, predicted = descend(weights, masks, x, y, EARLY, GAIN)
            found.append(abs(math.log(measured[-1] / predicted[-1])))
        off.append(np.mean(found))
    assert off[1] < off[0] / 2 and off[1] < 0.1


def test_adam_is_adam_and_masked_weights_stay_away():
    x, y = data()
    model, weights, masks = pruned((64, 12, 9), sparsity=0.7)
    found = adam(model, x, y, 6)
    θ = [(w * m).requires_grad_() for w, m in zip(weights, masks, strict=True)]
    first, second = ([torch.zeros_like(w) for w in θ] for _ in range(2))
    for t, expected in enumerate(found, 1):
        h = torch.relu(x @ θ[0].T)
        loss = cross_entropy(torch.relu(h @ θ[1].T) @ θ[2].T, y)
        assert expected == pytest.approx(float(loss.detach()), rel=1e-9)
        with torch.no_grad():
            for w, m, p, v, g in zip(θ, masks, first, second, torch.autograd.grad(loss, θ), strict=True):
                g *= m
                p += 0.1 * (g - p)
                v += 0.001 * (g * g - v)
                w -= RATE * m * (p / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    assert all((layer.weight[~m] == 0).all() for layer, m in zip(model[::2], masks, strict=True))


# --- trials --------------------------------------------------------------------------------------------

SMALL = {"width": 32, "hidden": 2, "samples": 130, "steps": 60}


def row(**fields):
    ((_, told),) = PrunedTrainingTrial.run([PrunedTrainingTrial(**SMALL | fields)])
    return told


@pytest.mark.parametrize("optimiser", ["adam", "gd"])
def test_a_row_tells_its_curve_and_its_kernels(optimiser):
    told = row(method="snip", sparsity=0.6, optimiser=optimiser)
    steps = [t for t in TOLD if t <= 60]
    assert len(told["curve"]) == len(steps) and all(len(told[f"spectrum_{k}"]) == len(RANKS) for k in KERNELS)
    nothing = math.log(10) if optimiser == "adam" else 0.5
    assert told["speed"] == pytest.approx(math.log(nothing / told["curve"][steps.index(EARLY)]), abs=1e-3)
    assert told["area"] < told["speed"] or told["curve"][-1] < told["curve"][steps.index(EARLY)]
    for k in KERNELS:
        λ = told[f"spectrum_{k}"]
        assert told[f"gap_{k}"] == pytest.approx(λ[0] / λ[1], rel=1e-3)
        assert told[f"rank_{k}"] == pytest.approx(1 / λ[0], rel=1e-3)
        assert told[f"top5_{k}"] == pytest.approx(sum(λ[:5]), rel=1e-3)
        assert all(a >= b > 0 for a, b in pairwise(λ))
    assert ("predicted" in told) == (optimiser == "gd") and told["collapsed"] == 0 < told["left"] <= 1
    assert told == row(method="snip", sparsity=0.6, optimiser=optimiser)


def test_networks_of_equal_seed_are_alike_but_for_their_masks():
    a, b = row(method="random", sparsity=0.0), row(method="synflow", sparsity=0.0)
    assert a == b  # nothing is pruned
    assert a["top5_own"] == pytest.approx(row(method="random", sparsity=0.0, optimiser="gd")["top5_own"])
    assert a["curve"] != row(method="random", sparsity=0.0, seed=1)["curve"]
    fresh = row(method="random", sparsity=0.0)
    assert fresh["top5_fresh"] != fresh["top5_own"]


def test_gradient_descent_starts_from_nothing_whatever_is_pruned():
    for method in METHODS:
        told = row(method=method, sparsity=0.8, optimiser="gd")
        assert told["curve"][0] == told["predicted"][0] == 0.5
        assert told["curve"][1] < 0.5 and told["predicted"][-1] < 0.4


def test_a_network_that_says_nothing_is_refused():
    with pytest.raises(ValueError, match="the kernel own is zero"):
        row(method="random", sparsity=0.999)


def test_the_published_study_has_every_trial_once():
    trials = [*study.study(), *study.wide()]
    assert len({t.key for t in trials}) == len(trials) == 744 + 156
    assert {t.method for t in study.study()} == set(METHODS)


def test_masks_that_treat_inputs_alike_only_scale_the_kernel():
    """Θ = P Θ_dense with the density of paths P, for ReLU and kept weights: so no spectrum changes."""
    rng = torch.Generator().manual_seed(0)
    w1, *later = (torch.rand(s, generator=rng, dtype=torch.float64) for s in [(9, 1), (6, 9), (8, 6), (3, 8)])
    x = torch.randn(20, 5, generator=rng, dtype=torch.float64)
    masked = graphon_ntk([w1.expand(9, 5), *later], x)
    dense = graphon_ntk([torch.ones(1, 5), *[torch.ones(1, 1)] * 3], x)
    P = w1
    for W in later:
        P = W @ P / W.shape[1]
    torch.testing.assert_close(masked, P.mean() * dense, rtol=1e-12, atol=0)
    uneven = graphon_ntk([torch.rand((9, 5), generator=rng), *later], x)
    ratio = uneven / dense
    assert ratio.std() / ratio.mean() > 0.01


# --- rules ---------------------------------------------------------------------------------------------


def planted(seeds=12, methods=METHODS, sparsities=study.SPARSITIES, **gains) -> pd.DataFrame:
    """Networks in which methods other than random differ by ``gains`` of a value."""
    rng = np.random.default_rng(0)
    rows = []
    for optimiser in ("adam", "gd"):
        for m in methods:
            for s in sparsities:
                for seed in range(seeds):
                    base = {f"{metric}_{k}": 1.0 for metric in METRICS for k in KERNELS}
                    base |= {"area": 2 - s, "speed": 2 - s, "predicted_speed": 2 - s}
                    told = {
                        k: v + gains.get(k, 0) * (m != "random") + 1e-3 * rng.standard_normal()
                        for k, v in base.items()
                    }
                    rows.append({"optimiser": optimiser, "method": m, "sparsity": s, "seed": seed, **told})
    return pd.DataFrame(rows).assign(status="done", error=None)


def judge(id: str, **evidence) -> str:
    return claims.claims()[id].judge(evidence)


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ({"top5_graphon": 0.2, "top5_own": 0.2}, "holds"),
        ({"top5_own": 0.2}, "holds under conditions"),
        ({"top5_own": 0.02, "gap_graphon": 0.02}, "does not hold"),  # sure, but too little to matter
    ],
)
def test_the_rule_of_spectra(gains, expected):
    few = {"methods": ("random", "snip"), "sparsities": (0.5, 0.95)}
    evidence = study.spectra_evidence(planted(**few, **gains))
    assert evidence["networks"] == 2 * 2 * 12 and judge("W8", **evidence) == expected
    assert evidence["random_moves_graphon"] < 0.01 and evidence["random_first_own"] == 0
    assert judge("W8", **study.spectra_evidence(planted(5, **few, **gains))) == "undecided"
    lower = study.spectra_evidence(planted(**few, rank_own=-0.1))
    assert lower["random_first_own"] == 1 and lower["differ_own"] == 1


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [(0.1, 0.1, "holds"), (0.1, 0.0, "holds under conditions"), (0.0, 0.1, "does not hold")],
)
def test_the_rule_of_speed(wide, narrow, expected):
    setting = planted(10, sparsities=study.FEWER, area=wide)
    evidence = study.speed_evidence(planted(area=narrow), setting)
    assert (evidence["cells_narrow"], evidence["cells_wide"]) == (12, 6)
    assert evidence["slowed_wide"] == 1 and evidence["slower_wide"] == evidence["early_wide"] == 0
    assert judge("W9", **evidence) == expected
    assert study.speed_evidence(planted(area=-0.1), setting)["slower_narrow"] == 1


def test_correlations_are_spearmans_by_cell():
    nets = planted(6, methods=("random", "snip", "grasp"), sparsities=(0.5, 0.9))
    nets = nets[nets.optimiser == "adam"]
    rng = np.random.default_rng(1)
    nets = nets.assign(a=rng.standard_normal(len(nets)), b=rng.standard_normal(len(nets)))
    found = study.correlation(nets, "a", "b").set_index("among")["mean"]

    def mean(by):
        return np.mean([spearmanr(part.a, part.b).statistic for _, part in nets.groupby(by)])

    assert found["all"] == pytest.approx(spearmanr(nets.a, nets.b).statistic)
    assert found["methods"] == pytest.approx(mean("sparsity"))
    assert found["sparsities"] == pytest.approx(mean("method"))
    assert found["seeds"] == pytest.approx(mean(["method", "sparsity"]))
    lacking = nets.drop(nets.index[(nets.seed == 2) & (nets.method == "snip")])
    assert (study.correlation(lacking, "a", "b").networks == 30).all()


def test_the_interval_covers_and_the_claim_needs_equal_sparsity():
    nets = planted(12, methods=("random", "magnitude", "snip"), sparsities=(0.5, 0.8, 0.95))
    order = {m: i for i, m in enumerate(METHODS)}
    up = nets.assign(
        top5_graphon=nets.method.map(order) + 0.1 * nets.top5_graphon,
        speed=nets.method.map(order) + nets.speed,
        top5_own=-nets.sparsity,
    )
    found = study.predictors(up)
    evidence = study.top5_evidence(found)
    wide = found[found.among == "methods"]
    assert (wide.lower <= wide["mean"]).all() and (wide["mean"] <= wide.upper).all()
    assert evidence["networks"] == 108 and evidence["graphon_adam_lower"] > 0.8
    assert evidence["own_adam_sparsities"] > 0.9 and abs(evidence["own_adam"]) < 0.2  # sparsity alone
    assert judge("W10", **evidence) == "undecided"  # too few networks
    evidence["networks"] = 360
    assert judge("W10", **evidence) == "holds"
    half = evidence | {"graphon_gd_lower": 0.1}
    assert judge("W10", **half) == "holds under conditions"
    assert judge("W10", **evidence | {"graphon_gd_lower": 0.1, "best_lower": 0.4}) == "does not hold"


def test_misses_of_a_prediction_are_told_by_cell():
    nets = pd.DataFrame(
        {
            "optimiser": ["gd", "adam"], "method": "snip", "sparsity": 0.5,
            "curve": [[1.0, math.e, 1.0]] * 2, "predicted": [[5.0, 1.0, 1.0]] * 2,
            "speed": 1.0, "predicted_speed": 1.25,
        }
    )  # fmt: skip
    (told,) = study.misses(nets).itertuples()
    assert told.off == pytest.approx(0.5) and told.ahead == 0.25
    with pytest.raises(ValueError, match="none of 1 trials is done; the first failed with no"):
        done(pd.DataFrame({"status": ["failed"], "error": ["no"]}))
