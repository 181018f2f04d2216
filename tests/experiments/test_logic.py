"""Truth tables as trials, and what the study reads from their rows."""

import numpy as np
import pandas as pd
import pytest
from plain_argnn import plain

from flowprune.argnn.judge import ROUNDING
from flowprune.experiments import logic_study as study
from flowprune.experiments import logic_trace
from flowprune.experiments.logic import PIECES, LogicTrial, told, truth
from flowprune.pruning.spectral import local_laplacian
from flowprune.study.specs import SpecError
from flowprune.study.trials import collect


def small(**fields):
    return LogicTrial(**{"table": "xor", "hidden": 2, "mode": "DW", "networks": 3, "inputs": 80} | fields)


@pytest.fixture(scope="module")
def nets():
    cells = study.cells(("and", "xor"), [1, 2, 3], (*study.MODES, "clear"), networks=5, inputs=120)
    return study.networks(collect(cells))


def test_a_trial_tells_of_every_network_what_it_alone_would():
    trial = small(networks=3, seed=4)
    row = told(trial.train())
    for r in range(3):
        alone = told(small(networks=1, seed=4 + r).train())
        for name in ("miss", "removed", "lost", "half", "by_rounding", "learned", "training_miss"):
            assert row[name][r] == alone[name][0]
    assert row["edges"] == 12 and len(row["curve_miss"]) == len(row["curve_left"]) == PIECES
    assert row["mean_removed"] == pytest.approx(np.mean(row["removed"]))
    assert row["curve_left"][-1] == pytest.approx(1 - row["mean_removed"] / 12, rel=1e-3)


def test_a_trial_is_the_network_of_the_paper():
    _, _, errors, removals, answers = plain(truth("xor"), 2, "DW", 5, 40, 10)
    row = told(small(networks=1, seed=5, inputs=40).train())
    assert row["miss"][0] == pytest.approx(np.abs(answers - truth("xor").outputs).mean(), rel=1e-3)
    assert row["lost"][0].split() == [f"{s}>{t}" for _, _, s, t in removals]
    assert row["training_miss"][0] == pytest.approx(errors.mean(), rel=1e-3)


@pytest.mark.parametrize("name", ["nand", "parity", "parity x", "random 2 1", "adder 1 2", "xor 2"])
def test_an_unknown_table_is_one_sentence(name):
    with pytest.raises(ValueError, match=f"truth table '{name}' must be one of and, or, xor"):
        LogicTrial(table=name, hidden=1)


def test_bad_sizes_are_refused():
    with pytest.raises(SpecError, match="hidden = -1"):
        small(hidden=-1)
    with pytest.raises(SpecError, match="inputs = 50"):
        small(inputs=50)
    with pytest.raises(SpecError, match="mode = 'E'"):
        small(mode="E")


def test_networks_are_one_row_each_and_seeds_pair_them(nets):
    assert len(nets) == 2 * 3 * 4 * 5
    clear = nets[nets["mode"] == "clear"]
    assert clear.by_rounding.sum() == 0
    whole = nets[nets["mode"] == "none"]
    assert (whole.removed == 0).all() and (whole.half == -1).all()
    assert (nets.share == nets.removed / nets.edges).all()
    with pytest.raises(ValueError, match="none of 1 trials is done"):
        study.networks(pd.DataFrame({"status": ["failed"], "error": ["x"]}))


def test_changes_are_taken_pair_by_pair(nets):
    c = study.changes(nets).set_index(["gate", "hidden", "mode"])
    part = nets[(nets.gate == "xor") & (nets.hidden == 3)].pivot(index="seed", columns="mode", values="miss")
    assert c.change["xor", 3, "DW"] == pytest.approx((part.DW - part.none).mean())
    assert len(c) == 12 and (c.networks == 5).all()


