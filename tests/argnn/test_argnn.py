"""Networks side by side against one network written line by line from the paper."""

import numpy as np
import pytest
from plain_argnn import plain

from flowprune.argnn import (
    Networks,
    Removal,
    Truth,
    adder,
    evaluate,
    gate,
    miss,
    multiplexer,
    parity,
    random_table,
    train,
    training,
)
from flowprune.pruning.spectral import Choice, Rule

MODES = ["none", "D", "DW"]


def same(a, b):
    """Bit for bit."""
    assert a.removals == b.removals
    for one, other in (
        (a.nets.w, b.nets.w),
        (a.nets.V, b.nets.V),
        (a.errors, b.errors),
        (a.answers, b.answers),
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "truth, hidden", [(gate("xor"), 0), (gate("and"), 1), (gate("or"), 5), (adder(1), 2)]
)
def test_a_network_equals_the_paper_line_by_line(mode, truth, hidden):
    ours = train(truth, hidden, Rule(mode), [7], inputs=8, updates=7)
    W, V, errors, removals, answers = plain(truth, hidden, mode, 7, 8, 7)
    assert [(x.visit, x.node, x.source, x.target) for x in ours.removals] == removals
    assert removals or mode == "none" or hidden < 5
    np.testing.assert_array_equal(ours.nets.weights[0], W)
    np.testing.assert_array_equal(ours.nets.V[0], V)
    np.testing.assert_array_equal(ours.errors[0], errors)
    np.testing.assert_array_equal(ours.answers[0], answers)
    assert ours.error[0] == pytest.approx(np.abs(answers - truth.outputs).mean())


def test_a_sparse_network_equals_the_paper_line_by_line():
    A = np.random.default_rng(0).random((24, 24)) < 0.15
    A[range(24), range(24)], A[:, :2] = False, False
    ours = train(gate("xor"), 21, Rule("DW"), [3], inputs=2, updates=3, adjacency=A)
    W, V, _, removals, _ = plain(gate("xor"), 21, "DW", 3, 2, 3, A)
    assert [(x.visit, x.node, x.source, x.target) for x in ours.removals] == removals
    np.testing.assert_array_equal(ours.nets.weights[0], W)
    np.testing.assert_array_equal(ours.nets.V[0], V)


def test_a_network_alone_equals_itself_among_others(monkeypatch):
    tables, rules = [gate("or"), gate("xor"), gate("and")], [Rule("D"), Rule("DW", "random"), Rule("none")]
    together = train(tables, 4, rules, [4, 9, 2], inputs=12)
    monkeypatch.setattr("flowprune.argnn.judge.BLOCK", 100)  # visiting orders in many pieces
    monkeypatch.setattr(training, "AHEAD", 3)
    for r, seed in enumerate([4, 9, 2]):
        alone = train(tables[r], 4, rules[r], [seed], inputs=12)
        np.testing.assert_array_equal(alone.nets.w[0], together.nets.w[r])
        np.testing.assert_array_equal(alone.answers[0], together.answers[r])
        assert [x.visit for x in alone.removals] == [x.visit for x in together.removals if x.network == r]


@pytest.mark.parametrize("choice", Choice.__args__)
def test_skipped_decompositions_would_not_have_changed_anything(choice):
    rules = [
        Rule(mode, choice, threshold, limit=12) for mode in ("D", "DW") for threshold in (0.0, 1e-9, 1e-2)
    ]
    runs = [train(gate("xor"), 3, rules, range(6), inputs=10, screen=screen) for screen in (True, False)]
    same(*runs)
    assert runs[0].removals
    assert choice == "ego" or runs[0].questions.sum() < runs[1].questions.sum()
    assert len(runs[0].removals) <= 6 * 12


@pytest.mark.parametrize("hidden", [1, 2, 5])
def test_screens_hold_on_thousands_of_laplacians_of_trained_networks(hidden):
    """Large weights from longer training: complex pairs of mode D that are more than rounding occur here."""
    rules = [Rule("D"), Rule("D", threshold=1e-9), Rule("DW"), Rule("DW", threshold=1e-9)]
    runs = [train(gate("and"), hidden, rules, range(4), inputs=60, screen=screen) for screen in (True, False)]
    same(*runs)
    assert runs[1].questions.sum() >= 4 * 60 * 10 * (hidden + 1)


