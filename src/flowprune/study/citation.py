"""How to cite the study: ``CITATION.cff`` as BibTeX."""

from __future__ import annotations

import yaml

from . import project


def bibtex() -> str:
    """The BibTeX entry of the study, read from ``CITATION.cff``."""
    cff = yaml.safe_load((project.root() / "CITATION.cff").read_text(encoding="utf-8"))
    people = (a.get("name") or f"{a['family-names']}, {a['given-names']}" for a in cff["authors"])
    year = cff["date-released"].year
    fields = {
        "author": " and ".join(f"{{{name}}}" if "," not in name else name for name in people),
        "title": f"{{{cff['title']}}}",
        "version": cff["version"],
        "year": year,
        **({"url": cff["repository-code"]} if "repository-code" in cff else {}),
    }
    lines = ",\n".join(f"  {key} = {{{value}}}" for key, value in fields.items()).replace("&", r"\&")
    return f"@software{{flowprune{year},\n{lines}\n}}"
