"""The findings that the front page and the README tell: sentences of ``data/findings.yaml``, numbers of the ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from flowprune.study import claims, project
from flowprune.study.rules import ClaimError

MARKS = ("<!-- findings: written by `make refresh` -->", "<!-- end of findings -->")


@dataclass(frozen=True)
class Finding:
    """What was found, in a title and two sentences, with the claims that it rests on and their verdicts."""

    title: str
    told: str
    claims: Mapping[str, str]
    chapter: str


def findings() -> list[Finding]:
    """The findings with their numbers, in the order of the book.

    Raises:
        ClaimError: when a sentence is written for another verdict than the ledger has, or asks for a number that the
            evidence does not hold.
    """
    ledger = claims.standing()
    evidence = {id: entry["evidence"] for id, entry in ledger.items()}
    found = []
    for entry in yaml.safe_load((project.root() / "data" / "findings.yaml").read_text(encoding="utf-8")):
        for id, verdict in entry["claims"].items():
            if (stands := ledger.get(id, {}).get("verdict", "nothing")) != verdict:
                raise ClaimError(
                    f"findings.yaml, {entry['title']!r}: written for {id} {verdict!r}, the ledger has {stands!r}"
                )
        try:
            told = entry["told"].format(**evidence)
        except (KeyError, ValueError) as error:
            raise ClaimError(f"findings.yaml, {entry['title']!r}: no such number ({error})") from None
        told = re.sub(r"(?<![\w.-])-(?=\d)", "−", told.strip())
        told = re.sub(r"(?<=\d)%", " %", told)
        chapter = ledger[next(iter(entry["claims"]))]["chapter"]
        found.append(Finding(entry["title"], told, entry["claims"], chapter))
    return found


def table() -> str:
    """The findings as a table in Markdown, with links to the notebooks."""
    rows = [
        f"| [{f.title}](notebooks/{f.chapter}.ipynb) | {f.told} | "
        f"{', '.join(f'{id} {verdict}' for id, verdict in f.claims.items())} |"
        for f in findings()
    ]
    return "\n".join(["| Finding | Evidence | Claims |", "|---|---|---|", *rows])


def placed(readme: str) -> str:
    """The text of the README with the table between its marks. Raises ClaimError when a mark is missing."""
    try:
        head, rest = readme.split(MARKS[0])
        _, tail = rest.split(MARKS[1])
    except ValueError:
        raise ClaimError(f"README.md: {MARKS[0]} and then {MARKS[1]} must stand in it once each") from None
    return f"{head}{MARKS[0]}\n{table()}\n{MARKS[1]}{tail}"


if __name__ == "__main__":
    file = project.root() / "README.md"
    file.write_text(placed(file.read_text(encoding="utf-8")), encoding="utf-8")
