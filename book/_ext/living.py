"""The living parts of the book, written before the pages are read: whatever is computed from data or from the
code.

Pages under ``book/`` are prose; they include fragments from ``book/generated/``, which is never committed:
the findings, the counts of verdicts, the table of claims and the cards of those that fail, the table of data
sets, the plan of the library as its imports draw it, the citation, and one page of reference for each room of
the library. Launch buttons appear when the environment variable ``FLOWPRUNE_REPOSITORY`` names the
repository's address at build time.
"""

from __future__ import annotations

import os
import re
import shutil
from itertools import zip_longest
from pathlib import Path

import plan
import plotly
import tables
from sphinx.application import Sphinx
from sphinx.config import Config

from flowprune.study import citation, claims, findings

ROOMS = {
    "graphs": "Graphs",
    "training": "Training",
    "pruning": "Pruning",
    "flows": "Flows",
    "dynamics": "Dynamics",
    "argnn": "Asynchronous networks",
    "limits": "Limits",
    "experiments": "Experiments",
    "study": "The study",
}
MODULE = """## {name}

```{{eval-rst}}
.. automodule:: {module}
   :ignore-module-all:
{options}
```
"""


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx."""
    app.connect("config-inited", write, priority=100)  # before the table of contents looks for its files
    app.connect("html-page-context", mend, priority=900)  # after the theme made its buttons
    app.connect("autodoc-process-docstring", plain_signs)
    app.connect("build-finished", serve_plotly)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(app: Sphinx, config: Config) -> None:
    """Write the fragments, set the substitutions, and configure the launch buttons."""
    top = Path(app.srcdir)
    found = claims.table()
    fragments = {
        "findings.md": tables.front(findings.findings(), claims.standing()),
        "counts.md": tables.counts(found),
        "refuted.md": tables.refuted(found),
        "claims.md": tables.ledger(found),
        "data.md": tables.data_sets(top / "data" / "datasets.json"),
        "citation.md": f"```bibtex\n{citation.bibtex()}\n```\n",
        "plan.md": plan.svg(top / "src" / "flowprune"),
    } | {f"api/{room}.md": reference(room, top / "src" / "flowprune" / room) for room in ROOMS}
    for name, text in fragments.items():
        file = top / "book" / "generated" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if (
            not file.is_file() or file.read_text() != text
        ):  # an unchanged fragment does not make its page stale
            file.write_text(text)
    config.myst_substitutions = {
        "n_claims": str(len(found)),
        "badge_example": tables.badge(found.iloc[0]["id"], found.iloc[0]["verdict"]),
    }
    if repository := os.environ.get("FLOWPRUNE_REPOSITORY"):
        config.html_theme_options |= {
            "repository_url": repository,
            "repository_branch": os.environ.get("FLOWPRUNE_BRANCH", "main"),
            "use_repository_button": True,
            "launch_buttons": {
                "notebook_interface": "jupyterlab",
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
            },
        }


def reference(room: str, folder: Path) -> str:
    """The page of reference of one room: its own docstring, then its modules with their members."""
    modules = [path.stem for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]
    head = f"# {ROOMS[room]}\n\n```{{eval-rst}}\n.. automodule:: flowprune.{room}\n   :no-members:\n```\n\n"
    return head + "\n".join(
        MODULE.format(name=name, module=f"flowprune.{room}.{name}", options="") for name in modules
    )


def plain_signs(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """In docstrings ``|a - b|`` and ``*_mask`` are a formula and a name, never markup."""

    def escaped(line: str) -> str:
        if line.lstrip().startswith((">>>", "...", "* ")):
            return line
        outside = re.split("(``.*?``)", line)[::2]
        inside = re.findall("``.*?``", line)
        signs = [re.sub(r"(?<!\\)([|*])", r"\\\1", part) for part in outside]
        return "".join(part for pair in zip_longest(signs, inside, fillvalue="") for part in pair)

    lines[:] = map(escaped, lines)


def mend(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Two corrections of a finished page.

    A launch button of a chapter opens the notebook in the repository, not its executed copy. An entry of the
    bibliography is an item of the list that it stands in, which its role must say.
    """

    def rewrite(buttons: list[dict]) -> None:
        for button in buttons:
            rewrite(button.get("buttons", []))
            if button.get("url", "").startswith("https:"):
                button["url"] = button["url"].replace("book/executed/", "notebooks/")

    rewrite(context.get("header_buttons", []))
    context["body"] = context.get("body", "").replace('role="doc-biblioentry"', 'role="listitem"')


def serve_plotly(app: Sphinx, exception: Exception | None) -> None:
    """Put plotly.js, which the package plotly carries, beside the book's own script."""
    if exception is None:
        source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
        shutil.copy(source, Path(app.outdir) / "_static" / source.name)
