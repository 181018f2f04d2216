"""Figures of the chapter on masks; the colours of pruning methods for the whole book."""

from __future__ import annotations

from flowprune.study.figures import COLOUR

METHOD_COLOURS = {
    "random": COLOUR["MLP"],
    "magnitude": COLOUR["GRAFF sum"],
    "snip": COLOUR["GCN"],
    "grasp": COLOUR["GRAFF neg-prod"],
    "synflow": COLOUR["GRAFF prod"],
}
