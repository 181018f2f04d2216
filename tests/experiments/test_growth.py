"""Attention on growing graphs: patterns, what is timed, what is held, what is learned, and the evidence from it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph

from flowprune.experiments import growth, growth_study, published, scaling
from flowprune.flows.attention import Edges, edge_inner, edge_sum
from flowprune.study.passes import compute
from flowprune.study.specs import SpecError

SMALL = 1000  # edges


# --- graphs and networks -------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(0, 2**31 - 1))
def test_a_pattern_with_loops_is_that_of_the_adjacency_and_the_identity(n, seed):
    graph = random_graph(n, seed)
    pattern = growth.with_loops(graph.adjacency)
    rows = [pattern.crow_indices(), pattern.col_indices(), pattern.values()]
    torch.sparse_csr_tensor(*rows, pattern.shape, check_invariants=True)  # columns sorted, none twice
    wanted = (graph.adjacency.to_dense() != 0) | torch.eye(graph.n, dtype=torch.bool)
    assert torch.equal(pattern.to_dense() != 0, wanted)


def test_gradients_are_those_of_the_transpose_where_its_numbers_outgrow_32_bits():
    n = 47_000  # n² > 2³¹
    edges = Edges(growth.with_loops(scaling.ring(n, n, shuffled=True)), 1)
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(len(edges.col), 1, dtype=torch.float64, generator=generator)
    G, H = torch.randn(2, n, 1, 1, dtype=torch.float64, generator=generator)
    transpose = torch.sparse_coo_tensor(torch.stack([edges.col.long(), edges.row]), weights[:, 0], (n, n))
    wanted = torch.sparse.mm(transpose, G[:, 0])
    for call, received in (
        (lambda: edge_sum(edges, weights, H), G),
        (lambda: edge_inner(edges, G, H), weights),
    ):
        H.requires_grad_().grad = None
        call().backward(received)
        torch.testing.assert_close(H.grad[:, 0], wanted, rtol=1e-12, atol=1e-12)


def test_all_sizes_have_one_mean_degree():
    for edges in growth_study.sizes(3, 7):
        assert growth.nodes(edges) * scaling.DEGREE == 2 * edges


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_thinned_layer_has_lost_its_share_and_no_loop(share):
    n = growth.nodes(SMALL)
    flow = growth.thinned(growth.with_loops(scaling.ring(n, n, True)), 4, share)
    edges, _ = flow.eval().layers[0].entries()
    assert flow.removed().item() == pytest.approx(share)
    assert len(edges.col) == n + round((1 - share) * 2 * SMALL)
    assert int((edges.row == edges.col).sum()) == n


def test_gat_and_dynamo_begin_as_one_function():
    n = growth.nodes(SMALL)
    pattern, X = growth.with_loops(scaling.ring(n, n, True)), torch.randn(n, 4)
    found = [growth.network(model, X, pattern, 4, growth.WEAK).eval()() for model in growth.MODELS]
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


# --- trials --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def timed() -> pd.DataFrame:
    return table(growth_study.timed([500, SMALL, 2000], rounds=3, shares=(0.5,)))


def table(trials) -> pd.DataFrame:
    rows = [compute([t])[0] for t in trials]
    return pd.DataFrame(
        [r["spec"] | r["result"] | {"status": r["status"], "error": r["error"]} for r in rows]
    )


def test_a_growth_trial_times_every_call_in_every_round(timed):
    assert (timed.status == "done").all(), timed.error.dropna().tolist()
    for name in ("layer/gat", "layer/dynamo", "step/gat", "step/dynamo"):
        assert all(len(ms) == 3 and min(ms) > 0 for ms in timed[name])
    shared = timed[timed.shuffled]  # the only ones that lose edges
    assert timed.groupby(["shuffled", "kept"]).size().to_dict() == dict.fromkeys(growth_study.PLACES, 3)
    assert all(len(ms) == 3 for ms in shared["pruned/0.5"]) and all(
        len(ms) == 1 for ms in shared["rebuild/0.5"]
    )
    found = growth_study.times(timed)
    assert len(found) == 9 * 4
    by_phase = found.pivot(index=["edges", "place", "model"], columns="phase", values="low")
    assert by_phase.step.sum() > by_phase.layer.sum()  # together: a single time may be another process's


def test_calls_take_turns():
    seen = []
    growth.in_turn({name: lambda name=name: seen.append(name) for name in "abc"}, 2)
    assert "".join(seen) == "abc" + "abc" + "bca"


def test_a_pass_after_pruning_is_compared_with_a_whole_one(timed):
    found = growth_study.passes(timed)
    assert found.edges.tolist() == [500, SMALL, 2000] and (found.removed == 0.5).all()
    row = timed[timed.shuffled & (timed.edges == SMALL)].iloc[0]
    ratio = np.exp(np.mean(np.log(np.divide(row["pruned/0.5"], row["whole/0.5"]))))
    assert found.time[1].mean == pytest.approx(ratio)
    assert found.saved[1] == pytest.approx((1 - ratio) / 0.5)


def test_memory_is_held_in_proportion_to_the_edges_and_not_by_the_process_that_asks():
    ballast = torch.ones(10**8)  # 400 MB that must not count
    found = table(growth_study.memory([20_000, 40_000, 80_000]))
    assert (found.status == "done").all(), found.error.dropna().tolist()
    assert ballast.sum() == 1e8
    per_edge = growth_study.per_edge(found)
    least = {"gat": 12 * 2.1, "dynamo": 24 * 2.1}  # rows and columns; and multipliers and their places
    assert all(least[row.model] < row.per_edge < 2000 for row in per_edge.itertuples())
    assert (found[found.model == "dynamo"].removed > 0.1).all()
    for model, part in found.groupby("model"):  # below one: a block of edges has a fixed size
        assert 0.6 < growth_study.exponent(part, "bytes").mean < 1.15, model


def test_accuracy_is_learned_on_a_graph_of_the_asked_homophily():
    trials = growth_study.accuracy({SMALL * 5: 1}, (0.8,), epochs=12)
    rows = {r["spec"]["model"]: r["result"] for r in compute(trials)}
    assert list(rows) == ["mlp", "gat", "dynamo", "one shot"]
    for name, row in rows.items():
        assert row["joined"] == pytest.approx(0.8, abs=0.02)
        assert (row["removed"] > 0) == (name in growth.RULES)
        assert 0 < row["own"] <= 1
    assert rows["gat"]["test_accuracy"] > rows["mlp"]["test_accuracy"] > 1 / growth.CLASSES
    assert rows["one shot"]["removed"] == pytest.approx(growth.RULES["one shot"].limit, abs=1e-3)
    assert rows["mlp"]["own"] == 1 and rows["gat"]["own"] < 0.15 < rows["dynamo"]["own"]


def test_trials_that_cannot_be_are_refused():
    with pytest.raises(SpecError, match="edges = 200 is refused"):
        growth.GrowthTrial(edges=200)
    with pytest.raises(SpecError, match="shares"):
        growth.GrowthTrial(edges=SMALL, shares=(1.0,))
    with pytest.raises(SpecError, match="model = 'gcn' is refused"):
        growth.MemoryTrial(edges=SMALL, model="gcn")


def test_the_published_trials_reach_the_sizes_that_the_rule_asks_for_and_differ():
    for name, largest in (("growth", 10**7), ("growth-accuracy", 10**6)):
        trials = published.study()[name]()
        assert len({t.key for t in trials}) == len(trials)
        assert min(t.edges for t in trials) == 10**4 and max(t.edges for t in trials) >= largest


# --- what is read --------------------------------------------------------------------------------


def made(
    power: float, memory_power: float = 1.0, loss=(0.0, 0.0), kept: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Exponents of made-up times and memory, and accuracies with a made-up loss at homophily 0.8 and at 0.2.

    ``kept``: the power while freed memory is kept, if it is another.
    """
    E = growth_study.sizes(4, 7)
    times = [
        {"edges": e, "place": place, "phase": phase, "model": model, "median": 1e-3 * e**b}
        for e in E
        for place in growth_study.PLACES.values()
        for b in [kept if kept and place == growth_study.KEPT else power]
        for phase in growth_study.PHASES
        for model in growth.MODELS
    ]
    held = [
        {"edges": e, "model": m, "width": 16, "bytes": 500 * e**memory_power, "status": "done"}
        for e in E
        for m in growth.MODELS
    ]
    rng = np.random.default_rng(0)
    rows = []
    for e, count in growth_study.GRAPHS.items():
        for h, lost in zip((0.8, 0.2), loss, strict=True):
            for i in range(count):
                gat = 70 + 0.1 * rng.standard_normal()
                rows.append({"edges": e, "homophily": h, "graph": i, "gat": gat, "dynamo": gat - lost})
    return growth_study.exponents(pd.DataFrame(times), pd.DataFrame(held)), pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ({"power": 1.0}, "holds"),
        ({"power": 1.0, "loss": (12.0, -15.0)}, "holds under conditions"),
        ({"power": 1.0, "loss": (12.0, 3.0)}, "does not hold"),
        ({"power": 1.3}, "does not hold"),
        ({"power": 1.3, "kept": 1.0, "loss": (12.0, -15.0)}, "holds under conditions"),
        ({"power": 1.0, "memory_power": 2.0}, "does not hold"),
    ],
)
def test_the_verdict_follows_from_the_evidence(arguments, verdict):
    from flowprune.study.claims import claims

    exponents, reached = made(**arguments)
    found = growth_study.evidence(exponents, reached, growth_study.sizes(4, 7))
    assert found["decades"] == 3 and found["pairs"] == 5
    assert claims()["D13"].judge(found) == verdict


