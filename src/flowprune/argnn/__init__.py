"""Asynchronous recurrent graph networks (Bessone 2025), many side by side, and the truth tables they learn.

On a visit a node takes the sigmoid of what it hears, v_i ← σ(Σ_j v_j w_ji), its error, e_i ← 0.15 (v_i − y_i) at an
output and v_i (1 − v_i) Σ_k e_k w_ik elsewhere, corrects the weights of the edges into it, w_ji ← w_ji − e_i v_j within
±10, and decides by its local spectrum whether an edge goes (:mod:`flowprune.pruning.spectral`).
"""

from flowprune.argnn.judge import Removal
from flowprune.argnn.networks import Edges, Networks, evaluate, miss
from flowprune.argnn.training import Outcome, train, train_on
from flowprune.argnn.truth import Truth, adder, gate, multiplexer, parity, random_table

__all__ = [
    "Edges",
    "Networks",
    "Outcome",
    "Removal",
    "Truth",
    "adder",
    "evaluate",
    "gate",
    "miss",
    "multiplexer",
    "parity",
    "random_table",
    "train",
    "train_on",
]
