"""Flow & Prune: graph networks read as gradient flows, and pruned, in a study that re-executes itself.

The rooms, from the ground up: [graphs](`flowprune.graphs`), [training](`flowprune.training`),
[pruning](`flowprune.pruning`), [flows](`flowprune.flows`), [dynamics](`flowprune.dynamics`),
[experiments](`flowprune.experiments`), and beside them [limits](`flowprune.limits`), and
[study](`flowprune.study`), which knows nothing of graphs or networks.
"""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version

# Large tensors in large pages: torch reads this when it loads. A small page costs a fault at its first use.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# Our progress bars are plain; that a fancier one could be installed is no news for a notebook's reader.
warnings.filterwarnings("ignore", message="IProgress not found")

__version__ = version("flowprune")
