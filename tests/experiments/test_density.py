"""Density × homophily: what a mean over neighbours tells, against closed forms and drawn graphs; grids and evidence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from flowprune.experiments import density, density_leads
from flowprune.experiments.theory import neighbourhood
from flowprune.graphs import load
from flowprune.graphs.sampling import compatibility
from flowprune.pruning.dynamo import Dynamo
from flowprune.study.trials import collect

CLASSES, SHARE = st.integers(2, 12), st.floats(0, 1)


@given(CLASSES, SHARE)
@settings(max_examples=40, deadline=None)
def test_the_amplitude_is_the_mean_distance_of_rows_of_H(C, h):
    H = compatibility(C, h)
    apart = [((H[a] - H[b]) ** 2).sum() / 2 for a in range(C) for b in range(C) if a != b]
    assert float(neighbourhood.amplitude(C, h)) == pytest.approx(np.sqrt(np.mean(apart)), abs=1e-9)


@given(CLASSES)
@settings(max_examples=12, deadline=None)
def test_the_critical_homophily_is_the_least_amplitude(C):
    best = neighbourhood.critical(C)
    levels = np.linspace(0, 1, 2001)
    assert levels[neighbourhood.amplitude(C, levels).argmin()] == pytest.approx(best, abs=3e-3)
    if C < 4:  # every other class is equally far: K is uniform
        assert best == pytest.approx(1 / C) and float(neighbourhood.amplitude(C, 1 / C)) < 1e-7


@given(CLASSES)
@settings(max_examples=12, deadline=None)
def test_a_pattern_is_silent_where_its_eigenvalue_vanishes(C):
    for h in neighbourhood.silent(C):
        if h >= 0:
            assert np.abs(np.linalg.eigvalsh(compatibility(C, h))).min() < 1e-9


@given(CLASSES, SHARE, st.integers(1, 80))
@settings(max_examples=30, deadline=None)
def test_a_self_loop_is_another_homophily_and_one_neighbour_more(C, h, k):
    looped = (np.eye(C) + k * compatibility(C, h)) / (k + 1)
    np.testing.assert_allclose(looped, compatibility(C, (1 + k * h) / (k + 1)), atol=1e-12)


@given(st.integers(4, 12), SHARE, st.floats(0.01, 0.9))
@settings(max_examples=30, deadline=None)
def test_removal_by_chance_leaves_the_root_of_the_rest(C, h, r):
    assert neighbourhood.left(C, r, h, h) == pytest.approx(np.sqrt(1 - r))


def test_the_model_predicts_the_mean_classifier_on_drawn_graphs():
    for name, signal in (("syn-products?n=600&m=6", 2.2), ("syn-cora?n=600&m=12", 1.5)):
        for h in (0.1, 0.6):
            graph = load(f"{name}&homophily={h}")
            told = (graph.num_classes, graph.homophily(), graph.degree.numpy(), signal)
            assert neighbourhood.predicted(*told) == pytest.approx(
                neighbourhood.measured(graph, signal), abs=0.05
            )


def test_two_classes_have_the_closed_form():
    k, s, h = 9, 0.3, 0.8
    spread = 1 + s**2 * 2 * h * (1 - h)  # along e_1 − e_2: the variance of ±1/√2 with probability h
    expected = norm.cdf(s * (2 * h - 1) * np.sqrt(k / 2) / np.sqrt(spread))
    assert neighbourhood.predicted(2, h, np.array([k]), s, draws=200000) == pytest.approx(expected, abs=4e-3)


def test_edges_of_nodes_with_few_neighbours_go_first():
    graph = load("syn-cora?n=300&m=8")
    lost = neighbourhood.lost(graph, Dynamo(rate=0.1, limit=0.2), 40)
    few = graph.degree.numpy() <= np.median(graph.degree.numpy())
    assert lost[few].mean() > 2 * lost[~few].mean()
    share = (lost * graph.degree.numpy()).sum() / graph.degree.sum().item()
    assert share == pytest.approx(0.2, abs=0.01)


# --- grid, rows and evidence -----------------------------------------------------------------------------------------

SMALL = {"families": ["syn-cora"], "nodes": [100], "degrees": [5.0, 9.0], "levels": [0.0, 0.8], "graphs": 2}


def test_graphs_have_the_degree_that_is_wanted():
    for family, n in density.NODES.items():
        for degree in density.DEGREES[:2]:
            graph = load(density.name(family, n, degree, 0.4, 0))
            assert 2 * graph.num_edges / graph.n == pytest.approx(degree, rel=0.06)
    with pytest.raises(ValueError, match="mean degree 69 is out of reach with 100 nodes of 10 classes"):
        density.joined(100, 10, 69)


def test_networks_of_a_place_differ_in_their_model_alone():
    trials = density.study()
    assert len(trials) == len({t.key for t in trials}) == 2 * 3 * 5 * 5 * 7
    for part in density.grid(**SMALL).values():
        assert len({(t.dataset, t.split, t.seed, t.lr, t.epochs, t.hidden) for t in part.values()}) == 1
        assert {t.depth for t in list(part.values())[1:]} == {2}
        pruned, own = (part[label] for label in density_leads.CONTROL)
        differing = {k for k, v in pruned.fields.items() if v != own.fields[k]}
        assert differing == {"model", "rate", "limit"}


def test_rows_are_read_from_real_networks():
    cells = density.grid(**SMALL, epochs=2)
    rows = density.read(cells, collect([t for part in cells.values() for t in part.values()]))
    assert len(rows) == 56 and rows.groupby("network").size().eq(8).all()
    found = density_leads.evidence(rows)
    assert (found["cells"], found["graphs"]) == (4, 2)
    had = density.realised(cells)
    assert len(had) == 4 and (had["had"] - had.homophily).abs().max() < 0.1


def rows(effect, noise: float = 0.3, degrees=density.DEGREES) -> pd.DataFrame:
    """Made accuracies: 60 for all, plus ``effect(network, degree, homophily)``."""
    rng = np.random.default_rng(0)
    told = [
        {"family": f, "degree": d, "homophily": h, "graph": g, "network": network}
        | {"accuracy": 60 + g + effect(network, d, h) + noise * rng.standard_normal(), "removed": np.nan}
        for f in density.NODES
        for d in degrees
        for h in density.LEVELS
        for g in range(5)
        for network in ("MLP", *density.NETWORKS)
    ]
    return pd.DataFrame(told)


def test_a_lead_in_both_regions_and_its_slopes_are_found():
    def effect(network, d, h):
        return (network == "DYNAMO (−)") * (np.log2(d) - 3 * h) + (network == "GCN") * (d >= 36) * 1.0

    made = rows(effect)
    found = density_leads.evidence(made)
    assert found["reading"] == "DYNAMO (−)" and found["lead"] > 0 and found["part"] >= found["lead"]
    assert found["ahead"] == 15 and found["behind"] == 0 and found["denser"] > 0
    assert found["degree_lower"] < 1 < found["degree_upper"] and found["degree_lower"] > 0.5
    assert found["homophily_lower"] < -3 < found["homophily_upper"] and found["homophily_upper"] < -2
    cells = density_leads.contrast(made, "DYNAMO (−)", "GAT").set_index(["degree", "homophily"])
    assert cells.lead[36, 0.4] == pytest.approx(np.log2(36) - 1.2, abs=0.4) and (cells.n == 10).all()


def test_a_lead_over_one_network_alone_is_part_of_the_statement():
    found = density_leads.evidence(rows(lambda network, d, h: -4.0 * (network == "GAT")))
    assert found["lead"] <= 0 < 3 < found["part"] <= found["most"]


def test_no_lead_is_bounded_from_above():
    found = density_leads.evidence(rows(lambda network, d, h: 0.0))
    assert found["part"] <= 0 < found["most"] < 1 and found["ahead"] == found["behind"] == 0


def test_what_lies_behind_is_counted():
    made = rows(lambda network, d, h: 5.0 * (network in density_leads.BASELINES), degrees=(12.0, 69.0))
    found = density_leads.evidence(made)
    assert found["most"] < 0 and found["behind"] == 10


def test_what_pruning_leaves_lies_between_chance_and_the_best():
    pruned = pd.DataFrame(
        [
            {"family": "syn-cora", "degree": 12, "homophily": h, "graph": 0, "network": "DYNAMO (−)"}
            | {"removed": 0.2, "same_removed": same, "same_kept": (h - 0.2 * same) / 0.8}
            for h, same in ((0.5, 0.5), (0.5, 0.0), (0.5, 1.0), (0.1, 0.5))
        ]
    )
    found = density_leads.worth(pruned)
    assert found.left[0] == pytest.approx(found.chance[0]) == pytest.approx(np.sqrt(0.8))
    assert (
        found.left[1] == pytest.approx(found.best[1]) and found.left[1] > 1 > found.chance[1] > found.left[2]
    )
    assert found.left[3] == pytest.approx(
        found.best[3]
    )  # below the critical homophily unlike neighbours tell
