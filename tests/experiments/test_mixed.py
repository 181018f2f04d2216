"""Mixed homophily: the grid compares like with like, the tests find a made-up gain, the mechanism is measured right."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch

from flowprune.experiments import gates, mixed
from flowprune.experiments.nodes import NodeTrial
from flowprune.flows.local import GATES, LocalGRAFF
from flowprune.graphs import load
from flowprune.study.claims import claims

CELLS = mixed.grid(n=60, graphs=8, splits=2, epochs=2)
HIDDEN = "mixed, region hidden, 2 steps"


def results(gain, noise=0.05) -> pd.DataFrame:
    """A collected table: accuracy is the graph's own level plus ``gain(variant, design)``."""
    rng = np.random.default_rng(0)
    level = {t.dataset: rng.uniform(0.4, 0.4 + noise) for trials in CELLS.values() for t in trials}
    return pd.DataFrame(
        {
            **t.fields,
            "key": t.key,
            "status": "done",
            "test_accuracy": level[t.dataset] + gain(variant, design) + 0.01 * t.split,
            "val_accuracy": gain(variant, design),
        }
        for (variant, design), trials in CELLS.items()
        for t in trials
    )


# --- the grid --------------------------------------------------------------------------------------------------------


def test_variants_of_a_design_see_the_same_graphs_and_training():
    for design, (parameters, steps) in mixed.DESIGNS.items():
        cells = {v: trials for (v, d), trials in CELLS.items() if d == design}
        places = {v: [(t.dataset, t.split, t.seed) for t in trials] for v, trials in cells.items()}
        assert all(place == places["mlp"] for place in places.values())
        assert all(f"{parameters}&seed=" in name for name, _, _ in places["mlp"])
        training = ("lr", "weight_decay", "dropout", "input_dropout", "epochs", "hidden")
        assert len({tuple(t.fields[f] for f in training) for part in cells.values() for t in part}) == 1
        for v, (t, *_) in cells.items():
            deep = {"mlp": None, "gcn": t.depth, "gat": t.depth}.get(v, t.time / t.step)
            assert deep in (None, steps)


def test_one_step_leaves_out_what_would_be_the_same_again():
    left = {v for v in mixed.VARIANTS if (v, "mixed, region hidden, 1 step") not in CELLS}
    assert left == {"recomputed", "in time"}
    assert all((v, HIDDEN) in CELLS for v in mixed.VARIANTS)


def test_a_look_at_a_real_graph_changes_the_gate_alone():
    cells = mixed.real("texas", splits=3)
    assert [v for v, _ in cells] == ["dd", *GATES]
    constant, fixed = cells["dd", "texas"][0], cells["fixed", "texas"][0]
    changed = {name for name, value in constant.fields.items() if fixed.fields[name] != value}
    assert changed == {"model", "structure", "gate"}


# --- tests -----------------------------------------------------------------------------------------------------------


def test_the_best_are_chosen_on_validation_and_paired_by_graph():
    def gain(variant, design):
        return {"sum": 0.02, "energy": 0.06}.get(variant, 0.0)

    local, constant, c = mixed.best_against_best(CELLS, results(gain))[HIDDEN]
    assert (local, constant) == ("energy", "sum")
    assert (c.mean, c.lower, c.upper) == pytest.approx((4.0, 4.0, 4.0))
    assert c.n == 8
    assert c.p == pytest.approx(2 / 2**8)


@pytest.mark.parametrize(
    ("helped", "verdict"),
    [
        (mixed.MIXED, "holds"),
        (mixed.MIXED[-1:], "holds under conditions"),
        ((), "does not hold"),
    ],
)
def test_the_rule_reads_the_number_of_designs_where_a_local_w_wins(helped, verdict):
    def gain(variant, design):
        return 0.05 * (variant == "fixed" and design in helped)

    evidence = mixed.evidence(CELLS, results(gain))
    assert evidence["wins"] == len(helped)
    assert evidence["losses"] == 0
    assert evidence["gate_largest"] == pytest.approx(5 if helped else 0)
    more = {"room": 1.0, "auc_label": 0.5, "auc_region": 0.5, "parameters": 1.0, "time": 1.0}
    assert claims()["G27"].judge(evidence | more) == verdict


def test_a_local_w_that_loses_is_counted_as_losing():
    evidence = mixed.evidence(CELLS, results(lambda v, d: -0.1 * (v in mixed.LOCAL)))
    assert (evidence["wins"], evidence["losses"]) == (0, 4)
    assert (evidence["largest_gain"], evidence["gate_smallest"]) == pytest.approx((-10, -10))


