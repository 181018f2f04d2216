"""Progress of a run: a bar where someone watches, events in a file for a program, silence elsewhere."""

from __future__ import annotations

import itertools
import json
import os
import sys
import warnings
from types import TracebackType
from typing import Self

_calls = itertools.count(1)


class Progress:
    """Counts finished trials.

    ``FLOWPRUNE_PROGRESS=FILE`` appends one JSON line an event: ``{"call": 1, "name": "nodes", "done": 3,
    "failed": 0, "total": 40}``, where ``call`` numbers the runs of one process; the first event of a run
    has ``done`` 0. Without it a bar is drawn on a terminal and in a live notebook, and nothing where
    ``FLOWPRUNE_RECOMPUTE`` is set or nobody looks.
    """

    def __init__(self, name: str, total: int, shown: bool = True) -> None:
        self.event = {"call": next(_calls), "name": name, "done": 0, "failed": 0, "total": total}
        self.file = os.environ.get("FLOWPRUNE_PROGRESS")
        self.bar = None
        if shown and not self.file and _watched():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # without ipywidgets tqdm warns, and draws a plain bar
                from tqdm.auto import tqdm

                self.bar = tqdm(total=total, desc=name, unit="trial", leave=False)

    def __enter__(self) -> Self:
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()

    def step(self, failed: bool = False) -> None:
        """One more trial is finished."""
        self.event["done"] += 1
        self.event["failed"] += failed
        self._write()
        if self.bar is not None:
            self.bar.update()

    def _write(self) -> None:
        if self.file:
            with open(self.file, "a", encoding="utf-8") as out:
                out.write(json.dumps(self.event) + "\n")


def _watched() -> bool:
    if sys.stderr is None or os.environ.get("FLOWPRUNE_RECOMPUTE") == "1":
        return False
    return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")
