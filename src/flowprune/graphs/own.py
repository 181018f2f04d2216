"""Graphs of one's own: ``.npz`` arrays, torch-geometric ``Data``, and tables of edges and nodes.

Without splits of their own, labelled graphs get 10 random stratified ones of 48/32/20 %.
"""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

from .checks import GraphError
from .graph import Graph, compact, random_splits

SPLITS = 10
MASKS = ("train", "val", "test")
NO_MASKS = (None, None, None)
SAFE = [Data, DataEdgeAttr, DataTensorAttr, GlobalStorage]  # what a saved Data consists of, besides tensors
FORMS = "a .npz file, a .pt file, an edge list .csv or a folder with edges.csv"


# what an .npz may hold; "metadata" is in the published syn-cora files and is not read
ARRAYS = frozenset(
    ["edges", "weights", "node_features", "node_labels", "labels", "metadata"]
    + [f"{key}_masks" for key in ("train", "val", "test")]
    + [f"{matrix}_{part}" for matrix in ("adj", "attr") for part in ("data", "indices", "indptr", "shape")]
)


def load_own(path: str | Path) -> Graph:
    """The graph in a file or folder of one's own, read by ``from_arrays``, ``from_pyg`` or ``from_tables``.

    Raises:
        GraphError: if the file is missing, is of another kind or does not hold what is documented.
    """
    path = Path(path)
    if not path.exists():
        raise GraphError(f"file {path} is missing; allowed are {FORMS}.")
    if path.is_dir():
        return from_tables(path / "edges.csv", path.name)
    if path.suffix == ".npz":
        return from_arrays(read_arrays(path.read_bytes(), str(path)), path.stem)
    if path.suffix == ".pt":
        return from_pyg(_read_pt(path), path.stem)
    if path.suffix == ".csv":
        return from_tables(path, path.stem)
    raise GraphError(f"{path} is not a graph file; allowed are {FORMS}.")


