"""Graphs by name: embedded, real, generated and the user's own.

>>> load("karate").num_classes
4
>>> load("cycle?n=6").is_bipartite
True
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
import torch_geometric.datasets
from torch import Tensor

from .checks import GraphError
from .embedded import digits, karate
from .graph import Graph, compact, random_splits
from .own import from_arrays, from_pyg, load_own, read_arrays
from .raw import checked, data_root, download, find, read, registry
from .synthetic import GENERATORS, generate, parameters, parameters_of

__all__ = ["Entry", "catalogue", "cornell_evidence", "data_root", "download", "load", "mnist"]

EMBEDDED = {"karate": karate, "digits": digits}
MADE = {**EMBEDDED, **GENERATORS}
CORNELL = ("cornell-texas-features", "cornell-corrected")
TABLE = "out1_node_feature_label.txt"  # features and labels, in the files of Geom-GCN


def load(name: str, root: Path | None = None) -> Graph:
    """The graph of this name, undirected and with its splits.

    Args:
        name: an embedded graph (karate, digits), a real data set (``catalogue()`` lists them; with
            ``"texas?resplit=1"`` on new random splits, with ``"cora?split=public"`` on the single split
            of Planetoid in place of the 10 fixed ones that the field uses, with
            ``"texas?features=rows"`` with feature rows of sum one), a generated graph with parameters
            (``"csbm?n=500&seed=1"``), or a path to a graph of one's own.
        root: folder with the raw files of real data sets; by default ``data_root()``, then the user's cache
            folder; what is in neither is downloaded.

    Raises:
        GraphError: for an unknown name, parameter or split; a file that is missing, truncated or not the one
            of the registry; no network; a graph of one's own that is not as documented.
    """
    kind = name.partition("?")[0]
    if kind == "mnist":
        raise GraphError("'mnist' is images and not a graph; flowprune.graphs.mnist() loads it.")
    if kind in registry():
        return _real(name, root)
    if kind in MADE:
        return generate(name, MADE[kind])
    if kind.lower() == "cornell":
        raise GraphError(
            "'cornell' names two different graphs; allowed are 'cornell-texas-features' (as "
            "distributed, with the features and labels of Texas) and 'cornell-corrected'."
        )
    if Path(name).suffix in (".npz", ".pt", ".csv") or Path(name).is_dir():
        return load_own(name)
    known = [*EMBEDDED, *registry(), *GENERATORS]
    near = get_close_matches(kind.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"allowed are {', '.join(known)}, or a path."
    raise GraphError(f"graph {name!r} is unknown; {hint}")


def fingerprint(name: str) -> str:
    """SHA-256 over the files of a graph of one's own, which tells its versions apart; empty for any other name."""
    kind, path = name.partition("?")[0], Path(name)
    if kind in MADE or kind in registry():
        return ""
    tables = path.is_dir() or path.suffix == ".csv"
    folder = path if path.is_dir() else path.parent
    edges = folder / "edges.csv" if path.is_dir() else path
    files = [file for file in ([edges, folder / "nodes.csv"] if tables else [path]) if file.is_file()]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest() if files else ""


def _real(name: str, root: Path | None) -> Graph:
    kind = name.partition("?")[0]
    data = registry()[kind]
    if kind == "syn-cora-published":
        return _published(**parameters(name, _published), root=root)
    variant = parameters(name, _varied)  # refused before any file is looked for
    split = variant.get("split", "geom-gcn")
    if split not in data.splits:
        raise GraphError(f"{kind}: split {split!r} is unknown; allowed: {', '.join(data.splits)}.")
    graph = _read(kind, find(data, root) or download(kind), split)
    return _varied(graph, **variant) if variant else graph


def _varied(graph: Graph, split: str = "geom-gcn", resplit: int = 0, features: str = "raw") -> Graph:
    """The graph as read with its ``split``, or with ten new random splits (48 / 32 / 20 per cent, stratified) of the
    seed ``resplit``; 0 keeps its own. Features are ``raw``, or ``rows`` of sum one.
    """
    if features not in ("raw", "rows"):
        raise GraphError(f"{graph.name}: features {features!r} are unknown; allowed are raw and rows.")
    about, variant = graph.about, []
    if split != "geom-gcn":
        variant.append(f"split={split}")
    if resplit:
        graph = graph.with_splits(*random_splits(graph.labels, 10, seed=resplit))
        variant.append(f"resplit={resplit}")
        about += f" Splits: ten random ones of seed {resplit}."
    if features == "rows":
        X = graph.features.to_dense()
        graph = replace(graph, features=compact(X / X.sum(1, keepdim=True).clamp_min(1)))
        variant.append("features=rows")
        about += " Feature rows sum to one."
    name = f"{graph.name}?{'&'.join(variant)}" if variant else graph.name
    return replace(graph, name=name, about=about)


