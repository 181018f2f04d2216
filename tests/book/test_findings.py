"""The findings of the front page and the README agree with the ledger, or nothing is built."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from flowprune.study import book, claims, findings
from flowprune.study.rules import ClaimError


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a project with the real findings and the real ledger, to be changed."""
    (tmp_path / "data").mkdir()
    for name in ("pyproject.toml", "data/claims.yaml", "data/findings.yaml", "data/ledger.json"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    monkeypatch.setenv("FLOWPRUNE_HOME", str(tmp_path))
    return tmp_path / "data"


def test_five_findings_lead_to_chapters_and_tell_numbers_of_the_ledger():
    found = findings.findings()
    assert len(found) == 5
    pages = book.pages(REPOSITORY / "_toc.yml")
    ledger = claims.standing()
    for finding in found:
        assert f"book/executed/{finding.chapter}" in pages
        assert {id: ledger[id]["verdict"] for id in finding.claims} == finding.claims
        assert len(re.findall(r"\d", finding.told)) >= 3 and "{" not in finding.told
    assert any("does not hold" in finding.claims.values() for finding in found)


def test_the_readme_tells_what_the_ledger_has():
    text = (REPOSITORY / "README.md").read_text()
    assert findings.placed(text) == text, "run `make refresh`"


def test_numbers_follow_the_evidence(copied):
    ledger = json.loads((copied / "ledger.json").read_text())
    ledger["G22"]["evidence"]["neg_prod_minus_prod_low_lower"] = -17.4
    (copied / "ledger.json").write_text(json.dumps(ledger))
    assert "is −17 to 33 points" in findings.findings()[0].told


def test_another_verdict_needs_another_sentence(copied):
    ledger = json.loads((copied / "ledger.json").read_text())
    ledger["W10"]["verdict"] = "holds"
    (copied / "ledger.json").write_text(json.dumps(ledger))
    with pytest.raises(ClaimError, match="written for W10 'does not hold', the ledger has 'holds'"):
        findings.findings()


@pytest.mark.parametrize("number", ["{G22[nothing]}", "{Z9[runs]}", "{G22[crossing]:.1f}"])
def test_a_number_that_is_not_there_is_refused(copied, number):
    entries = yaml.safe_load((copied / "findings.yaml").read_text())
    entries[0]["told"] = f"It is {number}."
    (copied / "findings.yaml").write_text(yaml.safe_dump(entries))
    with pytest.raises(ClaimError, match=r"Where neighbours differ.*no such number"):
        findings.findings()


@pytest.mark.parametrize("text", ["no marks", findings.MARKS[0], findings.MARKS[1] + findings.MARKS[0]])
def test_a_readme_without_its_marks_is_refused(text):
    with pytest.raises(ClaimError, match="must stand in it once each"):
        findings.placed(text)
