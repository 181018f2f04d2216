"""Graph transformers with the rule: what a trial reads, contrasts and evidence of D14."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from flowprune.dynamics import oversmoothing
from flowprune.experiments import transformer as study
from flowprune.experiments.nodes import build, prepared
from flowprune.experiments.transformer import TransformerTrial
from flowprune.flows.transformer import FURTHEST, hop_classes
from flowprune.study import claims
from flowprune.study.trials import collect

SMALL = "syn-cora?homophily=0.8&n=80"


def test_variants_differ_in_the_rule_alone_and_share_their_places():
    cells = study.grid([(SMALL, "all")], runs=2, depth=2)
    base = cells[SMALL, "all", "minus"]
    wanted = {study.UNPRUNED: {"rate", "noise"}, "minus": set(), study.AT_ONCE: {"gradual"}}
    for (_, _, name), trials in cells.items():
        for t, other in zip(trials, base, strict=True):
            assert {k for k, v in t.fields.items() if v != other.fields[k]} == wanted.get(name, {"sign"})
    assert [(t.split, t.seed) for t in base] == [(0, 0), (1, 1)]
    fast = study.grid([(SMALL, "all")], runs=1, rate=0.7)
    assert fast[SMALL, "all", "plus"][0].rate == 0.7 and fast[SMALL, "all", study.UNPRUNED][0].rate == 0


def test_the_published_study_has_every_setting_once():
    trials = study.study()
    assert len({t.key for t in trials}) == len(trials) == 6 * 6 * 10
    assert {(t.depth, t.hidden, t.heads, t.rate, t.limit) for t in trials} == {
        (4, 32, 4, 0.1, 0.2),
        (4, 32, 4, 0, 0.2),
    }
    assert {t.pairs for t in trials if "public" in t.dataset} == {"neighbours"}


@pytest.mark.parametrize("pairs", ["neighbours", "all"])
def test_a_trial_is_read_by_hand(pairs):
    t = study.grid([(SMALL, pairs)], runs=1, depth=2, epochs=4, rate=5.0)[SMALL, pairs, "plus"][0]
    ((_, row),) = TransformerTrial.run([t])
    graph, model, _ = TransformerTrial.fitted([t])
    layers = model.flow.layers
    gone = torch.stack([layer.w[0] == 0 for layer in layers]).double().mean(0)
    joins, full = layers[0].joins, layers[0].full
    assert row["removed"] == pytest.approx(gone[joins].mean().item(), rel=1e-3) and 0 < row["removed"] <= 0.2
    same = (graph.labels[full.row] == graph.labels[full.col])[joins].double()
    assert row["same_removed"] == pytest.approx((gone[joins] @ same / gone.sum()).item(), rel=1e-3)
    first = build(graph, [t]).eval()
    F = first.encoder()
    assert row["mu_at_first"][0] == pytest.approx(oversmoothing.coefficient(F[:, 0]).item(), rel=1e-3)
    last = model.eval().evolve()[1]
    assert len(row["mu"]) == 3
    assert row["mu"][-1] == pytest.approx(oversmoothing.coefficient(last[:, 0].detach()).item(), rel=1e-3)
    assert ("removed_by_hop" in row) == (pairs == "all")
    if pairs == "all":
        hops = hop_classes(prepared(SMALL).with_self_loops().adjacency)[full.row, full.col]
        expected = [gone[hops == h].mean().nan_to_num(0).item() for h in range(1, FURTHEST + 1)]
        np.testing.assert_allclose(row["removed_by_hop"], expected, rtol=1e-3)


def test_rows_are_read_from_real_networks():
    cells = study.grid([(SMALL, "all"), (SMALL, "neighbours")], runs=2, depth=1, epochs=2)
    table = collect([t for part in cells.values() for t in part], executor="local")
    rows = study.read(cells, table)
    assert len(rows) == 24 and set(rows.variant) == set(study.VARIANTS)
    assert (rows[rows.variant == study.UNPRUNED].removed == 0).all()
    found = study.contrasts(rows)
    assert len(found) == 6 and (found.runs == 2).all()
    one = rows[(rows.pairs == "all") & (rows.run == 0)].set_index("variant")
    assert one.accuracy["plus"] == pytest.approx(100 * one.test_accuracy["plus"])


def rows(gains: dict[tuple[str, str, str], float], noise: float = 0.2) -> pd.DataFrame:
    """Ten runs of every setting; accuracy 70, more by ``gains`` for (graph, pairs, variant)."""
    rng, told = np.random.default_rng(0), []
    for graph, pairs in study.SETTINGS:
        for variant in study.VARIANTS:
            for run in range(10):
                more = gains.get((graph, pairs, variant), 0.0) + noise * rng.standard_normal()
                place = {"graph": graph, "pairs": pairs, "variant": variant, "run": run}
                share = 0.0 if variant == study.UNPRUNED else 0.2
                told.append(place | {"accuracy": 70 + run + more, "removed": share})
    return pd.DataFrame(told)


def everywhere(reading: str, gain: float) -> dict[tuple[str, str, str], float]:
    return {(*setting, reading): gain for setting in study.SETTINGS}


def verdict(gains: dict[tuple[str, str, str], float], noise: float = 0.2) -> str:
    return claims.claims()["D14"].judge(study.evidence(rows(gains, noise)))


def test_contrasts_are_paired_and_splits_that_overlap_have_wider_intervals():
    found = study.contrasts(rows(everywhere("plus", 2.0)))
    plus = found[found.variant == "plus"]
    assert np.allclose(plus.difference, 2, atol=0.3) and (plus["adj. p"] < 0.05).all()
    assert (found[found.variant == "minus"]["adj. p"] > 0.05).all()
    width = (found.upper - found.lower).groupby(found.graph.str.contains("public")).mean()
    assert width[False] > 1.5 * width[True]


def test_evidence_counts_settings_and_names_the_control():
    found = study.evidence(rows(everywhere("plus", 2.0) | {("texas", "all", "minus"): -3.0}))
    assert (found["settings"], found["runs"]) == (6, 10)
    assert (found["gains"], found["reading_gains"], found["losses"]) == (6, 6, 1)
    assert found["largest"] == pytest.approx(2, abs=0.3) and found["smallest"] == pytest.approx(-3, abs=0.3)
    assert found["upper"] < 3 and found["removed"] == pytest.approx(0.2) and found["covariance"] == 7
    both = study.evidence(rows(everywhere("plus", 2.0) | everywhere(study.CONTROL, 2.0)))
    assert both["gains"] == 6 and both["covariance"] == 12  # minus and correlation now lose to the control


@pytest.mark.parametrize(
    ("gains", "noise", "expected"),
    [
        (everywhere("minus", 2.0), 0.2, "holds"),
        ({("texas", "all", "plus"): 3.0}, 0.2, "holds under conditions"),
        (everywhere("minus", 2.0) | {("texas", "all", "minus"): 0.0}, 0.2, "holds under conditions"),
        ({}, 0.2, "does not hold"),
        (everywhere("minus", -2.0), 0.2, "does not hold"),
        ({}, 6.0, "undecided"),  # too noisy to exclude the gains that are reported
    ],
)
def test_the_rule_of_the_claim(gains, noise, expected):
    assert verdict(gains, noise) == expected
