"""Graphs: one class, real data sets checked before they are read, generators, and graphs of one's own.

>>> from flowprune.graphs import load
>>> load("karate")
Graph('karate', n=34, edges=78, features=34, classes=4, splits=10)
"""

from .checks import GraphError
from .datasets import Entry, catalogue, cornell_evidence, fingerprint, load, mnist
from .graph import Graph, compact, random_splits
from .own import from_arrays, from_pyg
from .raw import data_root, download

__all__ = [
    "Entry",
    "Graph",
    "GraphError",
    "catalogue",
    "compact",
    "cornell_evidence",
    "data_root",
    "download",
    "fingerprint",
    "from_arrays",
    "from_pyg",
    "load",
    "mnist",
    "random_splits",
]