def read_arrays(content: bytes, where: str) -> dict[str, np.ndarray]:
    """The arrays in the bytes of an ``.npz`` file; pickled objects are refused."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (
        ValueError, OSError, EOFError, AttributeError, RuntimeError, zipfile.BadZipFile, zlib.error
    ) as error:  # fmt: skip
        raise GraphError(f"{where} is not a readable .npz file of plain arrays ({error}).") from error


def from_arrays(arrays: Mapping[str, np.ndarray], name: str = "own", about: str = "") -> Graph:
    """A graph from named arrays, the layout of Platonov et al. (2023) or of Zhu et al. (2020).

    ``edges`` [m, 2] integers, or a CSR matrix in ``adj_data``, ``adj_indices``, ``adj_indptr``,
    ``adj_shape``; optional: ``weights`` [m] > 0, ``node_features`` [n, p] (or CSR in ``attr_*``),
    ``node_labels`` (or ``labels``) [n] integers 0..k-1, and ``train_masks``, ``val_masks``, ``test_masks``
    [S, n] bool. Other names are refused, so that a misspelt array is not left out in silence.

    >>> from_arrays({"edges": np.array([[0, 1], [1, 2]]), "node_labels": np.array([0, 1, 0])}).num_splits
    10
    """
    if unknown := sorted(set(arrays) - ARRAYS):
        raise GraphError(f"{name}: array {unknown[0]!r} is unknown; allowed are {', '.join(sorted(ARRAYS))}.")
    n = None
    if "edges" in arrays:
        edges, weight = np.asarray(arrays["edges"]), arrays.get("weights")
        if edges.ndim != 2 or edges.shape[1] != 2:
            raise GraphError(f"{name}: edges have shape {list(edges.shape)}; allowed is [m, 2].")
        edge_index = edges.T
    elif "adj_indptr" in arrays:
        A = _csr_of(arrays, "adj", name).tocoo()
        n, edge_index, weight = A.shape[0], np.stack([A.row, A.col]), A.data
    else:
        raise GraphError(f"{name}: array 'edges' is missing; given are {', '.join(arrays) or 'none'}.")
    features = arrays.get("node_features")
    if features is None and "attr_indptr" in arrays:
        features = _csr_of(arrays, "attr", name)
    labels = arrays.get("node_labels", arrays.get("labels"))
    return _own(
        name,
        edge_index,
        n=n,
        features=features,
        labels=labels,
        weight=weight,
        masks=[arrays.get(f"{key}_masks") for key in MASKS],
        about=about,
    )


def from_pyg(data: Data, name: str = "own", about: str = "") -> Graph:
    """A graph from a torch-geometric ``Data``: edge_index; x, y, edge_weight, *_mask [n] or [n, S] if there.

    >>> from_pyg(Data(edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.tensor([0, 1, 0]))).num_edges
    2
    """
    if data.get("edge_index") is None:
        raise GraphError(f"{name}: the Data has no edge_index; it holds {', '.join(data.keys())}.")
    masks = [data.get(f"{key}_mask") for key in MASKS]
    labels = data.get("y")
    if labels is not None and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels.squeeze(1)
    n = data.num_nodes if data.get("x") is None and labels is None else None
    return _own(
        name,
        data.edge_index,
        n=n,
        features=data.get("x"),
        labels=labels,
        weight=data.get("edge_weight"),
        masks=[mask if mask is None else mask.t() for mask in masks],
        about=about,
    )


def from_tables(edges: Path, name: str = "own") -> Graph:
    """A graph from an edge list and, beside it, ``nodes.csv``.

    The edge list has columns ``source``, ``target`` and optionally ``weight``. ``nodes.csv`` has a column
    ``id``, optionally ``label`` (numbers or words, numbered in sorted order) and ``split`` (train, val, test
    or empty); all its other columns are features. Without it nodes are numbered 0, 1, ... in the edge list.
    """
    table = _read_csv(edges, ["source", "target"])
    if "weight" in table and not pd.api.types.is_numeric_dtype(table["weight"]):
        raise GraphError(f"{edges}: column 'weight' holds words; weights must be numbers.")
    weight = table["weight"].to_numpy(float) if "weight" in table else None
    beside = edges.parent / "nodes.csv"
    if not beside.exists():
        return _own(name, table[["source", "target"]].to_numpy().T, weight=weight)
    nodes = _read_csv(beside, ["id"])
    index = pd.Index(nodes["id"])
    if index.has_duplicates:
        raise GraphError(f"{beside}: id {index[index.duplicated()][0]} is given twice; ids must differ.")
    edge_index = np.stack([index.get_indexer(table[end]) for end in ("source", "target")])
    if (edge_index < 0).any():
        end, row = np.argwhere(edge_index < 0)[0]
        stranger = table[("source", "target")[end]][row]
        raise GraphError(
            f"{edges}, line {row + 2}: node {stranger} is out of range; allowed are the ids in {beside.name}."
        )
    if "split" in nodes and not nodes["split"].dropna().isin(MASKS).all():
        row = int((~nodes["split"].isin([*MASKS, np.nan])).argmax())
        raise GraphError(
            f"{beside}, line {row + 2}: split {nodes['split'][row]!r} is unknown; "
            f"allowed are {', '.join(MASKS)} or nothing."
        )
    columns = nodes.drop(columns=["id", "label", "split"], errors="ignore")
    words = [column for column in columns if not pd.api.types.is_numeric_dtype(columns[column])]
    if words:
        raise GraphError(f"{beside}: column {words[0]!r} holds words; features must be numbers.")
    if "label" in nodes and nodes["label"].isna().any():
        raise GraphError(f"{beside}, line {int(nodes['label'].isna().argmax()) + 2}: the label is missing.")
    masks = [(nodes["split"] == key).to_numpy() for key in MASKS] if "split" in nodes else NO_MASKS
    return _own(
        name,
        edge_index,
        n=len(nodes),
        weight=weight,
        masks=masks,
        features=columns.to_numpy(np.float32) if columns.shape[1] else None,
        labels=pd.factorize(nodes["label"], sort=True)[0] if "label" in nodes else None,
    )


def _own(
    name: str,
    edge_index: object,
    *,
    n: int | None = None,
    features: object = None,
    labels: object = None,
    weight: object = None,
    masks: Sequence = NO_MASKS,
    about: str = "",
) -> Graph:
    """The graph, checked, with sparse storage of sparse features and random splits where none are given."""
    split = "splits as given"
    if labels is not None and all(mask is None for mask in masks):
        masks = random_splits(labels, SPLITS)
        split = "10 random stratified splits of 48/32/20 %"
    graph = Graph.from_edges(
        name,
        edge_index,
        n,
        weight=weight,
        features=None if features is None else compact(features),
        labels=labels,
        **dict(zip(MASKS, masks, strict=True)),
        about=about or f"{name}; undirected, duplicate edges merged, self-loops dropped; {split}.",
    )
    if graph.num_edges == 0:
        raise GraphError(f"{name}: the graph has no edges; at least one is needed.")
    return graph


def _csr_of(arrays: Mapping[str, np.ndarray], prefix: str, name: str) -> sp.csr_array:
    try:
        parts = tuple(arrays[f"{prefix}_{part}"] for part in ("data", "indices", "indptr"))
        return sp.csr_array(parts, shape=tuple(arrays[f"{prefix}_shape"]))
    except (KeyError, ValueError) as error:
        raise GraphError(f"{name}: arrays {prefix}_* are not a CSR matrix ({error}).") from error


def _read_pt(path: Path) -> Data:
    try:
        torch.serialization.add_safe_globals(SAFE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch wonders about other pickle protocols
            content: Data | dict[str, Tensor] = torch.load(path, weights_only=True)
    except (pickle.UnpicklingError, LookupError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise GraphError(
            f"{path} is damaged or holds more than tensors and is not opened; allowed is a "
            "torch-geometric Data, or its to_dict(), saved with torch.save."
        ) from error
    if isinstance(content, Mapping):
        content = Data.from_dict(dict(content))
    if not isinstance(content, Data):
        raise GraphError(f"{path} holds a {type(content).__name__}; allowed is a torch-geometric Data.")
    return content


def _read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of fields that have no column
            table = pd.read_csv(path, index_col=False)  # else a field too many shifts all columns, unsaid
    except FileNotFoundError:
        raise GraphError(f"file {path} is missing; a graph of tables has edges.csv and nodes.csv.") from None
    except (
        pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, UnicodeDecodeError
    ) as error:  # fmt: skip
        said = " ".join(str(error).split())
        raise GraphError(f"{path} is not a readable table of comma-separated values ({said}).") from error
    missing = [column for column in columns if column not in table]
    if missing:
        given = ", ".join(map(str, table.columns))
        raise GraphError(f"{path}: column {missing[0]!r} is missing; given are {given}.")
    return table
