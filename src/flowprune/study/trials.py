"""A trial is a value: a frozen, typed spec that hashes to a key; `collect` computes only the trials that
are missing.

>>> from typing import ClassVar
>>> @spec
... class Power(Trial):
...     experiment: ClassVar[str] = "power"
...     version: ClassVar[int] = 1
...     base: float
...     exponent: int = 2
...
...     @classmethod
...     def run(cls, trials):
...         for trial in trials:
...             yield trial, {"value": trial.base**trial.exponent}
>>> Power(base=3.0).key == Power(base=3.0, exponent=2).key
True
>>> Power(base="three")
Traceback (most recent call last):
flowprune.study.trials.SpecError: Power: base = 'three' is refused: input should be a valid number.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import platform
import time
import warnings
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, Self, dataclass_transform

import pandas as pd
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from . import executors, project
from .progress import Progress
from .store import Row, Store, StoreWarning

COLUMNS = (
    "key",
    "experiment",
    "status",
    "source",
    "seconds",
    "error",
)  # of a collected table, beside spec and result
DIGITS = (
    8  # significant digits of every stored float, so that a local row and the published one are the same text
)


class SpecError(ValueError):
    """A trial's spec is wrong; the sentence names the field, its value and what is allowed."""


class Trial:
    """Base of every experiment's spec. A concrete experiment is declared with `@spec`, names itself and
    says how to run.

    Fields are JSON scalars, or tuples of them, with strict types (``True`` is no int, ``"3"`` is no int).
    """

    experiment: ClassVar[str]  # short name; rows of all its trials carry it
    version: ClassVar[int] = 1  # of the experiment's definition; a new version forgets all earlier rows
    tolerance: ClassVar[Mapping[str, float]] = {}  # absolute, per result field that `verify` compares
    threads: ClassVar[int] = (
        1  # torch threads of one pass, fixed so that a result does not depend on the executor
    )
    known: ClassVar[dict[str, type[Trial]]] = {}  # every experiment that is imported

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "experiment" in vars(cls):
            Trial.known[cls.experiment] = cls

    @property
    def fields(self) -> dict[str, Any]:
        """The spec as a dict of JSON values."""
        return asdict(self)  # type: ignore[call-overload]

    @property
    def key(self) -> str:
        """16 hex digits of the SHA-256 of experiment, version and the fields that differ from their default.

        So a field that is added later, with a default, leaves the keys of earlier trials as they are.
        """
        declared = type(self).__pydantic_fields__  # type: ignore[attr-defined]
        told = {
            name: value
            for name, value in self.fields.items()
            if declared[name].is_required() or value != declared[name].get_default(call_default_factory=True)
        }
        text = json.dumps([self.experiment, self.version, told], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """The trial that a stored row describes (JSON lists become tuples). Raises SpecError."""
        try:
            return TypeAdapter(cls).validate_json(json.dumps(fields))
        except ValidationError as error:
            raise SpecError(_sentence(cls, error)) from None

    def group(self) -> Hashable:
        """Trials of equal group may share one pass, as replicas. By default a trial runs alone."""
        return self.key

    @classmethod
    def batch_size(cls, trials: Sequence[Self]) -> int:
        """How many of these trials, all of one group, to run in one pass."""
        return 1

    def weight(self) -> float:
        """Rough relative cost; heavy batches start first where several run side by side."""
        return 1.0

    def unavailable(self) -> str | None:
        """Why this trial cannot run here (its data are not at hand), or None when it can."""
        return None

    @classmethod
    def device(cls) -> str:
        """Where its passes run, for the row's provenance."""
        return "cpu"

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        """Run the trials in one pass; yield each with its result, a flat dict of JSON scalars or lists of
        them.
        """
        raise NotImplementedError(f"{cls.__name__} does not say how to run its trials.")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def spec(cls: type) -> type:
    """Declare an experiment: a frozen, strict pydantic dataclass whose errors are one sentence."""
    if not getattr(cls, "experiment", None):
        raise TypeError(f"{cls.__name__} needs a class variable `experiment`, its short name.")
    strict = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, validate_default=True)
    cls = dataclass(frozen=True, kw_only=True, config=strict)(cls)
    taken = set(cls.__pydantic_fields__) & set(COLUMNS)
    if taken:
        raise TypeError(
            f"{cls.__name__}: {', '.join(sorted(taken))} is a column of every table and cannot be a field."
        )
    checked = cls.__init__

    @wraps(checked)
    def __init__(self: Any, **fields: Any) -> None:
        try:
            checked(self, **fields)
        except ValidationError as error:
            raise SpecError(_sentence(cls, error)) from None

    cls.__init__ = __init__
    return cls


def _sentence(cls: type, error: ValidationError) -> str:
    names = list(cls.__pydantic_fields__)  # type: ignore[attr-defined]
    parts = []
    for problem in error.errors():
        field = ".".join(str(step) for step in problem["loc"])
        if problem["type"] in ("missing", "missing_keyword_only_argument"):
            parts.append(f"field {field} is missing")
        elif problem["type"] in ("unexpected_keyword_argument", "unexpected_property"):
            close = difflib.get_close_matches(field, names, 1)
            hint = f"did you mean {close[0]}?" if close else f"its fields are {', '.join(names)}"
            parts.append(f"there is no field {field} ({hint})")
        else:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            parts.append(f"{field} = {problem['input']!r} is refused: {message}")
    return f"{cls.__name__}: {'; '.join(parts)}."


# One batch: results are checked and become rows


def compute(trials: Sequence[Trial]) -> list[Row]:
    """Run one batch and return its rows, in order. Never raises for a trial's sake: a failure becomes a
    failed row.

    When a shared pass raises, the trials it left are run one by one, so that only the guilty one fails.
    """
    cls, results = type(trials[0]), {}
    with _threads(cls.threads):
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
def _threads(count: int) -> Iterator[None]:
    import torch  # late: a reader of published rows does not need it

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# Many trials


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
    if missing:
        names = "+".join(dict.fromkeys(trial.experiment for trial in missing))
        with Progress(names, len(missing), progress) as bar, store.working():
            batches = _claimed(store, _batches(missing, batch), rows, bar, retry)
            for done, answer in executors.run(compute, batches, executor, jobs):
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


def _batches(trials: Sequence[Trial], batch: int | None) -> list[list[Trial]]:
    """Trials of one group together, at most `batch` in one; heavy batches first."""
    groups: dict[Hashable, list[Trial]] = {}
    for trial in trials:
        groups.setdefault((type(trial), trial.group()), []).append(trial)
    parts = []
    for group in groups.values():
        size = max(1, batch or type(group[0]).batch_size(group))
        parts += [group[at : at + size] for at in range(0, len(group), size)]
    return sorted(parts, key=lambda part: -sum(trial.weight() for trial in part))


def _claimed(
    store: Store, batches: list[list[Trial]], rows: dict[str, Row], bar: Progress, retry: bool
) -> Iterator[list[Trial]]:
    """Hand out batches one at a time, each claimed in the store when it is asked for.

    Trials that another process is computing are left to it; they come round again until it has stored them,
    or died. An empty batch says: nothing is free at the moment, ask again a little later.
    """
    waiting = batches
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
