"""Flow & Prune: graph networks read as gradient flows, and pruned, in a study that re-executes itself.

The rooms, from the ground up: [graphs](`flowprune.graphs`), [training](`flowprune.training`),
[pruning](`flowprune.pruning`), [flows](`flowprune.flows`), [dynamics](`flowprune.dynamics`),
[experiments](`flowprune.experiments`), and beside them [study](`flowprune.study`), which knows nothing of graphs
or networks.
"""

from __future__ import annotations

import warnings
from importlib.metadata import version

# Our progress bars are plain; that a fancier one could be installed is no news for a notebook's reader.
warnings.filterwarnings("ignore", message="IProgress not found")

__version__ = version("flowprune")
