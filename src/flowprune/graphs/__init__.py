"""Graphs: one class, real data sets checked before they are read, and generators.

>>> from flowprune.graphs import load
>>> load("karate")
Graph('karate', n=34, edges=78, features=34, classes=4, splits=10)
"""

from .checks import GraphError
from .datasets import load
from .graph import Graph, random_splits

__all__ = ["Graph", "GraphError", "load", "random_splits"]