def test_tables_are_for_reading():
    table = results(lambda v, d: 0.01 * len(v))
    gains = mixed.gain_table(mixed.best_against_best(CELLS, table))
    assert list(gains.design) == list(mixed.DESIGNS)
    assert len(gains.columns) == 7
    alone = mixed.gate_table(mixed.gates_alone(CELLS, table))
    assert len(alone) == 14  # three gates on each of two designs, and four on each of the two others
    rows = mixed.accuracies(CELLS, table)
    assert len(rows) == len(CELLS)
    assert ((rows.low <= rows["mean"]) & (rows["mean"] <= rows.high)).all()


# --- mechanism -------------------------------------------------------------------------------------------------------


def test_kinds_tell_edges_apart():
    graph = load("mixed?n=400&seed=0")
    same, within, high = gates.kinds(graph)
    assert same[within & high].mean() == pytest.approx(0.9, abs=0.04)
    assert same[within & ~high].mean() == pytest.approx(0.1, abs=0.04)
    assert Counter(within.tolist())[False] == pytest.approx(0.05 * within.sum(), rel=0.4)


def test_separation_is_one_for_gates_that_know_and_half_for_gates_that_do_not():
    graph = load("mixed?n=400&seed=0")
    same, _, high = gates.kinds(graph)
    noise = np.random.default_rng(0).uniform(-1, 1, same.size)
    S = torch.tensor(np.stack([same * 2.0 - 1, 1 - same * 2.0, high * 2.0 - 1, noise], axis=1))
    areas = gates.separation(graph, S)
    assert areas["label"][:2] == [1, 1]
    assert areas["region"][2] == 1
    assert areas["label"][2] == pytest.approx(0.9, abs=0.05)
    assert max(areas["label"][3], areas["region"][3]) < 0.55


def test_gates_of_the_last_step_are_read_from_trained_models():
    part = CELLS["recomputed", HIDDEN][:2]
    graph, S = gates.gates_of(part)
    assert S.shape == (graph.norm_adjacency.values().numel(), 2)
    _, model, _ = NodeTrial.fitted(part)
    model.eval()
    F0 = model.encoder().detach()
    F1 = F0 + model.flow.velocity(F0, F0, model.operator, model.flow.gates(F0, model.operator))
    torch.testing.assert_close(S, model.flow.gates(F1, model.operator).detach())


def test_a_gate_that_is_told_the_region_uses_it():
    """Two classes, one step: a node's neighbours say nothing unless the gate turns them round in one region."""
    fields = {
        "lr": 0.01,
        "weight_decay": 5e-4,
        "dropout": 0.1,
        "input_dropout": 0.1,
        "hidden": 16,
        "epochs": 60,
    }
    name = "mixed?n=400&classes=2&signal=0.8&degree=12&homophily_high=1&homophily_low=0&seed=0"
    flow = {"model": "graff-local", "gate": "energy", "time": 1.0}
    trials = [NodeTrial(dataset=name, split=s, seed=0, **flow, **fields) for s in range(2)]
    learned = [row["test_accuracy"] for row in NodeTrial.fitted(trials)[2]]
    assert np.mean(gates.told(trials)) > np.mean(learned) + 0.1


# --- energy and cost -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", GATES)
def test_only_the_gate_of_another_form_is_no_gradient(gate):
    graph = load("karate").to(dtype=torch.float64)
    F = torch.randn(34, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flow = LocalGRAFF([1], 3, "dd", gate=gate).double()
    asymmetry = gates.asymmetry(flow, F, graph.norm_adjacency)
    assert asymmetry > 0.01 if gate == "recomputed" else asymmetry < 1e-14


def test_costs_count_parameters_and_stand_beside_dd():
    table = gates.costs({v: CELLS[v, HIDDEN][:1] for v in ("diag", "dd", "fixed")}, repetitions=2)
    table = table.set_index("variant")
    d, p, k = 32, 16, 3
    frame = p * d + d + d * k + k  # encoder and decoder
    assert table.parameters["diag"] == frame + 2 * d + 1
    assert table.parameters["dd"] == frame + d * d + 3 * d + 1
    assert table.parameters["fixed"] == frame + 3 * d + 1 + 8 * d + 8 + 1
    assert table["times GRAFF DD"]["dd"] == 1
    assert (table.milliseconds > 0).all()
