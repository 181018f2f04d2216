"""The built book in a real browser: every page, both themes, mouse and keyboard, no request to another host."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from conftest import REPOSITORY
from playwright.sync_api import Browser, Page, expect, sync_playwright

from flowprune.study import book

HTML = REPOSITORY / "_build" / "html"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
CONTENTS = book.pages(REPOSITORY / "_toc.yml")
PAGES = [*CONTENTS, "genindex", "search"]
pytestmark = [
    pytest.mark.browser,
    # playwright and the server leave sockets to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


def unavailable(reason: str) -> None:
    """Skip with the reason; in CI fail, because there these tests must run."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        unavailable("no chromium on this machine; install Debian's package chromium to run the browser tests")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The built book served on this machine."""
    if not (HTML / "index.html").is_file():
        unavailable("the book is not built; run `make book` first")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=HTML))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A fresh page in this theme; `page.heard` is what it logged, `page.asked` what it requested."""
    context = browser.new_context(color_scheme=request.param, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.heard, page.asked = [], []
    page.on("console", lambda m: page.heard.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on("request", lambda r: page.asked.append(r.url))
    page.theme = request.param
    yield page
    context.close()


def opened(page: Page, url: str) -> Page:
    """The page when everything it loads is there and its mathematics is typeset."""
    page.goto(url, wait_until="networkidle")
    page.evaluate("window.MathJax?.startup?.promise")
    return page


@pytest.mark.parametrize("name", PAGES)
def test_page(page: Page, address: str, name: str) -> None:
    opened(page, f"{address}{name}.html")
    assert page.heard == []
    assert [url for url in page.asked if not url.startswith((address, "data:", "blob:"))] == []
    assert page.locator("html").get_attribute("data-theme") == page.theme
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    source = BeautifulSoup((HTML / f"{name}.html").read_text(), "html.parser")
    formulas = len(source.select("span.math, div.math"))
    assert page.locator("mjx-container").count() >= formulas
    assert page.locator("mjx-merror").count() == 0
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], node["html"][:200]) for rule in found for node in rule["nodes"]] == []
    page.set_viewport_size({"width": 390, "height": 844})  # on a phone nothing sticks out
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_some_pages_have_mathematics_and_pictures(address: str) -> None:
    pages = [BeautifulSoup((HTML / f"{name}.html").read_text(), "html.parser") for name in CONTENTS]
    assert any(page.select(".math") for page in pages)
    assert any(page.select("figure.fp-figure img") for page in pages)


def holding(words: str) -> list[str]:
    """Pages of the book whose HTML holds these words."""
    return [
        name for name in CONTENTS if (file := HTML / f"{name}.html").is_file() and words in file.read_text()
    ]


def test_interactive_figures_react_to_mouse_and_keyboard(page: Page, address: str) -> None:
    names = holding("fp-slider")
    assert names, "no page has an interactive figure"
    for name in names:
        opened(page, f"{address}{name}.html")
        box = page.locator(".fp-interactive.is-live").first
        slider, output = box.get_by_role("slider"), box.locator("output")
        drawn = "box => JSON.stringify(box.querySelector('.fp-plot').data)"
        still, before, told = box.locator(".fp-still"), box.evaluate(drawn), output.text_content()
        expect(still).to_be_hidden()
        expect(box.locator("svg.main-svg").first).to_be_visible()
        slider.focus()
        page.keyboard.press("ArrowRight")
        expect(output).not_to_have_text(told)
        assert box.evaluate(drawn) != before
        page.keyboard.press("Home")
        expect(output).to_have_text(told)
        last = slider.get_attribute("max")
        slider.fill(last)
        assert slider.evaluate("s => s.value") == last
        expect(output).not_to_have_text(told)
        assert slider.evaluate("s => s.labels[0].textContent.trim().length") > 3
        assert page.heard == []


def test_the_theme_can_be_switched_and_figures_follow(page: Page, address: str) -> None:
    name = holding('<figure class="fp-figure"><div class="fp-picture"')[0]
    opened(page, f"{address}{name}.html")
    for theme in ("light", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = {theme!r}")
        other = {"light": "dark", "dark": "light"}[theme]
        figure = page.locator("figure.fp-figure:not(:has(.fp-interactive))").first
        expect(figure.locator(f"img.only-{theme}")).to_be_visible()
        expect(figure.locator(f"img.only-{other}")).to_be_hidden()
        expect(figure.locator("figcaption")).to_be_visible()


def test_without_javascript_the_picture_stands_in(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}{holding('fp-slider')[0]}.html")
    expect(page.locator(".fp-still img.only-light").first).to_be_visible()
    expect(page.locator(".fp-slider").first).to_be_hidden()
    context.close()


def test_search_finds_a_term(page: Page, address: str) -> None:
    opened(page, f"{address}search.html?q=Laplacian")
    expect(page.locator("#search-results li a").first).to_be_visible(timeout=15000)
    assert "glossary" in " ".join(
        page.locator("#search-results li a").evaluate_all("l => l.map(a => a.href)")
    )
    assert page.heard == []


def test_the_keyboard_reaches_the_main_content(page: Page, address: str) -> None:
    opened(page, f"{address}book/index.html")
    page.keyboard.press("Tab")
    focused = page.evaluate_handle("document.activeElement")
    assert focused.evaluate("e => e.textContent") == "Skip to main content"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main-content")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('#main-content').contains(document.activeElement)")


def test_tables_sort_by_keyboard(page: Page, address: str) -> None:
    opened(page, f"{address}book/claims.html")
    table = page.locator("table.fp-sortable").first
    heading = table.get_by_role("columnheader", name="Verdict")
    column = "t => [...t.tBodies[0].rows].map(r => r.cells[3].textContent.trim())"
    heading.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    up = table.evaluate(column)
    assert up == sorted(up)
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert table.evaluate(column) == sorted(up, reverse=True)


def test_claims_are_filtered_by_verdict_kind_and_word(page: Page, address: str) -> None:
    opened(page, f"{address}book/claims.html")
    box = page.locator("[data-filter]")
    rows, told = box.locator("tbody tr"), box.locator("output")
    every = rows.count()
    expect(told).to_have_text(f"{every} of {every}")
    box.get_by_role("combobox", name="Verdict").select_option("does not hold")
    failed = rows.locator("visible=true").all_text_contents()
    assert 0 < len(failed) < every and all("does not hold" in row for row in failed)
    expect(told).to_have_text(f"{len(failed)} of {every}")
    box.get_by_role("searchbox", name="Contains").fill("graphcon")
    assert all("GraphCON" in row for row in rows.locator("visible=true").all_text_contents())
    box.get_by_role("combobox", name="Verdict").select_option("all")
    box.get_by_role("searchbox", name="Contains").fill("")
    box.get_by_role("combobox", name="Kind").select_option("T")
    kinds = rows.locator("visible=true").locator("td:nth-child(2)").all_text_contents()
    assert kinds and set(kinds) == {"T"}
    assert page.heard == []
