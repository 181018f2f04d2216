"""One undirected weighted graph with its operators: adjacency, degree, normalised adjacency and Laplacian.

Symbols are those of the field: A the adjacency, D the diagonal matrix of degrees dᵢ = Σⱼ Aᵢⱼ,
Ā = D^-1/2 A D^-1/2 the normalised adjacency and Δ = D^-1/2 (D − A) D^-1/2 the normalised Laplacian.
Where dᵢ = 0 the rows i of Ā and of Δ are zero, so that Δ = P − Ā with P the projection on nodes with edges.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from torch import Tensor
from torch_geometric.utils import coalesce, remove_self_loops, to_undirected
from torch_geometric.utils import homophily as pyg_homophily

from .checks import (
    GraphError,
    as_tensor,
    check_edges,
    check_features,
    check_labels,
    check_splits,
    check_weight,
    int32,
)

DENSE_SPECTRUM = 1500  # up to this many nodes the whole spectrum of Δ is computed, above only its upper end

with warnings.catch_warnings():  # torch says once per process that CSR is in beta and unchecked: unheard
    warnings.simplefilter("ignore")
    torch.sparse_coo_tensor(torch.zeros(2, 1, dtype=torch.int64), torch.ones(1), (1, 1)).to_sparse_csr()


@dataclass(frozen=True, eq=False)
class Graph:
    """An undirected graph with optional features, labels and splits; immutable, operators built once.

    Attributes:
        name: the name under which it was loaded.
        adjacency: A, [n, n] sparse CSR, symmetric, weights > 0, columns sorted, float32 or float64. All the
            CSR matrices here have int32 indices, which makes their products on a CPU 5 to 15 % faster.
        features: [n, p] strided or sparse CSR of the same floating type, or None.
        labels: [n] int64 in 0..k-1, or None.
        train, val, test: [S, n] bool, disjoint per split; S may be 0; nodes may be in none of them.
        about: one sentence for a caption: version, symmetrisation, self-loops, split.

    Raises:
        GraphError: if the parts do not fit together (sizes, types, NaN features, overlapping splits).

    >>> g = Graph.from_edges("triangle", [[0, 1, 2], [1, 2, 0]])
    >>> g.n, g.num_edges, g.is_bipartite
    (3, 3, False)
    >>> g.laplacian.to_dense()
    tensor([[ 1.0000, -0.5000, -0.5000],
            [-0.5000,  1.0000, -0.5000],
            [-0.5000, -0.5000,  1.0000]])
    """

    name: str
    adjacency: Tensor
    features: Tensor | None
    labels: Tensor | None
    train: Tensor
    val: Tensor
    test: Tensor
    about: str = ""

    def __post_init__(self) -> None:
        A = self.adjacency
        if A.layout != torch.sparse_csr or A.ndim != 2 or A.shape[0] != A.shape[1]:
            raise GraphError(
                f"{self.name}: the adjacency must be a square sparse CSR tensor; "
                "Graph.from_edges builds one from an edge list."
            )
        if self.n == 0:
            raise GraphError(f"{self.name}: the graph is empty; at least one node is needed.")
        if self.features is not None:
            check_features(self.features, self.n, self.name)
        if self.labels is not None:
            check_labels(self.labels, self.n, self.name)
        check_splits({"train": self.train, "val": self.val, "test": self.test}, self.n, self.name)

    # ---- building

    @classmethod
    def from_edges(
        cls,
        name: str,
        edge_index: Tensor | np.ndarray | Sequence,
        n: int | None = None,
        *,
        weight: Tensor | np.ndarray | Sequence | None = None,
        features: object = None,
        labels: object = None,
        train: object = None,
        val: object = None,
        test: object = None,
        self_loops: bool = False,
        dtype: torch.dtype = torch.float32,
        about: str = "",
    ) -> Graph:
        """Build a graph from a list of edges [2, E], directed or not.

        Rules: every edge is made undirected; duplicates are merged (weight 1, or the largest of the given
        weights); self-loops are dropped, unless ``self_loops`` keeps them as given; isolated nodes are kept.
        Without ``n`` the number of nodes is that of the features, of the labels, or the largest node plus 1.
        Masks are [S, n], or [n] for one split.

        Raises:
            GraphError: for edges or labels out of range, weights that are not positive, NaN or infinite
                features, an empty graph or overlapping splits.

        >>> g = Graph.from_edges("two ways and a loop", [[0, 1, 2, 0], [1, 0, 2, 1]], n=4)
        >>> g.num_edges, g.degree.tolist()
        (1, [1.0, 1.0, 0.0, 0.0])
        """
        edge_index = as_tensor(edge_index, f"{name}: edge_index")
        features = None if features is None else as_tensor(features, f"{name}: features")
        labels = None if labels is None else _integers(as_tensor(labels, f"{name}: labels"))
        if edge_index.numel() == 0:
            edge_index = torch.empty(2, 0, dtype=torch.int64)
        if n is None:
            n = (
                len(features)
                if features is not None
                else len(labels)
                if labels is not None
                else int(edge_index.max()) + 1
                if edge_index.numel()
                else 0
            )
        if n < 1:
            raise GraphError(f"{name}: the graph is empty; at least one node is needed.")
        check_edges(edge_index, n, name)
        edge_index = edge_index.long()
        weight = (
            torch.ones(edge_index.shape[1], dtype=dtype)
            if weight is None
            else as_tensor(weight, f"{name}: weight").to(dtype)
        )
        check_weight(weight, edge_index.shape[1], name)
        if labels is not None and labels.numel() and int(labels.max()) >= n:
            raise GraphError(
                f"{name}: label {int(labels.max())} is out of range; with {n} nodes allowed are 0 to {n - 1}."
            )
        if not self_loops:
            edge_index, weight = remove_self_loops(edge_index, weight)
        edge_index, weight = to_undirected(edge_index, weight, num_nodes=n, reduce="max")
        return cls(
            name=name,
            adjacency=_csr(edge_index, weight, n),
            labels=labels,
            about=about,
            features=None if features is None else _real(features, dtype, name),
            **_masks(name, n, train, val, test),
        )

    def with_splits(self, train: object, val: object, test: object) -> Graph:
        """The same graph with other splits: boolean masks [S, n], or [n] for one split."""
        return replace(self, **_masks(self.name, self.n, train, val, test, self.adjacency.device))

    def with_self_loops(self, weight: float = 1.0) -> Graph:
        """The same graph with a self-loop of this weight at every node (1 gives A + I, as in the GCN)."""
        check_weight(torch.tensor([weight]), 1, self.name)
        edge_index, values = remove_self_loops(self.edge_index, self.adjacency.values())
        node = torch.arange(self.n, device=values.device)
        edge_index = torch.cat([edge_index, torch.stack([node, node])], dim=1)
        values = torch.cat([values, values.new_full((self.n,), weight)])
        return replace(self, adjacency=_csr(*coalesce(edge_index, values, num_nodes=self.n), self.n))

    def largest_component(self) -> Graph:
        """The subgraph on the largest connected component, nodes in their old order, masks cut to it."""
        _, component = self._components
        keep = np.flatnonzero(component == np.bincount(component).argmax())
        index = torch.from_numpy(keep).to(self.adjacency.device)
        A = as_tensor(_scipy(self.adjacency)[keep][:, keep], "adjacency")
        return replace(
            self,
            adjacency=A.to(index.device),
            features=None if self.features is None else _select_rows(self.features, index),
            labels=None if self.labels is None else self.labels[index],
            train=self.train[:, index],
            val=self.val[:, index],
            test=self.test[:, index],
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Graph:
        """The same graph on another device, or with adjacency and features in another floating type."""

        def move(x: Tensor | None, to_dtype: torch.dtype | None = None) -> Tensor | None:
            return x if x is None else x.to(device=device or x.device, dtype=to_dtype or x.dtype)

        return replace(
            self,
            adjacency=move(self.adjacency, dtype),
            features=move(self.features, dtype),
            labels=move(self.labels),
            train=move(self.train),
            val=move(self.val),
            test=move(self.test),
        )

    # ---- sizes

    @property
    def n(self) -> int:
        """Number of nodes."""
        return self.adjacency.shape[0]

    @cached_property
    def num_edges(self) -> int:
        """Number of undirected edges, self-loops not counted."""
        row, column = self.edge_index
        return int((row < column).sum())

    @cached_property
    def num_classes(self) -> int:
        """Number of classes k, 0 without labels."""
        return 0 if self.labels is None else int(self.labels.max()) + 1

    @property
    def num_features(self) -> int:
        """Number of features p, 0 without features."""
        return 0 if self.features is None else self.features.shape[1]

    @property
    def num_splits(self) -> int:
        """Number of splits S."""
        return self.train.shape[0]

    # ---- operators

    @cached_property
    def edge_index(self) -> Tensor:
        """[2, E] edges in both orders (a self-loop once), sorted by row, then column."""
        A = self.adjacency
        rows = torch.arange(self.n, device=A.device).repeat_interleave(A.crow_indices().diff().long())
        return torch.stack([rows, A.col_indices().long()])

    @cached_property
    def degree(self) -> Tensor:
        """dᵢ = Σⱼ Aᵢⱼ, [n]; a self-loop counts once with its weight."""
        A = self.adjacency
        return A.values().new_zeros(self.n).index_add_(0, self.edge_index[0], A.values())

    @cached_property
    def norm_adjacency(self) -> Tensor:
        """Ā = D^-1/2 A D^-1/2, [n, n] sparse CSR, exactly symmetric; rows of isolated nodes are zero."""
        A, (row, column) = self.adjacency, self.edge_index
        scale = self.degree.rsqrt()  # infinite only where no edge refers to it
        return torch.sparse_csr_tensor(
            A.crow_indices(), A.col_indices(), scale[row] * scale[column] * A.values(), size=A.shape
        )

    @cached_property
    def laplacian(self) -> Tensor:
        """Δ = D^-1/2 (D − A) D^-1/2, [n, n] sparse CSR, symmetric, with its spectrum in [0, 2]."""
        node = (self.degree > 0).nonzero().squeeze(1)
        edge_index = torch.cat([self.edge_index, torch.stack([node, node])], dim=1)
        values = torch.cat([-self.norm_adjacency.values(), torch.ones_like(node, dtype=self.degree.dtype)])
        return _csr(*coalesce(edge_index, values, num_nodes=self.n), self.n)

    @cached_property
    def gradient(self) -> Tensor:
        """G, [E, n] sparse COO, with GF the rows √a_ij (f_i/√d_i − f_j/√d_j) of one order an edge: GᵀG = Δ."""
        (row, column), scale = self.edge_index, self.degree.rsqrt()
        one = row < column
        i, j, root = row[one], column[one], self.adjacency.values()[one].sqrt()
        edge = torch.arange(i.numel(), device=i.device)
        index = torch.stack([edge.repeat(2), torch.cat([i, j])])
        values = torch.cat([root * scale[i], -root * scale[j]])
        return torch.sparse_coo_tensor(index, values, (i.numel(), self.n)).coalesce()

    @cached_property
    def rho(self) -> float:
        """ρ_Δ, the largest eigenvalue of Δ; it is 2 exactly if a component with edges is bipartite."""
        Δ = _scipy(self.to("cpu", torch.float64).laplacian)
        if self.n <= DENSE_SPECTRUM:
            return float(np.linalg.eigvalsh(Δ.toarray())[-1])
        start = np.random.default_rng(0).random(self.n) - 0.5  # fixed, so that the result is repeatable
        return float(eigsh(Δ, k=1, which="LA", v0=start, return_eigenvectors=False)[0])

    # ---- structure

    @cached_property
    def _components(self) -> tuple[int, np.ndarray]:
        return connected_components(_scipy(self.adjacency), directed=False)

    @property
    def component_of(self) -> np.ndarray:
        """The number of each node's component, [n]."""
        return self._components[1]

    @property
    def num_components(self) -> int:
        """Number of connected components; an isolated node is one."""
        return self._components[0]

    @cached_property
    def is_bipartite(self) -> bool:
        """Whether all nodes can be coloured with two colours so that no edge joins equal ones.

        The double cover [[0, A], [A, 0]] has twice as many components as the graph exactly then.
        """
        A = _scipy(self.adjacency)
        cover = sp.block_array([[None, A], [A, None]])
        return connected_components(cover, directed=False)[0] == 2 * self.num_components

    def homophily(self, kind: Literal["edge", "node"] = "edge") -> float:
        """How often neighbours share a label, in [0, 1], self-loops left out.

        ``edge``: the fraction of edges whose ends share a label (Zhu et al. 2020). ``node``: the mean over
        nodes of the fraction of neighbours with the node's label, 0 for isolated nodes (Pei et al. 2020).
        """
        if kind not in ("edge", "node"):
            raise GraphError(f"homophily of kind {kind!r} is not known; allowed are 'edge' and 'node'.")
        if self.labels is None:
            raise GraphError(f"{self.name}: homophily needs labels and the graph has none.")
        return float(pyg_homophily(remove_self_loops(self.edge_index)[0], self.labels, method=kind))

    def __deepcopy__(self, memo: dict) -> Graph:
        return self  # it never changes, and torch cannot copy CSR tensors

    def __repr__(self) -> str:
        return (
            f"Graph({self.name!r}, n={self.n}, edges={self.num_edges}, features={self.num_features}, "
            f"classes={self.num_classes}, splits={self.num_splits})"
        )


