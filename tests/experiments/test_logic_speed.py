"""The plain network is the same network, and both ways are timed."""

import numpy as np
import pytest

from flowprune.argnn import gate, train
from flowprune.experiments import logic_speed
from flowprune.experiments.speed_tables import by_mode
from flowprune.pruning.spectral import Rule
from flowprune.study.trials import collect


@pytest.mark.parametrize("mode", ["none", "DW"])
def test_the_plain_network_does_what_networks_side_by_side_do(mode):
    ours = train(gate("xor"), 3, Rule(mode), [4], inputs=20)
    W, removals = logic_speed.plain(gate("xor"), 3, mode, 4, 20, 10)
    places = [[(x.visit, x.source, x.target) for x in part] for part in (ours.removals, removals)]
    assert places[0] == places[1] and (removals or mode == "none")
    np.testing.assert_allclose(W, ours.nets.weights[0], rtol=1e-9)


def test_a_network_multiplies_along_its_edges():
    """XOR with one hidden node h and output o: edges from two inputs into both, and between h and o."""
    trial = logic_speed.LogicWaysTrial(mode="none", hidden=1, inputs=3, updates=5)
    assert (trial.visits(1), trial.turns(1)) == (30, 3 + 15 + 30)
    work = trial.work(0)
    assert work.products == 15 * (2 * 6 + 1)
    assert work.bytes == 8 * 15 * (2 * (2 * 6 + 1) + 6)
    assert trial.work(7).products - work.products == 7 * 12.5 * 4**3


@pytest.mark.parametrize("mode", ["none", "D"])
def test_both_ways_are_timed_and_counted(mode):
    trial = logic_speed.LogicWaysTrial(mode=mode, hidden=2, networks=3, inputs=2, rounds=2)
    ((_, told),) = logic_speed.LogicWaysTrial.run([trial])
    assert len(told["ours"]) == len(told["plain"]) == 2 and min(told["ours"] + told["plain"]) > 0
    decomposed = told["plain/work"][1] - trial.work(0).products
    assert decomposed == (0 if mode == "none" else trial.visits(2) * 12.5 * 5**3)
    assert told["ours/work"][1] <= told["plain/work"][1]


def test_ratios_by_mode_have_a_line_for_each_size():
    told = logic_speed.speedups(collect(logic_speed.cells([1, 2], networks=4, alone=2, inputs=3)))
    found = by_mode(told)
    assert found.columns.tolist() == ["hidden", "no pruning", "counted degrees, D", "weighted degrees, D_W"]
    assert found.hidden.tolist() == ["1", "2"]
    assert found["no pruning"][0] == told[(told.hidden == "1") & (told["mode"] == "none")].ratio.item()


def test_ratios_are_those_of_seconds_a_network():
    table = collect(logic_speed.cells([1, 2], networks=4, alone=2, inputs=3))
    told = logic_speed.speedups(table)
    assert len(told) == 7
    assert told.ratio[0] == pytest.approx(table.plain[0] / table.ours[0])
    assert told.ratio.iloc[-1] == pytest.approx(table.plain.sum() / table.ours.sum())
