"""What a graph must satisfy, and the one error that says in a sentence when it does not."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class GraphError(ValueError):
    """A graph, a data file or a name is not usable; the message says what, where and what is allowed."""


def as_tensor(x: object, what: str) -> Tensor:
    """Return ``x`` (tensor, array, sparse matrix of scipy or nested list) as a tensor, sparse ones as CSR."""
    if hasattr(x, "tocsr"):  # scipy
        x = x.tocsr()
        x.sort_indices()
        return int32(torch.sparse_csr_tensor(x.indptr, x.indices, x.data, size=x.shape))
    try:
        x = x if isinstance(x, Tensor) else torch.as_tensor(np.require(x, requirements="W"))
    except (TypeError, ValueError) as error:
        raise GraphError(f"{what} cannot be read as an array of numbers: {error}.") from error
    return x if x.layout == torch.strided else int32(x.to_sparse_csr())


def int32(A: Tensor) -> Tensor:
    """The CSR matrix with int32 indices."""
    return torch.sparse_csr_tensor(A.crow_indices().int(), A.col_indices().int(), A.values(), size=A.shape)


def check_features(features: Tensor, n: int, name: str) -> None:
    """Require [n, p] finite real features."""
    if features.ndim != 2 or features.shape[0] != n:
        raise GraphError(f"{name}: features have shape {list(features.shape)}; allowed is [{n}, p].")
    values = features if features.layout == torch.strided else features.values()
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        bad = int((~finite).sum())
        where = int((~finite).nonzero()[0, 0])
        if features.layout != torch.strided:
            where = int(torch.searchsorted(features.crow_indices(), where, right=True)) - 1
        raise GraphError(
            f"{name}: {bad} feature values are NaN or infinite, the first at node {where}; "
            "features must be finite."
        )


def check_labels(labels: Tensor, n: int, name: str) -> None:
    """Require [n] integer labels from 0 on."""
    if labels.shape != (n,):
        raise GraphError(f"{name}: labels have shape {list(labels.shape)}; allowed is [{n}].")
    if labels.dtype != torch.int64:
        raise GraphError(f"{name}: labels have type {labels.dtype}; allowed are integers 0, 1, ..., k-1.")
    if bool((labels < 0).any()):
        where = int((labels < 0).nonzero()[0, 0])
        raise GraphError(
            f"{name}: label {int(labels[where])} at node {where} is out of range; allowed are 0, 1, ..., k-1."
        )


def check_splits(masks: dict[str, Tensor], n: int, name: str) -> None:
    """Require boolean masks [S, n] with one S for all and no node in two masks of one split."""
    shapes = {tuple(mask.shape) for mask in masks.values()}
    if len(shapes) > 1 or any(mask.ndim != 2 or mask.shape[1] != n for mask in masks.values()):
        shown = ", ".join(f"{key} {list(mask.shape)}" for key, mask in masks.items())
        raise GraphError(f"{name}: split masks have shapes {shown}; allowed is [S, {n}] with one S for all.")
    for key, mask in masks.items():
        if mask.dtype != torch.bool:
            raise GraphError(f"{name}: the {key} mask has type {mask.dtype}; allowed is bool.")
    twice = sum(mask.to(torch.int8) for mask in masks.values()) > 1
    if bool(twice.any()):
        split, node = twice.nonzero()[0].tolist()
        inside = " and ".join(key for key, mask in masks.items() if bool(mask[split, node]))
        raise GraphError(
            f"{name}: split {split} overlaps, node {node} is in {inside}; "
            "train, val and test must be disjoint."
        )


def check_edges(edge_index: Tensor, n: int, name: str) -> None:
    """Require an integer [2, E] list of node numbers below n."""
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        raise GraphError(f"{name}: edge_index has shape {list(edge_index.shape)}; allowed is [2, E].")
    if edge_index.dtype.is_floating_point or edge_index.dtype in (torch.bool, torch.complex64):
        raise GraphError(f"{name}: edge_index has type {edge_index.dtype}; allowed are integers.")
    outside = (edge_index < 0) | (edge_index >= n)
    if bool(outside.any()):
        column = int(outside.any(0).nonzero()[0, 0])
        u, v = edge_index[:, column].tolist()
        raise GraphError(
            f"{name}: edge {column} joins {u} and {v}, out of range; allowed are nodes 0 to {n - 1}."
        )


def check_weight(weight: Tensor, edges: int, name: str) -> None:
    """Require [E] finite positive weights."""
    if weight.shape != (edges,):
        raise GraphError(f"{name}: weight has shape {list(weight.shape)}; allowed is [{edges}].")
    wrong = ~(torch.isfinite(weight) & (weight > 0))
    if bool(wrong.any()):
        where = int(wrong.nonzero()[0, 0])
        raise GraphError(
            f"{name}: weight {float(weight[where])} of edge {where} is not allowed; "
            "weights must be positive and finite."
        )