def test_the_condition_names_the_homophily_at_which_accuracy_is_kept():
    exponents, reached = made(1.0, loss=(12.0, -15.0))
    found = growth_study.evidence(exponents, reached, [10**4, 10**7])
    assert "homophily: 0.2; " in found["condition"] and "anywhere" in found["condition"]
    assert (found["loss_upper"], found["least_upper"]) == (pytest.approx(12), pytest.approx(-15))


def test_contrasts_are_paired_by_graph_and_leave_single_graphs_out():
    _, reached = made(1.0, loss=(12.0, -15.0))
    found = growth_study.contrasts(reached)
    assert found.edges.max() == 10**6 and len(found) == 6
    assert found[found.homophily == 0.8].difference.to_numpy() == pytest.approx(-12)
    assert (found[found.graphs == 8]["adj. p"] < 0.05).all()


def test_memory_over_width_is_a_line_and_fills_a_machine():
    E = 10**6
    held = pd.DataFrame(
        [
            {"edges": E, "model": "dynamo", "width": d, "bytes": E * (300.0 + 5 * d), "status": "done"}
            for d in growth_study.WIDTHS
        ]
    )
    a, b, off = growth_study.by_width(held)
    assert (a, b, off) == (pytest.approx(300), pytest.approx(5), pytest.approx(0, abs=1e-12))
    wide = held[held.width == 128]
    assert growth_study.room(wide, 9.4)["dynamo"] == pytest.approx(1e7)
    assert growth_study.per_edge(wide).dense.item() == pytest.approx(4 * 1e10 / 9.4e8)
    with pytest.raises(ValueError, match="at least 3 widths, not 1"):
        growth_study.by_width(wide)


def test_a_study_of_which_nothing_is_done_is_refused():
    failed = pd.DataFrame([{"status": "failed", "error": "MemoryError: no"}])
    with pytest.raises(ValueError, match="none of 1 trials is done; the first failed with MemoryError"):
        growth_study.done(failed)