@lru_cache(maxsize=4)  # a graph never changes, so the last few are shared, with their operators
def _read(name: str, folder: Path, split: str) -> Graph:
    """Check the raw files in ``folder`` and read them with the loader that the registry names."""
    data = registry()[name]
    about = f"{data.about}; undirected, duplicate edges merged, self-loops dropped; {data.splits[split]}."
    if data.loader == "npz":
        return from_arrays(read_arrays(read(data, data.files[0], folder), name), name, about)
    with checked(data, folder) as raw, redirect_stderr(StringIO()):  # the loaders print what they do
        arguments = {**data.arguments, **({"split": split} if data.loader == "Planetoid" else {})}
        loader = getattr(torch_geometric.datasets, data.loader)
        here = {"raw_dir": str(raw), "processed_dir": str(raw / "processed")}
        return from_pyg(type(loader.__name__, (loader,), here)(str(raw), **arguments)[0], name, about)


def _published(homophily: float = 0.3, *, root: Path | None) -> Graph:
    """The published syn-cora graph of this level of homophily."""
    data = registry()["syn-cora-published"]
    levels = {file.name[1:5]: file for file in data.files}
    file = levels.get(f"{homophily:.2f}")
    if file is None:
        raise GraphError(f"{data.name}: homophily {homophily} is unknown; allowed are {', '.join(levels)}.")
    about = f"{data.about}: level {homophily:.2f}; undirected; {data.splits['geom-gcn']}."
    content = read(data, file, find(data, root) or download(data.name))
    return from_arrays(read_arrays(content, file.name), f"{data.name}?homophily={homophily:.2f}", about)


# ---- what is there


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue of graphs."""

    name: str
    state: Literal["embedded", "found", "downloadable", "generated"]
    where: str  # folder, or address, or parameters of a generated graph
    checksum: str  # of files found: "correct", or what is wrong
    about: str


def catalogue(root: Path | None = None) -> list[Entry]:
    """All graphs that ``load`` knows by name, and MNIST; the raw files that are found are checked."""
    entries = [Entry(name, "embedded", "", "", _first_sentence(make)) for name, make in EMBEDDED.items()]
    for name, data in registry().items():
        folder = find(data, root)
        if folder is None:
            entries.append(Entry(name, "downloadable", data.files[0].url.rpartition("/")[0], "", data.about))
            continue
        try:
            for file in data.files:
                read(data, file, folder)
            checksum = "correct"
        except GraphError as error:
            checksum = str(error)
        entries.append(Entry(name, "found", str(folder), checksum, data.about))
    return entries + [
        Entry(name, "generated", _parameters_text(make), "", _first_sentence(make))
        for name, make in GENERATORS.items()
    ]


def _parameters_text(make: Callable) -> str:
    return "&".join(f"{key}={value}" for key, value in parameters_of(make).items())


def _first_sentence(make: Callable) -> str:
    return make.__doc__.partition("\n")[0].rstrip(".:")


def cornell_evidence(root: Path | None = None) -> pd.DataFrame:
    """Which "Cornell" carries the features and labels of Texas: one row for each version and for Texas.

    ``sha256`` is that of the raw file of features and labels, from the registry; ``file of Texas`` says
    whether it is the file of Texas byte for byte. Where the raw files are found, further columns compare the
    arrays that were read from them; nothing is downloaded.
    """
    rows, graphs = [], {}
    for name in (*CORNELL, "texas"):
        data = registry()[name]
        sums = {file.name: file.sha256 for file in data.files}
        rows.append({"data set": name, "sha256": sums[TABLE]})
        if find(data, root) is not None:
            graphs[name] = load(name, root)
    table = pd.DataFrame(rows).set_index("data set")
    table["file of Texas"] = table["sha256"] == table.loc["texas", "sha256"]
    for name, graph in graphs.items() if "texas" in graphs else ():
        texas = graphs["texas"]
        features = graph.features.to_dense(), texas.features.to_dense()
        table.loc[name, "features of Texas"] = torch.equal(*features)
        table.loc[name, "labels of Texas"] = torch.equal(graph.labels, texas.labels)
        table.loc[name, "edges of Texas"] = torch.equal(graph.edge_index, texas.edge_index)
        table.loc[name, "class counts"] = ", ".join(map(str, graph.labels.bincount().tolist()))
        table.loc[name, "edge homophily"] = graph.homophily()
    return table


def mnist(root: Path | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """MNIST: training images [60000, 28, 28] uint8 and labels [60000] int64, then 10000 for testing.

    Raises:
        GraphError: as :func:`load`.
    """
    data = registry()["mnist"]
    folder = find(data, root) or download("mnist")
    images, labels, test_images, test_labels = (_idx(read(data, file, folder)) for file in data.files)
    return images, labels.long(), test_images, test_labels.long()


def _idx(content: bytes) -> Tensor:
    """The array in a gzipped IDX file: two zero bytes, type 8 (uint8), rank, big-endian sizes, the values."""
    raw = gzip.decompress(content)
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", count=rank, offset=4)
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape).copy())
