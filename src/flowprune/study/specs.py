"""A trial is a value: a frozen, typed spec that hashes to a key.

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
flowprune.study.specs.SpecError: Power: base = 'three' is refused: input should be a valid number.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import wraps
from typing import Annotated, Any, ClassVar, Self, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

# of a collected table, beside the fields of spec and result
COLUMNS = ("key", "experiment", "status", "source", "seconds", "error")

Count = Annotated[int, Field(ge=1)]
"""A whole number from 1, as the type of a field."""

Index = Annotated[int, Field(ge=0)]
"""A whole number from 0."""


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

    @classmethod
    def comparable(
        cls, published: Mapping[str, Any], recomputed: Mapping[str, Any]
    ) -> tuple[Mapping[str, float], str]:
        """The fields of two results of one trial that `verify` compares, with their tolerances, and why others of
        `tolerance` are left out, if any are."""
        return cls.tolerance, ""

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
