"""Decision rules: which verdict a claim gets from its evidence. Written down before the run, in
``data/claims.yaml``.

A rule is an ordered mapping from verdicts to conditions on named evidence; the first verdict all of whose
conditions hold is given, and **undecided** when none is.

>>> rule = Rule({"does not hold": {"counterexamples": "> 0"}, "holds": {"deviation": "<= 1e-9"}})
>>> rule.verdict({"counterexamples": 0, "deviation": 3e-13})
'holds'
>>> rule.verdict({"counterexamples": 0, "deviation": 0.1})
'undecided'
>>> print(rule.words({"deviation": "largest deviation"}))
does not hold when counterexamples > 0; holds when largest deviation ≤ 1e-9; undecided otherwise
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERDICTS = ("holds", "holds under conditions", "does not hold", "undecided")
NOT_STUDIED = "not yet studied"
COMPARE = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq,
    "!=": operator.ne, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
SIGN = {">=": "≥", "<=": "≤", "==": "=", "!=": "≠"}
CONDITION = re.compile(r"(>=|<=|==|!=|>|<)\s*(true|false|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")

Evidence = Mapping[str, bool | int | float | str]


class ClaimError(ValueError):
    """A claim, its rule or its evidence is wrong; the sentence names it and what is allowed."""


@dataclass(frozen=True)
class Rule:
    """Conditions by verdict, in order. A condition is ``OP VALUE``: one of > >= < <= == != and a number,
    true or false.

    Raises ClaimError for an unknown verdict or a condition of another form.
    """

    conditions: Mapping[str, Mapping[str, str]]
    names: frozenset[str] = field(init=False)  # of all evidence that the rule reads

    def __post_init__(self) -> None:
        for verdict, conditions in self.conditions.items():
            if verdict not in VERDICTS[:-1]:
                raise ClaimError(
                    f"verdict {verdict!r} is unknown; a rule may give {', '.join(VERDICTS[:-1])}"
                )
            if not conditions:
                raise ClaimError(f"verdict {verdict!r} has no condition")
            for name, text in conditions.items():
                if not isinstance(text, str) or not CONDITION.fullmatch(text):
                    raise ClaimError(
                        f"condition {name}: {text!r} is not of the form '>= 200', '< 1e-9', '== true'"
                    )
        names = frozenset(name for conditions in self.conditions.values() for name in conditions)
        object.__setattr__(self, "names", names)

    def verdict(self, evidence: Evidence) -> str:
        """The verdict that this evidence gets. Raises ClaimError when a value is missing or of the wrong
        type.
        """
        check(evidence)
        if lacking := sorted(self.names - set(evidence)):
            raise ClaimError(f"evidence {', '.join(lacking)} is missing")
        given = {
            verdict: [_met(name, text, evidence[name]) for name, text in conditions.items()]
            for verdict, conditions in self.conditions.items()
        }
        return next((verdict for verdict, met in given.items() if all(met)), "undecided")

    def words(self, meanings: Mapping[str, str]) -> str:
        """The rule as a sentence, with the meaning of each name where there is one."""
        parts = []
        for verdict, conditions in self.conditions.items():
            terms = []
            for name, text in conditions.items():
                sign, value = CONDITION.fullmatch(text).groups()  # type: ignore[union-attr]
                shown = {"true": "yes", "false": "no"}.get(value, value)
                terms.append(f"{meanings.get(name, name)} {SIGN.get(sign, sign)} {shown}")
            parts.append(f"{verdict} when {' and '.join(terms)}")
        return "; ".join([*parts, "undecided otherwise"])


def check(evidence: Mapping[str, Any]) -> None:
    """Raise ClaimError unless every value is a finite number, true, false or a text."""
    for name, value in evidence.items():
        if not isinstance(value, bool | int | float | str):
            raise ClaimError(
                f"evidence {name} is a {type(value).__name__}; allowed are numbers, true, false and text"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ClaimError(f"evidence {name} is {value}; it must be finite")


def _met(name: str, text: str, value: bool | int | float | str) -> bool:
    sign, target = CONDITION.fullmatch(text).groups()  # type: ignore[union-attr]
    if target in ("true", "false"):
        if not isinstance(value, bool):
            raise ClaimError(f"evidence {name} = {value!r} must be true or false, as its rule says {text!r}")
        return COMPARE[sign](value, target == "true")
    if isinstance(value, bool | str):
        raise ClaimError(f"evidence {name} = {value!r} must be a number, as its rule says {text!r}")
    return COMPARE[sign](value, float(target))
