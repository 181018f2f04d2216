"""Graphs of one's own: each way in gives the same graph; each fault is named."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.data import Data

from flowprune.graphs import Graph, GraphError, from_pyg, load

EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [1, 0], [2, 2]])
FEATURES = np.array([[0.5, 1], [1, 0], [0, 2], [3, 1]], dtype=np.float32)
LABELS = np.array([0, 1, 0, 1])
TRAIN, VAL, TEST = (np.isin(np.arange(4), nodes) for nodes in ([0, 1], [2], [3]))


def is_the_square(g: Graph) -> bool:
    """Whether the graph is the 4-cycle of this file with its features, labels and one split."""
    assert g.edge_index.tolist() == [[0, 0, 1, 1, 2, 2, 3, 3], [1, 3, 0, 2, 1, 3, 0, 2]]
    assert g.features.to_dense().tolist() == FEATURES.tolist()
    assert g.labels.tolist() == LABELS.tolist()
    assert [part.tolist() for part in (g.train, g.val, g.test)] == [
        [TRAIN.tolist()],
        [VAL.tolist()],
        [TEST.tolist()],
    ]
    return True


def save_npz(path: Path, **changes: object) -> str:
    arrays = {
        "edges": EDGES,
        "node_features": FEATURES,
        "node_labels": LABELS,
        "train_masks": TRAIN[None],
        "val_masks": VAL[None],
        "test_masks": TEST[None],
    } | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return str(path)


def square() -> Data:
    return Data(
        edge_index=torch.from_numpy(EDGES.T),
        x=torch.from_numpy(FEATURES),
        y=torch.from_numpy(LABELS),
        train_mask=torch.from_numpy(TRAIN),
        val_mask=torch.from_numpy(VAL),
        test_mask=torch.from_numpy(TEST),
    )


def save_tables(folder: Path, edges: str, nodes: str | None) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "edges.csv").write_text(edges)
    if nodes is not None:
        (folder / "nodes.csv").write_text(nodes)
    return str(folder)


TABLE_EDGES = "source,target\na,b\nb,c\nc,d\nd,a\nb,a\nc,c\n"
TABLE_NODES = "id,label,split,u,v\na,even,train,0.5,1\nb,odd,train,1,0\nc,even,val,0,2\nd,odd,test,3,1\n"


# ---- each way in


def test_npz(tmp_path: Path) -> None:
    g = load(save_npz(tmp_path / "square.npz"))
    assert is_the_square(g)
    assert g.name == "square"
    assert g.about == "square; undirected, duplicate edges merged, self-loops dropped; splits as given."


def test_npz_with_csr_matrices(tmp_path: Path) -> None:
    A = sp.csr_array((np.ones(len(EDGES)), EDGES.T), shape=(4, 4))
    X = sp.csr_array(FEATURES)
    parts = {
        f"{prefix}_{part}": getattr(M, part)
        for prefix, M in (("adj", A), ("attr", X))
        for part in ("data", "indices", "indptr", "shape")
    }
    assert is_the_square(load(save_npz(tmp_path / "g.npz", edges=None, node_features=None, **parts)))


def test_npz_with_a_csr_matrix_keeps_isolated_nodes(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "g.npz", adj_data=[1, 1], adj_indices=[1, 0], adj_indptr=[0, 1, 2, 2], adj_shape=[3, 3]
    )
    assert load(str(tmp_path / "g.npz")).degree.tolist() == [1, 1, 0]


def test_npz_with_weights(tmp_path: Path) -> None:
    g = load(save_npz(tmp_path / "g.npz", weights=np.array([1.0, 2, 3, 4, 5, 6])))
    assert g.adjacency.to_dense()[0].tolist() == [0, 5, 0, 4]


def test_data_in_memory() -> None:
    assert is_the_square(from_pyg(square()))


def test_data_with_many_splits_and_weights() -> None:
    data = square()
    data.y = data.y.unsqueeze(1)
    data.edge_weight = torch.arange(1.0, 7.0)
    for key in ("train_mask", "val_mask", "test_mask"):
        data[key] = data[key].unsqueeze(1).expand(-1, 3)
    g = from_pyg(data)
    assert g.num_splits == 3
    assert g.train[2].tolist() == TRAIN.tolist()
    assert g.adjacency.to_dense()[0].tolist() == [0, 5, 0, 4]


def test_data_without_features_and_labels() -> None:
    g = from_pyg(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=3))
    assert (g.n, g.features, g.labels, g.num_splits) == (3, None, None, 0)


@pytest.mark.parametrize("content", [square(), square().to_dict()], ids=["Data", "dict"])
def test_pt(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "square.pt")
    assert is_the_square(load(str(tmp_path / "square.pt")))


def test_tables(tmp_path: Path) -> None:
    folder = save_tables(tmp_path / "square", TABLE_EDGES, TABLE_NODES)
    assert is_the_square(load(folder))
    assert is_the_square(load(folder + "/edges.csv"))


def test_edge_list_alone_with_weights(tmp_path: Path) -> None:
    folder = save_tables(tmp_path / "g", "source,target,weight\n0,1,0.5\n2,1,2\n", None)
    g = load(folder)
    assert g.adjacency.to_dense().tolist() == [[0, 0.5, 0], [0.5, 0, 2], [0, 2, 0]]
    assert g.labels is None


def test_ids_may_be_numbers_in_any_order(tmp_path: Path) -> None:
    g = load(save_tables(tmp_path / "g", "source,target\n70,5\n", "id,label\n5,1\n70,0\n6,0\n"))
    assert g.n == 3
    assert g.edge_index.tolist() == [[0, 1], [1, 0]]
    assert g.labels.tolist() == [1, 0, 0]


def test_labelled_graphs_without_splits_get_ten(tmp_path: Path) -> None:
    g = load(save_npz(tmp_path / "g.npz", train_masks=None, val_masks=None, test_masks=None))
    assert g.num_splits == 10
    assert "10 random stratified splits" in g.about


def test_sparse_features_are_stored_sparse(tmp_path: Path) -> None:
    g = load(save_npz(tmp_path / "g.npz", node_features=np.eye(4, 30, dtype=np.float32)))
    assert g.features.layout == torch.sparse_csr


# ---- each fault


def refused(path: str, sentence: str) -> None:
    with pytest.raises(GraphError) as error:
        load(path)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(edges=None), "array 'edges' is missing; given are node_features"),
        (dict(edges=EDGES.T), "edges have shape [2, 6]; allowed is [m, 2]"),
        (dict(edges=EDGES * 2), "out of range; allowed are nodes 0 to 3"),
        (dict(edges=EDGES[-1:]), "the graph has no edges"),
        (dict(edges=EDGES.astype(float)), "edge_index has type torch.float64"),
        (dict(node_features=FEATURES * np.nan), "8 feature values are NaN or infinite"),
        (dict(node_labels=LABELS - 1), "label -1 at node 0 is out of range"),
        (
            dict(node_labels=LABELS[:, None], train_masks=None, val_masks=None, test_masks=None),
            "labels have shape [4, 1]",
        ),
        (dict(node_labels=LABELS[:2]), "labels have shape [2]; allowed is [4]"),
        (dict(node_labels=np.array(["a", "b", "a", "b"])), "labels cannot be read as an array of numbers"),
        (dict(val_masks=TRAIN[None]), "split 0 overlaps, node 0 is in train and val"),
        (dict(val_masks=None), "the val mask is missing"),
        (dict(weights=-np.ones(6)), "weight -1.0 of edge 0"),
        (dict(edges=None, adj_indptr=np.array([0])), "arrays adj_* are not a CSR matrix"),
        (dict(features=FEATURES), "array 'features' is unknown; allowed are adj_data"),
    ],
)
def test_faults_in_arrays(changes: dict, sentence: str, tmp_path: Path) -> None:
    refused(save_npz(tmp_path / "g.npz", **changes), sentence)


def test_a_truncated_npz(tmp_path: Path) -> None:
    path = Path(save_npz(tmp_path / "g.npz"))
    path.write_bytes(path.read_bytes()[:200])
    refused(str(path), "is not a readable .npz file")
    path.write_bytes(b"")
    refused(str(path), "is not a readable .npz file")


def test_objects_in_an_npz_are_not_unpickled(tmp_path: Path) -> None:
    refused(save_npz(tmp_path / "g.npz", edges=np.array([{}], dtype=object)), "is not a readable .npz file")


class Trap:
    def __reduce__(self) -> tuple:
        return (print, ("sprung",))


def test_a_pt_file_with_code_is_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.save({"edge_index": Trap()}, tmp_path / "g.pt")
    refused(str(tmp_path / "g.pt"), "holds more than tensors and is not opened")
    (tmp_path / "h.pt").write_bytes(pickle.dumps(Trap()))
    refused(str(tmp_path / "h.pt"), "holds more than tensors and is not opened")
    assert "sprung" not in capsys.readouterr().out


def test_a_pt_file_of_something_else(tmp_path: Path) -> None:
    torch.save(torch.ones(3), tmp_path / "g.pt")
    refused(str(tmp_path / "g.pt"), "holds a Tensor; allowed is a torch-geometric Data")
    torch.save({"x": torch.ones(3, 1)}, tmp_path / "h.pt")
    refused(str(tmp_path / "h.pt"), "the Data has no edge_index; it holds x.")


@pytest.mark.parametrize(
    "edges, nodes, sentence",
    [
        ("from,to\n1,2\n", None, "edges.csv: column 'source' is missing; given are from, to."),
        ("", None, "is not a readable table"),
        ("source,target\n0,x\n", None, "cannot be read as an array of numbers"),
        ("source,target,weight\n0,1,2.5\n1,2,2;5\n", None, "column 'weight' holds words; weights must be"),
        ("source,target\n0,1,5\n1,2,5\n", None, "is not a readable table"),  # not: node 1 to node 5
        ("source,target\n0,1\n1,2,5\n", None, "is not a readable table"),
        ("source,target\n0,1\n", "label\n1\n", "nodes.csv: column 'id' is missing"),
        (
            "source,target\n0,1\n0,7\n",
            "id\n0\n1\n",
            "edges.csv, line 3: node 7 is out of range; allowed are the ids",
        ),
        ("source,target\n0,1\n", "id\n0\n1\n1\n", "id 1 is given twice"),
        (
            "source,target\n0,1\n",
            "id,colour\n0,red\n1,blue\n",
            "column 'colour' holds words; features must be numbers",
        ),
        ("source,target\n0,1\n", "id,label\n0,a\n1,\n", "nodes.csv, line 3: the label is missing"),
        (
            "source,target\n0,1\n",
            "id,u\n0,1\n1,\n",
            "1 feature values are NaN or infinite, the first at node 1",
        ),
        ("source,target\n0,1\n", "id,split\n0,train\n1,dev\n", "line 3: split 'dev' is unknown"),
    ],
)
def test_faults_in_tables(edges: str, nodes: str | None, sentence: str, tmp_path: Path) -> None:
    refused(save_tables(tmp_path / "g", edges, nodes), sentence)


def test_any_damage_is_refused_in_one_sentence_or_does_no_harm(tmp_path: Path) -> None:
    """One byte changed, or the end lost: no other error comes out than the documented one."""
    rng, refusals = np.random.default_rng(0), 0
    npz, pt = tmp_path / "g.npz", tmp_path / "g.pt"
    np.savez_compressed(npz, edges=np.array([[0, 1], [1, 2]]), node_labels=np.array([0, 1, 0]))
    torch.save(Data(edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.tensor([0, 1, 0])), pt)
    folder = Path(
        save_tables(tmp_path / "g", "source,target,weight\n0,1,1.5\n1,2,2.5\n", "id,u\n0,1\n1,2\n2,3\n")
    )
    for graph, file in ((npz, npz), (pt, pt), (folder, folder / "edges.csv"), (folder, folder / "nodes.csv")):
        whole = file.read_bytes()
        for at in rng.integers(len(whole), size=60):
            changed = whole[:at] + bytes([rng.integers(256)]) + whole[at + 1 :]
            file.write_bytes(whole[:at] if rng.random() < 0.1 else changed)
            try:
                load(str(graph))
            except GraphError as error:
                assert "\n" not in str(error)
                refusals += 1
        file.write_bytes(whole)
        load(str(graph))
    assert refusals > 80


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    refused(str(tmp_path / "g.npz"), "is missing; allowed are a .npz file")
    (tmp_path / "empty").mkdir()
    refused(str(tmp_path / "empty"), "edges.csv is missing")
