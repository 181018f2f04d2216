from __future__ import annotations

import dataclasses
import hashlib
import pickle
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampled import Walk

from flowprune.study import SpecError, Trial, spec


def declare(**extra: Any) -> type[Trial]:
    """An experiment as it was first declared, or with fields that were added later."""
    fields: dict[str, tuple[Any, Any]] = {
        "dataset": (str, ...),
        "width": (int, 64),
        "rate": (float, 1),
        **extra,
    }
    body = {name: default for name, (_, default) in fields.items() if default is not ...}
    kinds = {name: kind for name, (kind, _) in fields.items()}
    space = body | {"experiment": "declared", "__annotations__": kinds | {"experiment": ClassVar[str]}}
    return spec(type("Declared", (Trial,), space))


def test_key_is_the_hash_of_what_differs_from_the_defaults() -> None:
    text = '["declared",1,{"dataset":"karate","width":32}]'
    key = declare()(dataset="karate", width=32).key
    assert key == hashlib.sha256(text.encode()).hexdigest()[:16] == "5be56a7376844dce"


def test_fields_added_later_leave_keys_alone() -> None:
    old, new = declare(), declare(depth=(int, 2), kernel=(tuple[float, ...], (1, 2)))
    assert old(dataset="karate").key == new(dataset="karate").key == new(dataset="karate", depth=2).key
    assert new(dataset="karate", depth=3).key != old(dataset="karate").key


def test_key_depends_on_version_and_experiment() -> None:
    one, two, other = declare(), declare(), declare()
    two.version, other.experiment = 2, "other"
    assert len({cls(dataset="karate").key for cls in (one, two, other)}) == 3


def test_default_and_its_explicit_value_are_one_trial() -> None:
    cls = declare()
    assert cls(dataset="a", rate=1) == cls(dataset="a") == cls(dataset="a", rate=1.0)
    assert cls(dataset="a", rate=1).key == cls(dataset="a").key


@given(seed=st.integers(0, 2**40), steps=st.integers(1, 9), pause=st.floats(0, 1e6), replicas=st.text())
def test_a_stored_spec_is_the_same_trial(seed: int, steps: int, pause: float, replicas: str) -> None:
    walk = Walk(seed=seed, steps=steps, pause=pause, replicas=replicas)
    again = Walk.from_fields(walk.fields)
    assert again == walk and again.key == walk.key and pickle.loads(pickle.dumps(walk)) == walk


def test_tuples_survive_storage() -> None:
    cls = declare(kernel=(tuple[float, ...], ()))
    trial = cls(dataset="a", kernel=(1.0, 0.5))
    assert cls.from_fields({"dataset": "a", "kernel": [1.0, 0.5]}) == trial


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"dataset": "a", "width": "64"}, "width = '64' is refused: input should be a valid integer"),
        ({"dataset": "a", "width": True}, "width = True is refused"),
        ({"dataset": "a", "width": 6.4}, "width = 6.4 is refused"),
        ({"dataset": "a", "rate": float("nan")}, "rate = nan is refused: input should be a finite number"),
        ({"dataset": "a", "widht": 3}, "there is no field widht (did you mean width?)"),
        ({"dataset": "a", "zzz": 3}, "there is no field zzz (its fields are dataset, width, rate, model)"),
        ({"dataset": "a", "model": "GIN"}, "model = 'GIN' is refused: input should be 'GCN' or 'GAT'"),
        ({}, "field dataset is missing"),
    ],
)
def test_a_wrong_spec_is_named(fields: dict[str, Any], sentence: str) -> None:
    cls = declare(model=(Literal["GCN", "GAT"], "GCN"))
    with pytest.raises(SpecError) as caught:
        cls(**fields)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_trial_is_frozen() -> None:
    walk = Walk(seed=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        walk.seed = 2  # type: ignore[misc]


def test_a_field_may_not_be_a_column_of_the_table() -> None:
    with pytest.raises(TypeError, match="status is a column of every table"):
        declare(status=(str, ""))
