"""Graphs by name: real data against published counts, the Cornell mix-up, embedded graphs, the catalogue, errors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from flowprune.graphs import GraphError, catalogue, cornell_evidence, load, mnist
from flowprune.graphs.raw import data_root, registry

# nodes, undirected edges, features, classes, edge and node homophily of the undirected graph without self-loops
COUNTS = {
    "cora": (2708, 5278, 1433, 7, 0.8100, 0.8252),
    "citeseer": (3327, 4552, 3703, 6, 0.7355, 0.7062),
    "pubmed": (19717, 44324, 500, 3, 0.8024, 0.7924),
    "cornell-texas-features": (183, 277, 1703, 5, 0.2960, 0.3009),
    "cornell-corrected": (183, 277, 1703, 5, 0.1227, 0.1110),
    "texas": (183, 279, 1703, 5, 0.0609, 0.0567),
    "wisconsin": (251, 450, 1703, 5, 0.1778, 0.1552),
    "actor": (7600, 26659, 932, 5, 0.2167, 0.2199),
    "chameleon": (2277, 31371, 2325, 5, 0.2299, 0.2471),
    "squirrel": (5201, 198353, 2089, 5, 0.2221, 0.2172),
    "chameleon-filtered": (890, 8854, 2325, 5, 0.2361, 0.2441),
    "squirrel-filtered": (2223, 46998, 2089, 5, 0.2072, 0.1905),
    "minesweeper": (10000, 39402, 7, 2, 0.6828, 0.6829),
    "tolokers": (11758, 519000, 10, 2, 0.5945, 0.6344),
    "syn-cora-published?homophily=0.00": (1490, 2968, 1433, 5, 0.0000, 0.0000),
    "syn-cora-published?homophily=0.30": (1490, 2968, 1433, 5, 0.3002, 0.3020),
    "syn-cora-published?homophily=0.99": (1490, 2968, 1433, 5, 0.9865, 0.9883),
    "syn-cora-published?homophily=1.00": (1490, 2965, 1433, 5, 1.0000, 1.0000),
}

# smallest and largest number of nodes for training, validation and testing over the ten splits
SIZES = {
    "cora": ((1192, 1192), (796, 796), (497, 497)),
    "citeseer": ((1017, 1596), (679, 1065), (424, 666)),
    "pubmed": ((9463, 9463), (6310, 6310), (3944, 3944)),
    "cornell-texas-features": ((87, 87), (59, 59), (37, 37)),
    "cornell-corrected": ((87, 87), (59, 59), (37, 37)),
    "texas": ((87, 87), (59, 59), (37, 37)),
    "wisconsin": ((120, 120), (80, 80), (51, 51)),
    "actor": ((3648, 3648), (2432, 2432), (1520, 1520)),
    "chameleon": ((1092, 1092), (729, 729), (456, 456)),
    "squirrel": ((2496, 2496), (1664, 1664), (1041, 1041)),
    "chameleon-filtered": ((409, 440), (268, 310), (159, 194)),
    "squirrel-filtered": ((1047, 1085), (691, 739), (416, 483)),
    "minesweeper": ((5000, 5000), (2500, 2500), (2500, 2500)),
    "tolokers": ((5879, 5879), (2939, 2939), (2940, 2940)),
}


@pytest.mark.usefixtures("needs_data")
@pytest.mark.parametrize("name", COUNTS)
def test_counts_and_homophily_of_real_graphs(name: str) -> None:
    g = load(name)
    n, edges, features, classes, edge, node = COUNTS[name]
    assert (g.n, g.num_edges, g.num_features, g.num_classes) == (n, edges, features, classes)
    assert g.homophily("edge") == pytest.approx(edge, abs=5.1e-5)
    assert g.homophily("node") == pytest.approx(node, abs=5.1e-5)
    assert g.num_splits == 10
    assert g.name == name
    assert torch.equal(g.edge_index.flip(0).unique(dim=1), g.edge_index)  # symmetric


@pytest.mark.usefixtures("needs_data")
@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_the_ten_splits(name: str) -> None:
    g = load(name)
    for part, (low, high) in zip((g.train, g.val, g.test), SIZES[name], strict=True):
        assert part.shape == (10, g.n)
        assert (int(part.sum(1).min()), int(part.sum(1).max())) == (low, high)


@pytest.mark.usefixtures("needs_data")
@pytest.mark.parametrize("name, training", [("cora", 140), ("citeseer", 120), ("pubmed", 60)])
def test_public_split(name: str, training: int) -> None:
    g = load(f"{name}?split=public")
    assert [part.sum(1).tolist() for part in (g.train, g.val, g.test)] == [[training], [500], [1000]]
    assert torch.equal(g.adjacency.values(), load(name).adjacency.values())
    assert "public" in g.about


@pytest.mark.usefixtures("needs_data")
@pytest.mark.parametrize("name", ["cora"])
def test_splits_of_cora_cover_its_largest_component_and_nothing_else(name: str) -> None:
    g = load(name)
    covered = g.train | g.val | g.test
    assert covered.all(0).sum() == covered.any(0).sum() == 2485
    part = g.largest_component()
    assert (part.n, part.num_components) == (2485, 1)
    assert (part.train | part.val | part.test).all()


@pytest.mark.usefixtures("needs_data")
@pytest.mark.parametrize("name", ["citeseer"])
def test_citeseer_has_48_isolated_nodes(name: str) -> None:
    assert int((load(name).degree == 0).sum()) == 48


@pytest.mark.usefixtures("needs_data")
@pytest.mark.parametrize("name, dtype", [("cora", torch.sparse_csr), ("minesweeper", torch.strided)])
def test_sparse_features_are_stored_sparse(name: str, dtype: torch.layout) -> None:
    assert load(name).features.layout == dtype


@pytest.mark.usefixtures("needs_data")
def test_registry_agrees_with_the_list_of_checksums_beside_the_data() -> None:
    file = data_root() / "SHA256SUMS"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    sums = {
        path: digest for digest, path in (line.split(maxsplit=1) for line in file.read_text().splitlines())
    }
    for data in registry().values():
        for raw in data.files:
            assert sums[f"{data.folder}/{raw.name}"] == raw.sha256


def test_registry_is_complete() -> None:
    for data in registry().values():
        for raw in data.files:
            assert len(raw.sha256) == 64
            assert raw.bytes > 0
            assert raw.url.startswith("https://")
            assert raw.url.endswith("/" + raw.name)


@pytest.mark.usefixtures("needs_data")
def test_mnist() -> None:
    images, labels, test_images, test_labels = mnist()
    assert (images.shape, test_images.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert labels.bincount().sum() == 60000
    assert test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    scaled = images.float() / 255
    assert scaled.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert scaled.std().item() == pytest.approx(0.3081, abs=5e-5)


# ---- Cornell


def test_cornell_alone_is_refused_with_both_versions_named() -> None:
    with pytest.raises(GraphError, match=r"'cornell-texas-features' .* and 'cornell-corrected'"):
        load("cornell")


def test_the_registry_alone_shows_that_two_files_are_one(nowhere: Path) -> None:
    table = cornell_evidence()
    assert table["file of Texas"].to_dict() == {
        "cornell-texas-features": True,
        "cornell-corrected": False,
        "texas": True,
    }
    assert list(table.columns) == ["sha256", "file of Texas"]


@pytest.mark.usefixtures("needs_data")
def test_cornell_evidence_from_the_files() -> None:
    table = cornell_evidence()
    assert table["features of Texas"].tolist() == [True, False, True]
    assert table["labels of Texas"].tolist() == [True, False, True]
    assert table["edges of Texas"].tolist() == [False, False, True]
    assert table["class counts"].tolist() == [
        "33, 1, 18, 101, 30",
        "38, 16, 30, 82, 17",
        "33, 1, 18, 101, 30",
    ]
    for name in ("cornell-texas-features", "texas"):
        data = registry()[name]
        content = (data_root() / data.folder / "out1_node_feature_label.txt").read_bytes()
        assert hashlib.sha256(content).hexdigest() == table.loc[name, "sha256"]


# ---- embedded


def test_karate_is_zacharys() -> None:
    g = load("karate")
    assert (g.n, g.num_edges, g.num_classes, g.num_components) == (34, 78, 4, 1)
    assert sorted(g.degree.tolist())[-3:] == [12, 16, 17]
    assert torch.equal(g.features, torch.eye(34))


def test_digits_joins_nearest_neighbours() -> None:
    g = load("digits")
    assert (g.n, g.num_features, g.num_classes) == (1797, 64, 10)
    assert (g.features.min(), g.features.max()) == (0, 1)
    assert int(g.degree.min()) >= 10
    distance = torch.cdist(g.features[:20], g.features)
    nearest = distance.argsort(dim=1)[:, 1:6]  # ties at the tenth may fall either way, hardly at the fifth
    A = g.adjacency.to_dense()
    assert A[:20].gather(1, nearest).all()
    assert g.homophily() > 0.9


@pytest.mark.parametrize("name", ["karate", "digits"])
def test_embedded_graphs_have_ten_fixed_splits(name: str) -> None:
    g, again = load(name), load(name)
    assert g.num_splits == 10
    assert (g.train | g.val | g.test).all()
    assert torch.equal(g.train, again.train)
    assert "10 random stratified splits" in g.about


# ---- catalogue and errors


def test_catalogue_of_an_empty_machine(nowhere: Path) -> None:
    state = {entry.name: entry.state for entry in catalogue()}
    assert state["karate"] == state["digits"] == "embedded"
    assert state["cora"] == state["mnist"] == "downloadable"
    assert state["csbm"] == state["path"] == "generated"
    assert "cornell" not in state


def test_catalogue_reports_wrong_files(nowhere: Path) -> None:
    folder = nowhere / registry()["texas"].folder
    folder.mkdir(parents=True)
    (folder / "out1_node_feature_label.txt").write_text("short")
    entry = next(entry for entry in catalogue() if entry.name == "texas")
    assert entry.state == "found"
    assert "is truncated" in entry.checksum


@pytest.mark.usefixtures("needs_data")
def test_catalogue_checks_what_it_finds() -> None:
    found = [entry for entry in catalogue() if entry.state == "found"]
    assert {entry.checksum for entry in found} == {"correct"}
    assert {entry.name for entry in found} == set(registry())


@pytest.mark.parametrize(
    "name, sentence",
    {
        "coora": "graph 'coora' is unknown; did you mean cora",
        "Texas": "did you mean texas?",
        "squirel-filtered": "did you mean squirrel-filtered",
        "zzzzzz": "graph 'zzzzzz' is unknown; allowed are karate, digits, cora,",
        "mnist": "'mnist' is images and not a graph",
        "texas?n=3": "parameter 'n' is unknown; allowed: split (default geom-gcn), resplit (default 0)",
        "digits?k=0": "parameter k = 0 is out of range",
        "karate?n=3": "parameter 'n' is unknown; allowed: none.",
        "syn-cora-published?homophily=0.35": "homophily 0.35 is unknown; allowed are 0.00, 0.10, 0.20",
        "syn-cora-published?seed=1": "parameter 'seed' is unknown; allowed: homophily (default 0.3).",
    }.items(),
)
def test_unknown_names_and_parameters(name: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError) as error:
        load(name)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_split() -> None:
    with pytest.raises(GraphError, match="texas: split 'public' is unknown; allowed: geom-gcn"):
        load("texas?split=public")
    with pytest.raises(GraphError, match="allowed: geom-gcn, public"):
        load("cora?split=random")
    with pytest.raises(GraphError, match=r"karate.*parameter 'split' is unknown"):
        load("karate?split=public")


@pytest.mark.usefixtures("needs_data")
def test_real_graphs_on_new_splits_and_with_rows_of_sum_one() -> None:
    plain, again = load("texas"), load("texas?resplit=3")
    assert again.train.shape == plain.train.shape and not torch.equal(again.train, plain.train)
    assert torch.equal(again.train, load("texas?resplit=3").train)
    assert not torch.equal(again.train, load("texas?resplit=4").train)
    assert (again.train.int() + again.val.int() + again.test.int() == 1).all()
    rows = load("texas?features=rows").features.to_dense()
    torch.testing.assert_close(rows.sum(1), torch.ones(rows.shape[0]))
    assert torch.equal(rows > 0, plain.features.to_dense() > 0)
    with pytest.raises(GraphError, match="features 'unit' are unknown; allowed are raw and rows"):
        load("texas?features=unit")
