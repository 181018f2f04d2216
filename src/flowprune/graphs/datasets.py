"""Graphs by name: embedded, real, generated and the user's own."""

from __future__ import annotations

from pathlib import Path

from .checks import GraphError
from .embedded import digits, karate
from .graph import Graph
from .synthetic import GENERATORS, generate

EMBEDDED = {"karate": karate, "digits": digits}


def load(name: str, root: Path | None = None, split: str = "geom-gcn") -> Graph:
    """The graph of this name."""
    if name in EMBEDDED:
        return EMBEDDED[name]()
    if name.partition("?")[0] in GENERATORS:
        return generate(name)
    raise GraphError(f"graph {name!r} is unknown.")
