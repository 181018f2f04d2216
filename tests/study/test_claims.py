from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flowprune.study.claims import Change, ClaimError, Ledger, accept, check, claims, table
from flowprune.study.rules import VERDICTS, Rule

REPOSITORY = Path(__file__).parents[2]
THEOREM = {
    "instances": 240,
    "deviation": 3e-13,
    "counterexamples": 0,
    "exceptions": 0,
    "families": "random, paths",
}
SIGN = {
    "neg_prod_minus_prod_low_lower": 4.0,
    "neg_prod_minus_prod_low_upper": 9.0,
    "p_neg_prod_over_prod": 0.001,
    "prod_minus_mlp_low_upper": -3.0,
    "sum_minus_gcn_lower": 1.0,
    "dd_minus_gcn_lower": 2.0,
    "p_largest": 0.02,
    "published_agree": 4,
}


def edit(home: Path, id: str, /, **changes: Any) -> None:
    """Change one entry of the home's claims."""
    file = home / "data" / "claims.yaml"
    entries = yaml.safe_load(file.read_text())
    next(entry for entry in entries if entry["id"] == id).update(changes)
    file.write_text(yaml.safe_dump(entries, allow_unicode=True))


# the declared claims


def test_every_claim_is_declared_once_with_a_source_of_the_bibliography(home: Path) -> None:
    counts: dict[str, int] = {}
    for id in claims():
        letter, number = re.fullmatch(r"([A-Z])(\d+)", id).groups()
        counts[letter] = counts.get(letter, 0) + 1
        assert int(number) == counts[letter]  # in order, without gaps
    assert counts == {"G": 28, "D": 17, "A": 13, "W": 15, "B": 4, "R": 12, "X": 6}
    keys = set(
        re.findall(r"^@\w+\{(\S+),", (REPOSITORY / "book" / "references.bib").read_text(), re.MULTILINE)
    )
    assert {key for claim in claims().values() for key in claim.source} <= keys


def test_claims_have_a_rule_exactly_when_a_chapter_decides_them(home: Path) -> None:
    ruled = {claim.id: claim.chapter for claim in claims().values() if claim.rule}
    assert ruled == {claim.id: claim.chapter for claim in claims().values() if claim.chapter}
    for id in ruled:
        assert "undecided otherwise" in claims()[id].decided_by.words({})


def test_the_ledger_of_the_repository_follows_its_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWPRUNE_HOME", str(REPOSITORY))
    known = claims()
    for id, entry in json.loads((REPOSITORY / "data" / "ledger.json").read_text()).items():
        assert known[id].judge(entry["evidence"]) == entry["verdict"] and entry["because"]


# rules


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ({}, "holds"),
        ({"deviation": 1e-9}, "holds"),
        ({"deviation": 1.1e-9}, "undecided"),
        ({"instances": 199}, "undecided"),
        ({"counterexamples": 1}, "does not hold"),
        ({"counterexamples": 1, "instances": 1}, "does not hold"),
        ({"exceptions": 3}, "holds under conditions"),
        ({"exceptions": 3, "deviation": 0.1}, "undecided"),
    ],
)
def test_a_theorem_is_judged(home: Path, evidence: dict[str, Any], verdict: str) -> None:
    assert claims()["G1"].judge(THEOREM | evidence) == verdict


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ({}, "holds"),
        ({"sum_minus_gcn_lower": -0.5}, "holds under conditions"),
        ({"p_largest": 0.2}, "holds under conditions"),
        ({"p_largest": 0.2, "p_neg_prod_over_prod": 0.2}, "undecided"),
        ({"neg_prod_minus_prod_low_lower": -1.0}, "undecided"),
        ({"neg_prod_minus_prod_low_lower": -9.0, "neg_prod_minus_prod_low_upper": -1.0}, "does not hold"),
    ],
)
def test_the_sign_of_w_is_judged(home: Path, evidence: dict[str, Any], verdict: str) -> None:
    assert claims()["G22"].judge(SIGN | evidence) == verdict


def test_cornell_and_the_table_are_judged(home: Path) -> None:
    same = {"features_equal_texas": True, "labels_equal_texas": True}
    levels = {"homophily_distributed": 0.296, "homophily_corrected": 0.123}
    judge = claims()["B1"].judge
    assert judge(same | levels) == "holds"
    assert judge(same | levels | {"homophily_corrected": 0.3}) == "undecided"
    assert judge({name: False for name in same} | levels) == "does not hold"
    judge = claims()["G24"].judge
    counts = {(9, 9): "holds", (5, 3): "holds under conditions", (5, 0): "does not hold", (3, 3): "undecided"}
    assert {pair: judge({"sets": pair[0], "within": pair[1]}) for pair in counts} == counts


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [
        ({"stands": {"a": "> 0"}}, "verdict 'stands' is unknown; a rule may give holds, holds under"),
        ({"undecided": {"a": "> 0"}}, "verdict 'undecided' is unknown"),
        ({"holds": {}}, "verdict 'holds' has no condition"),
        ({"holds": {"a": "=> 0"}}, "condition a: '=> 0' is not of the form"),
        ({"holds": {"a": "> x"}}, "condition a: '> x' is not of the form"),
        ({"holds": {"a": "> 0 or b > 1"}}, "is not of the form"),
    ],
)
def test_a_wrong_rule_is_named(conditions: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ClaimError) as caught:
        Rule(conditions)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("sign", [">", ">=", "<", "<=", "==", "!="])
