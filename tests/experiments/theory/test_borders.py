"""Border cases of the phase diagram: where each one ends, known by hand."""

from __future__ import annotations

import pytest
import torch

from flowprune.dynamics.energy import normalised_energy
from flowprune.experiments.theory import borders

MEASURED = borders.measured().set_index("case")
ENDS = {  # the winning corner of (ν, w), as a share of ρ_Δ/2; the cases not named here keep several modes
    "clique, W with a kernel": 1.0,  # ν = −1/5, w = −1 beats the kernel of W
    "clique, unit loops, W < 0": 1.0,  # ν = 0 stands still, all else decays
    "clique, loops of 5, W < 0": 1.0,  # ν = 2/5, w = −1/2 decays last
    "clique, loops of 5, both signs": 0.0,
    "triangle and edge": 1.0,  # the edge, ν = −1
    "the triangle alone": 0.0,
}


def test_each_case_ends_where_its_fastest_corner_lies():
    energy = MEASURED["energy / (ρ_Δ/2)"]
    for case, expected in ENDS.items():
        assert energy[case] == pytest.approx(expected, abs=1e-6), case
    assert energy.drop(list(ENDS)).between(0.01, 0.99).all()


@pytest.mark.parametrize(
    ("case", "ρ", "says"),
    [
        ("clique, on the line", 6 / 5, "nothing"),
        ("clique, W = 0", 6 / 5, "nothing"),
        ("clique, W with a kernel", 6 / 5, "high"),
        ("clique, unit loops, W < 0", 1, "nothing"),
        ("clique, loops of 5, W < 0", 3 / 5, "low"),  # and ends high
        ("triangle and edge", 2, "high"),
        ("the triangle alone", 3 / 2, "low"),
    ],
)
def test_what_the_printed_criterion_says(case, ρ, says):
    assert MEASURED.loc[case, "ρ_Δ"] == pytest.approx(ρ)
    assert MEASURED.loc[case, "source says"] == says


def test_with_a_zero_matrix_nothing_moves():
    graph, _ = borders.cases()["clique, W = 0"]
    energy = normalised_energy(graph, borders.start(graph, 2, seed=3)).item()
    moved = borders.measured(seed=3).set_index("case")
    assert moved.loc["clique, W = 0", "energy / (ρ_Δ/2)"] == pytest.approx(2 * energy / graph.rho)


def test_features_start_around_one():
    graph, _ = borders.cases()["triangle and edge"]
    assert borders.start(graph, 4000).mean().item() == pytest.approx(1, abs=0.03)
    assert borders.start(graph, 2).dtype == torch.float64
