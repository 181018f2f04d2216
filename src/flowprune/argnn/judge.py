"""The judge: networks ask which edges go, LAPACK is called for all questions at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from flowprune.argnn import kernels
from flowprune.argnn.networks import BLOCK, CHOICE, ORDERS, ROWS, Networks, draws, orders
from flowprune.argnn.truth import Truth
from flowprune.pruning.spectral import Rule, choose, named

Observe = Callable[[int, int, int, ndarray], None]
Moments = Sequence[Sequence[int]]

# |Im λ|/‖L‖ below which a removal rests on rounding: in the wide gap between rounding and couplings, and what published
# rows were counted with. The bound on LAPACK's errors, pruning.spectral.ROUNDING, is another matter.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Removal:
    """An edge removed by a network: when (input and update from 0, the visit since the start), where, and how clearly.

    strength is |Im λ|/‖L‖ of the visited node's Laplacian; by_rounding: whether it is no more than what rounding makes.
    """

    network: int
    input: int
    update: int
    visit: int
    node: int
    source: int
    target: int
    strength: float

    @property
    def by_rounding(self) -> bool:
        return self.strength < ROUNDING


@dataclass(frozen=True, eq=False)
class Questions:
    """Visits that need a decomposition ``[P]``, those of a network after each other and in order.

    Attributes: r, the network; node and visit; size s, members ``[P, S]`` and L ``[P, S, S]``, of which the first s
    count.
    """

    r: ndarray
    node: ndarray
    visit: ndarray
    size: ndarray
    members: ndarray
    L: ndarray


class Tape:
    """What the networks are shown: X, Y ``[R, rows, ·]``, the row of every input, and visiting orders as they come."""

    def __init__(self, nets: Networks, each: list[Truth], inputs: int, updates: int) -> None:
        self.X, self.Y = np.stack([t.inputs for t in each]), np.stack([t.outputs for t in each])
        self.rows = np.stack([draws(s, ROWS).integers(self.X.shape[1], size=inputs) for s in nets.seeds])
        self.rngs = [draws(s, ORDERS) for s in nets.seeds]
        self.inputs, self.updates = inputs, updates
        self.visited = range(nets.inputs, nets.edges.n)
        self.turn = updates * len(self.visited)  # visits for each input

    def pieces(self) -> Iterator[tuple[int, int, ndarray]]:
        """(start, end, orders ``[R, end − start, updates, visited]``), in inputs, a bounded number of orders each."""
        length = max(1, BLOCK // (len(self.rngs) * self.turn))
        for start in range(0, self.inputs, length):
            end = min(start + length, self.inputs)
            yield start, end, orders(self.rngs, end - start, self.updates, self.visited)


class Judge:
    """Answers questions, and keeps the record of removals.

    Attributes: for each network its kind of question, whether degrees are counted (mode D), the threshold; moments
    ``[R, ·]`` and whether they count; how many edges were lost and questions asked.
    """

    def __init__(
        self, nets: Networks, rules: list[Rule], tape: Tape, moments: Moments | None, observe: Observe | None
    ) -> None:
        R = len(rules)
        self.nets, self.rules, self.tape, self.observe = nets, rules, tape, observe
        self.kind = np.array([_kind(rule) for rule in rules])
        self.counted = np.array([rule.mode == "D" for rule in rules])
        self.threshold = np.array([rule.threshold for rule in rules])
        self.placed = np.array([rule.choice in ("published", "neighbourhood") for rule in rules])
        self.forced = np.full(R, moments is not None)
        self.moments = np.full((R, max([1, *map(len, moments or [])])), tape.inputs * tape.turn)
        for r, visits in enumerate(moments or []):
            self.moments[r, : len(visits)] = sorted(visits)
        self.rngs = [draws(seed, CHOICE) for seed in nets.seeds]
        self.removals: list[Removal] = []
        self.lost, self.asked = np.zeros(R, int), np.zeros(R, int)

    def __call__(self, q: Questions) -> list[tuple[int, ndarray]]:
        """For each network the first question that removes edges, with their numbers."""
        np.add.at(self.asked, q.r, 1)
        gone: dict[int, tuple[int, ndarray]] = {}
        for p, λ, strength, acts in self._decompose(q):
            if q.r[p] in gone:  # the network was wrong to go on
                continue
            if self.observe:
                self.observe(int(q.r[p]), int(q.visit[p]), int(q.node[p]), λ)
            if acts and (lost := self._lose(q, p, λ, strength)).size:
                gone[q.r[p]] = p, lost
        return list(gone.values())

    def _decompose(self, q: Questions) -> list[tuple[int, ndarray, float, bool]]:
        """Questions in order with their eigenvalues, |Im λ|/‖L‖, and whether the rule acts; of those that matter.

        A rule does not act if the edge that it names is not there.
        """
        answers = []
        for s in np.unique(q.size):
            g = (q.size == s).nonzero()[0]
            values = np.linalg.eigvals(q.L[g, :s, :s] if g.size < q.size.size else q.L[:, :s, :s])
            matter = self.forced[q.r[g]] | (self.observe is not None)
            matter[values.imag.ravel().nonzero()[0] // s] = True
            g, values = g[matter], values[matter]
            r, largest = q.r[g], values.imag.max(1)
            norm = np.sqrt(np.square(q.L[g, :s, :s]).sum((1, 2)))
            strength = largest / np.where(norm > 0, norm, 1)
            source, target = named(values)
            e = self.nets.edges.find(q.members[g, source], q.members[g, target])
            there = (e >= 0) & self.nets.alive[r, e]
            acts = (self.forced[r] | (strength > self.threshold[r])) & (there | ~self.placed[r])
            told = acts | (self.observe is not None)
            answers += zip(g[told].tolist(), values[told], strength[told], acts[told], strict=True)
        return sorted(answers, key=lambda answer: answer[0])

    def _lose(self, q: Questions, p: int, values: ndarray, strength: float) -> ndarray:
        """Let the rule choose, record what it removes and return the numbers of these edges."""
        r, c, s = q.r[p], q.node[p], q.size[p]
        nodes, edges, alive = q.members[p, :s], self.nets.edges, self.nets.alive[r]
        if self.rules[r].choice == "lot":  # of the whole network, not of the neighbourhood
            left = edges.link[(edges.link >= 0) & alive[edges.link]]
            return self._record(q, p, self.rngs[r].permutation(left)[:1], strength)
        into = edges.find(nodes, np.full(s, c))
        into = (into >= 0) & alive[into]
        chosen = choose(
            self.rules[r].choice, q.L[p, :s, :s], values, int((nodes == c).argmax()), into, self.rngs[r]
        )
        ends = nodes[np.array(chosen, dtype=int).reshape(-1, 2)]
        lost = edges.find(ends[:, 0], ends[:, 1])
        return self._record(q, p, lost[(lost >= 0) & alive[lost]], strength)

    def _record(self, q: Questions, p: int, lost: ndarray, strength: float) -> ndarray:
        """Keep the record of these edges, as far as the limit goes, and return their numbers."""
        r, edges = q.r[p], self.nets.edges
        limit = self.rules[r].limit
        lost = lost if limit is None else lost[: limit - self.lost[r]]
        self.lost[r] += lost.size
        if self.lost[r] == limit:
            self.kind[r] = kernels.QUIET
        input, update = divmod(int(q.visit[p]), self.tape.turn)
        update //= len(self.tape.visited)
        for e in lost:
            source, target = int(edges.source[e]), int(edges.target[e])
            self.removals.append(
                Removal(
                    int(r), input, update, int(q.visit[p]), int(q.node[p]), source, target, float(strength)
                )
            )
        return lost


def _kind(rule: Rule) -> int:
    if rule.mode == "none" or rule.limit == 0:
        return kernels.QUIET
    return {"published": kernels.LIST, "ego": kernels.EGO}.get(rule.choice, kernels.STAR)
