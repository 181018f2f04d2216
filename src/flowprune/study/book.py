"""The book: built with Jupyter Book from the executed notebooks, then checked as a reader would see it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import plotly
import yaml
from bs4 import BeautifulSoup

from . import project

FAULTS = ("Traceback (most recent call last)", "PapermillException")


class BookError(RuntimeError):
    """The book could not be built, or what was built is not what a reader should get."""


def html() -> Path:
    """The folder of the built book, ``_build/html``."""
    return project.root() / "_build" / "html"


def build(clean: bool = False) -> Path:
    """Build the HTML with warnings as errors, check it, and return its front page.

    Args:
        clean: build from nothing, as for a release; else only pages that changed are written again.

    Raises:
        BookError: with the builder's warnings, or with what :func:`faults` found.
    """
    top = project.root()
    if clean:
        shutil.rmtree(top / "_build", ignore_errors=True)
    builder = Path(sys.executable).with_name("jupyter-book")  # that of this environment, whatever PATH says
    command = [builder, "build", top, "-W", "-n", "--keep-going", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if re.search("WARNING|ERROR|Error", line)]
        raise BookError("the book was not built:\n" + "\n".join(said or done.stderr.splitlines()[-20:]))
    shutil.copy(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", html() / "_static")
    if wrong := list(faults(html(), pages(top / "_toc.yml"))):
        raise BookError("the built book has faults:\n" + "\n".join(wrong))
    return html() / "index.html"


def pages(toc: Path) -> list[str]:
    """The documents named in a table of contents, in order."""

    def walk(entry: object) -> Iterator[str]:
        if isinstance(entry, dict):
            yield from (value for key, value in entry.items() if key in ("root", "file"))
            entry = list(entry.values())
        if isinstance(entry, list):
            for item in entry:
                yield from walk(item)

    return list(walk(yaml.safe_load(toc.read_text())))


def faults(folder: Path, expected: list[str]) -> Iterator[str]:
    """What is wrong with a built book, one sentence each.

    Looked for: pages that are missing, tracebacks, error boxes, warnings that a notebook printed, a chapter
    without any output, images without alternative text, links within the book that lead nowhere, and anything
    loaded from another host.
    """
    for name in expected:
        page = folder / f"{name}.html"
        if not page.is_file():
            yield f"{name}: the page is missing"
            continue
        soup = BeautifulSoup(page.read_text(), "html.parser")
        printed = " ".join(output.get_text() for output in soup.select(".cell_output, .cell_input"))
        yield from (f"{name}: contains {fault!r}" for fault in FAULTS if fault in printed)
        for box in soup.select(".system-message, .cell_output .stderr"):
            yield f"{name}: shows a warning: {box.get_text()[:80].strip()!r}"
        if name.startswith("book/executed/") and not soup.select(".cell_output"):
            yield f"{name}: a chapter without any output"
        for image in soup.find_all("img"):
            if not (image.get("alt") or "").strip():
                yield f"{name}: an image without alternative text: {str(image)[:80]}"
        for link in soup.find_all(["a", "link", "script", "img", "iframe"]):
            yield from _reference(folder, page, link, name)


def _reference(folder: Path, page: Path, link: object, name: str) -> Iterator[str]:
    """A link must lead to a file of the book; other hosts may be linked with `<a>` and never loaded."""
    address = urldefrag(link.get("href") or link.get("src") or "").url
    parts = urlsplit(address)
    if parts.scheme in ("data", "mailto", "javascript") or not address:
        return
    if parts.scheme or parts.netloc:
        loads = link.name != "a" and link.get("rel") not in (["canonical"], ["author"])
        if loads:
            yield f"{name}: loads {address} from another host"
    elif not (page.parent / unquote(parts.path)).resolve().is_file():
        yield f"{name}: a link to {address!r} leads nowhere"
