"""The study: trials and where they are kept, statistics, claims, figures and notebooks. Knows nothing of
graphs.
"""

from .store import Store, StoreError, StoreWarning
from .trials import SpecError, Trial, collect, spec

__all__ = ["SpecError", "Store", "StoreError", "StoreWarning", "Trial", "collect", "spec"]
