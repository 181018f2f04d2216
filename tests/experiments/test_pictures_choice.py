"""Figures of the chapter on which edge goes show what their tables hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flowprune.experiments import choice_study as study
from flowprune.experiments.pictures import choice as pictures


def test_a_network_is_drawn_with_its_changes():
    A = np.ones((4, 4), bool)
    np.fill_diagonal(A, False)
    A[:, 0] = False
    W = np.arange(16.0).reshape(4, 4) - 8.5
    change = np.where(A, np.abs(W) / 10, np.nan)
    assert pictures.kinds(W, A)[0, 1] == "from an input" and set(pictures.kinds(W, A)[[1, 2], [2, 3]]) == {
        "feedback < 0",
        "feedback > 0",
    }
    left, right = pictures.one_network(W, A, change, [(2, 1)]).axes
    assert len([t for t in left.texts if t.arrow_patch]) == A.sum()
    widths = sorted(t.arrow_patch.get_linewidth() for t in left.texts if t.arrow_patch)
    assert widths[-1] == pytest.approx(5.6) and widths[0] < 1.5
    xs = np.concatenate([line.get_xdata() for line in right.lines[:3]])
    np.testing.assert_allclose(np.sort(xs), np.sort(np.abs(W[A])))
    (ring,) = [line for line in right.lines if line.get_markersize() == 13]
    assert ring.get_xdata()[0] == abs(W[2, 1]) and ring.get_ydata()[0] == change[2, 1]


def table() -> pd.DataFrame:
    rows = [
        ("xor", 2, "D", "random", 9, 0.2, 0.1, 0.3, 0.001),
        ("xor", 2, "D", "smallest", 9, -0.1, -0.3, 0.1, 0.5),
        ("and", 5, "DW", "random", 1, np.nan, np.nan, np.nan, 1.0),
        ("and", 5, "DW", "spectrum", 9, 9.0, 9.0, 9.0, 1.0),
    ]
    columns = ["gate", "hidden", "mode", "choice", "networks", "difference", "lower", "upper", "p"]
    return pd.DataFrame(rows, columns=columns)


def test_differences_are_filled_when_sure_and_gaps_stay_empty():
    axes = pictures.differences({"now": table(), "then": table()}, "choice").axes
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["XOR h = 2 D", "AND h = 5 D_W"]
    for axis in axes:
        dots = {x.get_xdata()[0]: x for x in axis.lines if len(x.get_xdata()) == 1}
        assert set(dots) == {0.2, -0.1}  # one gap, and one choice without a mark
        assert dots[0.2].get_markerfacecolor() != dots[-0.1].get_markerfacecolor() == "#ffffff"
        ends = [tuple(x.get_xdata()) for x in axis.lines if len(x.get_xdata()) == 2]
        assert (0.1, 0.3) in ends and (-0.3, 0.1) in ends


def test_rows_are_named_by_mode_or_density():
    rows = pd.DataFrame({"gate": ["xor"], "hidden": [10], "density": [0.25]})
    assert pictures.cell(next(rows.itertuples())) == "XOR h = 10, sparse"


def test_cycles_leave_the_axis_only_where_they_are_seen():
    axes = pictures.cycles(0).axes
    bent = [len(a.lines[-1].get_xdata()) > 0 for a in axes]
    assert bent == [False, True, True, False, False, True]


def test_ranks_are_drawn_for_every_score():
    rng = np.random.default_rng(0)
    edges = pd.DataFrame({"gate": "xor", "hidden": [2] * 6 + [10] * 6, "density": [1.0] * 6 + [0.25] * 6})
    for score in ("rank_weight", "rank_real_DW", "rank_real_D"):
        edges[score] = 0.5 + 0.1 * rng.standard_normal(12)
    edges.loc[6:, "rank_real_D"] = np.nan
    found = study.ranks(edges)
    assert len(found) == 5 and (found.networks == 6).all()
    axis = pictures.ranks(found).axes[0]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["XOR h = 2", "XOR h = 10, sparse"]
    assert len([x for x in axis.lines if len(x.get_xdata()) == 1]) == 5
    evidence = study.real_evidence(edges)
    assert evidence["cells"] == 2 and evidence["positive"] == 1 and evidence["better"] == 0
