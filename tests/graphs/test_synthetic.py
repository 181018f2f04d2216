"""Generated graphs: homophily as asked for, same seed same graph on every machine, closed-form spectra, errors."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from flowprune.graphs import Graph, GraphError, load
from flowprune.graphs.sampling import block_edges, compatibility


def fingerprint(g: Graph) -> str:
    """What a graph consists of, as a short digest; features rounded, as the last bits of a logarithm may differ."""
    x = g.features.to_dense().numpy().round(4) + 0.0
    parts = (g.edge_index.numpy(), g.labels.numpy(), x, g.train.numpy(), g.val.numpy())
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()[:12]


@pytest.mark.parametrize("homophily", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("kind", ["syn-cora", "syn-products?n=3000", "csbm?n=1000"])
def test_homophily_is_within_005_of_the_target(kind: str, homophily: float) -> None:
    sign = "&" if "?" in kind else "?"
    for seed in range(3):
        g = load(f"{kind}{sign}homophily={homophily}&seed={seed}")
        assert abs(g.homophily() - homophily) <= 0.05
        assert g.num_splits == 10


@pytest.mark.parametrize("n", [500, 1000, 3000])
def test_attachment_keeps_the_homophily_at_other_sizes(n: int) -> None:
    for seed in range(5):
        assert abs(load(f"syn-cora?n={n}&homophily=0.4&seed={seed}").homophily() - 0.4) <= 0.05


def test_syn_cora_has_the_shape_of_the_published_graphs() -> None:
    g = load("syn-cora?homophily=0.3&seed=1")
    assert g.n == 1490
    assert g.labels.bincount().tolist() == [298] * 5
    assert abs(g.num_edges - 2968) <= 10
    assert g.features.layout == torch.sparse_csr
    assert g.features.values().eq(1).all()
    assert g.features.values().sum().item() / g.n == pytest.approx(18.27, abs=0.5)
    assert int((g.degree == 0).sum()) == 0
    assert g.degree.max() > 20  # hubs, as preferential attachment has them


def test_between_classes_edges_follow_the_compatibility() -> None:
    g = load("syn-cora?n=20000&homophily=0.2&seed=0")
    row, column = g.labels[g.edge_index]
    H = np.zeros((5, 5))
    np.add.at(H, (row.numpy(), column.numpy()), 1)
    np.testing.assert_allclose(H / H.sum(1, keepdims=True), compatibility(5, 0.2), atol=0.03)


def test_compatibility_rows_sum_to_one() -> None:
    for k in range(2, 9):
        np.testing.assert_allclose(compatibility(k, 0.37).sum(1), 1)
        np.testing.assert_allclose(compatibility(k, 0.37), compatibility(k, 0.37).T)


def test_block_model_has_the_expected_degrees() -> None:
    g = load("csbm?n=20000&degree=8&homophily=0.25&seed=2")
    assert g.degree.mean().item() == pytest.approx(8, rel=0.02)
    assert g.degree.var().item() == pytest.approx(8, rel=0.05)  # Poisson in the limit


def test_block_model_with_probability_one_is_complete() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    edges = block_edges(labels, 1.0, 1.0, np.random.default_rng(0))
    assert sorted(map(tuple, edges.T.tolist())) == [(u, v) for u in range(5) for v in range(u + 1, 5)]
    assert block_edges(labels, 0.0, 0.0, np.random.default_rng(0)).shape == (2, 0)


@pytest.mark.parametrize("seed", range(3))
def test_mixed_has_a_homophilic_half_and_a_heterophilic_half(seed: int) -> None:
    g = load(f"mixed?n=6000&seed={seed}")
    row, column = g.edge_index
    same = (g.labels[row] == g.labels[column]).double()
    high, low = (row < 3000) & (column < 3000), (row >= 3000) & (column >= 3000)
    across = ~high & ~low
    assert same[high].mean().item() == pytest.approx(0.9, abs=0.02)
    assert same[low].mean().item() == pytest.approx(0.1, abs=0.02)
    assert same[across].mean().item() == pytest.approx(1 / 3, abs=0.06)
    assert across.sum().item() / (~across).sum().item() == pytest.approx(0.05, abs=0.01)
    assert g.degree.mean().item() == pytest.approx(8 * 1.05, rel=0.03)
    assert g.labels[:3000].bincount().tolist() == g.labels[3000:].bincount().tolist() == [1000] * 3
    assert g.homophily() == pytest.approx(0.5, abs=0.03)


def test_the_hint_is_the_distance_between_the_regions() -> None:
    for hint in (0.0, 2.0):
        x = load(f"mixed?n=40000&degree=1&hint={hint}&seed=1").features
        apart = x[:20000].mean(0) - x[20000:].mean(0)
        assert apart.norm().item() == pytest.approx(2 * hint, abs=0.08)


def test_regions_that_nothing_joins_are_components_apart() -> None:
    g = load("mixed?n=200&across=0&seed=0")
    assert ((g.edge_index[0] < 100) == (g.edge_index[1] < 100)).all()


def test_class_means_have_the_length_of_the_signal() -> None:
    g = load("csbm?n=40000&signal=3&features=5&seed=0")
    for c in range(2):
        assert g.features[g.labels == c].mean(0).norm().item() == pytest.approx(3, abs=0.05)
        assert g.features[g.labels == c].std(0).tolist() == pytest.approx([1] * 5, abs=0.05)


def test_words_tell_more_about_the_class_when_the_signal_grows() -> None:
    def own_share(signal: float) -> float:
        g = load(f"syn-cora?signal={signal}&seed=0")
        x = g.features.to_dense()
        own = torch.arange(x.shape[1]) % 5 == g.labels.unsqueeze(1)
        return (x * own).sum().item() / x.sum().item()

    assert own_share(0.0) == pytest.approx(0.2, abs=0.03)
    assert own_share(1.0) == 1.0
    assert own_share(0.3) == pytest.approx(0.44, abs=0.04)


SEEN = {
    "syn-cora?n=200&homophily=0.3&seed=1": "f5d8a14fe70b",
    "syn-products?n=200&homophily=0.7&seed=2": "afc73ca29674",
    "csbm?n=100&seed=3": "6551f133f8e8",
    "mixed?n=100&hint=1&seed=4": "71085e5c4a07",
}


@pytest.mark.parametrize("name", SEEN)
def test_graphs_are_the_same_on_every_machine(name: str) -> None:
    assert fingerprint(load(name)) == SEEN[name]


@pytest.mark.parametrize("kind", ["syn-cora?n=100", "syn-products?n=100", "csbm?n=100", "mixed?n=100"])
def test_another_seed_gives_another_graph(kind: str) -> None:
    assert fingerprint(load(f"{kind}&seed=1")) == fingerprint(load(f"{kind}&seed=1"))
    assert fingerprint(load(f"{kind}&seed=1")) != fingerprint(load(f"{kind}&seed=2"))


j = np.arange(10)
SPECTRA = {
    "path?n=10": 1 - np.cos(np.pi * j / 9),
    "cycle?n=10": 1 - np.cos(2 * np.pi * j / 10),
    "star?n=10": [0, *[1] * 8, 2],
    "complete?n=10": [0, *[10 / 9] * 9],
    "bipartite?a=3&b=7": [0, *[1] * 8, 2],
}


@pytest.mark.parametrize("name", SPECTRA)
def test_spectra_of_named_graphs_in_closed_form(name: str) -> None:
    Δ = load(name).to(dtype=torch.float64).laplacian.to_dense().numpy()
    np.testing.assert_allclose(np.linalg.eigvalsh(Δ), np.sort(SPECTRA[name]), atol=1e-12)


def test_barbell() -> None:
    g = load("barbell?m=4&bridge=2")
    assert (g.n, g.num_edges) == (10, 2 * 6 + 3)
    assert not g.is_bipartite


@pytest.mark.parametrize(
    "name, sentence",
    {
        "path?n=10&m=3": "parameter 'm' is unknown; allowed: n (default 10).",
        "path?n=ten": "parameter n = 'ten' is not of type int; its default is 10.",
        "path?n=2.5": "parameter n = '2.5' is not of type int",
        "path?n=": "parameter n = '' is not of type int",
        "path?n=0": "parameter n = 0 is out of range; it must be at least 1.",
        "path?n=3&n=4": "parameter 'n' is given twice",
        "path?n": "'n' is not a list of parameters; write name?a=1&b=2.",
        "cycle?n=2": "parameter n = 2 is out of range; it must be at least 3.",
        "syn-cora?homophily=1.5": "parameter homophily = 1.5 is out of range; it must be between 0 and 1.",
        "syn-cora?homophily=nan": "parameter homophily = nan is out of range",
        "syn-cora?n=10": "parameter n = 10 is out of range; it must be at least 15.",
        "syn-cora?signal=-1": "parameter signal = -1.0 is out of range",
        "syn-products?m=0": "parameter m = 0 is out of range",
        "csbm?degree=5000": "parameter degree = 5000.0 is out of range; with n = 1000 and homophily = 0.8 it must be "
        "between 0 and 623.8.",
        "mixed?homophily_low=2": "parameter homophily_low = 2.0 is out of range; it must be between 0 and 1.",
        "mixed?n=11": "parameter n = 11 is out of range; it must be at least 12.",
        "mixed?degree=500": "parameter degree = 500.0 is out of range; with n = 400 and homophily = 0.9 it must be",
        "mixed?hint=-1": "parameter hint = -1.0 is out of range",
        "csbm?seed=-1": "parameter seed = -1 is out of range; it must be at least 0.",
        "csbm?signal=inf": "parameter signal = inf is out of range",
    }.items(),
)
def test_bad_parameters_are_named_in_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(GraphError) as error:
        load(name)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
