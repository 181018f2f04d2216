"""Figures of the chapter on designed masks show what their tables hold."""

import numpy as np
import pandas as pd
import pytest
from drawn import words

from flowprune.experiments import designed_study as study
from flowprune.experiments.pictures import designed as pictures
from flowprune.experiments.pruned_training import TOLD


def row(method: str, sparsity: float, k: float) -> dict:
    rng = np.random.default_rng(0)
    shapes = ((2, 4), (2, 2), (2, 2), (3, 2))
    told = {f"graphon_{i}": rng.integers(0, 1000, a * b).tolist() for i, (a, b) in enumerate(shapes)}
    curve = [k * t for t in TOLD[:20]]
    told |= {f"curve_{w}": curve for w in ("adam", "tuned")} | {"curve_predicted": [2 * c for c in curve]}
    told |= {f"error_{w}": [0.5] * 20 for w in ("adam", "tuned")}
    return {"method": method, "sparsity": sparsity, "hidden": 3, "steps": TOLD[19],
            "said": k, "slope": [k, k + 2]} | told  # fmt: skip


def test_units_are_ordered_in_both_of_their_layers():
    told = row("synflow", 0.9, 1.0)
    told["graphon_0"] = [100, 0, 0, 0, 900, 0, 0, 0]
    told["graphon_1"] = [10, 20, 30, 40]
    W = pictures.unfold(told, 2, 4, 3)
    np.testing.assert_allclose(W[0], [[0.9, 0, 0, 0], [0.1, 0, 0, 0]])
    np.testing.assert_allclose(W[1], [[0.04, 0.03], [0.02, 0.01]])  # columns swapped, then rows
    assert [w.shape for w in W] == [(2, 4), (2, 2), (2, 2), (3, 2)]


def test_graphons_are_drawn_with_their_densities():
    W = {m: pictures.unfold(row(m, 0.9, 1.0), 2, 4, 3) for m in ("synflow", "speed")}
    fig = pictures.graphons(W, 2)
    image, square = (fig.axes[i].images[0].get_array() for i in (0, 2))
    np.testing.assert_allclose(image, W["synflow"][0].mean(0).reshape(2, 2))
    np.testing.assert_allclose(square, W["synflow"][1])
    said = words(fig)
    assert "SynFlow" in said and "for one rate" in said and "hidden 2 → 3" in said


def test_leads_are_filled_when_sure():
    found = pd.DataFrame(
        [
            ("speed", "random", 0.8, 12, 0.3, 0.2, 0.4, 0.01),
            ("speed", "snip", 0.8, 12, -0.1, -0.2, 0.1, 0.6),
            ("learned", "random", 0.8, 12, 0.5, 0.4, 0.6, 0.02),
            ("learned", "snip", 0.8, 12, 0.7, -0.1, 0.9, 0.2),
        ],
        columns=["method", "rival", "sparsity", "networks", "difference", "lower", "upper", "p"],
    )
    fig = pictures.leads({"now": found}, "further")
    (axis,) = fig.axes
    dots = {line.get_xdata()[0]: line for line in axis.lines if len(line.get_xdata()) == 1}
    assert set(dots) == {0.3, -0.1, 0.5, 0.7}
    assert {x for x, d in dots.items() if d.get_markerfacecolor() == "#ffffff"} == {-0.1, 0.7}
    assert dots[0.3].get_ydata()[0] < dots[0.5].get_ydata()[0] < dots[-0.1].get_ydata()[0]
    ends = [tuple(line.get_xdata()) for line in axis.lines if len(line.get_xdata()) == 2]
    assert (0.2, 0.4) in ends and (-0.1, 0.9) in ends
    said = words(fig)
    assert "random, 80 %" in said and "SNIP, 80 %" in said and "design for tuned rate" in said


def test_curves_are_means_with_their_errors_and_predictions():
    fig = pictures.curves(
        pd.DataFrame([row("random", 0.9, 1.0), row("speed", 0.9, 3.0)]), ["speed", "random"]
    )
    left, right = fig.axes
    assert [line.get_ydata()[3] for line in left.lines] == [3.0 * TOLD[3], TOLD[3]]
    assert [line.get_linestyle() for line in right.lines] == ["-", "--", "-", "--"]
    assert right.lines[1].get_ydata()[5] == 6 * TOLD[5]
    band = left.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(-1) and band[:, 1].max() == pytest.approx(3 * TOLD[19] + 1)
    assert "one rate" in words(fig)


def test_dots_say_and_do():
    rows = pd.DataFrame([row("random", 0.8, 1.0), row("speed", 0.9, 3.0), row("top5", 0.9, 9.0)])
    fig = pictures.told(rows, {"slope": ("said", "slope", ["random", "speed"])})
    (axis,) = fig.axes
    dots = [(c.lines[0].get_xdata()[0], c.lines[0].get_ydata()[0]) for c in axis.containers]
    assert dots == [(1.0, 2.0), (3.0, 4.0)]
    assert axis.containers[0].lines[0].get_marker() != axis.containers[1].lines[0].get_marker()
    said = words(fig)
    assert "80 %" in said and "five modes" not in said


def test_walks_are_drawn_beside_chance():
    rows = []
    for kind, sparsity, rate in study.KINDS:
        for seed in range(3):
            for point in range(3):
                rows.append({"kind": kind, "sparsity": sparsity, "rate": rate, "seed": seed, "point": point,
                             "at": 50 * point, "beyond": 1 + point * (rate + sparsity) + 0.01 * seed,
                             "density_0": 0.5 / (1 + point), "density_1": 0.3 / (1 + point),
                             "density_2": 0.3 / (1 + point), "density_3": 0.4 / (1 + point)})  # fmt: skip
    along = study.means(pd.DataFrame(rows), ["beyond", *(f"density_{i}" for i in range(4))])
    fig = pictures.walks(along)
    left, middle, right = fig.axes
    far = next(line for line in left.lines if line.get_label() == "rate 0.02")
    np.testing.assert_allclose(far.get_ydata(), [1.01, 1.98, 2.95])
    np.testing.assert_allclose(far.get_xdata(), [1, 2, 3])
    light = next(line for line in middle.lines if line.get_label() == "90 %")
    assert light.get_markerfacecolor() == "#ffffff" and light.get_xdata().tolist() == [0, 50, 100]
    assert [line.get_ydata()[0] for line in right.lines] == [0.5, 0.3, 0.4]
    assert all(any(set(line.get_ydata()) == {1} for line in axis.lines) for axis in (left, middle))
    assert "output" in words(fig)
