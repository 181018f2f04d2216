"""One pass: trials are run, their results are checked and become rows with their provenance."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from . import project
from .specs import COLUMNS, Trial
from .store import Row

DIGITS = 8  # significant digits of every stored float, so that local and published rows are the same text


def compute(trials: Sequence[Trial]) -> list[Row]:
    """Run one batch and return its rows, in order. Never raises for a trial's sake: a failure becomes a
    failed row.

    When a shared pass raises, the trials it left are run one by one, so that only the guilty one fails.
    """
    cls, results = type(trials[0]), {}
    with threads(cls.threads):
        started = time.perf_counter()
        try:
            for trial, result in cls.run(trials):
                results[trial.key] = result
        except Exception as error:
            return _one_by_one(trials, results, error, time.perf_counter() - started)
        share = (time.perf_counter() - started) / len(trials)
    return [_row(trial, results.get(trial.key), share) for trial in trials]


def _one_by_one(
    trials: Sequence[Trial], results: Mapping[str, dict], error: Exception, seconds: float
) -> list[Row]:
    if len(trials) == 1:
        return [failure(trials[0], error, seconds)]
    share = seconds / len(trials)
    return [_row(t, results[t.key], share) if t.key in results else compute([t])[0] for t in trials]


def failure(trial: Trial, error: BaseException, seconds: float = 0.0) -> Row:
    """The row of a trial that failed, with the first line of its error."""
    line = (str(error).strip() or "no message").splitlines()[0]
    return _base(trial, seconds) | {
        "status": "failed",
        "error": f"{type(error).__name__}: {line}",
        "result": {},
    }


def _row(trial: Trial, result: Mapping[str, Any] | None, seconds: float) -> Row:
    try:
        return _base(trial, seconds) | {"status": "done", "error": None, "result": _checked(trial, result)}
    except ValueError as error:
        return failure(trial, error, seconds)


def _checked(trial: Trial, result: Mapping[str, Any] | None) -> dict[str, Any]:
    if not result:
        raise ValueError("the run gave no result for this trial")
    if taken := set(result) & (set(trial.fields) | set(COLUMNS)):
        raise ValueError(f"result field {min(taken)!r} has the name of a spec field or of a table column")
    return {name: _plain(name, value) for name, value in result.items()}


def _plain(name: str, value: Any, nested: bool = False) -> Any:
    if hasattr(value, "tolist"):  # numpy and torch values of no or one dimension
        value = value.tolist()
    if isinstance(value, list | tuple) and not nested:
        return [_plain(name, item, nested=True) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"result {name} is not finite ({value})")
        return float(f"{value:.{DIGITS}g}")
    if value is None or isinstance(value, bool | int | str):
        return value
    raise ValueError(
        f"result {name} is a {type(value).__name__}; allowed are numbers, text, none and flat lists of them"
    )


def _base(trial: Trial, seconds: float) -> Row:
    return {
        "key": trial.key,
        "experiment": trial.experiment,
        "version": trial.version,
        "spec": json.loads(json.dumps(trial.fields)),
        "seconds": float(f"{seconds:.3g}"),
        "made": {
            "commit": project.commit(),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "device": type(trial).device(),
            "threads": type(trial).threads,
            "python": platform.python_version(),
            **{name: _version(name) for name in ("torch", "torch-geometric", "numpy")},
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many torch threads inside. The last bits of a result depend on the number, and small matrices only wait."""
    import torch  # late: a reader of published rows does not need it

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
