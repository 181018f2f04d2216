"""Figures of the chapters on depth and on the rule show what their tables hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flowprune.experiments import depth_costs, depth_study, rule_study
from flowprune.experiments.deep import marks
from flowprune.experiments.pictures import depth, rule
from flowprune.pruning.dynamo import Dynamo
from flowprune.study.trials import collect

SMALL = "syn-cora?homophily=0.8&n=100"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    cells = depth_study.grid(SMALL, (2, 4), runs=1, epochs=2, rate=5.0)
    return depth_study.runs_of(cells, collect([t for part in cells.values() for t in part], executor="local"))


def test_accuracy_draws_every_network_of_a_panel(rows):
    fig = depth.accuracy(rows)
    for axis, variants in zip(fig.axes, depth.PANELS.values(), strict=True):
        lines = {line.get_label(): line for line in axis.lines}
        assert set(lines) == set(variants)
        part = rows[rows.variant == variants[-1]].sort_values("layers")
        np.testing.assert_allclose(lines[variants[-1]].get_ydata(), part.accuracy)


def test_alike_draws_the_deepest_before_and_after(rows):
    axis = depth.alike(rows).axes[0]
    gcn = rows[(rows.variant == "GCN") & (rows.layers == 4)].iloc[0]
    drawn = [line.get_ydata() for line in axis.lines]
    assert any(np.allclose(y, gcn.mu) for y in drawn) and any(np.allclose(y, gcn.mu_at_first) for y in drawn)
    assert all(len(y) == len(marks(4)) for y in drawn)


def test_failure_and_efficiency_draw_a_mark_for_each_network(rows):
    axis = depth.failure(rows).axes[0]
    assert sum(len(c.get_offsets()) for c in axis.collections) == len(rows)
    axis = depth.efficiency(depth_costs.operations(rows)).axes[0]
    assert len(axis.lines) == len(depth_study.VARIANTS)


def test_an_added_network_has_a_panel_a_mark_and_words_of_its_own(rows, monkeypatch):
    monkeypatch.setitem(depth.PANELS, "added", ("GAT", "mine"))
    monkeypatch.setattr(depth_study, "ADDED", ("mine",))
    mine = rows[rows.variant == "DAGNN"].assign(variant="mine", accuracy=12.0)
    more = pd.concat([rows, mine])
    for draw in (depth.accuracy, depth.alike):
        panel = draw(more).axes[4]
        assert panel.get_title() == "added" and panel.get_legend_handles_labels()[1] == ["GAT", "mine"]
        assert panel.lines[-1].get_marker() == "P"
    assert depth.failure(more).axes[0].get_legend_handles_labels()[1][-1] == "mine"
    line = depth.efficiency(depth_costs.operations(more)).axes[0].lines[-1]
    assert line.get_label() == "mine" and line.get_marker() == "P" and list(line.get_ydata()) == [12, 12]
    assert "mine 12 and 12 on" in depth_study.in_words(more)
    assert list(depth_study.depth_table(more, more.graph.iloc[0]).network)[-1] == "mine"


def test_removed_draws_every_network_that_lost_an_edge(rows):
    pruned = depth_study.removed_edges(rows)
    assert len(pruned) == 8
    axis = depth.removed(pruned).axes[0]
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    counted = pruned.variant.isin(depth_study.READINGS).sum()
    assert sum(len(line.get_xdata()) for line in dots) == counted == 6


def test_the_table_and_the_words_hold_the_means(rows):
    other = rows.assign(graph="another", accuracy=0.0)
    table = depth_study.depth_table(pd.concat([rows, other]), rows.graph.iloc[0])
    assert list(table.columns) == ["network", "2", "4", "learned"]
    assert list(table.network) == list(depth_study.VARIANTS)
    gat = rows[(rows.variant == "GAT") & (rows.layers == 4)].accuracy.item()
    assert table[table.network == "GAT"]["4"].item() == f"{gat:.1f}"
    assert f"and {gat:.0f}" in depth_study.in_words(rows)


def test_the_check_of_the_rule_is_exact_and_saves():
    difference, left = depth_study.check_of_the_rule()
    assert difference == 0 and 0.4 < left < 0.75


def test_scores_of_two_equal_ends():
    fig = rule.strengths({"minus": Dynamo(sign="minus"), "plus": Dynamo(sign="plus")})
    minus, plus = (line.get_ydata() for line in fig.axes[0].lines)
    assert (minus[0], minus[-1]) == (4, 0) and (plus[0], plus[-1]) == (0, 4)


def test_contrasts_and_grids_are_drawn_with_their_numbers():
    told = {"graph": "a", "run": 0, "mu": 0.5, "removed": 0.2, "learned": True}
    cells = {(0.1, 0.0): 60.0, (0.1, 0.5): 61.0, (0.5, 0.0): 72.0, (0.5, 0.5): 80.0}
    fig = rule.grids(pd.DataFrame([told | {"cell": c, "accuracy": a} for c, a in cells.items()]), ("r₀", "γ"))
    assert [t.get_text() for t in fig.axes[0].texts] == ["60", "72", "61", "80"]
    found = pd.DataFrame(
        {
            "change": ["x", "y"],
            "difference": [-1.0, 2.0],
            "lower": [-2.0, 1.0],
            "upper": [0.5, 3.0],
            "adj. p": [0.2, 0.01],
        }
    )
    axis = rule.ablation({"plain": found}).axes[0]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["x", "y"]
    assert rule_study.in_words({"plain": found}) == "Differences in points. plain: x -1.0, y +2.0."
