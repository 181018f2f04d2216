"""One asynchronous network watched while it learns: every node's local spectrum, and the edges that go (A7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray

from flowprune.argnn import Networks, Removal, train
from flowprune.argnn.judge import ROUNDING
from flowprune.experiments.logic import truth
from flowprune.pruning.spectral import Mode, Rule


@dataclass(frozen=True, eq=False)
class Trace:
    """What was seen of one network.

    Attributes: nets as it is in the end; removals in order; spectra, one row a visit, with input, visit, node and
    values (complex eigenvalues ``[n]`` in LAPACK's order); errors ``[inputs]``.
    """

    nets: Networks
    removals: list[Removal]
    spectra: pd.DataFrame
    errors: ndarray

    def alive(self, input: int) -> ndarray:
        """The edges left after this input: ``[n, n]`` boolean."""
        A = self.nets.adjacency[0].copy()
        for x in self.removals:
            if x.input > input:
                A[x.source, x.target] = True
        return A

    def imaginary(self) -> pd.DataFrame:
        """The largest imaginary part of every visit: input, visit, node, imaginary."""
        largest = [np.max(values.imag) for values in self.spectra["values"]]
        return self.spectra[["input", "visit", "node"]].assign(imaginary=largest)


def watch(table: str, hidden: int, mode: Mode, seed: int, inputs: int = 1000, updates: int = 10) -> Trace:
    """Train one network by the published rule and keep the spectrum of every visit."""
    seen: list[tuple[int, int, ndarray]] = []
    o = train(
        truth(table),
        hidden,
        Rule(mode),
        [seed],
        inputs=inputs,
        updates=updates,
        screen=False,
        observe=lambda _, visit, node, values: seen.append((visit, node, values)),
    )
    spectra = pd.DataFrame(sorted(seen, key=lambda x: x[0]), columns=["visit", "node", "values"])
    turn = updates * (o.nets.edges.n - o.nets.inputs)
    return Trace(o.nets, o.removals, spectra.assign(input=spectra.visit // turn), o.errors[0])


def ends(trace: Trace) -> float:
    """The share of removals after which the spectrum of the visited node is real at its next visit; nan without any."""
    seen = trace.imaginary()
    after = [seen[(seen.node == x.node) & (seen.visit > x.visit)].imaginary.iloc[:1] for x in trace.removals]
    real = [bool(part.iloc[0] < ROUNDING) for part in after if len(part)]
    return float(np.mean(real)) if real else float("nan")


def example_evidence(nets: pd.DataFrame, trace: Trace) -> dict[str, float]:
    """The evidence of claim A7; ``nets``: networks of the study, of which those of the paper's figure 2 count."""
    like = nets[(nets.gate == "xor") & (nets.hidden == 2) & (nets["mode"] == "D")]
    both = like.lost.str.split().map(lambda lost: set(lost) == {"3>2", "4>3"})
    return {
        "networks": len(like),
        "both": float(both.mean()),
        "ordered": float((like.lost[both] == "3>2 4>3").mean()) if both.any() else 0.0,
        "clear": 1 - float(like.by_rounding.sum() / max(like.removed.sum(), 1)),
        "ends": ends(trace),
    }