def test_the_published_rule_names_only_edges_from_the_next_node():
    """LAPACK puts a pair in neighbouring places: of (h + 1)(h + 2) edges at most h can go, one for each hidden node."""
    ran = train(gate("xor"), 5, Rule("DW"), range(8), inputs=40)
    assert {x.source - x.target for x in ran.removals} == {1}
    assert min(x.target for x in ran.removals) >= 2
    assert ran.nets.alive.sum(1).min() == 42 - 5
    assert any(x.node not in (x.source, x.target) for x in ran.removals)  # nor need it touch the visited node
    np.testing.assert_array_equal(ran.edges_left()[:, -1], ran.nets.alive.sum(1))
    assert (
        ran.edges_left()[:, 0]
        == 42 - np.bincount([x.network for x in ran.removals if not x.input], minlength=8)
    ).all()


@pytest.mark.parametrize(
    "rule",
    [
        Rule("none"),
        Rule("DW"),
        Rule("D", threshold=1e-9),
        Rule("DW", "ego"),
        Rule("D", "neighbourhood", 1e-9),
    ],
    ids=lambda rule: f"{rule.mode} {rule.choice}",
)
def test_torch_formulation_gives_the_same_numbers(rule):
    loops, torch_ = (train(adder(1), 3, rule, range(3), inputs=6, updates=4, device=d) for d in (None, "cpu"))
    for name in ("w", "V", "E"):
        np.testing.assert_allclose(getattr(torch_.nets, name), getattr(loops.nets, name), rtol=0, atol=1e-9)
    np.testing.assert_allclose(torch_.errors, loops.errors, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(torch_.nets.alive, loops.nets.alive)
    places = [[(x.visit, x.node, x.source, x.target) for x in run.removals] for run in (loops, torch_)]
    assert places[0] == places[1] and (places[0] or rule.mode == "none" or rule.threshold)


@pytest.mark.parametrize("choice", ["random", "smallest"])
def test_another_choice_of_edge_at_the_moments_of_a_run(choice):
    first = train(gate("or"), 4, Rule("DW"), [1, 2], inputs=20)
    moments = [[x.visit for x in first.removals if x.network == r] for r in range(2)]
    second = train(gate("or"), 4, Rule("DW", choice), [1, 2], inputs=20, moments=moments)
    assert [x.visit for x in second.removals] == [x.visit for x in first.removals]
    assert all(x.target == x.node for x in second.removals)
    same(first, train(gate("or"), 4, Rule("DW"), [1, 2], inputs=20, moments=moments))


def test_every_spectrum_can_be_watched():
    seen = []
    ran = train(gate("xor"), 2, Rule("DW"), [5], inputs=6, screen=False, observe=lambda *x: seen.append(x))
    assert [x[1] for x in seen] == list(range(6 * 10 * 3))
    for x in ran.removals:
        assert seen[x.visit][2] == x.node and seen[x.visit][3].imag.max() > 0


def test_what_went_wrong_is_reported():
    nets = Networks.start([0, 1], 2, 1, 2)
    assert (nets.clipped.tolist(), nets.saturated.tolist(), nets.disconnected.tolist()) == (
        [0, 0],
        [3, 3],
        [0, 0],
    )
    nets.alive[1, nets.edges.target == 4] = False  # nothing enters the second output of the second network
    nets.w[0, :3] = 10, -10, 9.99
    nets.V[:] = 0.5
    nets.V[1, 2] = 1 - 1e-5
    assert (nets.clipped.tolist(), nets.saturated.tolist(), nets.disconnected.tolist()) == (
        [2, 0],
        [0, 1],
        [0, 1],
    )
    answers = evaluate(nets, adder(1))
    assert (answers[1, :, 1] == 0.5).all()  # σ(0)
    np.testing.assert_allclose(miss(answers, adder(1)), np.abs(answers - adder(1).outputs).mean((1, 2)))


def test_an_overflowing_sigmoid_is_zero():
    nets = Networks.start([0], 1, 90, 1)
    nets.w[:] = -10
    nets.V[:] = 1
    assert not np.isnan(evaluate(nets, parity(1))).any()


def test_hundreds_of_nodes_cost_their_edges():
    n = 603
    A = np.random.default_rng(1).random((n, n)) < 6 / n
    A[range(n), range(n)], A[:, :2] = False, False
    A |= np.triu(A, 1).T & (np.arange(n) > 1)
    ran = train(gate("xor"), 600, Rule("DW", "feedback"), [0], inputs=2, updates=2, adjacency=A)
    assert ran.removals and all(A[x.source, x.target] for x in ran.removals)


@pytest.mark.parametrize(
    "table", [adder(2), multiplexer(2), parity(4), random_table(3, 2, 5)], ids=lambda t: t.name
)
def test_truth_tables_have_every_row_once(table):
    k = table.inputs.shape[1]
    assert sorted(int("".join(f"{x:.0f}" for x in row), 2) for row in table.inputs) == list(range(2**k))
    bits = table.inputs.astype(int)
    if table.name == "adder 2":
        a, b = bits[:, :2] @ [1, 2], bits[:, 2:] @ [1, 2]
        np.testing.assert_array_equal(table.outputs @ [1, 2, 4], a + b)
    if table.name == "multiplexer 2":
        np.testing.assert_array_equal(table.outputs[:, 0], bits[:, 2:][range(64), bits[:, :2] @ [1, 2]])
    if table.name == "parity 4":
        np.testing.assert_array_equal(table.outputs[:, 0], np.logical_xor.reduce(bits, 1))


def test_a_removal_rests_on_rounding_below_a_share_that_couplings_do_not_reach():
    told = [Removal(0, 0, 0, 0, 2, 3, 2, strength).by_rounding for strength in (0.0, 1e-15, 1e-9, 0.2)]
    assert told == [True, True, False, False]


X = np.array([[0, 1], [1, 0]])
BAD = {
    "inputs of shape \\[2\\] must be \\[rows, columns\\]": lambda: Truth("t", X[0], X),
    "outputs hold 0.5; each value must be 0 or 1": lambda: Truth("t", X, X / 2),
    "2 rows of inputs and 1 of outputs": lambda: Truth("t", X, X[:1]),
    "gate 'nand' must be one of and, or, xor": lambda: gate("nand"),
    "20 inputs and 2\\^20 rows; at most 16": lambda: multiplexer(4),
    "parity 0 needs at least 1 input": lambda: parity(0),
    "-1 hidden nodes; there must be at least 0": lambda: train(gate("or"), -1, Rule(), [0]),
    "are 4 nodes, but the adjacency has shape \\[3, 3\\]": lambda: Networks.start([0], 2, 0, 2, np.eye(3)),
    "no loops and no edges into inputs": lambda: Networks.start([0], 2, 0, 1, np.eye(3)),
    "seeds \\[\\] must be one or more": lambda: train(gate("or"), 1, Rule(), []),
    "2 truth tables for 1 networks": lambda: train([gate("or")] * 2, 1, Rule(), [0]),
    "must have one shape, not 'or'": lambda: train([gate("or"), parity(3)], 1, Rule(), [0, 1]),
    "2 rules for 1 networks": lambda: train(gate("or"), 1, [Rule()] * 2, [0]),
    "moments of 0 networks for 1": lambda: train(gate("or"), 1, Rule(), [0], moments=[]),
    "0 inputs and 10 updates": lambda: train(gate("or"), 1, Rule(), [0], inputs=0),
    "beyond 256 nodes choose 'neighbourhood'": lambda: train(gate("or"), 300, Rule(), [0]),
    "mode 'W' must be one of none, D, DW": lambda: Rule("W"),
    "choice 'best' must be one of published": lambda: Rule("D", "best"),
    "threshold = -1 must be at least 0": lambda: Rule(threshold=-1),
    "limit = -2 must be at least 0": lambda: Rule(limit=-2),
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_told_in_one_sentence(sentence):
    with pytest.raises(ValueError, match=sentence):
        BAD[sentence]()
