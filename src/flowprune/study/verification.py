"""Do the published numbers come out again? A random sample of rows is recomputed and compared within stated
tolerances.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pandas as pd

from . import project
from .passes import compute
from .specs import SpecError, Trial
from .store import Row, Store
from .trials import batches

COLUMNS = (
    "key", "experiment", "file", "status", "field",
    "published", "recomputed", "difference", "tolerance", "reason",
)  # fmt: skip


def verify(sample: int, budget_minutes: float, seed: int = 0, store: Store | None = None) -> pd.DataFrame:
    """Recompute up to `sample` published rows, drawn at random, and compare each with what was published.

    One row a trial. status: ``agrees``, ``differs``, ``failed`` (the run failed, or the row is damaged or not
    of its key) or ``skipped``, with the reason (its data are not at hand, its experiment is not known or of
    another version, the budget is spent). field, published, recomputed: where the difference is largest
    against its tolerance. A trial starts only if the seconds it took when it was published still fit the
    budget. `passed` judges the table.
    """
    store = store or Store(project.state() / "trials.sqlite", project.root() / "data" / "trials")
    answers = [_answer({}, "failed", reason=problem) for problem in store.problems]
    drawn: dict[str, tuple[Trial, Row]] = {}
    rows = [row for _, row in sorted(store.published.items()) if row["status"] == "done"]
    for at in np.random.default_rng(seed).permutation(len(rows)):
        if len(drawn) == sample:
            break
        trial, status, reason = _trial(rows[at])
        if trial is None:
            answers.append(_answer(rows[at], status, reason=reason))
        else:
            drawn[trial.key] = trial, rows[at]

    end = time.monotonic() + 60 * budget_minutes
    for part in batches([trial for trial, _ in drawn.values()]):
        needed, left = sum(drawn[trial.key][1]["seconds"] for trial in part), end - time.monotonic()
        if needed > left:
            reason = f"took {needed:.0f} s when published, {max(left, 0):.0f} s of the budget are left"
            answers += [_answer(drawn[trial.key][1], "skipped", reason=reason) for trial in part]
            continue
        for trial, row in zip(part, compute(part), strict=True):
            answers.append(_compared(trial, drawn[trial.key][1], row))
    return pd.DataFrame(answers, columns=COLUMNS)


def passed(answers: pd.DataFrame) -> bool:
    """At least one trial was compared and agrees, and none differs or failed."""
    return bool((answers.status == "agrees").any()) and not answers.status.isin(["differs", "failed"]).any()


def _trial(row: Row) -> tuple[Trial | None, str, str]:
    """The trial of a published row; or None, with status and reason."""
    cls = Trial.known.get(row["experiment"])
    if cls is None:
        return None, "skipped", f"no experiment {row['experiment']!r} is known"
    if row["version"] != cls.version:
        return None, "skipped", f"of version {row['version']}, now {cls.version}"
    try:
        trial = cls.from_fields(row["spec"])
    except SpecError as error:
        return None, "failed", str(error)
    if trial.key != row["key"]:
        return None, "failed", f"its spec has the key {trial.key}"
    if reason := trial.unavailable():
        return None, "skipped", reason
    if not trial.tolerance:
        return None, "skipped", f"experiment {row['experiment']!r} states no tolerance"
    return trial, "", ""


def _compared(trial: Trial, row: Row, fresh: Row) -> dict[str, Any]:
    if fresh["status"] == "failed":
        return _answer(row, "failed", reason=fresh["error"])
    tolerance, reason = trial.comparable(row["result"], fresh["result"])
    worst: dict[str, Any] = {}
    for field, allowed in tolerance.items():
        told, found = (each["result"].get(field) for each in (row, fresh))
        missing = field not in row["result"] or field not in fresh["result"]
        distance = math.inf if missing else _distance(told, found)
        excess = distance / allowed if allowed else math.inf * distance if distance else 0.0
        if not worst or excess > worst["excess"]:
            worst = {"excess": excess, "field": field, "published": told, "recomputed": found}
            worst |= {"difference": distance, "tolerance": allowed}
    excess = worst.pop("excess")
    return _answer(row, "agrees" if excess <= 1 else "differs", reason=reason, **worst)


def _distance(a: Any, b: Any) -> float:
    """Largest absolute difference of two numbers or lists of numbers; infinite when they are of different
    kinds.
    """
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max((_distance(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    if isinstance(a, int | float) and isinstance(b, int | float):
        return float(abs(a - b))
    return 0.0 if a == b else math.inf


def _answer(row: Row, status: str, **more: Any) -> dict[str, Any]:
    return {name: row.get(name) for name in ("key", "experiment", "file")} | {"status": status} | more
