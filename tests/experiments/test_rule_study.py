"""The parts of the rule taken out one at a time: grids, contrasts and evidence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flowprune.experiments import rule_study
from flowprune.study.trials import collect

SMALL = "syn-cora?homophily=0.8&n=120"


def test_every_change_takes_out_one_part_and_keeps_the_rest():
    cells = rule_study.ablation(SMALL, "plain", 2, runs=2)
    full = cells[rule_study.FULL]
    for name, trials in cells.items():
        for t, base in zip(trials, full, strict=True):
            differing = {k for k, v in t.fields.items() if v != base.fields[k]}
            wanted = {"no pruning": {"rate", "noise"}}.get(name, set(rule_study.ABLATION.get(name, {})))
            assert differing == wanted
            assert (t.split, t.seed) == (base.split, base.seed)


def test_rates_lift_the_bound_and_settings_cover_the_grid():
    cells = rule_study.rates(SMALL, 2, (0.1, 0.2), (0.0, 0.5), runs=1)
    assert set(cells) == {(r, g) for r in (0.1, 0.2) for g in (0.0, 0.5)}
    assert all(t.limit == 1 and (t.rate, t.growth) == cell for cell, part in cells.items() for t in part)
    noisy = rule_study.sensitivity(SMALL, "plain", 2, (0.1,), (0.5, 2.0), runs=1)
    assert [(t.noise, t.beta) for part in noisy.values() for t in part] == [(0.1, 0.5), (0.1, 2.0)]
    seen = rule_study.ablation(SMALL, "small steps", 2, runs=5)
    fresh = rule_study.sensitivity(SMALL, "small steps", 2, runs=2)
    keys = [{t.key for part in cells.values() for t in part} for cells in (seen, fresh)]
    assert len(fresh) == 9 and not keys[0] & keys[1]


def test_rows_are_read_from_real_networks():
    cells = rule_study.ablation(SMALL, "plain", 2, runs=2, epochs=3)
    rows = rule_study.read(cells, collect([t for part in cells.values() for t in part], executor="local"))
    assert len(rows) == 14 and set(rows.cell) == set(cells)
    assert rows[rows.cell == "one shot"].removed.between(0.1, 0.2).all()
    assert (rows[rows.cell == "no pruning"].removed == 0).all()
    assert ((rows.mu > 0) & (rows.accuracy >= 0)).all()


def rows(effects: dict[str, float], noise: float = 0.1) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    told = []
    for cell, effect in effects.items():
        for graph in ("a", "b"):
            for run in range(5):
                accuracy = 70 + run + effect + noise * rng.standard_normal()
                told.append({"graph": graph, "cell": cell, "run": run, "accuracy": accuracy})
    return pd.DataFrame(told).assign(mu=0.5, removed=0.2, learned=True)


EFFECTS = {name: 0.0 for name in rule_study.ABLATION} | {"no noise": -3.0, "one shot": 2.0}


def test_contrasts_are_paired_and_find_the_effect():
    found = rule_study.contrasts(rows(EFFECTS)).set_index("change")
    assert found.difference["no noise"] == pytest.approx(-3, abs=0.2)
    assert found.lower["no noise"] < found.difference["no noise"] < found.upper["no noise"] < -2.5
    assert found["adj. p"]["no noise"] < 0.05 < found["adj. p"]["fixed threshold"]


def test_evidence_of_the_ablation_counts_parts():
    both = {name: rule_study.contrasts(rows(EFFECTS)) for name in ("plain", "small steps")}
    both["small steps"] = rule_study.contrasts(rows({name: 0.0 for name in rule_study.ABLATION}))
    found = rule_study.ablation_evidence(both)
    assert (found["parts"], found["needed"], found["needed_most"], found["harmful"]) == (5, 0, 1, 1)
    assert found["largest"] == pytest.approx(3, abs=0.2)


def test_evidence_of_stability_reads_the_worst_network():
    table = {n: rows(EFFECTS) for n in ("plain", "small steps")}
    found = rule_study.shot_evidence({n: rule_study.contrasts(t) for n, t in table.items()}, table)
    assert found["runs"] == 10 and found["shot_lower"] < found["shot_upper"] < -1.5
    assert found["shot_spread"] == pytest.approx(1, rel=0.2)


def test_evidence_of_rates_and_settings_reads_ranges():
    grid = {(r, g): 10 * r + g for r in (0.1, 0.2, 0.5) for g in (0.0, 0.5)}
    found = rule_study.rate_evidence(rows(grid))
    assert found["settings"] == 6 and found["runs"] == 10
    assert found["range_rate"] == pytest.approx(4, abs=0.3) and found["range_growth"] == pytest.approx(
        0.5, abs=0.3
    )
    assert (found["best_rate"], found["best_growth"]) == (0.5, 0.5) and found["gain_lower"] > 3.5
    both = {"plain": rows(grid), "small steps": rows({cell: x / 3 for cell, x in grid.items()})}
    found = rule_study.sensitivity_evidence(both)
    assert found["range_noise"] == pytest.approx(4, abs=0.3) and found["range"] == pytest.approx(4.5, abs=0.3)
    assert found["least_range"] == found["steady_range"] == pytest.approx(1.5, abs=0.2)
    assert found["steady_p"] < 0.05 and found["runs"] == 10
    told = rule_study.settings_in_words(
        rows({(0.1, 0.5): 0.0, (0.2, 0.5): 0.0, (0.1, 2.0): 3.0, (0.2, 2.0): 5.0})
    )
    assert "β = 2 is higher than with β = 0.5 in 10 of 10 runs (+4.0 points" in told
    assert told.endswith("differ by 2.0 points at most")