@pytest.mark.parametrize("value", [-1.5, 2, 2.5])
def test_comparators_are_those_of_arithmetic(sign: str, value: float) -> None:
    rule = Rule({"holds": {"x": f"{sign} 2"}})
    assert (rule.verdict({"x": value}) == "holds") == eval(f"{value} {sign} 2")


# recording


def test_evidence_becomes_a_verdict_and_a_file(home: Path) -> None:
    ledger = Ledger.open("smoothness")
    verdict = ledger.record(
        "G3", **THEOREM | {"deviation": np.float64(1.23456789e-13), "instances": np.int64(240)}
    )
    assert verdict.verdict == "holds"
    file = home / "book" / "executed" / "evidence" / "smoothness.json"
    assert json.loads(file.read_text()) == {"G3": THEOREM | {"deviation": 1.23457e-13}}
    Ledger.open("smoothness")
    assert json.loads(file.read_text()) == {}  # a chapter starts afresh


@pytest.mark.parametrize(
    ("id", "evidence", "sentence"),
    [
        ("G33", {}, "claim 'G33' is unknown (did you mean G3"),
        ("G22", SIGN, "claim G22 is decided in chapter sign, not in smoothness"),
        ("G3", {"instances": 3}, "claim G3: evidence counterexamples, deviation, exceptions is missing"),
        ("G3", THEOREM | {"runs": 3}, "claim G3 declares no evidence runs; it has instances, families"),
        ("G3", THEOREM | {"instances": "many"}, "evidence instances = 'many' must be a number"),
        ("G3", THEOREM | {"instances": True}, "evidence instances = True must be a number"),
        ("G3", THEOREM | {"deviation": float("nan")}, "evidence deviation is nan; it must be finite"),
        (
            "G3",
            THEOREM | {"families": ["a"]},
            "evidence families is a list; allowed are numbers, true, false",
        ),
    ],
)
def test_wrong_evidence_is_named_and_not_stored(
    home: Path, id: str, evidence: dict[str, Any], sentence: str
) -> None:
    ledger = Ledger.open("smoothness")
    with pytest.raises(ClaimError) as caught:
        ledger.record(id, **evidence)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
    assert ledger.evidence == {}


def test_an_unknown_chapter_is_named(home: Path) -> None:
    with pytest.raises(
        ClaimError,
        match=r"no claim is decided in chapter 'smooth'; chapters .* real_graphs, .*sign, .*smoothness",
    ):
        Ledger.open("smooth")


def test_a_run_that_recomputes_leaves_the_books_evidence_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger.open("smoothness").record("G3", **THEOREM)
    monkeypatch.setenv("FLOWPRUNE_RECOMPUTE", "1")
    assert (
        Ledger.open("smoothness").record("G3", **THEOREM | {"counterexamples": 1}).verdict == "does not hold"
    )
    assert table().set_index("id").verdict["G3"] == "holds"


