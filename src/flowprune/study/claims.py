"""The ledger: claims declared in ``data/claims.yaml``, evidence handed in by chapters, verdicts computed by
stated rules.

Chapters record evidence while the book is executed; it lies in ``book/executed/evidence/<chapter>.json``.
The verdicts the book stands by are accepted into ``data/ledger.json``, each with one sentence of
explanation. `check` compares the two.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from . import project
from .rules import NOT_STUDIED, ClaimError, Rule
from .rules import check as check_values
from .store import recomputing, temporary
from .verdicts import Verdict, badge, words

__all__ = [
    "Change",
    "Claim",
    "ClaimError",
    "Ledger",
    "Verdict",
    "accept",
    "check",
    "claims",
    "standing",
    "table",
    "words",
]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Claim:
    """One claim of ``data/claims.yaml``. kind: T theorem or identity, E empirical, O open question."""

    id: str
    kind: Literal["T", "E", "T+E", "O"]
    statement: str
    source: list[str]
    chapter: str | None = None
    evidence: dict[str, str] | None = None  # name -> meaning
    rule: dict[str, dict[str, str]] | None = None

    @property
    def decided_by(self) -> Rule:
        """Its rule. Raises ClaimError when it has none or when the rule is wrong."""
        if not self.rule:
            raise ClaimError(f"claim {self.id} has no rule yet")
        try:
            rule = Rule(self.rule)
        except ClaimError as error:
            raise ClaimError(f"claim {self.id}: {error}") from None
        if unknown := sorted(rule.names - set(self.evidence or {})):
            raise ClaimError(
                f"claim {self.id}: its rule reads {', '.join(unknown)}, which its evidence does not declare"
            )
        return rule

    def judge(self, evidence: Mapping[str, Any]) -> str:
        """The verdict its rule gives. Raises ClaimError for names it does not declare, missing or wrong
        values.
        """
        rule, declared = self.decided_by, self.evidence or {}
        if unknown := sorted(set(evidence) - set(declared)):
            raise ClaimError(
                f"claim {self.id} declares no evidence {', '.join(unknown)}; it has {', '.join(declared)}"
            )
        try:
            return rule.verdict(evidence)
        except ClaimError as error:
            raise ClaimError(f"claim {self.id}: {error}") from None


@plain_dataclass(frozen=True)
class Change:
    """A verdict that is not explained: the evidence gives `fresh`, the ledger says `accepted`."""

    id: str
    accepted: str
    fresh: str
    chapter: str | None

    def __str__(self) -> str:
        return (
            f"{self.id}: accepted {self.accepted!r}, evidence of chapter {self.chapter} gives {self.fresh!r}"
        )


def claims() -> dict[str, Claim]:
    """All declared claims by identifier, in the order of the file. Raises ClaimError, naming the entry."""
    file = project.root() / "data" / "claims.yaml"
    found: dict[str, Claim] = {}
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ClaimError(f"{file} is not readable as YAML ({' '.join(str(error).split())})") from None
    for number, entry in enumerate(entries, 1):
        name = entry.get("id", f"number {number}") if isinstance(entry, dict) else f"number {number}"
        try:
            claim = Claim(**entry)
        except (ValidationError, TypeError) as error:
            problem = (
                error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
            )
            where = ".".join(str(step) for step in problem["loc"])
            message = problem["msg"][:1].lower() + problem["msg"][1:]
            raise ClaimError(f"{file.name}, claim {name}: {where} {message}") from None
        if claim.rule:
            _ = claim.decided_by
        if claim.id in found:
            raise ClaimError(f"{file.name}: claim {claim.id} is declared twice")
        found[claim.id] = claim
    return found


class Ledger:
    """The evidence of one chapter, recorded claim by claim, each answered with its verdict."""

    def __init__(self, chapter: str) -> None:
        self.chapter, self.claims, self.accepted = chapter, claims(), standing()
        if chapter not in {claim.chapter for claim in self.claims.values()}:
            known = sorted({claim.chapter for claim in self.claims.values() if claim.chapter})
            raise ClaimError(
                f"no claim is decided in chapter {chapter!r}; chapters with claims are {', '.join(known)}"
            )
        self.evidence: dict[str, dict[str, Any]] = {}

    @classmethod
    def open(cls, chapter: str) -> Ledger:
        """Begin the evidence of this chapter afresh."""
        ledger = cls(chapter)
        ledger._write()
        return ledger

    def record(self, id: str, **evidence: bool | int | float | str) -> Verdict:
        """Store the evidence for a claim of this chapter and return its verdict, which displays as a box.

        Floats keep six significant digits. Raises ClaimError for an unknown claim, a claim of another
        chapter, and evidence that is unknown, missing or of the wrong type.
        """
        claim = _known(id, self.claims)
        if claim.chapter != self.chapter:
            raise ClaimError(f"claim {id} is decided in chapter {claim.chapter}, not in {self.chapter}")
        evidence = {name: _plain(value) for name, value in evidence.items()}
        check_values(evidence)
        verdict = claim.judge(evidence)
        self.evidence[id] = evidence
        self._write()
        rule = claim.decided_by.words(claim.evidence or {})
        return Verdict(
            id, claim.statement, rule, evidence, claim.evidence or {}, verdict, self.accepted.get(id)
        )

    def badges(self, *ids: str) -> str:
        """One line of HTML: a linked badge with the accepted verdict for each claim."""
        return " ".join(
            badge(id, self.accepted.get(_known(id, self.claims).id, {}).get("verdict", NOT_STUDIED))
            for id in ids
        )

    def _write(self) -> None:
        _save(_evidence_folder() / f"{self.chapter}.json", self.evidence)


def table() -> pd.DataFrame:
    """All claims: id, kind, statement, source, verdict, evidence (a dict), chapter, because. Fresh evidence
    goes first.
    """
    fresh, accepted = _fresh(), standing()
    rows = []
    for claim in claims().values():
        entry = accepted.get(claim.id, {})
        evidence = fresh.get(claim.id, entry.get("evidence", {}))
        verdict = claim.judge(evidence) if evidence else NOT_STUDIED
        rows.append(
            {"id": claim.id, "kind": claim.kind, "statement": claim.statement, "source": claim.source}
            | {"verdict": verdict, "evidence": evidence, "chapter": claim.chapter}
            | {"because": entry.get("because", "")}
        )
    return pd.DataFrame(rows, dtype=object)  # a missing chapter stays None


def check() -> list[Change]:
    """Changes that nobody explained: fresh evidence that gives another verdict than the accepted one, and
    accepted verdicts that their own evidence no longer gives under the rule as it is now.
    """
    known, accepted, fresh = claims(), standing(), _fresh()
    changes = []
    for id, entry in accepted.items():
        if id not in known:
            raise ClaimError(f"ledger.json accepts a verdict on {id}, which claims.yaml does not declare")
        if (verdict := known[id].judge(entry["evidence"])) != entry["verdict"]:
            changes.append(Change(id, entry["verdict"], verdict, entry["chapter"]))
    for id, evidence in fresh.items():
        before = accepted.get(id, {}).get("verdict", NOT_STUDIED)
        if (verdict := known[id].judge(evidence)) != before:
            changes.append(Change(id, before, verdict, known[id].chapter))
    return sorted(set(changes), key=lambda change: list(known).index(change.id))


def accept(id: str, because: str) -> None:
    """Take the fresh evidence for a claim and its verdict into ``data/ledger.json``, with one sentence of
    explanation.

    Raises ClaimError when the claim has no fresh evidence or the explanation is empty.
    """
    known, accepted, fresh = claims(), standing(), _fresh()
    claim = _known(id, known)
    if id not in fresh:
        raise ClaimError(f"claim {id} has no fresh evidence: execute the full profile of its chapter first")
    if not because.strip():
        raise ClaimError(f"claim {id}: a verdict is accepted with one sentence that explains it")
    entry = {"verdict": claim.judge(fresh[id]), "evidence": fresh[id], "chapter": claim.chapter}
    standing_entry = accepted.get(id, {})
    before = standing_entry.get("verdict")
    if before == entry["verdict"]:  # accepted again: the last change is still the last
        before = standing_entry.get("before")
    if before is not None:
        entry["before"] = before
    accepted[id] = entry | {"because": because.strip()}
    _save(_ledger_file(), {name: accepted[name] for name in known if name in accepted})


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value  # numpy and torch scalars
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _known(id: str, among: Mapping[str, Claim]) -> Claim:
    if id not in among:
        close = difflib.get_close_matches(id.upper(), among, 3)
        hint = (
            f"did you mean {' or '.join(close)}?"
            if close
            else f"claims.yaml declares {', '.join(list(among)[:3])}…"
        )
        raise ClaimError(f"claim {id!r} is unknown ({hint})")
    return among[id]


def _ledger_file() -> Path:
    return project.root() / "data" / "ledger.json"


def standing() -> dict[str, dict[str, Any]]:
    """The accepted entries of ``data/ledger.json`` by claim: verdict, evidence, chapter, because."""
    return _load(_ledger_file())


def _evidence_folder() -> Path:
    """Where chapters hand in evidence: ``FLOWPRUNE_EVIDENCE``, by default the executed book; a passing
    place in tests.
    """
    if recomputing():
        return temporary() / "evidence"
    return Path(os.environ.get("FLOWPRUNE_EVIDENCE") or project.root() / "book" / "executed" / "evidence")


def _fresh() -> dict[str, dict[str, Any]]:
    """Evidence of the executed book, for claims that are still declared in the chapter that recorded it."""
    known, found = claims(), {}
    for file in sorted((project.root() / "book" / "executed" / "evidence").glob("*.json")):
        found |= {id: e for id, e in _load(file).items() if id in known and known[id].chapter == file.stem}
    return found


def _load(file: Path) -> dict[str, dict[str, Any]]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ClaimError(
            f"{file} is not JSON ({error}); restore it from git or execute the book again"
        ) from None


def _save(file: Path, content: Mapping[str, Any]) -> None:
    project.write(file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
