"""Designed masks and paths of masks: networks by hand, kernels, null models, and the rules."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from flowprune.experiments import designed, mask_paths
from flowprune.experiments import designed_study as study
from flowprune.experiments.designed import DesignedTrial, narrow, pool, start_slope
from flowprune.experiments.images import images
from flowprune.experiments.mask_paths import PathTrial
from flowprune.experiments.perceptrons import answers, weights
from flowprune.limits.finite import masked_ntk
from flowprune.limits.graphon import l2, sorted_average
from flowprune.limits.mlp import mlp
from flowprune.limits.null import erdos_renyi
from flowprune.pruning.saliency import prune
from flowprune.study import claims

SMALL = {"width": 24, "samples": 128, "steps": 12, "networks": 2, "cells": 4, "searched": 4}


def run(trial):
    ((_, row),) = type(trial).run([trial])
    return row


# --- networks of designs ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows():
    return {m: run(DesignedTrial(method=m, sparsity=0.8, **SMALL)) for m in designed.METHODS}


def test_held_out_images_are_in_no_batch():
    x, _ = images("digits")
    held = {tuple(v.tolist()) for v in x[-designed.HELD_OUT :]}
    for seed in (0, 10**6):
        assert not held & {tuple(v.tolist()) for v in pool("digits", 1397, seed)[0]}
    with pytest.raises(ValueError, match="has 1397 images to train on, not 1398"):
        pool("digits", 1398, 0)


def test_the_first_slope_is_what_a_small_step_gains():
    x, y = pool("digits", 40, 0)
    model = mlp((64, 30, 20, 10), 0, dtype=torch.float64)
    masks = list(prune(model, "random", 0.6).values())
    θ0, x, Y, η = weights(model), x.double(), one_hot(y, 10).double(), 1e-6
    θ = [(w * m / math.sqrt(2 / w.shape[1])).requires_grad_() for w, m in zip(θ0, masks, strict=True)]
    start = answers([math.sqrt(2 / t.shape[1]) * t for t in θ], x)

    def loss(parameters):
        f = answers([math.sqrt(2 / t.shape[1]) * t for t in parameters], x)
        return (f - start.detach() - Y).square().sum() / 80

    moved = [t - η * m * g for t, m, g in zip(θ, masks, torch.autograd.grad(loss(θ), θ), strict=True)]
    gain = (loss(θ) - loss(moved)).item()
    assert start_slope(θ0, masks, x, y) == pytest.approx(gain / η, rel=1e-4)


def test_in_wide_networks_the_first_slope_is_that_of_the_mean_kernel():
    x, y = pool("digits", 40, 0)
    model = mlp((64, 1500, 10), 0)
    masks = list(prune(model, "random", 0.5).values())
    K, Y = masked_ntk(weights(model), masks, x), one_hot(y, 10).float()
    slope = float((Y * (K @ Y)).sum()) / 40**2
    assert start_slope(weights(model), masks, x, y) == pytest.approx(slope, rel=0.1)


def test_a_narrow_network_is_dense_where_it_is():
    W = narrow((64, 100, 100, 10), 0.8)
    kept = sum(float(w.sum()) for w in W)
    assert kept == pytest.approx(0.2 * (6400 + 10000 + 1000), rel=1e-12)
    alive = [(w > 0) for w in W]
    m = int(alive[0].any(1).sum())
    assert alive[1].sum() == m * m and alive[1][:m, :m].all() and alive[2][:, :m].all()
    assert 0.95 < W[0].max() <= 1 and 64 * (m - 1) + (m - 1) ** 2 + 10 * (m - 1) < kept


def test_every_method_trains_equal_networks_with_as_many_weights(rows):
    total = 64 * 24 + 2 * 24**2 + 240
    for m, row in rows.items():
        assert len(row["adam"]) == len(row["tuned"]) == len(row["slope"]) == 2
        assert np.isfinite([row[k] for k in ("adam", "tuned", "predicted", "slope")]).all()
        if m in designed.RULES:
            assert row["kept"] == [float(f"{round(0.2 * total) / total:.4g}")] * 2
        else:
            assert all(abs(k - 0.2) < 4 * math.sqrt(0.16 / total) for k in row["kept"])
        assert [len(row[f"graphon_{i}"]) for i in range(4)] == [256, 16, 16, 40]
        assert len(row["curve_adam"]) == len(row["error_tuned"]) == 12
    sizes = np.array([64 * 24, 24**2, 24**2, 240])
    for m in designed.DESIGNS:
        assert sizes @ [rows[m][f"density_{i}"] for i in range(4)] / total == pytest.approx(0.2, rel=1e-9)
    assert rows["speed"]["said_speed"] == max(rows[m]["said_speed"] for m in designed.DESIGNS)


def test_a_row_is_what_training_by_hand_gives(rows):
    trial = DesignedTrial(method="synflow", sparsity=0.8, **SMALL)
    x, y = pool("digits", 128, 1)
    model = mlp(trial.widths, 1)
    prune(model, "synflow", 0.8)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    ahead = []
    for _ in range(12):
        optimiser.zero_grad()
        cross_entropy(model(x), y).backward()
        optimiser.step()
        ahead.append(math.log(math.log(10) / cross_entropy(model(x), y).item()))
    assert rows["synflow"]["adam"][1] == pytest.approx(np.mean(ahead), rel=1e-3)
    xt, yt = (part[-400:] for part in images("digits"))
    hits = (answers(weights(model), xt).argmax(1) == yt).double().mean()
    assert rows["synflow"]["accuracy"][1] != pytest.approx(float(hits), abs=1e-9)  # masks are needed
    model.eval()
    assert rows["synflow"]["accuracy"][1] == pytest.approx(
        float((model(xt).argmax(1) == yt).double().mean()), abs=1e-4
    )


def test_a_network_that_answers_nothing_learns_nothing():
    trial = DesignedTrial(method="random", sparsity=0.8, **SMALL)
    model, masks = trial.pruned(0)
    masks[1] = torch.zeros_like(masks[1])
    x, y = pool("digits", 128, 0)
    losses, predicted = trial.tuned(weights(model), masks, x, y, 0)
    assert (losses == 0.5).all() and (predicted == 0.5).all()


# --- paths -----------------------------------------------------------------------------------------------


def test_rounds_tell_their_path():
    trial = PathTrial(kind="rounds", sparsity=0.9, width=24, samples=128, steps=4, points=3)
    row = run(trial)
    assert len(row["accuracy"]) == len(row["top5"]) == 3 and row["at"] == [4, 8, 12]
    sizes = np.array([64 * 24, 24**2, 24**2, 240])
    for k in range(3):
        kept = sum(s * row[f"density_{i}"][k] for i, s in enumerate(sizes))
        assert kept == pytest.approx(0.1 ** ((k + 1) / 3) * sizes.sum(), abs=1.5)
    assert not any(row[f"new_{i}"] != [0, 0, 0] for i in range(4))  # nothing comes back
    assert row["step_1"][0] == 0 and row["step_1"][1] > 0


def test_rewiring_keeps_densities_and_says_what_is_new():
    trial = PathTrial(kind="rewiring", sparsity=0.7, width=24, samples=128, steps=24, points=2)
    row = run(trial)
    assert row["at"] == [0, 6, 12] and set(row["density_1"]) == {row["density_1"][0]}
    assert row["new_1"][0] == 0 < row["new_1"][1] < 0.3 and row["strange_1"][1] == row["new_1"][1]
    assert {"final", "still"} <= set(row)


def test_a_random_mask_is_no_further_than_its_null():
    """Sorted distances are those expected of nothing, whichever way they are placed."""
    found = []
    for seed in range(6):
        path = mask_paths.Path(pool("digits", mask_paths.PROBED, 0)[0], seed)
        shapes = ((96, 64), (96, 96), (96, 96), (10, 96))
        masks = {str(i): erdos_renyi(*s, s[0] * s[1] // 5, 10 * seed + i) for i, s in enumerate(shapes)}
        path.look(masks)
        path.note(accuracy=0.1, at=0)
        row = path.told() | {"kind": "rounds", "sparsity": 0.8, "rate": 0.1, "seed": seed, "hidden": 3}
        assert row["away_1"][0] == pytest.approx(
            l2(sorted_average(masks["1"], 32), float(masks["1"].double().mean())), rel=1e-3
        )
        found.append(study.walked(pd.DataFrame([row | {"status": "done"}])))
    points = pd.concat(found)
    assert points.beyond.mean() == pytest.approx(1, abs=0.03)
    assert points.placed.mean() == pytest.approx(1, abs=0.1)


# --- rules -----------------------------------------------------------------------------------------------


def judged(name: str, evidence: dict) -> str:
    return claims.claims()[name].judge(evidence)


def table(adam: float, tuned: float, accuracy: float, networks: int = 12) -> pd.DataFrame:
    """Networks in which the judged designs lead by so much, each on its own ground."""
    rng, rows = np.random.default_rng(0), []
    for s in study.SPARSITIES:
        for m in designed.METHODS:
            lead = {
                "adam": adam if m == "speed" else 0,
                "tuned": tuned if m == "learned" else 0,
                "accuracy": accuracy if m in ("speed", "learned") else 0,
                "slope": 1 if m == "speed" else 0,
            }
            lists = {k: (v + 0.1 * rng.standard_normal(networks)).tolist() for k, v in lead.items()}
            rows.append({"method": m, "sparsity": s, "seed": 0, "networks": networks, "status": "done"}
                        | lists | {"predicted": lists["tuned"], "kept": [1 - s] * networks})  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("adam", "tuned", "accuracy", "expected"),
    [
        (1, 1, 0, "holds"),
        (0, 1, -1, "holds under conditions"),
        (0, 0, 0, "does not hold"),
    ],
)
def test_the_rule_of_the_design(adam, tuned, accuracy, expected):
    nets = study.networks(table(adam, tuned, accuracy))
    evidence = study.design_evidence(nets, study.contests(nets))
    assert evidence["cells"] == evidence["networks"] == 12
    assert evidence["speed_adam"] == (adam == 1) and evidence["learned_tuned"] == (tuned == 1)
    assert evidence["accuracy_behind"] == (accuracy == -1) and 0.8 < evidence["slope"] < 1
    assert judged("W14", evidence) == expected
    assert judged("W14", evidence | {"networks": 9}) == "undecided"
    assert judged("W14", evidence | {"speed_adam": 0.9, "ahead": 0.6}) == "undecided"
    if expected == "holds":
        assert judged("W14", evidence | {"accuracy_behind": 0.1}) == "holds under conditions"


def walks(rounds: float, far: float, rewired: float, leap: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng, points, trials = np.random.default_rng(0), [], []
    ends = {"rounds": {1e-3: rounds, 2e-2: far}, "rewiring": {1e-3: rewired}}
    for k, s, r in study.KINDS:
        for seed in range(6):
            end = ends[k][r] + 0.005 * rng.standard_normal()
            for point, beyond in enumerate((1.0, 1 + leap * (end - 1), end)):
                points.append({"kind": k, "sparsity": s, "rate": r, "seed": seed, "point": point, "at": point,
                               "beyond": beyond, "degrees": 0.2, "strange": 0.1 * point, "top5": 0.1 * point,
                               "density_0": 0.3, "density_1": 0.1})  # fmt: skip
            trials.append(
                {"kind": k, "status": "done", "final": 0.9 + 0.01 * rng.standard_normal(), "still": 0.9}
            )
    return pd.DataFrame(points), pd.DataFrame(trials)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((1.05, 1.3, 2.5, 0.8), "holds"),
        ((1.05, 1.3, 2.5, 0.3), "holds under conditions"),
        ((1.2, 1.3, 2.5, 0.8), "holds under conditions"),
        ((1.5, 1.3, 2.5, 0.8), "undecided"),
        ((1.05, 1.3, 1.02, 0.8), "does not hold"),
    ],
)
def test_the_rule_of_the_paths(ends, expected):
    evidence = study.path_evidence(*walks(*ends))
    assert evidence["networks"] == 6 and evidence["input_over_hidden"] == pytest.approx(3)
    assert evidence["leap"] == pytest.approx(ends[3]) and evidence["strange"] == pytest.approx(0.2)
    assert evidence["top5_rewired"] == pytest.approx(0.2) and evidence["gain_lower"] < evidence["gain_upper"]
    assert judged("W15", evidence) == expected


def test_the_published_studies_have_every_trial_once():
    for trials, count in ((study.study(), 27), (study.paths(), 32)):
        assert len({t.key for t in trials}) == len(trials) == count
