"""The graph: rules of construction, operators against their definition, spectrum, structure."""

from __future__ import annotations

import copy
import pickle

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flowprune.graphs import Graph, GraphError, load
from flowprune.graphs import graph as graph_module

f64 = torch.float64


@st.composite
def graphs(draw: st.DrawFn, self_loops: bool = False) -> Graph:
    """Any small graph: directed, duplicate and looping edges, isolated nodes, weights or none."""
    n = draw(st.integers(1, 10))
    node = st.integers(0, n - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=25))
    weight = None
    if draw(st.booleans()):
        positive = st.floats(1e-3, 1e3)
        weight = draw(st.lists(positive, min_size=len(edges), max_size=len(edges)))
    labels = draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n))
    return Graph.from_edges(
        "drawn",
        np.array(edges).reshape(-1, 2).T,
        n,
        weight=weight,
        labels=labels,
        dtype=f64,
        self_loops=self_loops,
    )


def as_networkx(g: Graph) -> nx.Graph:
    G = nx.Graph()
    G.add_nodes_from(range(g.n))
    G.add_edges_from(g.edge_index.T.tolist())
    return G


# ---- rules of construction


def test_directed_and_duplicate_edges_are_merged_into_undirected_ones() -> None:
    g = Graph.from_edges("g", [[0, 1, 0, 2], [1, 0, 1, 1]])
    assert g.adjacency.to_dense().tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert g.num_edges == 2
    assert g.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]


def test_of_duplicate_weights_the_largest_stays() -> None:
    g = Graph.from_edges("g", [[0, 1, 0], [1, 0, 1]], weight=[1.0, 3.0, 2.0])
    assert g.adjacency.to_dense().tolist() == [[0, 3], [3, 0]]


def test_self_loops_are_dropped_or_kept_as_given() -> None:
    edges, weight = [[0, 0, 1], [0, 1, 0]], [5.0, 1.0, 1.0]
    assert Graph.from_edges("g", edges, weight=weight).adjacency.to_dense().tolist() == [[0, 1], [1, 0]]
    kept = Graph.from_edges("g", edges, weight=weight, self_loops=True)
    assert kept.adjacency.to_dense().tolist() == [[5, 1], [1, 0]]
    assert kept.degree.tolist() == [6, 1]
    assert kept.num_edges == 1


def test_isolated_nodes_stay_with_zero_rows() -> None:
    g = Graph.from_edges("g", [[0], [1]], n=4)
    assert g.n == 4
    assert g.num_components == 3
    for operator in (g.norm_adjacency, g.laplacian):
        assert operator.to_dense()[2:].count_nonzero() == 0
        assert operator.to_dense()[:, 2:].count_nonzero() == 0


def test_a_graph_without_edges_has_zero_operators() -> None:
    g = Graph.from_edges("g", np.empty((2, 0), dtype=int), n=3)
    assert g.rho == 0.0
    assert g.norm_adjacency.to_dense().count_nonzero() == 0
    assert g.num_components == 3
    assert g.is_bipartite


def test_number_of_nodes_is_that_of_features_then_labels_then_edges() -> None:
    assert Graph.from_edges("g", [[0], [1]], features=torch.ones(5, 2), labels=[0] * 5).n == 5
    assert Graph.from_edges("g", [[0], [1]], labels=[0, 1, 0]).n == 3
    assert Graph.from_edges("g", [[0], [7]]).n == 8


