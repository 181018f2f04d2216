"""Tables of the book that are computed: verdicts, claims, data sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML
from thumbnails import thumbnail

from flowprune.study import claims, figures, verdicts
from flowprune.study.findings import Finding
from flowprune.study.rules import NOT_STUDIED

ORDER = ("holds", "holds under conditions", "does not hold", "undecided", NOT_STUDIED)


def badge(id: str, verdict: str) -> str:
    """A badge for a page that lies beside the claims page."""
    return verdicts.badge(id, verdict).replace('href="../', 'href="')


def counts(found: pd.DataFrame) -> str:
    """How many claims of each kind have each verdict."""
    kinds = list(dict.fromkeys(found["kind"]))
    rows = []
    for verdict in [v for v in ORDER if (found["verdict"] == v).any()]:
        of = found.loc[found["verdict"] == verdict, "kind"]
        name = HTML(f'<span class="{verdicts.css(verdict)} fp-verdict">{verdict}</span>')
        rows.append({"Verdict": name} | {kind: int((of == kind).sum()) for kind in kinds} | {"all": len(of)})
    return raw(figures.table(pd.DataFrame(rows), "Claims by verdict and kind").data)


def refuted(found: pd.DataFrame) -> str:
    """A card for each claim that does not hold: its counterexample as a picture, and why."""
    cards = [
        f"<li><p>{badge(claim.id, claim.verdict)} {chapter(claim.chapter, claim.verdict).data}</p>"
        f"{thumbnail(claim.id, claim.evidence)}<p>{escape(claim.because)}</p></li>"
        for claim in found[found["verdict"] == "does not hold"].itertuples()
    ]
    return raw(f'<ul class="fp-cards">{"".join(cards)}</ul>')


def front(found: list[Finding], ledger: Mapping[str, Mapping[str, Any]]) -> str:
    """The findings of the front page, each with its picture, its badges and the way to its chapter."""
    items = []
    for finding in found:
        pictures = [thumbnail(id, ledger[id]["evidence"]) for id in finding.claims]
        badges = " ".join(badge(id, verdict) for id, verdict in finding.claims.items())
        items.append(
            f'<li>{next(filter(None, pictures), "")}<div><p><strong><a href="executed/{finding.chapter}.html">'
            f"{escape(finding.title)}</a></strong></p><p>{escape(finding.told)}</p><p>{badges}</p></div></li>"
        )
    return raw(f'<ol class="fp-findings">{"".join(items)}</ol>')


def ledger(found: pd.DataFrame) -> str:
    """All claims, each row with the target that badges link to, and the menus that choose among them."""
    declared = claims.claims()
    rows = []
    for claim in found.itertuples():
        told = escape(claim.statement) + details(claim, declared[claim.id].evidence or {})
        rows.append(
            {
                "Claim": HTML(f'<span id="claim-{claim.id.lower()}">{claim.id}</span>'),
                "Kind": claim.kind,
                "Statement": HTML(f'<div class="fp-statement">{told}</div>'),
                "Verdict": HTML(
                    f'<span class="{verdicts.css(claim.verdict)} fp-verdict">{claim.verdict}</span>'
                ),
                "Chapter": chapter(claim.chapter, claim.verdict),
            }
        )
    shown = figures.table(pd.DataFrame(rows), "Claims, verdicts and evidence", sortable=True).data
    return raw(f'<div data-filter="Verdict Kind">{shown}</div>')


def details(claim: Any, meanings: Mapping[str, str]) -> str:
    """The explanation under a statement, and its evidence to unfold."""
    told = f"<small>{escape(claim.because)}</small>" if claim.because else ""
    if claim.evidence:
        told += f"<details><summary>Evidence</summary>{verdicts.listed(claim.evidence, meanings)}</details>"
    return told


def chapter(name: str | None, verdict: str) -> HTML:
    """A link to the chapter that decided the claim."""
    if name is None or verdict == NOT_STUDIED:
        return HTML("")
    return HTML(f'<a href="executed/{name}.html">{escape(name.replace("_", " "))}</a>')


SIZES = ["Data set", "Nodes", "Edges", "Features", "Classes", "Edge homophily", "Node homophily"]
SHORT = {"Edge homophily": "h (edges)", "Node homophily": "h (nodes)"}
SPLITS = ["Data set", "Splits", "Train / validation / test", "Components", "Isolated"]


def data_sets(record: Path) -> str:
    """What was measured on the real data sets, and the evidence about the two versions of Cornell."""
    content = json.loads(record.read_text())
    graphs = pd.DataFrame(content["graphs"])
    sizes = graphs[SIZES].rename(columns=SHORT)
    told = "Undirected edges; homophily h as measured, by edges and by nodes"
    graphs["Data set"] = [
        HTML(f"{row.name}<small>{escape(row.about)}</small>")
        for row in graphs.rename(columns={"Data set": "name", "About": "about"}).itertuples()
    ]
    cornell = pd.DataFrame(content["cornell"]).set_index("data set").T.reset_index(names="Measured")
    return (
        "## Sizes and homophily\n\n"
        + raw(figures.table(sizes, told, 3, sortable=True).data)
        + "\n## Splits and connectedness\n\n"
        + raw(
            figures.table(graphs[SPLITS], "Nodes in each part of a split, as a range if splits differ").data
        )
        + "\n## Two versions of Cornell\n\n"
        "The files that are distributed with the fixed splits of Geom-GCN {cite}`pei2020` give Cornell the "
        "features and labels of Texas, on the edges of Cornell. The study names the two versions apart "
        "everywhere. The checksum is that of the raw file of features and labels.\n\n"
        + raw(figures.table(cornell, "Two versions of Cornell beside Texas", 3).data)
    )


def raw(html: str) -> str:
    """A fragment of HTML for a page in Markdown."""
    return f"```{{raw}} html\n{html}\n```\n"