def made(removed, half=None):
    """Networks of one gate with given removals: {(hidden, mode): [of each seed]}."""
    rows = [
        {
            "gate": "xor", "hidden": h, "mode": m, "seed": i, "edges": (h + 1) * (h + 2), "removed": x,
            "half": (half or {}).get((h, m), -1), "training_miss": 0.1 * i, "by_rounding": 0, "miss": 0.1,
            "disconnected": 0, "lost": "",
        }
        for (h, m), values in removed.items()
        for i, x in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(share=lambda t: t.removed / t.edges)


def test_the_mode_that_removes_more_is_found_and_nothing_is_found_in_equals():
    few, many = [1, 1, 0, 1] * 5, [2, 2, 2, 1] * 5
    more = study.count_evidence(made({(2, "D"): few, (2, "DW"): many, (2, "clear"): few}))
    assert (more["more"], more["fewer"]) == (1, 0) and more["largest"] == pytest.approx(1)
    fewer = study.count_evidence(made({(2, "D"): many, (2, "DW"): few, (2, "clear"): few}))
    assert (fewer["more"], fewer["fewer"], fewer["clear_fewer"]) == (0, 1, 0)


def test_steps_see_counts_rise_and_shares_fall():
    rng = np.random.default_rng(0)
    removed = {(h, m): h - (rng.random(40) < 0.2) for h in (1, 2, 3, 4, 5, 10) for m in ("D", "DW")}
    told_ = study.growth_evidence(made(removed))
    assert told_["rising"] == 1 and told_["far_rising"] == 1 and told_["hidden"] == 10
    assert told_["against"] == 0 and told_["far_falling"] == 1
    falling = study.growth_evidence(made({(h, m): 5 - x for (h, m), x in removed.items()}))
    assert falling["against"] > 0.5
    far = {(h, m): x for (h, m), x in removed.items() if h > 3}
    beyond = study.growth_evidence(made({(h + 1, m): x for (h, m), x in far.items()}))
    assert (beyond["steps"], beyond["rising"], beyond["far_rising"]) == (0, 0.0, 1.0)
    assert study.unpaired(np.ones(3), np.ones(3)) == (0.0, 1.0)
    assert study.unpaired(np.ones(3), np.zeros(3)) == (1.0, 0.0)


def test_timing_leaves_out_networks_without_removals():
    early = made({(2, "D"): [1] * 20, (2, "DW"): [1] * 20}, half={(2, "D"): 300, (2, "DW"): 20})
    early.loc[early.seed == 0, "half"] = -1
    when, slower = study.timing(early)
    assert when.networks.tolist() == [19] and when.difference.tolist() == [-280]
    told_ = study.timing_evidence(when, slower)
    assert (told_["earlier"], told_["later"], told_["slower"], told_["inputs"]) == (1, 0, 0, -280)


def test_a_watched_network_shows_the_spectrum_of_every_visit_and_the_graph_in_between():
    trace = logic_trace.watch("xor", 2, "DW", 1, inputs=60)
    assert len(trace.spectra) == 60 * 10 * 3 and trace.spectra.visit.is_monotonic_increasing
    assert trace.removals
    first = trace.removals[0]
    assert trace.alive(first.input - 1)[first.source, first.target]
    assert not trace.alive(first.input)[first.source, first.target]
    assert (trace.alive(59) == trace.nets.adjacency[0]).all() and trace.alive(-1).sum() == 12
    last = trace.spectra.iloc[-1]
    L = local_laplacian(trace.nets.weights[0], trace.nets.adjacency[0], int(last.node), "DW")
    np.testing.assert_allclose(
        np.sort_complex(last["values"]), np.sort_complex(np.linalg.eigvals(L)), atol=1e-9
    )
    at = trace.imaginary().set_index("visit").imaginary
    assert all(at[x.visit] > ROUNDING for x in trace.removals)


def test_the_example_counts_networks_that_lose_both_edges(nets):
    like = made({(2, "D"): [2, 2, 1, 0]})
    like["lost"] = ["3>2 4>3", "4>3 3>2", "3>2", ""]
    trace = logic_trace.watch("xor", 2, "D", 0, inputs=40)
    found = logic_trace.example_evidence(like, trace)
    assert (found["networks"], found["both"], found["ordered"], found["clear"]) == (4, 0.5, 0.5, 1.0)
