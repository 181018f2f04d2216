"""The other doors: claims, verify, data, cite, book; through the real command line."""

from __future__ import annotations

import json

import yaml
from conftest import REPOSITORY

GOOD = {
    "instances": 240,
    "families": "path, cycle",
    "deviation": 1e-12,
    "counterexamples": 0,
    "exceptions": 0,
}


def evidence(project, **change):
    file = project / "book" / "executed" / "evidence" / "smoothness.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"G1": GOOD | {"condition": "none"} | change}))


def test_claims_for_machines_name_every_declared_claim(small_project, flowprune):
    done = flowprune("claims", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    declared = yaml.safe_load((small_project / "data" / "claims.yaml").read_text())
    assert [row["id"] for row in rows] == [claim["id"] for claim in declared]
    assert {row["verdict"] for row in rows} == {"not yet studied"}
    assert set(rows[0]) == {"id", "kind", "verdict", "evidence", "chapter", "statement"}


def test_a_changed_verdict_fails_until_it_is_explained(small_project, flowprune):
    evidence(small_project)
    assert flowprune("claims").returncode == 1  # a verdict that nobody accepted yet
    assert flowprune("claims", "--accept", "G1", "--because", "Checked on 240 graphs.").returncode == 0
    assert flowprune("claims").returncode == 0
    evidence(small_project, counterexamples=1)
    done = flowprune("claims")
    assert done.returncode == 1
    assert "unexplained" in done.stderr and "G1" in done.stderr and "does not hold" in done.stderr


def test_accepting_without_a_reason_or_an_unknown_claim_is_refused(small_project, flowprune):
    evidence(small_project)
    done = flowprune("claims", "--accept", "G1")
    assert done.returncode == 1 and "explains" in done.stderr
    done = flowprune("claims", "--accept", "G99", "--because", "why")
    assert done.returncode == 1 and "'G99' is unknown" in done.stderr


def test_verify_fails_when_nothing_can_be_compared(small_project, flowprune):
    done = flowprune("verify", "--sample", "2", "--budget", "1")
    assert done.returncode == 1
    assert "none could be compared" in done.stderr


def test_verify_recomputes_published_rows_and_notices_a_falsified_one(small_project, flowprune):
    published = (REPOSITORY / "data" / "trials" / "evolution-homophily.jsonl").read_text().splitlines()
    row = json.loads(next(line for line in published if '"model":"mlp"' in line))  # quick, and needs no data
    file = small_project / "data" / "trials" / "nodes.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(row) + "\n")
    done = flowprune("verify", "--sample", "1", "--budget", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "agrees" in done.stdout
    row["result"]["test_accuracy"] += 0.1
    file.write_text(json.dumps(row) + "\n")
    done = flowprune("verify", "--sample", "1", "--budget", "1")
    assert done.returncode == 1
    assert "differs" in done.stdout and "test_accuracy" in done.stdout


def test_data_tells_what_is_at_hand(small_project, flowprune, tmp_path):
    env = {"FLOWPRUNE_DATA": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = flowprune("data", **env)
    assert done.returncode == 0, done.stderr
    states = {row[0]: row[1] for row in map(str.split, done.stdout.splitlines()) if len(row) > 1}
    assert (states["karate"], states["cora"], states["csbm"]) == ("embedded", "downloadable", "generated")


def test_cite_prints_the_entry_of_the_citation_file(small_project, flowprune):
    done = flowprune("cite")
    cff = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert done.returncode == 0
    assert done.stdout.startswith("@software{")
    assert f"version = {{{cff['version']}}}" in done.stdout
    assert cff["title"].replace("&", r"\&") in done.stdout


def test_outside_a_project_one_sentence_says_so(flowprune, tmp_path):
    done = flowprune("list", FLOWPRUNE_HOME=str(tmp_path / "gone"))
    assert done.returncode == 1
    assert "gone" in done.stderr and "Traceback" not in done.stderr
