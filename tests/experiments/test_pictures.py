"""Figures can be drawn from few data, say what they show, and leave nothing open behind them."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from drawn import words
from IPython.display import HTML
from random_graphs import double

from flowprune.experiments.pictures import performance, real_graphs, sign, smoothness
from flowprune.graphs import Graph
from flowprune.study import figures
from flowprune.study.stats import Interval

pytestmark = pytest.mark.usefixtures("nothing_left_open")


def test_eigenvectors_are_titled_with_their_frequency():
    said = words(smoothness.eigenvectors(double("star?n=5"), [0, 1, -1]))
    assert "ℓ = 0,  λ = 0.00" in said
    assert "ℓ = 4,  λ = 2.00" in said


def test_eigenvectors_show_isolated_nodes():
    graph = Graph.from_edges("edge and node", [[0], [1]], 3, dtype=torch.float64)
    fig = smoothness.eigenvectors(graph, [0, 2])
    assert all(len(axis.collections[0].get_offsets()) == 3 for axis in fig.axes)
    words(fig)


def test_two_energies_name_their_graphs_and_disagree_on_a_path():
    fig = smoothness.two_energies(
        {"path": double("path?n=5"), "complete": double("complete?n=4")}, 4.0, seed=0
    )
    path, complete = fig.axes[0].lines
    assert path.get_ydata()[-1] > path.get_ydata()[0]  # the energy of the features grows …
    assert complete.get_ydata()[-1] < complete.get_ydata()[0]
    normalised = fig.axes[1].lines[0].get_ydata()
    assert normalised[-1] < normalised[0]  # … while that of their direction falls
    said = words(fig)
    assert all(part in said for part in ("path", "complete", "E_Dir(F(t))", "time t"))


def test_attraction_has_a_frame_for_every_position_and_a_static_picture():
    graph = double("csbm?n=12&features=2&seed=1")
    F0 = torch.randn(12, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moving, still = sign.attraction(graph, F0, [-1.0, 0.0, 1.0], time=2.0)
    assert [frame.name for frame in moving.frames] == ["-1.00", "0.00", "1.00"]
    assert all(sum(len(dots.x) for dots in frame.data) == 12 for frame in moving.frames)
    assert "λ₋ = -1.00" in moving.layout.title.text
    assert max(abs(x) for frame in moving.frames for dots in frame.data for x in dots.x) <= 1
    said = words(still)
    assert "attracted channel" in said and "repelled channel" in said


def test_homophily_curves_label_every_variant_and_keep_labels_apart():
    rows = [
        {"variant": v, "level": h, "mean": 60 + h, "low": 58 + h, "high": 62 + h}
        for v in ("prod", "mlp")
        for h in (0.0, 1.0)
    ]
    fig = sign.homophily_curves(pd.DataFrame(rows), {"prod": "GRAFF prod", "mlp": "MLP"})
    labels = {text.get_text(): text for text in fig.axes[0].texts}
    assert set(labels) == {"GRAFF prod", "MLP"}
    assert labels["MLP"].get_color() == figures.COLOUR["MLP"]
    assert labels["MLP"].xy[1] != labels["GRAFF prod"].xy[1]  # though both curves end at one height
    said = words(fig)
    assert "edge homophily" in said and "test accuracy (%)" in said


def test_moves_draw_an_arrow_where_the_evolution_changes_predictions():
    rows = [
        {"variant": v, "level": h, "before": 0.5, "after": 0.5 + change, "true": h}
        for v, change in (("prod", 0.3), ("neg-prod", -0.3), ("mlp", 0.0))
        for h in (0.0, 1.0)
    ]
    fig = sign.moves(pd.DataFrame(rows), {"prod": "GRAFF prod", "neg-prod": "GRAFF neg-prod", "mlp": "MLP"})
    heads = [[t.xy[1] for t in axis.texts if not t.get_text()] for axis in fig.axes]
    assert heads == [[0.8, 0.8], [0.2, 0.2], []]
    said = words(fig)
    assert "GRAFF neg-prod" in said and "true edge homophily" in said


def test_against_reported_draws_both_with_their_intervals():
    rows = [
        {"dataset": "texas", "what": what, "mean": mean, "low": mean - 2, "high": mean + 1}
        for what, mean in (("GRAFF diag", 84.0), ("reported", 88.4))
    ]
    fig = real_graphs.against_reported(pd.DataFrame(rows))
    segments = [bar.get_segments()[0][:, 0].tolist() for bar in fig.axes[0].collections]
    assert segments == [[82.0, 85.0], [pytest.approx(86.4), pytest.approx(89.4)]]
    said = words(fig)
    assert "texas" in said and "reported" in said and "GRAFF diag" in said


def test_the_overview_has_a_line_for_each_comparison_and_a_mark_for_each_graph():
    rows = [
        ("training", "karate", Interval(2.0, 1.5, 3.0, 0.95, 4)),
        ("training", "digits", Interval(0.8, 0.5, 1.1, 0.95, 4)),
        ("kernel", "", Interval(5.0, 4.0, 6.0, 0.95, 4)),
    ]
    fig = performance.overview(pd.DataFrame(rows, columns=["comparison", "graph", "ratio"]))
    (axis,) = fig.axes
    bars = [bar.get_segments()[0][:, 0].tolist() for bar in axis.collections]
    assert bars == [pytest.approx(ends) for ends in ([4, 6], [1.5, 3], [0.5, 1.1])]
    heights = [bar.get_segments()[0][0, 1] for bar in axis.collections]
    assert heights[0] == 1 and -0.5 < heights[1] < 0 < heights[2] < 0.5
    assert axis.get_xscale() == "log" and axis.lines[-1].get_xdata()[0] == 1
    assert [t.get_text() for t in axis.get_legend().get_texts()] == ["karate", "digits"]
    assert "times faster" in words(fig)


def test_times_by_replicas_have_a_panel_for_each_data_set():
    def around(mean: float) -> Interval:
        return Interval(mean, 0.9 * mean, 1.2 * mean, 0.95, 3)

    rows = [
        {"dataset": d, "replicas": r, "ours": around(20 / r), "plain": around(100.0)}
        for d in ("karate", "digits")
        for r in (1, 5)
    ]
    fig = performance.times_by_replicas(pd.DataFrame(rows))
    assert [axis.get_title() for axis in fig.axes] == ["karate", "digits"]
    bars = [bar.get_segments()[0][:, 1].tolist() for bar in fig.axes[0].collections]
    assert bars == [pytest.approx([90, 120]), pytest.approx([18, 24])]  # plain, ours, of one replica
    said = words(fig)
    assert "ours" in said and "plain" in said and "ms an epoch and replica" in said
    assert "on digits, ours goes from 20.00 to 4.00 ms" in performance.in_words(pd.DataFrame(rows))


def test_show_writes_the_alternative_text(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", shown.append)
    fig = smoothness.eigenvectors(double("path?n=3"), [0, 2])
    figures.show(fig, alt="Two small paths with nodes coloured by eigenvector.")
    assert isinstance(shown[0], HTML)
    assert "Two small paths with nodes coloured by eigenvector." in shown[0].data
