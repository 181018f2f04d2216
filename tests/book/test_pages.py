"""The checker of the built book finds what must not be there; the parts written from data and code are right."""

from __future__ import annotations

import re

import pandas as pd
import plan
import pytest
import tables
import yaml
from conftest import REPOSITORY

from flowprune.study import book, claims

PAGE = '<html><body><p>fine</p><img src="a.png" alt="a dot"><div class="cell_output">1</div>{}</body></html>'


@pytest.fixture
def built(tmp_path):
    """A folder with one page without faults; call it to add something to the page."""
    (tmp_path / "book" / "executed").mkdir(parents=True)
    (tmp_path / "book" / "executed" / "a.png").touch()

    def write(more: str = "", page: str = PAGE) -> list[str]:
        (tmp_path / "book" / "executed" / "one.html").write_text(page.format(more))
        return list(book.faults(tmp_path, ["book/executed/one"]))

    return write


def test_a_good_page_has_no_faults(built):
    assert (
        built('<a href="https://example.org">elsewhere</a> <a href="#top">up</a> <a href="one.html#x">me</a>')
        == []
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('<div class="cell_output">Traceback (most recent call last)</div>', "Traceback"),
        ('<div class="system-message">unknown role</div>', "unknown role"),
        ('<div class="cell_output"><div class="output stderr">old name</div></div>', "old name"),
        ('<img src="a.png">', "without alternative text"),
        ('<img src="a.png" alt=" ">', "without alternative text"),
        ('<script src="https://cdn.example.org/x.js"></script>', "from another host"),
        ('<link rel="stylesheet" href="//fonts.example.org/x.css">', "from another host"),
        ('<a href="gone.html">there</a>', "leads nowhere"),
        ('<img src="gone.png" alt="a picture that is not there">', "leads nowhere"),
    ],
)
def test_each_fault_is_found(built, more, said):
    (fault,) = built(more)
    assert said in fault and fault.startswith("book/executed/one: ")


def test_a_missing_page_and_a_chapter_without_output_are_found(built, tmp_path):
    assert built(page="<html><body>{}</body></html>") == ["book/executed/one: a chapter without any output"]
    assert list(book.faults(tmp_path, ["book/two"])) == ["book/two: the page is missing"]


def test_every_page_of_prose_is_in_the_contents():
    listed = set(book.pages(REPOSITORY / "_toc.yml"))
    assert {f"book/{page.stem}" for page in (REPOSITORY / "book").glob("*.md")} <= listed


def test_every_source_of_a_claim_is_in_the_bibliography():
    keys = set(
        re.findall(r"^@\w+\{(\w+),", (REPOSITORY / "book" / "references.bib").read_text(), re.MULTILINE)
    )
    cited = {key for claim in claims.claims().values() for key in claim.source}
    assert cited and cited <= keys


def test_counts_and_claims_show_every_identifier():
    found = claims.table()
    found.loc[0, "verdict"] = "does not hold"
    found.loc[1, "verdict"] = "holds"
    counted = tables.counts(found)
    assert 'href="claims.html#claim-' + found.id[0].lower() in counted
    numbers = list(map(int, re.findall(r'<td class="fp-number">(\d+)</td>', counted)))
    assert sum(numbers) == len(found)
    page = tables.ledger(found)
    assert re.findall(r'id="claim-(\w+)"', page) == [id.lower() for id in found.id]


def test_a_verdict_is_linked_to_its_chapter_only_when_there_is_one():
    assert (
        tables.chapter("real_graphs", "holds").data == '<a href="executed/real_graphs.html">real graphs</a>'
    )
    assert tables.chapter("real_graphs", "not yet studied").data == ""
    assert tables.chapter(None, "holds").data == ""


def test_data_page_is_built_from_the_record_alone():
    record = REPOSITORY / "data" / "datasets.json"
    page = tables.data_sets(record)
    assert "cornell-texas-features" in page and "cornell-corrected" in page
    assert len(pd.read_json(record, typ="series")["graphs"]) >= 14


def test_the_record_is_what_is_measured_where_data_are_at_hand():
    from flowprune.graphs import datasets, raw
    from flowprune.graphs.record import measure

    rows = {
        row["Data set"]: row
        for row in yaml.safe_load((REPOSITORY / "data" / "datasets.json").read_text())["graphs"]
    }
    about = {entry.name: entry.about for entry in datasets.catalogue() if entry.state == "found"}
    small = [
        name
        for name in ("texas", "wisconsin", "cornell-corrected", "cornell-texas-features")
        if name in about
    ]
    if not small:
        pytest.skip(f"no real data under {raw.data_root()}; set FLOWPRUNE_DATA to their folder")
    for name in small:
        assert measure(datasets.load(name), about[name]) == rows[name]


def test_imports_run_downwards_only():
    floor = {room: level for room, (_, level) in plan.PLACE.items()}
    arrows = plan.imports(REPOSITORY / "src" / "flowprune")
    assert ("flows", "training") in arrows
    beside = {("flows", "dynamics"), ("dynamics", "flows"), ("training", "graphs")}
    for a, b in arrows:
        assert floor[a] < floor[b] or (a, b) in beside, f"{a} imports {b}"
    assert not {a for a, _ in arrows} & {"graphs", "study"}  # these stand on the ground


def test_imports_are_read_in_every_form(tmp_path):
    package = tmp_path / "flowprune"
    (package / "flows").mkdir(parents=True)
    (package / "flows" / "heat.py").write_text(
        "import flowprune.graphs.graph\nfrom flowprune.training import fit\nfrom ..dynamics import energy\n"
        "from .. import study\nfrom . import wave\nimport numpy\n"
    )
    found = plan.imports(package)
    assert found == {("flows", room) for room in ("graphs", "training", "dynamics", "study")}
