"""Figures of the chapter on capacity show what their tables hold."""

from __future__ import annotations

import numpy as np
import pytest

from flowprune.experiments import logic_study as study
from flowprune.experiments import logic_trace
from flowprune.experiments.pictures import capacity as pictures
from flowprune.study.trials import collect


@pytest.fixture(scope="module")
def table():
    return collect(study.cells(study.GATES, [1, 2], networks=3, inputs=40))


@pytest.fixture(scope="module")
def trace():
    return logic_trace.watch("xor", 2, "DW", 1, inputs=40)


def drawn(axis, label):
    return next(c.lines[0].get_ydata() for c in axis.containers if c.get_label() == label)


def test_figure_three_draws_means_below_the_ceiling(table):
    nets = study.networks(table)
    axes = pictures.figure_three(nets).axes
    xor = nets[(nets.gate == "xor") & (nets["mode"] == "D")].groupby("hidden").miss.mean()
    np.testing.assert_allclose(drawn(axes[2], study.NAMES["D"]), xor)
    counts = nets[nets["mode"] == "DW"].groupby("hidden").removed.mean()
    np.testing.assert_allclose(drawn(axes[3], study.NAMES["DW"]), counts)
    ceiling = next(line for line in axes[3].lines if "name" in line.get_label())
    assert (ceiling.get_ydata()[1:] >= counts).all()


def test_far_counts_are_drawn_for_each_hidden_node(table):
    nets = study.networks(table)
    left, right = pictures.far(nets).axes
    part = nets[nets["mode"] == "D"]
    np.testing.assert_allclose(
        drawn(left, study.NAMES["D"]), (part.removed / part.hidden).groupby(part.hidden).mean()
    )
    np.testing.assert_allclose(drawn(right, study.NAMES["D"]), 100 * part.share.groupby(part.hidden).mean())


def test_timing_has_a_column_a_size_and_no_removals_of_unpruned_networks(table):
    axes = pictures.timing(table).axes
    assert [len(axis.lines) for axis in axes] == [9, 9, 6, 6]
    row = table[(table.table == "xor") & (table.hidden == 2) & (table["mode"] == "DW")].iloc[0]
    lines = [line.get_ydata() for line in axes[3].lines]
    assert any(np.allclose(y, 100 * (1 - np.array(row.curve_left))) for y in lines)


def test_a_row_of_marks_for_every_table(table):
    nets = study.networks(table)
    axes = pictures.tables(nets).axes
    assert [axis.get_title() for axis in axes] == ["h = 1", "h = 2"]
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["and", "or", "xor"]
    np.testing.assert_allclose(
        axes[0].containers[0].lines[0].get_xdata(),
        nets[(nets.hidden == 1) & (nets["mode"] == "none")].groupby("gate").miss.mean()[["and", "or", "xor"]],
    )


def test_one_network_draws_what_is_gone_dotted_and_marks_each_removal(trace):
    fig = pictures.one_network(trace)
    before, after, *nodes = fig.axes
    styles = [t.arrow_patch.get_linestyle() for t in after.texts if t.arrow_patch]
    assert styles.count(":") == len(trace.removals) and len(styles) == 12
    assert all(t.arrow_patch.get_linestyle() == "-" for t in before.texts if t.arrow_patch)
    marked = [t.get_text().strip() for axis in nodes for t in axis.texts]
    assert sorted(marked) == sorted(f"{x.source} → {x.target} goes" for x in trace.removals)


def test_the_slider_shows_each_node_once_at_every_stop(trace):
    fig = pictures.spectra_slider(trace, stops=5)
    assert len(fig.frames) == 5 and all(len(frame.data) == 3 for frame in fig.frames)
    last = trace.spectra[trace.spectra.node == 2].iloc[-1]["values"]
    np.testing.assert_allclose(fig.frames[-1].data[0].y, last.imag)


def test_the_still_shows_every_node_at_the_start_at_removals_and_at_the_end(trace):
    axes = pictures.spectra(trace).axes
    inputs = sorted({0, 39, *(x.input for x in trace.removals[:2])})
    assert [axis.get_title() for axis in axes] == [f"{t + 1} inputs" for t in inputs]
    last = trace.spectra[trace.spectra.node == 4].iloc[-1]["values"]
    np.testing.assert_allclose(axes[-1].lines[-1].get_ydata(), last.imag)
