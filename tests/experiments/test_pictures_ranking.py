"""Figures of the chapters on ranks, real graphs and benchmarks draw what they are given."""

from __future__ import annotations

import pandas as pd
import pytest

from flowprune.experiments import ranking
from flowprune.experiments.pictures import benchmarks, real_graphs
from flowprune.experiments.pictures import ranking as pictures
from flowprune.study.stats import Ranking


def texts(fig) -> list[str]:
    return [t.get_text() for axis in fig.axes for t in axis.texts]


def summary(models=("GRAFF (D)", "GRAFF (DD)", "GCN"), datasets=("texas", "cora")) -> pd.DataFrame:
    rows = [
        {
            "dataset": d,
            "model": m,
            "mean": 70 + 5 * i + k,
            "low": 69 + 5 * i,
            "high": 72 + 5 * i,
            "std": 2.0,
            "runs": 10,
        }
        for k, d in enumerate(datasets)
        for i, m in enumerate(models)
    ]
    return pd.DataFrame(rows)


def test_models_that_cannot_be_told_apart_are_joined():
    found = Ranking({"a": 1.2, "b": 1.9, "c": 3.9, "d": 3.0}, 0.01, 1.0, 10)
    assert found.groups() == [("a", "b"), ("d", "c")]
    fig = pictures.critical_difference(found)
    said = texts(fig)
    assert any("a  1.2" in t for t in said) and any("3.9  c" in t for t in said)
    bars = [line for line in fig.axes[0].lines if line.get_linewidth() == 4]
    assert len(bars) == 2
    assert bars[0].get_xdata() == pytest.approx([1.14, 1.96])


def test_every_model_of_every_graph_is_drawn_around_the_median():
    fig = pictures.accuracies(summary())
    marks = [line.get_xdata()[0] for line in fig.axes[0].lines if line.get_marker() in pictures.MARKS]
    assert sorted(marks[:3]) == [-5, 0, 5]
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["texas", "cora"]


def test_published_orders_are_drawn_by_verdict():
    pairs = pd.DataFrame(
        {
            "published": [3.0, 10.0, 6.0],
            "measured": [1.0, 9.0, -5.0],
            "verdict": ["open", "survives", "reversed"],
        }
    )
    fig = pictures.published_orders(pairs)
    assert [t.get_text() for t in fig.axes[0].get_legend().texts] == [
        "survives (1)",
        "open (1)",
        "reversed (1)",
    ]
    by = ranking.by_gap(pairs).set_index("published difference")
    assert by.loc["2 to 5"].to_dict() == {"survives": 0, "open": 1, "reversed": 0, "pairs": 1}
    assert ranking.orders_in_words(pairs) == (
        "3 pairs of models: 1 published orders survive, 1 stay open, 1 are reversed."
    )
    assert ranking.orders_in_words(pairs, large=6).endswith(
        "The 2 pairs with a published difference of 6 points or more measure between -5.0 and 9.0, 2.0 in the median."
    )


def test_the_change_that_gains_most_is_named_with_its_p():
    columns = ["change", "difference", "adj. p"]
    cells = [("as published", 0.0, ""), ("W frozen", -2.0, "0.010"), ("no source", -0.5, "0.300")]
    told = ranking.most_gained({"texas": pd.DataFrame(cells, columns=columns)})
    assert told.endswith("where changes were tried: texas, no source: -0.5 points (adj. p 0.300).")
    assert ranking.most_gained({}) == "No change to the settings was asked for in this run."


def test_forms_stand_beside_what_was_reported():
    fig = real_graphs.forms(summary(models=("GRAFF (D)", "GRAFF (DD)", "GRAFF (D, ReLU)")))
    squares = [line for line in fig.axes[0].lines if line.get_marker() == "s" and len(line.get_xdata())]
    assert sorted(float(s.get_xdata()[0]) for s in squares) == [87.61, 88.01, 88.11, 88.38]


def test_the_better_form_is_set_against_the_better_report():
    told = ranking.against_paper(summary()).set_index("data set")
    assert told.loc["texas", "form"] == "DD"
    assert told.loc["texas", "of form"] == "DD"
    assert told.loc["texas", "difference"] == pytest.approx(75 - 88.38)
    assert told.loc["texas", "answer"] == "short"
    near = summary().assign(mean=87.9, low=87, high=88.2)
    assert set(ranking.against_paper(near).answer) == {"close", "reached"}
    assert ranking.against_paper(summary(datasets=("karate",))).empty


def test_contrasts_run_from_outside_to_inside():
    rows = pd.DataFrame(
        [{"data set": "g", "model": m, "inside": 80.0, "outside": 60.0, "difference": 20.0, "low": 15.0, "high": 24.0}
         for m in ("GRAFF", "MLP")]
    )  # fmt: skip
    fig = benchmarks.contrasts(rows, "twins", "others")
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["g, GRAFF", "g, MLP"]
    spans = [tuple(line.get_xdata()) for line in fig.axes[0].lines if len(line.get_xdata()) == 2]
    assert spans[0] == (60.0, 80.0)
    assert [t.get_text() for t in fig.legends[0].texts] == ["twins", "others"]
