"""Masks of pruned perceptrons: what a trial stores, distances between cells, and the rules of W1 to W5, W11 and W13."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from flowprune.experiments import masks_evidence as evidence
from flowprune.experiments import masks_study as study
from flowprune.experiments.images import batch
from flowprune.experiments.masks import COARSE, ESTIMATORS, NULL, MaskTrial, operator_distance
from flowprune.limits.graphon import average, l1, l2, sample, sorted_average
from flowprune.limits.mlp import mlp
from flowprune.limits.null import expected_distance, expected_histogram
from flowprune.pruning.saliency import METHODS, prune
from flowprune.study import claims

SMALL = {"width": 40, "hidden": 4, "sparsity": 0.8, "networks": 4, "samples": 32, "examined": 2}


def run(**fields):
    trial = MaskTrial(**SMALL | fields)
    ((_, row),) = MaskTrial.run([trial])
    json.dumps(row)
    return trial, row


def test_a_trial_tells_of_the_masks_between_hidden_layers():
    trial, row = run(method="snip", seed=3)
    masks = []
    for r in range(4):
        x, y = batch("digits", 32, 3 + r)
        net = mlp([64, 40, 40, 40, 40, 10], 3 + r)
        masks.append([m.double().numpy() for m in prune(net, "snip", 0.8, x, y, seed=3 + r).values()])
    assert not [k for k in row if k.endswith("_4")]
    assert row["kept_input"] == pytest.approx(np.mean([m[0].mean() for m in masks]), rel=1e-3)
    assert row["kept_output"] == pytest.approx(np.mean([m[-1].mean() for m in masks]), rel=1e-3)
    for number in (1, 2, 3):
        own = [m[number] for m in masks]
        H = np.stack([sorted_average(M) for M in own])
        mean = np.array(row[f"mean_sorted_{number}"]).reshape(32, 32) / 1e3
        np.testing.assert_allclose(mean, average(H.mean(0), 32), atol=6e-4)
        assert row[f"density_{number}"] == pytest.approx([M.mean() for M in own], rel=1e-3)
        assert row[f"fine_{number}"] == pytest.approx(
            [l2(W, M.mean()) for W, M in zip(H, own, strict=True)], rel=1e-3
        )
        pairs = [(H[i], H[j]) for i in range(4) for j in range(i)]
        assert row[f"apart_l1_{number}"] == pytest.approx(np.mean([l1(*p) for p in pairs]), rel=1e-3)
        assert row[f"apart_l2_{number}"] ** 2 == pytest.approx(
            np.mean([l2(*p) ** 2 for p in pairs]), rel=2e-3
        )
        assert 0 < row[f"cut_lower_{number}"] <= row[f"cut_upper_{number}"] < row[f"apart_l1_{number}"]
        C = np.stack([average(W, COARSE) for W in H])
        assert row[f"spread_sorted_{number}"] ** 2 == pytest.approx(C.var(0, ddof=1).mean(), rel=2e-3)
        off = (C - C.mean(0)).reshape(4, -1) / COARSE
        assert row[f"sway_sorted_{number}"] ** 2 == pytest.approx(
            np.linalg.eigvalsh(off @ off.T / 3)[-1], rel=2e-3
        )
        assert row[f"dead_rows_{number}"] == pytest.approx(
            np.mean([(~M.any(1)).mean() for M in own]), abs=1e-4
        )
        assert len(row[f"constant_split_{number}"]) == 4 and len(row[f"constant_blocks_{number}"]) == 2
        assert len(row[f"rest_null_{number}"]) == len(row[f"beyond_{number}"]) == 2
        assert 0 < min(row[f"share_{number}"]) < 1 and min(row[f"predicted_{number}"]) > 0
    assert MaskTrial.from_fields(trial.fields) == trial


def test_thresholds_are_those_that_the_masks_pass():
    for budget in ("global", "layerwise"):
        trial = MaskTrial(method="magnitude", **SMALL, budget=budget)
        one = trial.pruned(0)
        for M, (s, τ) in zip(one.masks, one.scores, strict=True):
            np.testing.assert_array_equal(M, (s >= τ).double().numpy())
        assert trial.pruned(2).scores == []
        if budget == "layerwise":
            assert [M.mean() for M in one.masks] == pytest.approx([0.2] * 3)


def test_masks_without_a_network_have_the_density_asked():
    _, row = run(method=NULL)
    assert set(row["density_1"]) == {0.2} and row["collapsed"] == 0
    assert "share_1" not in row
    assert row["mean_sorted_1"] != row["mean_sorted_2"]


def test_layers_that_lose_everything_are_counted():
    _, row = run(method="magnitude", sparsity=0.9999, hidden=2)
    assert row["collapsed"] >= 4 and row["dead_rows_1"] > 0.9


def test_the_distance_of_a_mask_from_its_graphon_is_an_operator_norm():
    M = sample(np.array([[0.8, 0.3], [0.4, 0.1]]), 30, 30).double().numpy()
    W = np.array([[0.8, 0.3], [0.4, 0.1]])
    expected = np.linalg.norm(M - np.kron(W, np.ones((15, 15))), 2) / 30
    assert operator_distance(M, W) == pytest.approx(expected)


# --- what is read from rows ------------------------------------------------------------------------------


def cell(method, width, W, spread=0.01, sway=0.01, networks=30, **more):
    """A row of the table of layers, with this expected picture for every estimator."""
    row = {
        "method": method, "budget": "global", "width": width, "hidden": 3, "sparsity": 0.8, "networks": networks,
        "layer": 1, "density": [float(W.mean())] * networks, "dead_rows": 0.0, "dead_columns": 0.0,
    }  # fmt: skip
    for name in ESTIMATORS:
        cells, unit = (32, 1e3) if name == "sorted" else (COARSE, 1e4)
        row |= {
            f"mean_{name}": (average(W, cells) * unit).round().astype(int).ravel().tolist(),
            f"spread_{name}": spread,
            f"sway_{name}": sway,
            f"constant_{name}": [l2(W, W.mean()) + 1e-4 * r for r in range(networks)],
        }
    return row | more


def flat_cell(method, width, p=0.2, **more):
    return cell(method, width, average(expected_histogram(width, width, p, 64), 32), **more)


GRADED = 0.2 + 0.15 * np.add.outer(np.linspace(0.6, -0.6, 32), np.linspace(0.6, -0.6, 32))


def test_a_distance_is_freed_from_noise():
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(100):
        H = GRADED[None] + 0.05 * rng.standard_normal((30, 32, 32))
        C = np.stack([average(W, COARSE) for W in H])
        off = (C - C.mean(0)).reshape(30, -1) / COARSE
        noise = {"spread": np.sqrt(C.var(0, ddof=1).mean()), "sway": np.linalg.norm(off, 2) / np.sqrt(29)}
        a = next(pd.DataFrame([cell("snip", 1, H.mean(0), **noise)]).itertuples())
        b = next(pd.DataFrame([cell("snip", 2, GRADED + 0.02, spread=0, sway=0)]).itertuples())
        D, error = study.distance(a, b)
        errors.append((D - 0.02) / error)
    assert abs(np.mean(errors)) < 0.3 and np.std(errors) < 1.1
    assert study.distance(a, a, shape=True)[0] == 0


def rows_with_rate(γ, widths=(100, 200, 500, 1000, 2000), **more):
    return pd.DataFrame(
        [cell("grasp", n, GRADED + 4 * n**-γ, sway=0.001, spread=0.0, **more) for n in widths]
    )


def test_distances_to_the_widest_come_in_the_order_of_width():
    found = study.widths(rows_with_rate(0.5))
    rest = found[found.to == 2000]
    assert rest.width.tolist() == [100, 200, 500, 1000] and rest.distance.is_monotonic_decreasing


@pytest.mark.parametrize("γ", [0.5, 1.0])
def test_rates_are_found(γ):
    (r,) = study.rates(rows_with_rate(γ)).itertuples()
    assert r.rate == pytest.approx(γ, abs=0.06) and r.settled and r.doublings == 3
    if γ == 0.5:
        assert r.left == pytest.approx(4 * 2000**-γ, rel=0.1)
    else:
        assert r.left == r.last < study.SMALL
    assert r.null == pytest.approx(
        l2(expected_histogram(1000, 1000, 0.2, 8), expected_histogram(2000, 2000, 0.2, 8))
    )


def test_a_drift_is_not_settled():
    drift = pd.DataFrame(
        [cell("grasp", n, GRADED * (1 + 0.2 * np.log(n / 100)), sway=0.004) for n in study.WIDTHS]
    )
    (r,) = study.rates(drift).itertuples()
    assert not r.settled and abs(r.rate) < 0.1
    (shape,) = study.rates(drift, shape=True).itertuples()
    assert shape.settled and shape.last < 1e-3


def test_two_blocks():
    step = np.where(np.add.outer(np.arange(32) > 20, np.arange(32) > 9), 0.0, 0.7)
    assert study.two_blocks(step) == pytest.approx(1)
    u = np.linspace(1, 0, 200)
    assert study.two_blocks(np.add.outer(u, u)) == pytest.approx(0.75, abs=0.01)
    assert study.two_blocks(np.full((4, 4), 0.3)) == 1


def made(seed=0) -> pd.DataFrame:
    """Rows of five methods at five widths: two flat, two graded, one of blocks."""
    rng = np.random.default_rng(seed)
    block = np.where(np.add.outer(np.arange(32) > 20, np.arange(32) > 9), 0.0, 0.7)
    shapes = {"snip": GRADED, "grasp": GRADED.T * 0.5 + 0.5 * GRADED**2 / 0.2, "synflow": block}
    rows = []
    for width in study.WIDTHS:
        p = expected_distance(width, width, 0.2)
        for method in ("random", "magnitude"):
            gradient = list(0.3 / np.sqrt(width) * (1 + 0.001 * rng.standard_normal(30)))
            rows.append(flat_cell(method, width, sway=0.001, spread=0.001, gradient=gradient, fine=[p] * 30))
            rows[-1]["mean_split"] = [2000] * COARSE**2
        for method, W in shapes.items():
            dead = {"dead_rows": 0.3, "dead_columns": 0.6} if method == "synflow" else {}
            rows.append(
                cell(method, width, W * (1 + 1 / width), sway=0.001, spread=0.001, fine=[0.1] * 30, **dead)
            )
        for row in rows[-5:]:
            uneven = 0.5 if row["method"] in study.GRADED else 0.001
            row |= {"share": [uneven] * 2, "heterogeneous": [uneven / 2] * 2, "predicted": [0.02] * 2}
    return pd.DataFrame([r | {"hidden": h, "layer": k} for r in rows for h in (3, 4) for k in range(1, h)])


@pytest.fixture(scope="module")
def cells():
    parts = [made().assign(sparsity=s) for s in study.SPARSITIES]
    for part in parts:  # the formula is that of the density, which is 0.2 here
        assert part.density.map(np.mean).between(0.1, 0.5).all()
    return pd.concat(parts, ignore_index=True)


CLAIMS = claims.claims()


def judge(name, **evidence):
    return CLAIMS[name].judge(evidence)


def test_the_rules_on_masks_as_they_are_said_to_be(cells):
    assert judge("W1", **evidence.settled(cells)) == "holds"
    assert judge("W2", **evidence.flat(cells)) == "holds"
    assert judge("W3", **evidence.graded(cells)) == "holds"
    assert judge("W4", **evidence.blocks(cells)) == "holds"
    pairs = evidence.between(cells)
    assert judge("W5", **pairs) == "holds under conditions"
    assert pairs["condition"] == "of one shape: random and magnitude (15 masks)" and pairs["apart"] == 0.9
    assert judge("W11", **evidence.factors(cells, seeds=3)) == "holds"
    found = evidence.sensitivity(cells)
    assert found.estimator.tolist() == list(ESTIMATORS)
    told = evidence.sensitivity_evidence(found)
    assert told["verdicts"] == 16 and judge("W13", **told) == "holds"


def test_the_rules_refuse_what_is_otherwise(cells):
    few = cells.assign(networks=4)
    assert judge("W1", **evidence.settled(few)) == judge("W4", **evidence.blocks(few)) == "undecided"
    same = cells.assign(mean_sorted=[cells.mean_sorted[0]] * len(cells))
    assert judge("W5", **evidence.between(same)) == "does not hold"
    assert judge("W4", **evidence.blocks(cells.assign(dead_columns=0.0, dead_rows=0.0))) == "does not hold"
    flat = cells.assign(constant_sorted=[[0.1, 0.1001, 0.0999]] * len(cells))
    assert judge("W3", **evidence.graded(flat)) == "does not hold"
    wide = cells.assign(fine=cells.fine.map(lambda v: [1.2 * x for x in v]))
    assert judge("W2", **evidence.flat(wide)) == "holds under conditions"
    even = cells.assign(heterogeneous=[[0.0, 0.0]] * len(cells))
    assert judge("W11", **evidence.factors(even, seeds=2)) == "does not hold"
    jump = cells.copy()
    jump["mean_sorted"] = [
        (np.array(v) * (1 + w / 2000)).round().tolist()
        for v, w in zip(cells.mean_sorted, cells.width, strict=True)
    ]
    told = evidence.settled(jump)
    assert judge("W1", **told) == "does not hold" and "synflow in 15 of 15 masks" in told["condition"]
    found = evidence.sensitivity(jump)
    assert found.W1[0] == "does not hold" and set(found.W1[1:]) == {"holds"}
    assert "W1 by split: holds" in evidence.sensitivity_evidence(found)["condition"]


def test_layers_are_read_from_trials():
    trials = study.grid([30], [3], [0.5], ["random", "magnitude"], networks=2, samples=16, examined=2)
    rows = [t.fields | r | {"status": "done"} for t in trials for _, r in MaskTrial.run([t])]
    found = study.layers(pd.DataFrame(rows))
    assert (
        found.layer.tolist() == [1, 2, 1, 2] and found.method.tolist() == ["random"] * 2 + ["magnitude"] * 2
    )
    W = study.picture(next(found.itertuples()))
    assert W.mean() == pytest.approx(0.5, abs=0.03)
    failed = pd.DataFrame(rows).assign(status="failed", error="no data")
    with pytest.raises(ValueError, match="no data"):
        study.layers(failed)


def test_the_published_study_has_every_trial_once():
    trials = [*study.study(), *study.deeper()]
    assert len({t.key for t in trials}) == len(trials) == 2 * 75 + 15 + 25
    assert {t.method for t in trials} == {*METHODS, NULL}
    assert all(t.networks >= 10 for t in trials) and torch.get_default_dtype() == torch.float32


def test_tables_by_method_say_what_their_rows_say(cells):
    told = evidence.settled_by_method(cells).set_index(["method", "budget"])
    rates = study.rates(cells[cells.method != NULL])
    assert told.masks.sum() == len(rates)
    one = rates[(rates.method == "snip") & (rates.budget == "global")]
    assert told.loc[("snip", "global"), "rate"] == pytest.approx(one.rate.median())
    assert told.loc[("snip", "global"), "settled"].startswith(f"{one.settled.sum()} / ")
    shapes = evidence.structure_by_method(cells).set_index("method")
    assert shapes.loc["random", "structure"] == 0 < shapes.loc["snip", "structure"]
    frames = evidence.frames(cells)
    ours = frames[frames.method == "synflow"]
    assert shapes.loc["synflow", "blocks"] == pytest.approx(ours.blocks.mean())
    assert evidence.blocks(cells)["dead"] == pytest.approx(ours.empty_share.min())