@given(graphs(), st.randoms())
def test_order_direction_and_repetition_of_edges_do_not_matter(g: Graph, random: object) -> None:
    row, column = g.edge_index
    edges = [
        (u, v, w)
        for u, v, w in zip(row.tolist(), column.tolist(), g.adjacency.values().tolist(), strict=True)
        if u < v or random.random() < 0.5
    ]
    edges += edges[: len(edges) // 2]
    random.shuffle(edges)
    u, v, w = zip(*edges, strict=True) if edges else ((), (), ())
    again = Graph.from_edges("again", np.array([u, v], dtype=int), g.n, weight=w, dtype=f64)
    assert torch.equal(again.adjacency.to_dense(), g.adjacency.to_dense())


@given(graphs(self_loops=True))
def test_adjacency_is_symmetric_with_sorted_columns(g: Graph) -> None:
    A = g.adjacency
    assert torch.equal(A.to_dense(), A.to_dense().T)
    assert bool((A.values() > 0).all())
    code = g.edge_index[0] * g.n + g.edge_index[1]
    assert bool((code.diff() > 0).all())
    assert A.col_indices().dtype == torch.int32
    assert g.edge_index.dtype == torch.int64


# ---- operators


@given(graphs(self_loops=True))
def test_operators_equal_their_definition(g: Graph) -> None:
    A = g.adjacency.to_dense().numpy()
    d = A.sum(1)
    scale = np.divide(1, np.sqrt(d), out=np.zeros_like(d), where=d > 0)
    np.testing.assert_allclose(g.degree.numpy(), d, rtol=1e-14)
    np.testing.assert_allclose(g.norm_adjacency.to_dense().numpy(), scale[:, None] * A * scale, atol=1e-14)
    Δ = scale[:, None] * (np.diag(d) - A) * scale
    np.testing.assert_allclose(g.laplacian.to_dense().numpy(), Δ, atol=1e-14)
    assert torch.equal(g.norm_adjacency.to_dense(), g.norm_adjacency.to_dense().T)


@given(graphs(self_loops=True))
def test_spectrum_of_the_laplacian_lies_between_0_and_2(g: Graph) -> None:
    Δ = g.laplacian.to_dense().numpy()
    assert (Δ == Δ.T).all()
    eigenvalues = np.linalg.eigvalsh(Δ)
    assert eigenvalues[0] >= -1e-12
    assert eigenvalues[-1] <= 2 + 1e-12
    assert g.rho == pytest.approx(eigenvalues[-1], abs=1e-12)


@given(graphs())
def test_kernel_is_spanned_by_root_degree_on_components(g: Graph) -> None:
    Δ = g.laplacian.to_dense().numpy()
    components = list(nx.connected_components(as_networkx(g)))
    for component in components:
        φ = np.zeros(g.n)
        φ[list(component)] = np.sqrt(g.degree.numpy()[list(component)])
        np.testing.assert_allclose(Δ @ φ, 0, atol=1e-11 * max(1, np.abs(φ).max()))
    # isolated nodes are components with a zero row: each adds one to the kernel as well
    assert (np.linalg.eigvalsh(Δ) < 1e-9).sum() >= len(components) == g.num_components


@given(graphs().filter(lambda g: g.adjacency.values().eq(1).all()))
def test_kernel_has_one_dimension_per_component(g: Graph) -> None:
    assert (np.linalg.eigvalsh(g.laplacian.to_dense().numpy()) < 1e-9).sum() == g.num_components


@given(graphs(self_loops=True).filter(lambda g: g.adjacency.values().eq(1).all()))
def test_rho_is_2_exactly_if_a_component_with_edges_is_bipartite(g: Graph) -> None:
    G = as_networkx(g)
    parts = [G.subgraph(c) for c in nx.connected_components(G)]
    expected = any(part.number_of_edges() and nx.is_bipartite(part) for part in parts)
    assert (abs(g.rho - 2) < 1e-9) == expected
    assert g.is_bipartite == nx.is_bipartite(G)


@pytest.mark.parametrize(
    "name, rho",
    [
        ("cycle?n=7", 1 - np.cos(2 * np.pi * 3 / 7)),
        ("cycle?n=8", 2.0),
        ("path?n=5", 2.0),
        ("star?n=9", 2.0),
        ("complete?n=6", 6 / 5),
        ("bipartite?a=2&b=7", 2.0),
        ("cycle?n=1601", 1 - np.cos(2 * np.pi * 800 / 1601)),
    ],
)
def test_rho_of_named_graphs(name: str, rho: float) -> None:
    assert load(name).rho == pytest.approx(rho, abs=1e-9)


def test_both_routes_to_rho_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load("csbm?n=400&seed=3").rho
    monkeypatch.setattr(graph_module, "DENSE_SPECTRUM", 10)
    assert load("csbm?n=400&seed=3").rho == pytest.approx(whole, abs=1e-9)


def test_products_with_operators_have_gradients() -> None:
    g = load("karate").to(dtype=f64)
    x = torch.randn(g.n, 3, dtype=f64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda x: g.laplacian @ x, x)


# ---- structure


@given(graphs())
def test_largest_component_is_that_of_networkx(g: Graph) -> None:
    part = g.largest_component()
    keep = max(nx.connected_components(as_networkx(g)), key=lambda c: (len(c), -min(c)))
    index = sorted(keep)
    assert torch.equal(part.adjacency.to_dense(), g.adjacency.to_dense()[index][:, index])
    assert part.labels.tolist() == g.labels[index].tolist()
    assert part.num_components == 1


def test_largest_component_takes_features_and_masks_along() -> None:
    x = torch.eye(5).to_sparse_csr()
    masks = torch.eye(5, dtype=torch.bool)[[2, 3, 4]]
    g = Graph.from_edges(
        "g",
        [[0, 3, 2], [1, 2, 4]],
        features=x,
        labels=[0, 1, 2, 0, 1],
        train=masks[0],
        val=masks[1],
        test=masks[2],
    )
    part = g.largest_component()
    assert part.n == 3
    assert torch.equal(part.features.to_dense(), torch.eye(5)[[2, 3, 4]])
    assert part.train.tolist() == [[True, False, False]]


@given(graphs(self_loops=True))
def test_self_loops_of_the_gcn(g: Graph) -> None:
    looped = g.with_self_loops(2.0).adjacency.to_dense()
    A = g.adjacency.to_dense()
    assert torch.equal(looped, A - torch.diag(A.diag()) + 2 * torch.eye(g.n, dtype=f64))


@given(graphs(self_loops=True))
def test_homophily_by_counting(g: Graph) -> None:
    y = g.labels.tolist()
    neighbours = {u: [v for v in as_networkx(g)[u] if v != u] for u in range(g.n)}
    pairs = [(u, v) for u in neighbours for v in neighbours[u]]
    edge = np.mean([y[u] == y[v] for u, v in pairs]) if pairs else 0.0
    node = np.mean(
        [np.mean([y[u] == y[v] for v in neighbours[u]]) if neighbours[u] else 0.0 for u in range(g.n)]
    )
    if pairs:
        assert g.homophily("edge") == pytest.approx(edge, abs=1e-6)
    assert g.homophily("node") == pytest.approx(node, abs=1e-6)


# ---- moving


def test_to_changes_the_floating_type_of_all_parts() -> None:
    g = load("karate").to(dtype=f64)
    assert g.adjacency.dtype == g.features.dtype == g.norm_adjacency.dtype == g.laplacian.dtype == f64
    assert g.labels.dtype == torch.int64
    assert g.train.dtype == torch.bool


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_everything_moves_to_a_gpu_and_operators_are_the_same() -> None:
    g = load("csbm?n=300").to(dtype=f64)
    on_gpu = g.to("cuda")
    parts = (on_gpu.adjacency, on_gpu.features, on_gpu.labels, on_gpu.train, on_gpu.val, on_gpu.test)
    assert {part.device.type for part in parts} == {"cuda"}
    torch.testing.assert_close(on_gpu.laplacian.to_dense().cpu(), g.laplacian.to_dense())
    torch.testing.assert_close((on_gpu.norm_adjacency @ on_gpu.features).cpu(), g.norm_adjacency @ g.features)
    assert on_gpu.largest_component().adjacency.device.type == "cuda"
    assert on_gpu.rho == pytest.approx(g.rho, abs=1e-12)


def test_a_graph_can_be_sent_to_another_process() -> None:
    g = load("karate")
    g.laplacian, g.rho  # noqa: B018 - cached parts travel too
    again = pickle.loads(pickle.dumps(g))
    assert torch.equal(again.laplacian.to_dense(), g.laplacian.to_dense())
    assert again.name == g.name


def test_a_copy_of_what_holds_a_graph_shares_it() -> None:
    g = load("karate")
    assert copy.deepcopy([g])[0] is g


def test_operators_are_built_once_and_the_graph_is_frozen() -> None:
    g = load("karate")
    assert g.laplacian is g.laplacian
    with pytest.raises(AttributeError):
        g.name = "other"


# ---- errors


def masks(n: int, *nodes: int) -> torch.Tensor:
    return torch.isin(torch.arange(n), torch.tensor(nodes)).unsqueeze(0)


BAD = {
    "edge 1 joins 1 and 7, out of range; allowed are nodes 0 to 2": dict(edge_index=[[0, 1], [1, 7]], n=3),
    "edge 0 joins -1 and 1": dict(edge_index=[[-1], [1]], n=3),
    "edge_index has shape [3, 2]; allowed is [2, E]": dict(edge_index=[[0, 1], [1, 2], [2, 0]]),
    "edge_index has type torch.float32; allowed are integers": dict(edge_index=torch.ones(2, 2)),
    "edge_index cannot be read as an array of numbers": dict(edge_index=[[0, 1], [1]]),
    "the graph is empty": dict(edge_index=np.empty((2, 0))),
    "2 feature values are NaN or infinite, the first at node 1": dict(
        edge_index=[[0], [1]], features=torch.tensor([[0.0, 1], [np.nan, np.inf]])
    ),
    "1 feature values are NaN or infinite, the first at node 2": dict(
        edge_index=[[0], [1]], features=torch.tensor([[0.0, 1], [0, 0], [3, np.inf]]).to_sparse_csr()
    ),
    "features have shape [2]": dict(edge_index=[[0], [1]], features=torch.ones(2)),
    "features have shape [3, 1]; allowed is [2, p]": dict(
        edge_index=[[0], [1]], n=2, features=torch.ones(3, 1)
    ),
    "features have type torch.complex64": dict(edge_index=[[0], [1]], features=torch.ones(2, 1) * 1j),
    "label -1 at node 0 is out of range": dict(edge_index=[[0], [1]], labels=[-1, 0]),
    "label 5 is out of range; with 2 nodes allowed are 0 to 1": dict(edge_index=[[0], [1]], labels=[5, 0]),
    "labels have type torch.float64; allowed are integers": dict(edge_index=[[0], [1]], labels=[0.5, 1]),
    "labels have shape [2]; allowed is [3]": dict(edge_index=[[0], [1]], n=3, labels=[0, 1]),
    "weight -1.0 of edge 0": dict(edge_index=[[0], [1]], weight=[-1.0]),
    "weight nan of edge 0": dict(edge_index=[[0], [1]], weight=[np.nan]),
    "weight has shape [2]; allowed is [1]": dict(edge_index=[[0], [1]], weight=[1.0, 1.0]),
    "split 0 overlaps, node 1 is in train and test": dict(
        edge_index=[[0], [1]], train=masks(2, 0, 1), val=masks(2), test=masks(2, 1)
    ),
    "the val mask is missing": dict(edge_index=[[0], [1]], train=masks(2, 0), test=masks(2, 1)),
    "split masks have shapes train [1, 2], val [1, 3], test [1, 2]": dict(
        edge_index=[[0], [1]], train=masks(2, 0), val=masks(3), test=masks(2, 1)
    ),
    "the train mask has type torch.int64; allowed is bool": dict(
        edge_index=[[0], [1]], train=[[0, 5]], val=[[1, 2]], test=[[0, 0]]
    ),
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_named_in_one_sentence(sentence: str) -> None:
    with pytest.raises(GraphError) as error:
        Graph.from_edges("mine", **BAD[sentence])
    assert str(error.value).startswith("mine: ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_homophily_errors() -> None:
    with pytest.raises(GraphError, match="needs labels"):
        load("path").homophily()
    with pytest.raises(GraphError, match="'edge' and 'node'"):
        load("karate").homophily("class")
    with pytest.raises(GraphError, match="square sparse CSR"):
        Graph("g", torch.eye(3), None, None, *([torch.zeros(0, 3, dtype=torch.bool)] * 3))
