"""The study: trials and their store, statistics, claims, figures and notebooks. Knows nothing of graphs."""

from .store import Store, StoreError, StoreWarning
from .trials import SpecError, Trial, collect, spec
from .verification import passed, verify

__all__ = [
    "SpecError", "Store", "StoreError", "StoreWarning", "Trial", "collect", "passed", "spec", "verify",
]  # fmt: skip
