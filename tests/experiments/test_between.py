"""Where trained networks live: which are trained, and what is said of states and rows whose answers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import words

from flowprune.experiments import between, grids, sweep
from flowprune.experiments.evolution import tendencies
from flowprune.experiments.nodes import build, prepared
from flowprune.experiments.pictures import between as pictures
from flowprune.graphs import load
from flowprune.study.passes import compute

DATASETS = ("karate", "csbm?n=60&homophily=0.2")
CELLS = between.grid(DATASETS, ("karate",), settings="texas", splits=3, epochs=10)


def collected(trials) -> pd.DataFrame:
    return pd.DataFrame(
        [
            row["spec"] | row["result"] | {"key": row["key"], "status": row["status"]}
            for row in compute(trials)
        ]
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.concat([collected(cell) for cell in CELLS.values()], ignore_index=True)


# --- which networks are trained -------------------------------------------------------------------


def test_published_settings_on_every_data_set_and_the_other_structures_where_asked():
    cells = between.grid()
    published = {d: cell[0] for (variant, d), cell in cells.items() if variant == "published"}
    assert tuple(published) == between.DATASETS
    assert published["texas"].structure == "dd"
    assert published["cora"].component == "largest"
    assert published["chameleon-filtered"].self_loops
    assert {d: t.epochs for d, t in published.items() if t.epochs != 250} == between.SHORT
    for d in between.VARIED:
        structures = {cell[0].structure for (_, name), cell in cells.items() if name == d}
        assert structures == set(between.STRUCTURES)
    keys = [t.key for cell in cells.values() for t in cell]
    assert len(keys) == len(set(keys)) == 10 * (len(between.DATASETS) + 2 * len(between.VARIED))


def test_the_untrained_flow_is_the_one_that_training_starts_from():
    for trials in CELLS.values():
        for trial in trials:
            model = build(prepared(trial.dataset), [trial])
            drawn = between.untrained(trial)
            assert torch.equal(drawn.W[0].matrix(), model.flow.W[0].matrix())
            assert torch.equal(drawn.ω, model.flow.ω)
            assert drawn.steps == model.flow.steps


# --- what is said of them ---------------------------------------------------------------------------


def test_layers_have_one_row_a_state_with_its_time(table):
    states = between.layers(CELLS, table)
    one = states[(states.variant == "published") & (states.dataset == "karate") & (states.split == 1)]
    row = table[table.key == CELLS["published", "karate"][1].key].iloc[0]
    assert one.t.tolist() == pytest.approx([0.0, 0.5, 0.5756])
    assert one.energy.tolist() == row.energy_by_step
    assert one.low.tolist() == row.low_by_step
    assert one.accuracy.iloc[-1] == pytest.approx(100 * row.test_accuracy, abs=1e-4)
    assert len(states) == 3 * 3 * len(CELLS)


def test_without_a_spectrum_the_shares_are_missing_and_failed_trials_are_left_out(table):
    large = table.drop(columns=["low_by_step", "high_by_step"])
    large.loc[0, "status"] = "failed"
    states = between.layers(CELLS, large)
    assert states[["low", "high"]].isna().all(axis=None)
    assert len(states) == 3 * (3 * len(CELLS) - 1)
    assert len(between.phases(CELLS, large)) == 3 * len(CELLS) - 1


def test_phases_stand_beside_where_w_was_drawn(table):
    places = between.phases(CELLS, table)
    trial = (
        CELLS["dd", "csbm?n=60&homophily=0.2"][0]
        if ("dd", DATASETS[1]) in CELLS
        else CELLS["sum", "karate"][0]
    )
    line = places[(places.dataset == trial.dataset) & (places.variant == trial.structure)].iloc[0]
    row = table[table.key == trial.key].iloc[0]
    drawn = tendencies(between.untrained(trial), 0, row.rho)
    assert (line.attraction, line.repulsion) == (row.attraction, row.repulsion)
    assert (line.attraction_drawn, line.rate_high_drawn) == (drawn["attraction"], drawn["rate_high"])
    assert line.attraction != line.attraction_drawn


def made_up(ends: dict[str, list[float]]) -> pd.DataFrame:
    """States of two steps with these energies at the end, by data set and split."""
    return pd.DataFrame(
        [
            {"variant": "published", "dataset": d, "split": s, "t": t, "energy": e, "labels": 0.4}
            for d, energies in ends.items()
            for s, last in enumerate(energies)
            for t, e in ((0.0, 0.3), (1.0, last))
        ]
    )


def test_the_share_between_is_taken_over_data_sets_and_its_interval_over_splits():
    states = made_up({"a": [0.2, 0.5, 0.9], "b": [0.02, 0.5, 0.97]})
    assert between.share_between(states).mean == pytest.approx((0.5 + 1 + 0.5) / 3)
    stops = between.stopping(states).set_index("data set")
    assert stops.loc["b", "between"] == "1 of 3"
    assert stops.loc["a", "end"] == pytest.approx(np.mean([0.2, 0.5, 0.9]))
    assert stops.loc["a", "start"] == 0.3
    assert "b from 0.30 to 0.50" in pictures.in_words(between.stopping(states))
    other = states.assign(variant="sum", energy=0.0)
    assert between.share_between(pd.concat([states, other])).mean == pytest.approx(2 / 3)


def rows(tilt, end, test) -> pd.DataFrame:
    """Rows of a sweep, each value a function of (variant number, level, split)."""
    return pd.DataFrame(
        [
            {"variant": v, "level": h, "graph": 0, "split": s, "labels": 0.5, "tilt": tilt(i, h, s)}
            | {"end": end(i, h, s), "test": test(i, h, s)}
            for i, v in enumerate(("prod", "neg-prod", "sum", "dd"))
            for h in (0.0, 0.3, 0.6, 1.0)
            for s in range(5)
        ]
    )


def test_leaning_is_the_rank_correlation_within_each_split():
    """Splits that differ by a lot among themselves lean alike."""
    falls = rows(lambda i, h, s: 10 * s - h**3, lambda *_: 0.5, lambda *_: 1.0)
    assert between.leaning(falls, "sum").mean == pytest.approx(-1)
    assert between.leaning(falls.assign(tilt=-falls.tilt), "dd").upper == pytest.approx(1)


def test_match_is_negative_when_the_nearest_to_the_labels_is_the_best():
    near = rows(lambda *_: 0.0, lambda i, h, s: 0.5 + (-1) ** i * 0.1 * i, lambda i, h, s: 90 - i + 10 * s)
    assert between.match(near).upper == pytest.approx(-1)
    assert between.match(near.assign(test=-near.test)).lower == pytest.approx(1)
    equal_at_one = near.assign(test=near.test.where(near.level < 1, 100.0))
    assert between.match(equal_at_one).mean == pytest.approx(-1)


def test_evidence_joins_theory_networks_and_sweep(table):
    cells = grids.homophily([0.0, 1.0], n=60, graphs=1, splits=3, epochs=3)
    swept = sweep.tidy(cells, pd.concat([collected(cell) for cell in cells.values()], ignore_index=True))
    found = between.evidence(between.layers(CELLS, table), swept, {"counterexamples": 0})
    assert found["counterexamples"] == 0
    assert found["networks"] == 6
    assert 0 <= found["between_lower"] <= found["between"] <= found["between_upper"] <= 1
    assert all(-1 <= found[name] <= 1 for name in ("sum_tilt_upper", "dd_tilt_upper", "match_upper"))


# --- figures ------------------------------------------------------------------------------------------


def test_courses_part_at_the_tie():
    graph = load("complete?n=5").to(dtype=torch.float64)
    F0 = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moving, still = pictures.courses(graph, F0, [0.0, -2.0, -8.0], time=30.0)
    assert [frame.name for frame in moving.frames] == ["0.000", "-2.000", "-4.000 (tie)", "-8.000"]
    last = [frame.data[0].y[-1] for frame in moving.frames]
    assert last[0] < 0.01 and last[1] < 0.01 and 0.05 < last[2] < 0.95 and last[3] > 0.99
    said = words(still)
    assert "at the tie" in said and "λ₋ below the tie" in said


def test_layers_and_phases_name_every_data_set(table):
    states, places = between.layers(CELLS, table), between.phases(CELLS, table)
    said = words(pictures.layers(states[states.variant == "published"]))
    assert "karate" in said and "csbm\nn=60&homophily=0.2" in said
    said = words(pictures.phase_diagram(places[places.variant == "published"]))
    assert "karate" in said and "λ₊" in said


def test_leaning_draws_the_labels_beside_every_variant():
    names = {"prod": "GRAFF prod", "neg-prod": "GRAFF neg-prod", "sum": "GRAFF sum", "dd": "GRAFF DD"}
    made = rows(lambda i, h, s: h + 0.01 * s, lambda i, h, s: 0.2 * i + 0.01 * s, lambda *_: 1.0)
    fig = pictures.leaning(made, names)
    assert [line.get_label() for line in fig.axes[1].lines][-1] == "labels"
    assert len(fig.axes[1].lines) == 5 and len(fig.axes[0].lines) == 3
    said = words(fig)
    assert all(name in said for name in names.values())
