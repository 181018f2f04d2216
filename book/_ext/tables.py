"""Tables of the book that are computed: verdicts, claims, data sets."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML

from flowprune.study import figures, verdicts
from flowprune.study.rules import NOT_STUDIED

ORDER = ("holds", "holds under conditions", "does not hold", "undecided", NOT_STUDIED)


def badge(id: str, verdict: str) -> str:
    """A badge for a page that lies beside the claims page."""
    return verdicts.badge(id, verdict).replace('href="../', 'href="')


def counts(found: pd.DataFrame) -> str:
    """How many claims have each verdict, and which; claims that nobody studied yet are only counted."""
    rows = []
    for verdict in ORDER:
        ids = found.loc[found["verdict"] == verdict, "id"]
        shown = " ".join(badge(id, verdict) for id in ids) if verdict != NOT_STUDIED else ""
        rows.append({"Verdict": verdict, "Claims": len(ids), "Which": HTML(shown)})
    return raw(figures.table(pd.DataFrame(rows), "Claims by verdict").data)


def ledger(found: pd.DataFrame) -> str:
    """All claims, each row with the target that badges link to."""
    rows = [
        {
            "Claim": HTML(f'<span id="claim-{claim.id.lower()}">{claim.id}</span>'),
            "Kind": claim.kind,
            "Statement": HTML(f'<div class="fp-statement">{escape(claim.statement)}{details(claim)}</div>'),
            "Verdict": HTML(f'<span class="{verdicts.css(claim.verdict)} fp-verdict">{claim.verdict}</span>'),
            "Chapter": chapter(claim.chapter, claim.verdict),
        }
        for claim in found.itertuples()
    ]
    return raw(figures.table(pd.DataFrame(rows), "Claims, verdicts and evidence", sortable=True).data)


def details(claim: Any) -> str:
    """Evidence and explanation under a statement, where there are any."""
    told = [f"Evidence: {verdicts.words(claim.evidence)}."] if claim.evidence else []
    told += [claim.because] if claim.because else []
    return "".join(f"<small>{escape(text)}</small>" for text in told)


def chapter(name: str | None, verdict: str) -> HTML:
    """A link to the chapter that decided the claim."""
    if name is None or verdict == NOT_STUDIED:
        return HTML("")
    return HTML(f'<a href="executed/{name}.html">{escape(name.replace("_", " "))}</a>')


SIZES = ["Data set", "Nodes", "Edges", "Features", "Classes", "Edge homophily", "Node homophily"]
SPLITS = ["Data set", "Splits", "Train / validation / test", "Components", "Isolated"]


def data_sets(record: Path) -> str:
    """What was measured on the real data sets, and the evidence about the two versions of Cornell."""
    content = json.loads(record.read_text())
    graphs = pd.DataFrame(content["graphs"])
    sizes = graphs[SIZES]
    graphs["Data set"] = [
        HTML(f"{row.name}<small>{escape(row.about)}</small>")
        for row in graphs.rename(columns={"Data set": "name", "About": "about"}).itertuples()
    ]
    cornell = pd.DataFrame(content["cornell"]).set_index("data set").T.reset_index(names="Measured")
    return (
        "## Sizes and homophily\n\n"
        + raw(figures.table(sizes, "Undirected edges; homophily as measured", 3, sortable=True).data)
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
