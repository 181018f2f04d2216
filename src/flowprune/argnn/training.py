"""Training: networks run ahead, and LAPACK answers the questions of all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from flowprune.argnn import batched, kernels
from flowprune.argnn.judge import Judge, Moments, Observe, Questions, Removal, Tape
from flowprune.argnn.networks import Networks, evaluate, miss, tables
from flowprune.argnn.truth import Truth
from flowprune.pruning.spectral import Rule

LARGEST = 256  # nodes; beyond, a decomposition of all n rows at a visit is out of the question
MEMORY = 2**23  # numbers held for open questions
AHEAD = 32  # open questions of one network; few removals, so that little is run twice


@dataclass(frozen=True, eq=False)
class Outcome:
    """Trained networks.

    Attributes: nets after training; answers ``[R, rows, n_out]`` and their mean absolute error ``[R]`` in the
    evaluation; errors ``[R, inputs]`` of the outputs after each input of the training; removals in order, network by
    network; questions ``[R]``, how many visits needed a decomposition (those run twice are counted twice).
    """

    nets: Networks
    answers: ndarray
    error: ndarray
    errors: ndarray
    removals: list[Removal]
    questions: ndarray

    def edges_left(self) -> ndarray:
        """How many edges a network has after each input: ``[R, inputs]``."""
        gone = np.zeros(self.errors.shape, int)
        for one in self.removals:
            gone[one.network, one.input :] += 1
        return self.nets.alive.sum(1, keepdims=True) + gone[:, -1:] - gone


def train(
    given: Truth | Sequence[Truth],
    hidden: int,
    rules: Rule | Sequence[Rule],
    seeds: Sequence[int],
    *,
    inputs: int = 2000,
    updates: int = 10,
    adjacency: ndarray | None = None,
    screen: bool = True,
    moments: Moments | None = None,
    observe: Observe | None = None,
    device: str | None = None,
) -> Outcome:
    """Train one network for each seed, then evaluate it.

    Each network has its own table and rule (or all share one) and its own random numbers for weights, rows and visiting
    orders: alone it does what it does among others, bit for bit.

    Args:
        inputs, updates: random rows of the table, and asynchronous updates for each.
        adjacency: ``[n, n]`` or ``[R, n, n]`` boolean, by default all edges but those into inputs.
        screen: skip decompositions that cannot change anything; the removals are the same without.
        moments: visits at which an edge is removed, for each network, whatever the spectrum: replays the moments of
            another run with another choice of edge.
        observe: called with network, visit, node and eigenvalues of every decomposition; with ``screen=False`` that is
            every visit.
        device: None runs compiled loops on the CPU; else the name of a torch device for the batched formulation.

    Raises ValueError for input that does not fit, in one sentence.
    """
    if not len(seeds) or min(seeds) < 0:
        raise ValueError(f"asynchronous networks: seeds {list(seeds)} must be one or more numbers from 0")
    each = tables(given, len(seeds))
    each_rule = [rules] * len(seeds) if isinstance(rules, Rule) else list(rules)
    if len(each_rule) != len(seeds):
        raise ValueError(f"asynchronous networks: {len(each_rule)} rules for {len(seeds)} networks")
    if moments is not None and len(moments) != len(seeds):
        raise ValueError(f"asynchronous networks: moments of {len(moments)} networks for {len(seeds)}")
    nets = Networks.start(seeds, each[0].inputs.shape[1], hidden, each[0].outputs.shape[1], adjacency)
    if nets.edges.n > LARGEST and any(r.mode != "none" and r.choice == "published" for r in each_rule):
        raise ValueError(
            f"spectral pruning: the published rule decomposes an {nets.edges.n} × {nets.edges.n} matrix at a visit; "
            f"beyond {LARGEST} nodes choose 'neighbourhood' or another rule"
        )
    return _trained(nets, each, each_rule, inputs, updates, moments, observe, screen, device)


def train_on(
    nets: Networks, given: Truth | Sequence[Truth], *, inputs: int = 2000, updates: int = 10
) -> Outcome:
    """Train networks further from where they are, without pruning; those that are given stay as they are.

    Rows and visiting orders are those of their seeds from the start: copies of one seed, say with different edges, see
    the same. Raises ValueError for input that does not fit.
    """
    each = tables(given, len(nets.seeds))
    return _trained(nets.copy(), each, [Rule("none")] * len(each), inputs, updates)


def _trained(
    nets: Networks,
    each: list[Truth],
    rules: list[Rule],
    inputs: int,
    updates: int,
    moments: Moments | None = None,
    observe: Observe | None = None,
    screen: bool = True,
    device: str | None = None,
) -> Outcome:
    """Train these very networks from where they are, then evaluate them."""
    if inputs < 1 or updates < 1:
        raise ValueError(
            f"asynchronous networks: {inputs} inputs and {updates} updates; there must be at least 1 of each"
        )
    tape = Tape(nets, each, inputs, updates)
    judge = Judge(nets, rules, tape, moments, observe)
    errors = batched.run(nets, tape, judge, screen, device) if device else _run(nets, tape, judge, screen)
    answers = evaluate(nets, each, updates)
    removals = sorted(judge.removals, key=lambda x: (x.network, x.visit))
    return Outcome(nets, answers, miss(answers, each), errors, removals, judge.asked)


def _run(nets: Networks, tape: Tape, judge: Judge, screen: bool) -> ndarray:
    """Train in compiled loops; returns the errors ``[R, inputs]``.

    A network with a question goes on as if nothing were removed. When all have ended or hold AHEAD questions, LAPACK is
    called once; a network that loses an edge is put back to that visit.
    """
    (R, n), E = nets.V.shape, nets.edges.source.size
    S = n if (judge.kind == kernels.LIST).any() else min(n, int(_neighbours(nets).max()) + 1)
    ahead = int(np.clip(MEMORY // (R * (S * S + 2 * n + E)), 1, AHEAD))
    node, visit, size = (np.empty(R * ahead, int) for _ in range(3))
    members, L = np.zeros((R * ahead, S), int), np.empty((R * ahead, S, S))
    kept = [np.empty((R * ahead, k)) for k in (n, n, E)]
    cursor, errors = np.zeros(R, int), np.empty((R, tape.inputs))
    rule = judge.kind, judge.counted, judge.threshold, np.full(R, screen)
    for start, end, order in tape.pieces():
        stream = tape.X, tape.Y, np.ascontiguousarray(tape.rows[:, start:end]), order
        while (running := (cursor < end * tape.turn).nonzero()[0]).size:
            asked = np.empty_like(running)
            kernels.run(
                running,
                asked,
                ahead,
                nets.edges.compiled,
                nets.edges.link,
                (nets.inputs, tape.updates),
                (start, end, cursor),
                (nets.V, nets.E, nets.w, nets.alive),
                stream,
                rule,
                (judge.moments, judge.forced),
                (node, visit, size, members, L, *kept),
                errors,
            )
            last = asked.sum()
            q = Questions(
                running.repeat(asked), node[:last], visit[:last], size[:last], members[:last], L[:last]
            )
            for p, lost in judge(q) if last else ():
                r = q.r[p]
                nets.V[r], nets.E[r], nets.w[r] = (copy[p] for copy in kept)
                nets.w[r, lost], nets.alive[r, lost] = 0, False
                cursor[r] = visit[p] + 1
    return errors


def _neighbours(nets: Networks) -> ndarray:
    """How many neighbours each node has at most: ``[n]``."""
    edges = nets.edges
    both = np.bincount(edges.source, minlength=edges.n) + np.bincount(edges.target, minlength=edges.n)
    return both - np.bincount(edges.target[edges.reverse >= 0], minlength=edges.n)
