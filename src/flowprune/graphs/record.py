"""What was measured on the real data sets: a record for the data page, which is built without the data."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from .datasets import catalogue, cornell_evidence, load
from .graph import Graph


def write(file: Path) -> Path:
    """Measure every real data set that is found and write the record; raises GraphError as :func:`load` does.

    The rows of data sets that are not found are kept from the record that is there.
    """
    old = json.loads(file.read_text()) if file.is_file() else {"graphs": [], "cornell": []}
    rows = {row["Data set"]: row for row in old["graphs"]}
    evidence, complete = old["cornell"], 0
    for entry in catalogue():
        if entry.state == "found" and entry.name not in ("mnist", "syn-cora-published"):
            rows[entry.name] = measure(load(entry.name), entry.about)
            complete += entry.name in ("texas", "cornell-corrected", "cornell-texas-features")
    if complete == 3:
        table = cornell_evidence().reset_index()
        table["sha256"] = table["sha256"].str[:16] + "…"
        evidence = json.loads(table.to_json(orient="records"))
    content = {"graphs": list(rows.values()), "cornell": evidence}
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def measure(graph: Graph, about: str) -> dict[str, object]:
    """One row of the data page."""
    sizes = pd.DataFrame({k: getattr(graph, k).sum(1).tolist() for k in ("train", "val", "test")})
    shown = [
        f"{low}" if low == high else f"{low}-{high}"
        for low, high in zip(sizes.min(), sizes.max(), strict=True)
    ]
    return {
        "Data set": graph.name,
        "Nodes": graph.n,
        "Edges": graph.num_edges,
        "Features": graph.num_features,
        "Classes": graph.num_classes,
        "Components": graph.num_components,
        "Isolated": int((graph.degree == 0).sum()),
        "Edge homophily": round(graph.homophily("edge"), 4),
        "Node homophily": round(graph.homophily("node"), 4),
        "Splits": graph.num_splits,
        "Train / validation / test": " / ".join(shown),
        "About": about,
    }


def cornell(file: Path) -> tuple[pd.DataFrame, str]:
    """The Cornell evidence, one row a data set, and where it comes from: measured here, or read from the record."""
    names = {"texas", "cornell-corrected", "cornell-texas-features"}
    if names <= {entry.name for entry in catalogue() if entry.state == "found"}:
        return cornell_evidence(), "measured on the files at hand"
    return pd.DataFrame(json.loads(file.read_text())["cornell"]).set_index("data set"), "read from the record"