def compact(features: object) -> Tensor:
    """Features as a tensor: CSR if fewer than one entry in eight is non-zero, else strided.

    Bag-of-words features are mostly zero; their products with weights, and dropout on the stored entries
    alone, then take a fraction of the time.

    >>> compact(torch.eye(10)).layout, compact(torch.ones(3, 3)).layout
    (torch.sparse_csr, torch.strided)
    """
    x = as_tensor(features, "features")
    if x.ndim != 2:
        return x
    stored = x.values() if x.layout == torch.sparse_csr else x
    if 8 * int(torch.count_nonzero(stored)) < x.numel():
        return x if x.layout == torch.sparse_csr else int32(x.to_sparse_csr())
    return x.to_dense()


def random_splits(
    labels: Tensor | np.ndarray, count: int, fractions: tuple[float, float] = (0.48, 0.32), seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw random splits of all nodes, stratified by class: train, val and test, each [count, n].

    ``fractions`` are the shares of train and val; the rest is test. Sizes are exact (rounded), and every
    class has its share in every part up to one or two nodes: nodes are ordered by (rank in class + offset)
    / (class size), with random ranks and one random offset per class, then cut twice. Split s depends on
    (seed, s) alone.

    >>> train, val, test = random_splits(torch.tensor([0] * 50 + [1] * 50), 3)
    >>> train.sum(1).tolist(), train[:, :50].sum(1).tolist()
    ([48, 48, 48], [24, 24, 24])
    """
    labels = np.asarray(labels)
    n = len(labels)
    if min(fractions) < 0 or sum(fractions) > 1:
        raise GraphError(f"fractions {fractions} are not allowed; both must be >= 0 and their sum <= 1.")
    if labels.ndim != 1:
        raise GraphError(f"labels have shape {list(labels.shape)}; allowed is [n], one label per node.")
    cuts = np.rint(np.cumsum(fractions) * n).astype(int)
    part = np.empty((count, n), dtype=np.int8)
    _, of_class, size = np.unique(labels, return_inverse=True, return_counts=True)
    for s in range(count):
        rng = np.random.Generator(np.random.PCG64([seed, s]))
        order = np.lexsort((rng.random(n), of_class))  # classes one after the other, each in random order
        rank = np.empty(n)
        rank[order] = np.arange(n) - np.repeat(np.cumsum(size) - size, size)
        position = (rank + rng.random(len(size))[of_class]) / size[of_class]
        part[s, np.argsort(position, kind="stable")] = np.digitize(np.arange(n), cuts)
    train, val, test = (torch.from_numpy(part == which) for which in range(3))
    return train, val, test


def _csr(edge_index: Tensor, values: Tensor, n: int) -> Tensor:
    """CSR tensor of sorted, merged coordinates."""
    return int32(torch.sparse_coo_tensor(edge_index, values, (n, n), is_coalesced=True).to_sparse_csr())


def _scipy(A: Tensor) -> sp.csr_array:
    parts = (A.values(), A.col_indices(), A.crow_indices())
    return sp.csr_array(tuple(part.cpu().numpy() for part in parts), shape=A.shape)


def _select_rows(features: Tensor, index: Tensor) -> Tensor:
    if features.layout == torch.strided:
        return features[index]
    return as_tensor(_scipy(features)[index.cpu().numpy()], "features").to(features.device)


def _integers(labels: Tensor) -> Tensor:
    kinds = (torch.uint8, torch.int8, torch.int16, torch.int32)
    return labels.long() if labels.dtype in kinds else labels


def _real(features: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    if features.is_complex():
        raise GraphError(f"{name}: features have type {features.dtype}; allowed are real numbers.")
    return features.to(dtype)


def _masks(
    name: str, n: int, train: object, val: object, test: object, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    given = {"train": train, "val": val, "test": test}
    if all(mask is None for mask in given.values()):
        return {key: torch.zeros(0, n, dtype=torch.bool, device=device) for key in given}
    missing = [key for key, mask in given.items() if mask is None]
    if missing:
        raise GraphError(f"{name}: the {missing[0]} mask is missing; train, val and test are given together.")
    masks = {key: as_tensor(mask, f"{name}: the {key} mask").to(device) for key, mask in given.items()}
    masks = {key: mask.bool() if mask.dtype == torch.uint8 else mask for key, mask in masks.items()}
    return {key: mask.unsqueeze(0) if mask.ndim == 1 else mask for key, mask in masks.items()}
