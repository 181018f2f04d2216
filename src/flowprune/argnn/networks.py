"""R asynchronous recurrent networks of the same size, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from flowprune.argnn import kernels
from flowprune.argnn.truth import Truth

WEIGHTS, ROWS, ORDERS, EVALUATION, CHOICE = range(5)  # each purpose has its own stream of random numbers
SATURATED = 1e-3  # a sigmoid whose slope v(1 − v) is below this hardly learns
BLOCK = 2**22  # numbers of the visiting order that are drawn in one go


def draws(seed: int, purpose: int) -> np.random.Generator:
    """The random numbers of one network for one purpose: they do not depend on the networks beside it."""
    return np.random.default_rng([seed, purpose])


@dataclass(frozen=True, eq=False)
class Edges:
    """The edges that the networks start with, sorted by target and then by source.

    Attributes: source, target, reverse ``[E]`` (the edge the other way, or −1); into ``[n + 1]``, where the edges into
    a node begin; out ``[n + 1]`` and out_edge ``[E]``, the edges out of a node; link ``[n]``, the edge k + 1 → k or −1.
    """

    n: int
    source: ndarray
    target: ndarray
    reverse: ndarray
    into: ndarray
    out: ndarray
    out_edge: ndarray
    link: ndarray

    @classmethod
    def of(cls, pattern: ndarray) -> Edges:
        """All edges of a boolean ``[n, n]``, i → j in row i."""
        n = len(pattern)
        target, source = (ends.copy() for ends in pattern.T.nonzero())  # views with strides, else
        ends = np.arange(n + 1)
        order = np.lexsort((target, source))
        bare = cls(n, source, target, *5 * [np.empty(0, int)])
        return replace(
            bare,
            reverse=bare.find(target, source),
            into=np.searchsorted(target, ends),
            out=np.searchsorted(source[order], ends),
            out_edge=order,
            link=bare.find(np.arange(1, n + 1), np.arange(n)),
        )

    def find(self, source: ndarray, target: ndarray) -> ndarray:
        """The number of each edge source → target, −1 where there is none."""
        if not self.source.size:
            return np.full(np.shape(source), -1)
        key, sought = self.target * (self.n + 1) + self.source, target * (self.n + 1) + source
        place = np.searchsorted(key, sought).clip(max=len(key) - 1)
        return np.where(key[place] == sought, place, -1)

    @property
    def compiled(self) -> tuple[ndarray, ...]:
        return self.into, self.source, self.target, self.out, self.out_edge, self.reverse


@dataclass(frozen=True, eq=False)
class Networks:
    """Nodes in the order inputs, hidden, outputs; states V, E ``[R, n]``; w and alive ``[R, E]`` on shared edges.

    Stored by edge: a visit costs the edges of one node, and a sparse network of thousands of nodes needs no ``[n, n]``.
    """

    seeds: tuple[int, ...]
    inputs: int
    outputs: int
    edges: Edges
    V: ndarray
    E: ndarray
    w: ndarray
    alive: ndarray

    @classmethod
    def start(
        cls, seeds: Sequence[int], inputs: int, hidden: int, outputs: int, adjacency: ndarray | None = None
    ) -> Networks:
        """Values 0, weights uniform in [−1, 1]; every edge but those into inputs, or an adjacency ``[n, n]``.

        ``[R, n, n]`` gives each network its own. Raises ValueError for a negative number of hidden nodes and for an
        adjacency of another size, with loops or with edges into inputs.
        """
        if hidden < 0:
            raise ValueError(f"asynchronous network: {hidden} hidden nodes; there must be at least 0")
        n = inputs + hidden + outputs
        if adjacency is None:
            adjacency = ~np.eye(n, dtype=bool)
            adjacency[:, :inputs] = False
        adjacency = np.asarray(adjacency, dtype=bool)
        if adjacency.shape not in ((n, n), (len(seeds), n, n)):
            raise ValueError(
                f"asynchronous network: {inputs} inputs, {hidden} hidden nodes and {outputs} outputs are {n} nodes, "
                f"but the adjacency has shape {list(adjacency.shape)}; it must be [{n}, {n}], or one such for each seed"
            )
        if adjacency[..., range(n), range(n)].any() or adjacency[..., :inputs].any():
            raise ValueError(
                "asynchronous network: the adjacency must have no loops and no edges into inputs"
            )
        edges = Edges.of(adjacency if adjacency.ndim == 2 else adjacency.any(0))
        alive = np.broadcast_to(
            adjacency[..., edges.source, edges.target], (len(seeds), edges.source.size)
        ).copy()
        w = np.zeros(alive.shape)
        for r, seed in enumerate(seeds):
            w[r, alive[r]] = draws(seed, WEIGHTS).uniform(-1, 1, alive[r].sum())
        values = np.zeros((len(seeds), n))
        return cls(tuple(seeds), inputs, outputs, edges, values, values.copy(), w, alive)

    def copy(self) -> Networks:
        return replace(self, **{name: getattr(self, name).copy() for name in ("V", "E", "w", "alive")})

    @property
    def weights(self) -> ndarray:
        """``[R, n, n]``, i → j in row i."""
        return self._dense(self.w)

    @property
    def adjacency(self) -> ndarray:
        """``[R, n, n]`` boolean."""
        return self._dense(self.alive)

    def _dense(self, values: ndarray) -> ndarray:
        full = np.zeros((len(self.seeds), self.edges.n, self.edges.n), values.dtype)
        full[:, self.edges.source, self.edges.target] = values
        return full

    @property
    def clipped(self) -> ndarray:
        """How many weights stand at ±10: ``[R]``."""
        return (np.abs(self.w) == kernels.CLIP).sum(1)

    @property
    def saturated(self) -> ndarray:
        """How many nodes, inputs aside, have a slope v(1 − v) below 10⁻³: ``[R]``."""
        v = self.V[:, self.inputs :]
        return (v * (1 - v) < SATURATED).sum(1)

    @property
    def disconnected(self) -> ndarray:
        """How many outputs no input reaches: ``[R]``."""
        reached = np.zeros(self.V.shape, bool)
        reached[:, : self.inputs] = True
        before = -1
        while reached.sum() != before:
            before = reached.sum()
            r, e = (self.alive & reached[:, self.edges.source]).nonzero()
            reached[r, self.edges.target[e]] = True
        return (~reached[:, -self.outputs :]).sum(1)


def tables(given: Truth | Sequence[Truth], R: int) -> list[Truth]:
    """One truth table for each network. Raises ValueError if their number or their shapes do not agree."""
    each = [given] * R if isinstance(given, Truth) else list(given)
    if len(each) != R:
        raise ValueError(
            f"asynchronous networks: {len(each)} truth tables for {R} networks; give one, or one for each"
        )
    shapes = {(*t.inputs.shape, t.outputs.shape[1]) for t in each}
    if len(shapes) > 1:
        told = ", ".join(
            f"{t.name!r} {list(t.inputs.shape)} → {t.outputs.shape[1]}" for t in dict.fromkeys(each)
        )
        raise ValueError(f"asynchronous networks: truth tables side by side must have one shape, not {told}")
    return each


def orders(rngs: list[np.random.Generator], inputs: int, updates: int, nodes: range) -> ndarray:
    """The next visiting orders, a fresh one for each update: ``[R, inputs, updates, nodes]``."""
    rows = np.tile(np.arange(nodes.start, nodes.stop, dtype=np.int32), (inputs * updates, 1))
    return np.stack([rng.permuted(rows, axis=1).reshape(inputs, updates, -1) for rng in rngs])


def evaluate(nets: Networks, given: Truth | Sequence[Truth], updates: int = 10) -> ndarray:
    """What the networks answer to each row of their table: ``[R, rows, n_out]``, in the table's order.

    Rows come in random order, with so many updates each and no learning; values carry over, from those that the
    networks have now. The networks stay as they are.
    """
    each = tables(given, len(nets.seeds))
    nets, rows = nets.copy(), len(each[0].inputs)
    n_in, n = nets.inputs, nets.edges.n
    answers = np.empty((len(each), rows, nets.outputs))
    for r, (seed, table) in enumerate(zip(nets.seeds, each, strict=True)):
        rng = draws(seed, EVALUATION)
        order, shown = rng.permutation(rows), orders([rng], rows, updates, range(n_in, n))[0]
        state = nets.V[r], nets.E[r], nets.w[r], nets.alive[r]
        kernels.answer(order, shown, table.inputs, table.outputs, nets.edges.compiled, *state, answers[r])
    return answers


def miss(answers: ndarray, given: Truth | Sequence[Truth]) -> ndarray:
    """mean |v_out − y| over rows and outputs: ``[R]``."""
    return np.abs(answers - np.stack([t.outputs for t in tables(given, len(answers))])).mean((1, 2))
