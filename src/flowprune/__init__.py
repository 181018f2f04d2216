"""Flow & Prune: graph networks read as gradient flows, and pruned, in a study that re-executes itself.

The rooms, from the ground up: [graphs](`flowprune.graphs`), [training](`flowprune.training`),
[flows](`flowprune.flows`), [dynamics](`flowprune.dynamics`), [experiments](`flowprune.experiments`),
and beside them [study](`flowprune.study`), which knows nothing of graphs or networks.
"""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("flowprune")
