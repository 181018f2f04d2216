"""The checker of the built book finds what must not be there; the parts written from data and code are right."""

from __future__ import annotations

import re

import pandas as pd
import plan
import pytest
import tables
import thumbnails
import yaml
from bs4 import BeautifulSoup
from conftest import REPOSITORY

from flowprune.study import book, claims, findings

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
    counted = BeautifulSoup(tables.counts(found), "html.parser")
    numbers = [[int(cell.text) for cell in row.select("td.fp-number")] for row in counted.select("tbody tr")]
    assert all(sum(row[:-1]) == row[-1] for row in numbers) and sum(row[-1] for row in numbers) == len(found)
    page = tables.ledger(found)
    assert re.findall(r'id="claim-(\w+)"', page) == [id.lower() for id in found.id]


def test_every_claim_that_fails_has_a_card_with_a_picture_against_it():
    found = claims.table()
    failed = found[found["verdict"] == "does not hold"]
    cards = BeautifulSoup(tables.refuted(found), "html.parser").select("li")
    assert [card.select_one("a.badge")["href"] for card in cards] == [
        f"claims.html#claim-{id.lower()}" for id in failed.id
    ]
    for card, claim in zip(cards, failed.itertuples(), strict=True):
        assert len(card.select_one("svg")["aria-label"]) > 20 and claim.because in card.text
        picture = thumbnails.PICTURES[claim.id]
        if isinstance(picture, thumbnails.Gauge):
            assert picture.contradicts(claim.evidence)


def test_a_gauge_puts_the_range_on_its_scale():
    gauge = thumbnails.Gauge("low", "high", 0.5, "a share that was measured")
    drawn = BeautifulSoup(gauge.svg({"low": -0.5, "high": 0.0}), "html.parser")
    a, b = (float(circle["cx"]) for circle in drawn.select("circle"))
    zone = float(drawn.select_one("rect.zone")["x"])
    assert 0 < a < b < zone < thumbnails.WIDTH and b - a == pytest.approx(zone - b, abs=0.2)
    assert "−0.50 to 0.00" in drawn.select_one("svg")["aria-label"]


def test_a_gauge_of_what_may_be_at_most_has_its_zone_on_the_left():
    gauge = thumbnails.Gauge("low", "high", 2, "points lost", at_most=True)
    drawn = BeautifulSoup(gauge.svg({"low": 6.0, "high": 50.0}), "html.parser")
    zone = drawn.select_one("rect.zone")
    places = [float(circle["cx"]) for circle in drawn.select("circle")]
    assert float(zone["x"]) == 0 and float(zone["width"]) < min(places)
    assert "needs at most 2" in drawn.select_one("svg")["aria-label"] and "◂ claimed: at most 2" in drawn.text


def test_a_small_graph_is_drawn_with_its_edges_and_loops():
    picture = thumbnails.Smallest("the smallest graph of a test")
    drawn = picture.svg(
        {"smallest": "radius: 3 nodes, edges 0–1, 0–2, loops of weight 1; gap: 9 nodes, edges 7–8"}
    )
    assert "3 nodes, 2 edges, loops" in drawn and drawn.count("<circle") == 6 and drawn.count("L") == 2


def test_the_front_page_shows_each_finding_with_badges_and_a_link():
    found = findings.findings()
    items = BeautifulSoup(tables.front(found, claims.standing()), "html.parser").select("li")
    for item, finding in zip(items, found, strict=True):
        assert item.select_one("strong a")["href"] == f"executed/{finding.chapter}.html"
        assert [a.text for a in item.select("a.badge")] == [f"{i} {v}" for i, v in finding.claims.items()]
        assert item.select_one("svg[aria-label]") is not None


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
    for a, b in arrows:
        assert floor[a] < floor[b], f"{a} imports {b}"
    assert not {a for a, _ in arrows} & {"graphs", "limits", "study"}  # these stand on the ground


def test_arrows_of_the_plan_pass_between_rooms():
    picture = plan.svg(REPOSITORY / "src" / "flowprune")
    rooms = [tuple(map(float, room)) for room in re.findall(r'<rect x="(\S+)" y="(\S+)"', picture)]
    arrows = re.findall(r'marker-end="\S+" d="([^"]+)"', picture)
    assert len(arrows) == len(plan.imports(REPOSITORY / "src" / "flowprune"))
    passed = 0
    for arrow in arrows:
        points = [tuple(map(float, p)) for p in re.findall(r"(\d+) (\d+)(?= [LC]|$)", arrow)]
        for x, y in points[1:-1]:
            on_floor = [left for left, top in rooms if y in (top, top + plan.TALL)]
            assert all(x < left or x > left + plan.ROOM for left in on_floor), arrow
            passed += 1
    assert passed


def test_imports_are_read_in_every_form(tmp_path):
    package = tmp_path / "flowprune"
    (package / "flows").mkdir(parents=True)
    (package / "flows" / "heat.py").write_text(
        "import flowprune.graphs.graph\nfrom flowprune.training import fit\nfrom ..dynamics import energy\n"
        "from .. import study\nfrom . import wave\nimport numpy\n"
    )
    found = plan.imports(package)
    assert found == {("flows", room) for room in ("graphs", "training", "dynamics", "study")}
