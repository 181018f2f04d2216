"""One change at a time to the deepest pruned network."""

from __future__ import annotations

import pandas as pd
import pytest

from flowprune.experiments import deepest, rule_study
from flowprune.study.trials import collect

SMALL = "syn-cora?homophily=0.8&n=150"


def test_every_network_differs_from_its_start_by_the_change_alone():
    cells = deepest.changes(SMALL, 64, runs=1, epochs=1)
    starts = ("as printed", "small steps", deepest.WITHOUT)
    for name, (_, change) in deepest.CHANGES.items():
        (t,), (start,) = cells[name], cells[[s for s in starts if name.startswith(s)][-1]]
        assert {k: v for k, v in t.fields.items() if start.fields[k] != v} == change


def test_rows_of_the_unpruned_network_are_told_without_removed_edges():
    cells = {n: c for n, c in deepest.changes(SMALL, 2, runs=2, epochs=2).items() if "steps" in n}
    rows = rule_study.read(cells, collect([t for c in cells.values() for t in c], executor="local"))
    shallow = rows.assign(accuracy=rows.accuracy + 3)
    told = deepest.change_table(rows, shallow).set_index("network")
    assert told.loc[deepest.WITHOUT, "edges removed"] == "–"
    assert told.loc["small steps, one shot", "edges removed"] == "19.9 %"  # at most a fifth, and whole edges
    mean = rows[rows.cell == "small steps"].accuracy.mean()
    assert told.loc["small steps", "deep"] == pytest.approx(mean)
    assert told.loc["small steps", "shallow"] == pytest.approx(mean + 3)


def rows(means: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame([{"cell": n, "accuracy": m + d} for n, m in means.items() for d in (-1.0, 1.0)])


def test_the_networks_that_reach_the_bar_are_named_or_the_best_ones():
    table = rows({"as printed": 20.0, "small steps": 71.0, deepest.WITHOUT: 81.0})
    assert deepest.reached(table, 128, 80) == (
        "With 128 layers the network as printed has 20.0 %. 80 % is reached by “small steps, no pruning” (81.0 %)."
    )
    assert deepest.reached(table, 128, 90).endswith(
        "the best of all is “small steps, no pruning” (81.0 %), the best pruned one “small steps” (71.0 %)."
    )


def test_what_other_networks_reach_is_read_from_their_means():
    cells = {
        ("DAGNN", 2): 79.0,
        ("DAGNN", 16): 82.0,
        ("DAGNN", 64): 80.5,
        ("GAT", 2): 78.6,
        ("G²-GAT", 2): 56.0,
    }
    table = pd.DataFrame(
        [{"graph": "g", "variant": v, "layers": L, "accuracy": a} for (v, L), a in cells.items()]
    )
    assert deepest.elsewhere(table, 80) == (
        "In the whole study on this graph 80 % is reached by DAGNN with 16, 64 layers. The best network with "
        "attention is “GAT” with 2 layers (78.6 %)."
    )
    assert "reached by no network." in deepest.elsewhere(table, 90)
