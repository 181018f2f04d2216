"""Figures of the chapter on concentrated kernels show what their tables hold."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from flowprune.experiments import pruned_training_study as study
from flowprune.experiments.pictures import concentration as pictures
from flowprune.experiments.pictures.masks import METHOD_COLOURS
from flowprune.experiments.pruned_training import KERNELS, METRICS, RANKS, TOLD


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def nets(methods=("random", "snip", "synflow"), sparsities=(0.0, 0.5, 0.9, 0.95), seeds=3) -> pd.DataFrame:
    """Networks whose loss falls as e^{−kt/100}, k = 1, 2, 3 for the methods, half of that as predicted."""
    rows = []
    for optimiser in ("adam", "gd"):
        for k, m in enumerate(methods, 1):
            for s in sparsities:
                for seed in range(seeds):
                    fall = np.array(TOLD[:20]) * k * (1 + 0.1 * seed) / 100
                    told = {f"{metric}_{kernel}": k + 0.01 * seed for metric in METRICS for kernel in KERNELS}
                    told |= {
                        "curve": (0.5 * np.exp(-fall)).tolist(),
                        "predicted": (0.5 * np.exp(-fall / 2)).tolist(),
                    }
                    told |= {
                        "spectrum_own": [1 / r for r in RANKS],
                        "speed": 2 * k + 0.01 * seed,
                        "area": k + 0.1 * seed,
                    }
                    told |= {"predicted_speed": 2 * k + 0.01 * seed}
                    rows.append({"optimiser": optimiser, "method": m, "sparsity": s, "seed": seed} | told)
    return pd.DataFrame(rows)


def coloured(axis, method):
    return [line for line in axis.lines if line.get_color() == METHOD_COLOURS[method]]


def test_modes_are_drawn_with_their_losses():
    table = nets(seeds=1)
    left, right = pictures.modes(table[(table.optimiser == "gd") & (table.sparsity == 0.9)]).axes
    (line,) = coloured(left, "snip")
    np.testing.assert_allclose(line.get_ydata(), 1 / np.array(RANKS))
    assert line.get_label() == "SNIP" and coloured(left, "random")[0].get_label() == "random"
    measured, predicted = coloured(right, "snip")
    np.testing.assert_allclose(np.square(predicted.get_ydata()), 0.5 * np.array(measured.get_ydata()))
    assert predicted.get_linestyle() == "--" and list(measured.get_xdata()) == list(TOLD[:20])


def test_losses_are_geometric_means_with_bands():
    table = nets()
    table = table[table.optimiser == "gd"]
    axes = [a for a in pictures.losses(table, predicted=True).axes if a.get_title()]
    assert [a.get_title() for a in axes] == ["sparsity 50 %", "sparsity 90 %", "sparsity 95 %"]
    mean, predicted = coloured(axes[0], "synflow")
    np.testing.assert_allclose(mean.get_ydata(), 0.5 * np.exp(-np.array(TOLD[:20]) * 3 * 1.1 / 100))
    assert predicted.get_linestyle() == "--" and len(axes[0].collections) == 3
    assert axes[0].lines[0].get_linestyle() == ":"  # the unpruned network
    band = axes[0].collections[0].get_paths()[0].vertices
    assert band[:, 1].min() < 0.5 * np.exp(-0.01 * TOLD[19] * 1.1) < band[:, 1].max()


def test_a_band_is_students_interval_of_the_logarithm():
    mean, low, high = pictures._band(pd.Series([[1.0], [np.e**2]]))
    assert mean[0] == pytest.approx(np.e) and np.log(high[0]) == pytest.approx(1 + 12.7062, rel=1e-4)
    assert np.log(low[0]) == pytest.approx(1 - 12.7062, rel=1e-4)
    assert pictures._band(pd.Series([[2.0, 1.0]]))[1].tolist() == [2.0, 1.0]


def test_metrics_have_a_row_each_and_a_column_a_kernel():
    fig = pictures.metrics(study.kernels(nets()))
    axes = np.array(fig.axes).reshape(4, 3)
    assert [a.get_title() for a in axes[0]] == list(pictures.KERNEL.values())
    assert [a.get_ylabel() for a in axes[:, 0]] == list(pictures.METRIC.values())
    line = coloured(axes[3, 2], "synflow")[0]
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), 3.01)
    assert [t.get_text() for t in axes[3, 0].get_xticklabels()] == ["50", "95"]  # 90 gives way


def test_gains_are_filled_where_sure():
    found = study.against_random(nets(), "area")
    found.loc[found.method == "snip", "p"] = 0.01
    table = {"Adam": found[found.optimiser == "adam"], "gradient descent": found[found.optimiser == "gd"]}
    for axis in pictures.gains(table).axes:
        for method, gain, filled in (("snip", 1, True), ("synflow", 2, False)):
            marks = [line for line in coloured(axis, method) if line.get_marker() == pictures.MARK[method]]
            assert [line.get_ydata()[0] for line in marks] == pytest.approx([gain] * 3)
            assert all((line.get_markerfacecolor() == METHOD_COLOURS[method]) == filled for line in marks)


def test_the_scatter_shows_every_pruned_network():
    axes = pictures.scatter(nets()).axes
    assert [a.get_title() for a in axes] == ["Adam", "gradient descent"]
    for axis in axes:
        spots = [c.get_offsets() for c in axis.collections]
        assert sum(map(len, spots)) == 3 * 3 * 3
        assert (1.0, 2.0) in [tuple(s) for s in np.concatenate(spots)]


def test_correlations_have_a_mark_for_each_way_of_comparing():
    rng = np.random.default_rng(0)
    table = nets().assign(speed=lambda t: rng.standard_normal(len(t)))
    found = study.predictors(table)
    left, right = pictures.correlations(found).axes
    assert [t.get_text() for t in left.get_yticklabels()][-1] == "predicted speed"
    for axis, optimiser, rows in ((left, "adam", 3), (right, "gd", 4)):
        marks = [line.get_xdata()[0] for line in axis.lines if len(line.get_xdata()) == 1]
        part = found[found.optimiser == optimiser]
        assert sorted(marks) == pytest.approx(sorted(part["mean"])) and len(marks) == 4 * rows
