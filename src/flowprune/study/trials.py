"""Many trials: `collect` returns their results as a table and computes only those that no store knows."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Iterable, Iterator, Sequence

import pandas as pd

from . import executors
from .passes import compute, failure
from .progress import Progress
from .specs import COLUMNS, SpecError, Trial, spec
from .store import Row, Store, StoreError, StoreWarning

__all__ = ["SpecError", "Store", "StoreError", "StoreWarning", "Trial", "batches", "collect", "spec"]


def collect(
    trials: Iterable[Trial],
    *,
    store: Store | None = None,
    executor: str | None = None,
    jobs: int | None = None,
    batch: int | None = None,
    progress: bool = True,
    retry: bool = False,
) -> pd.DataFrame:
    """A table with one row a trial, in the order asked; only trials that no store knows are computed.

    executor: ``local``, ``process``, ``dask`` (a cluster on this machine) or ``dask://HOST:PORT``; by
    default what ``FLOWPRUNE_EXECUTOR`` says, else ``local``. jobs: worker processes. batch: at most so many
    trials in one pass, by default what the experiment finds best. retry: compute trials again that failed
    earlier.

    Columns: the fields of spec and result, and ``key``, ``experiment``, ``status`` (done, failed),
    ``source`` (published, local), ``seconds`` (wall time of the pass over the number of its trials) and
    ``error``. A killed run resumes where it was; each finished trial is one transaction.
    """
    trials = list(trials)
    store = store or Store.open()
    executor = executor or os.environ.get("FLOWPRUNE_EXECUTOR", "local")
    wanted = {trial.key: trial for trial in trials}
    versions = {trial.experiment: trial.version for trial in trials}
    rows = store.get(wanted)
    store.tell(versions)
    missing = [t for k, t in wanted.items() if k not in rows or (retry and rows[k]["status"] == "failed")]
    absent = {t.key: reason for t in missing if (reason := t.unavailable())}
    missing = [t for t in missing if t.key not in absent]
    for key, reason in absent.items():  # told, and not stored: tomorrow the data may be there
        rows[key] = failure(wanted[key], LookupError(reason)) | {"source": "local"}
    if missing:
        names = "+".join(dict.fromkeys(trial.experiment for trial in missing))
        with Progress(names, len(missing), progress) as bar, store.working():
            heavy_first = sorted(batches(missing, batch), key=lambda part: -sum(t.weight() for t in part))
            work = _claimed(store, heavy_first, rows, bar, retry)
            for done, answer in executors.run(compute, work, executor, jobs):
                fresh = [failure(t, answer) for t in done] if isinstance(answer, Exception) else answer
                for row in fresh:
                    store.save(row)
                    rows[row["key"]] = row | {"source": "local"}
                    bar.step(row["status"] == "failed")
    failed = [rows[key] for key in wanted if rows[key]["status"] == "failed"]
    if failed:
        warnings.warn(
            f"{len(failed)} of {len(wanted)} trials failed (first: {failed[0]['error']}); "
            "retry=True runs them again.",
            StoreWarning,
            stacklevel=2,
        )
    return _table([rows[trial.key] | {"spec": trial.fields} for trial in trials])


def batches(trials: Sequence[Trial], batch: int | None = None) -> list[list[Trial]]:
    """Passes: trials of one group together, at most `batch` in one, by default what the experiment finds
    best.
    """
    groups: dict[Hashable, list[Trial]] = {}
    for trial in trials:
        groups.setdefault((type(trial), trial.group()), []).append(trial)
    parts = []
    for group in groups.values():
        size = max(1, batch or type(group[0]).batch_size(group))
        parts += [group[at : at + size] for at in range(0, len(group), size)]
    return parts


def _claimed(
    store: Store, parts: list[list[Trial]], rows: dict[str, Row], bar: Progress, retry: bool
) -> Iterator[list[Trial]]:
    """Hand out batches one at a time, each claimed in the store when it is asked for.

    Trials that another process is computing are left to it; they come round again until it has stored them,
    or died. An empty batch says: nothing is free at the moment, ask again a little later.
    """
    waiting = parts
    while waiting:
        left = []
        for part in waiting:
            mine, done = store.claim([trial.key for trial in part], retry=retry)
            rows.update(done)
            for row in done.values():
                bar.step(row["status"] == "failed")
            if mine:
                yield [trial for trial in part if trial.key in mine]
            if others := [t for t in part if t.key not in mine and t.key not in done]:
                left.append(others)
        if waiting := left:
            yield []


def _table(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame([row["spec"] | row["result"] | {name: row[name] for name in COLUMNS} for row in rows])
