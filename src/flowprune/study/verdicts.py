"""How a verdict is shown: a box in the chapter, a badge under its title, a line of text elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

CLAIMS_PAGE = (
    "claims.html"  # where badges lead, at #claim-<id>; every page of the book lies one folder below its root
)
SYMBOL = {"holds": "✓", "holds under conditions": "◐", "does not hold": "✗", "undecided": "?"}


@dataclass(frozen=True)
class Verdict:
    """What the rule of a claim says of its evidence, and what the ledger stands by."""

    id: str
    statement: str
    rule: str  # in words
    evidence: Mapping[str, Any]
    meanings: Mapping[str, str]
    verdict: str
    accepted: Mapping[str, Any] | None  # the ledger's entry

    def __repr__(self) -> str:
        return f"{self.id} {self.verdict} ({words(self.evidence)})"

    def _repr_html_(self) -> str:
        rule = f"<details><summary>fixed before the run</summary>{escape(self.rule)}</details>"
        pairs = [("Rule", rule)]
        pairs.append(("Evidence", listed(self.evidence, self.meanings)))
        pairs.append(("Verdict", f"<strong>{SYMBOL[self.verdict]} {self.verdict}</strong>"))
        if self.accepted and self.accepted["verdict"] != self.verdict:
            told = f"stands by: {escape(self.accepted['verdict'])}. This run differs, and nobody has explained why."
            pairs.append(("Ledger", told))
        elif self.accepted:
            change = f"(before: {escape(self.accepted['before'])}) " if "before" in self.accepted else ""
            pairs.append(("Explanation", change + escape(self.accepted["because"])))
        items = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in pairs)
        heading = f"verdict-{self.id.lower()}"
        return (
            f'<section class="verdict {css(self.verdict)}" aria-labelledby="{heading}">'
            f'<h3 class="verdict-title" id="{heading}">Claim {self.id}: {self.verdict}</h3>'
            f"<p>{escape(self.statement)}</p><dl>{items}</dl></section>"
        )


def badge(id: str, verdict: str) -> str:
    """A linked badge, readable without its colour."""
    return f'<a class="badge {css(verdict)}" href="../{CLAIMS_PAGE}#claim-{id.lower()}">{id} {verdict}</a>'


def listed(evidence: Mapping[str, Any], meanings: Mapping[str, str]) -> str:
    """Evidence as a list in HTML, each value behind the meaning of its name."""
    items = (f"<li>{escape(meanings[name])}: {escape(shown(value))}</li>" for name, value in evidence.items())
    return f"<ul>{''.join(items)}</ul>"


def css(verdict: str) -> str:
    """The class of a verdict: ``verdict-holds``, ``verdict-does-not-hold``…"""
    return "verdict-" + verdict.replace(" ", "-")


def words(evidence: Mapping[str, Any]) -> str:
    """Evidence on one line.

    >>> words({"instances": 200, "deviation": 3.1234e-13, "equal": True})
    'instances 200, deviation 3.12e-13, equal yes'
    """
    return ", ".join(f"{name} {shown(value)}" for name, value in evidence.items())


def shown(value: bool | int | float | str) -> str:
    """A value at fixed digits: three significant ones for floats."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