def test_a_run_beside_the_book_hands_its_evidence_in_elsewhere(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWPRUNE_EVIDENCE", str(tmp_path / "mine"))
    Ledger.open("smoothness").record("G3", **THEOREM)
    assert (tmp_path / "mine" / "smoothness.json").exists() and check() == []


# changes and their explanation


def test_a_verdict_counts_once_it_is_explained(home: Path) -> None:
    assert check() == [] and set(table().verdict) == {"not yet studied"}
    assert table().set_index("id").chapter["X6"] is None
    Ledger.open("smoothness").record("G3", **THEOREM)
    assert check() == [Change("G3", "not yet studied", "holds", "smoothness")]
    accept("G3", "First run of the chapter.")
    assert check() == []
    Ledger.open("smoothness").record("G3", **THEOREM | {"exceptions": 2, "condition": "no isolated node"})
    assert [str(change) for change in check()] == [
        "G3: accepted 'holds', evidence of chapter smoothness gives 'holds under conditions'"
    ]
    accept("G3", "Isolated nodes are now among the families.")
    entry = json.loads((home / "data" / "ledger.json").read_text())["G3"]
    assert (entry["before"], entry["verdict"]) == ("holds", "holds under conditions")
    accept("G3", "Isolated nodes are now among the families.")  # once more: what was before stays
    assert json.loads((home / "data" / "ledger.json").read_text())["G3"] == entry
    row = table().set_index("id").loc["G3"]
    assert row.evidence["exceptions"] == 2 and row.because == "Isolated nodes are now among the families."


def test_a_verdict_typed_into_the_ledger_is_found(home: Path) -> None:
    Ledger.open("smoothness").record("G3", **THEOREM | {"deviation": 0.1})
    accept("G3", "First run.")
    (home / "book" / "executed" / "evidence" / "smoothness.json").unlink()
    file = home / "data" / "ledger.json"
    file.write_text(file.read_text().replace('"undecided"', '"holds"'))
    assert check() == [Change("G3", "holds", "undecided", "smoothness")]


def test_a_rule_changed_afterwards_is_found(home: Path) -> None:
    Ledger.open("smoothness").record("G3", **THEOREM)
    accept("G3", "First run.")
    edit(home, "G3", rule={"holds": {"instances": ">= 1000"}})
    assert check() == [Change("G3", "holds", "undecided", "smoothness")]


@pytest.mark.parametrize(
    ("id", "because", "sentence"),
    [
        ("Q1", "x", "claim 'Q1' is unknown"),
        ("G4", "x", "claim G4 has no fresh evidence"),
        ("G3", "  ", "claim G3: a verdict is accepted with one sentence that explains it"),
    ],
)
def test_accepting_needs_evidence_and_an_explanation(
    home: Path, id: str, because: str, sentence: str
) -> None:
    Ledger.open("smoothness").record("G3", **THEOREM)
    with pytest.raises(ClaimError, match=re.escape(sentence)):
        accept(id, because)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "Z"}, "claims.yaml, claim G3: kind input should be 'T', 'E', 'T+E' or 'O'"),
        ({"colour": "red"}, "claim G3: colour"),
        ({"statement": 3}, "claim G3: statement input should be a valid string"),
        (
            {"rule": {"holds": {"luck": "> 0"}}},
            "claim G3: its rule reads luck, which its evidence does not declare",
        ),
        (
            {"rule": {"holds": {"instances": 200}}},
            "claim G3: rule.holds.instances input should be a valid string",
        ),
        ({"id": "G4"}, "claim G4 is declared twice"),
    ],
)
def test_a_wrong_declaration_is_named(home: Path, changes: dict[str, Any], sentence: str) -> None:
    edit(home, "G3", **changes)
    with pytest.raises(ClaimError) as caught:
        claims()
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_ledger_is_named(home: Path) -> None:
    (home / "data" / "ledger.json").write_text('{"G3": ')
    with pytest.raises(ClaimError, match=r"ledger.json is not JSON .*restore it from git"):
        check()


# how it is shown


class Outline(HTMLParser):
    """Checks that tags are balanced, and keeps headings, terms and classes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.attributes: list[dict[str, str | None]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.attributes.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def test_the_box_says_rule_evidence_verdict_and_explanation(home: Path) -> None:
    Ledger.open("smoothness").record("G3", **THEOREM)
    accept("G3", "First run & nothing <odd>.")
    verdict = Ledger.open("smoothness").record("G3", **THEOREM | {"families": "paths & <stars>"})
    box = Outline(verdict._repr_html_())
    assert box.texts["h3"] == ["Claim G3: holds"]
    assert box.texts["dt"] == ["Rule", "Evidence", "Verdict", "Explanation"]
    assert "largest relative deviation in float64: 3e-13" in box.texts["li"]
    assert "families of graphs: paths & <stars>" in box.texts["li"]
    assert "holds when counterexamples inside the stated conditions = 0 and" in box.texts["details"][0]
    assert box.texts["strong"] == ["✓ holds"] and box.texts["dd"][-1] == "First run & nothing <odd>."
    assert box.attributes[0]["class"] == "verdict verdict-holds"
    assert box.attributes[0]["aria-labelledby"] == box.attributes[1]["id"]
    assert repr(verdict).startswith("G3 holds (instances 240, deviation 3e-13, counterexamples 0")


def test_the_box_says_when_a_verdict_is_not_explained(home: Path) -> None:
    Ledger.open("smoothness").record("G3", **THEOREM)
    accept("G3", "First run.")
    box = Outline(Ledger.open("smoothness").record("G3", **THEOREM | {"counterexamples": 1})._repr_html_())
    assert box.texts["dt"][-1] == "Ledger"
    assert box.texts["dd"][-1] == "stands by: holds. This run differs, and nobody has explained why."
    assert box.attributes[0]["class"] == "verdict verdict-does-not-hold"


def test_badges_link_to_the_claims_page(home: Path) -> None:
    Ledger.open("smoothness").record("G3", **THEOREM)
    accept("G3", "First run.")
    line = Outline(Ledger.open("smoothness").badges("G1", "G3"))
    assert line.texts["a"] == ["G1 not yet studied", "G3 holds"]
    assert [a["href"] for a in line.attributes] == ["../claims.html#claim-g1", "../claims.html#claim-g3"]
    assert [a["class"] for a in line.attributes] == ["badge verdict-not-yet-studied", "badge verdict-holds"]


def test_every_verdict_has_its_symbol(home: Path) -> None:
    ledger = Ledger.open("smoothness")
    cases = [{}, {"exceptions": 1}, {"counterexamples": 1}, {"instances": 1}]
    found = [ledger.record("G3", **THEOREM | case) for case in cases]
    assert tuple(each.verdict for each in found) == VERDICTS
    assert [Outline(each._repr_html_()).texts["strong"][0][0] for each in found] == ["✓", "◐", "✗", "?"]
