"""The plain network is the same network, and both ways are timed."""

import numpy as np
import pytest

from flowprune.argnn import gate, train
from flowprune.experiments import logic_speed
from flowprune.pruning.spectral import Rule
from flowprune.study.trials import collect


@pytest.mark.parametrize("mode", ["none", "DW"])
def test_the_plain_network_does_what_networks_side_by_side_do(mode):
    ours = train(gate("xor"), 3, Rule(mode), [4], inputs=20)
    W, removals = logic_speed.plain(gate("xor"), 3, mode, 4, 20, 10)
    places = [[(x.visit, x.source, x.target) for x in part] for part in (ours.removals, removals)]
    assert places[0] == places[1] and (removals or mode == "none")
    np.testing.assert_allclose(W, ours.nets.weights[0], rtol=1e-9)


def test_ratios_are_those_of_seconds_a_network():
    table = collect(logic_speed.cells([1, 2], networks=4, alone=2, inputs=3))
    told = logic_speed.speedups(table)
    assert len(told) == 7
    assert told.ratio[0] == pytest.approx(table.plain[0] / table.ours[0])
    assert told.ratio.iloc[-1] == pytest.approx(table.plain.sum() / table.ours.sum())
