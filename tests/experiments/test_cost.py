"""What a layer costs: counts that are exact, times that are paired, and evidence that follows from them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from flowprune.experiments import cost, published, scaling
from flowprune.experiments.nodes import prepared
from flowprune.experiments.pictures import cost as pictures
from flowprune.experiments.theory import counting
from flowprune.experiments.theory.instances import examine
from flowprune.flows.gradient import GRAFF
from flowprune.flows.module import GRAFFConv
from flowprune.graphs import load
from flowprune.study import figures
from flowprune.study.passes import compute
from flowprune.study.specs import SpecError
from flowprune.study.stats import Interval

SMALL = "csbm?n=60&features=8&seed=1"
right = counting.step_multiplications


# --- counted -------------------------------------------------------------------------------------


def test_every_count_is_as_stated_and_biases_are_the_only_exception():
    evidence = examine(counting.counts, 60)
    assert evidence["instances"] == 60
    assert evidence["counterexamples"] == 0
    assert evidence["deviation"] == 0
    assert 20 < evidence["exceptions"] < 40  # half of the models have biases and a source


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("printed_parameters", lambda p, d, k: p * d + d * d + 2 * d + d * k),  # Ω forgotten
        ("step_multiplications", lambda n, entries, d, s: n * n * d + 4 * n * d),  # a dense Ā
        (
            "step_multiplications",
            lambda n, entries, d, s: right(n, entries // 2, d, s),
        ),  # every edge once
    ],
)
def test_a_wrong_formula_has_counterexamples(monkeypatch, name, wrong):
    monkeypatch.setattr(counting, name, wrong)
    evidence = examine(counting.counts, 30)
    assert evidence["counterexamples"] > 10
    assert evidence["deviation"] > 0.001


def test_multiplications_are_counted_by_kind():
    A, B = torch.ones(3, 4), torch.ones(4, 5)
    S = torch.eye(3).to_sparse_csr()
    assert counting.multiplications(lambda: A @ B) == {"edges": 0, "channels": 60, "entries": 0}
    assert counting.multiplications(lambda: torch.ones(2, 3, 4) @ torch.ones(2, 4, 5))["channels"] == 120
    assert counting.multiplications(lambda: S @ A) == {"edges": 12, "channels": 0, "entries": 0}
    assert counting.multiplications(lambda: A * 2 + A) == {"edges": 0, "channels": 0, "entries": 12}
    assert counting.multiplications(lambda: A.clone().addcmul_(A, A))["entries"] == 12


def test_the_fused_flow_asks_for_as_many_sparse_and_dense_products_as_the_layer():
    graph, d, steps = load("karate"), 6, 3
    flow, layer = GRAFF([0], d, "dd", time=float(steps)), GRAFFConv(d, "dd", normalize=False)
    F0, Ā = torch.ones(34, 1, d), graph.norm_adjacency
    fused = counting.multiplications(lambda: flow(F0, Ā))
    single = counting.multiplications(lambda: layer(F0[:, 0], Ā))
    assert fused["edges"] == steps * single["edges"] == steps * 2 * graph.num_edges * d
    assert fused["channels"] == steps * single["channels"] == steps * graph.n * d * d


def test_only_trained_scalars_are_parameters():
    assert counting.parameters(nn.Linear(3, 4)) == 16
    assert counting.parameters(GRAFFConv(4, "diag", omega=False, source=False)) == 4


def test_one_layer_of_each_model_is_counted():
    graph, d = load("karate"), 8
    found = counting.layers_counted(graph, d).set_index("model")
    E, n = 2 * graph.num_edges, graph.n
    assert found.loc["GCN"].tolist() == [(E + n) * d, n * d * d, 0]
    assert found.loc["GRAFF DD"].tolist() == [E * d, n * d * d, 3 * n * d + d]
    assert found.loc["GRAFF diag"].tolist() == [E * d, 0, 4 * n * d]


def test_velocities_are_counted_and_better_methods_are_nearer():
    found = counting.accuracy(load("karate"), 4, "diag", 3.0)
    euler, rk4, dopri5 = (
        found[found.method == m].set_index("velocities").error for m in ("Euler", "RK4", "dopri5")
    )
    assert euler.index.tolist() == [3, 6, 12, 24, 48, 96]
    assert rk4.index.tolist() == [8, 12, 24, 48, 96]
    assert (rk4[[12, 24, 48, 96]] < euler[[12, 24, 48, 96]]).all()
    assert euler.is_monotonic_decreasing and rk4.is_monotonic_decreasing
    assert dopri5.iloc[-1] < 1e-6


# --- time against size ---------------------------------------------------------------------------


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(("nodes", "linked"), [(50, 50), (70, 41)])
def test_a_ring_is_a_regular_undirected_graph(nodes, linked, shuffled):
    Ā = scaling.ring(nodes, linked, shuffled)
    dense = Ā.to_dense()
    assert torch.equal(dense, dense.T)
    assert (
        Ā.values().numel() == linked * scaling.DEGREE == int((dense > 0).sum())
    )  # none twice, none on the diagonal
    torch.testing.assert_close(dense.sum(1)[:linked], torch.ones(linked))
    assert dense[linked:].abs().sum() == 0
    assert dense.diagonal().abs().sum() == 0
    torch.sparse_csr_tensor(Ā.crow_indices(), Ā.col_indices(), Ā.values(), Ā.shape, check_invariants=True)


def test_shuffling_a_ring_changes_the_order_of_its_nodes_alone():
    ordered, shuffled = (scaling.ring(101, 101, s).to_dense() for s in (False, True))
    assert not torch.equal(ordered, shuffled)
    spectra = (torch.linalg.eigvalsh(A.double()) for A in (ordered, shuffled))
    torch.testing.assert_close(*spectra, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("nodes", "linked"), [(50, 20), (40, 41)])
def test_a_ring_that_cannot_be_is_refused(nodes, linked):
    with pytest.raises(ValueError, match=f"a ring of {linked} among {nodes} nodes"):
        scaling.ring(nodes, linked, False)


@pytest.mark.parametrize("structure", ["diag", "dd"])
def test_a_scale_trial_times_one_step(structure):
    trial = scaling.ScaleTrial(edges=1000, nodes=300, shuffled=True, structure=structure, rounds=3)
    (row,) = compute([trial])
    assert row["status"] == "done", row["error"]
    times = row["result"]["milliseconds"]
    assert len(times) == 3
    assert min(times) > 0
    assert trial.steps * sum(times) / 1000 < row["seconds"] + 0.01


def test_a_scale_trial_of_too_few_edges_is_refused():
    with pytest.raises(SpecError, match="edges = 200 is refused"):
        scaling.ScaleTrial(edges=200, nodes=300, shuffled=True, structure="diag", rounds=3)


def scale_rows(edges_power: float, nodes_power: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Made-up times that follow powers exactly."""
    rows = []
    for trials, size, power in (
        (scaling.by_edges(4), "edges", edges_power),
        (scaling.by_nodes(2), "nodes", nodes_power),
    ):
        made = [
            t.fields | {"status": "done", "milliseconds": [1e-6 * t.fields[size] ** power] * 3}
            for t in trials
        ]
        rows.append(pd.DataFrame(made))
    return rows[0], rows[1]


def test_exponents_and_decades_are_read_from_the_times():
    edges, nodes = scale_rows(1.07, 0.9)
    edges.loc[edges.shuffled, "milliseconds"] = edges[edges.shuffled].edges.map(lambda E: [1e-6 * E**1.3])
    evidence = scaling.growth(edges, nodes)
    assert evidence == pytest.approx(
        {"decades": 4, "edges_ordered": 1.07, "edges_shuffled": 1.3, "nodes": 0.9}
    )
    found = scaling.exponents(edges, "edges")
    assert len(found) == 4
    assert {i.n for i in found.exponent} == {17}


def test_the_interval_of_an_exponent_is_the_textbooks():
    """Slope ± t s/√Sxx with the residuals' standard deviation s, by hand."""
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.1, 1.3, 1.8, 3.2])
    found = scaling.exponent(np.exp(x), np.exp(y))
    slope = ((x - x.mean()) * y).sum() / 5.0
    rest = y - y.mean() - slope * (x - x.mean())
    half = 4.302652729911275 * np.sqrt((rest**2).sum() / 2 / 5.0)
    assert (found.mean, found.lower, found.upper) == pytest.approx((slope, slope - half, slope + half))
    with pytest.raises(ValueError, match="at least 3 sizes, not 2"):
        scaling.exponent([1, 2], [1, 2])


def test_grids_of_sizes_cover_their_decades():
    edges, nodes = scaling.by_edges(4), scaling.by_nodes(2)
    assert {min(t.edges for t in edges), max(t.edges for t in edges)} == {1000, 10_000_000}
    assert all(t.nodes == t.edges // 10 for t in edges)
    assert {t.edges for t in nodes} == {1000}
    assert {min(t.nodes for t in nodes), max(t.nodes for t in nodes)} == {10_000, 1_000_000}
    assert len({t.key for t in edges + nodes}) == len(edges + nodes)


# --- side by side --------------------------------------------------------------------------------


def test_all_models_of_a_cell_give_logits_and_differ_only_in_their_flow():
    graph = prepared(SMALL)
    found = cost.models(graph, 3, 8)
    assert {name for library, name in found if library == "PyG"} == {"GRAFF diag", "GRAFF DD", "GCN", "GAT"}
    assert {name for library, name in found if library == "ours"} - {"plain GCN"} == {
        name for library, name in found if library == "PyG"
    }
    logits = {key: model() for key, model in found.items()}
    assert {tuple(out.shape) for out in logits.values()} == {(60, 1, 2)}
    weights = [model.encoder.linear.weight for model in found.values()]
    assert all(torch.equal(weights[0], w) for w in weights)


@pytest.mark.parametrize("name", ["GRAFF diag", "GRAFF DD", "GCN", "GAT"])
def test_both_libraries_compute_the_same_with_the_same_weights(name):
    graph = prepared(SMALL)
    found = cost.models(graph, 3, 8)
    ours, theirs = found["ours", name], found["PyG", name]
    with torch.no_grad():
        if name.startswith("GRAFF"):
            theirs.flow.layers[0].graff.load_state_dict(ours.flow.state_dict())
            assert len({id(layer) for layer in theirs.flow.layers}) == 1
        else:
            for mine, other in zip(ours.flow.layers, theirs.flow.layers, strict=True):
                other.lin.weight.copy_(mine.linear.weight[0].T)
                other.bias.copy_(mine.bias[0])
                if name == "GAT":
                    other.att_src.copy_(mine.source)
                    other.att_dst.copy_(mine.target)
    theirs.decoder.load_state_dict(ours.decoder.state_dict())
    torch.testing.assert_close(theirs(), ours(), rtol=1e-4, atol=1e-5)


def test_the_plain_gcn_is_the_published_one():
    """Ā σ(… Ā σ(Ā X W₀ + b₀) W₁ + b₁ …) W₂ + b₂, but for the biases of the ends, which are added before Ā."""
    graph = prepared(SMALL)
    model = cost.models(graph, 3, 8)["ours", "plain GCN"]
    Ā, (layer,) = graph.with_self_loops().norm_adjacency, model.flow.layers
    encoder, decoder = model.encoder.linear, model.decoder
    F = (Ā @ (graph.features.to_dense() @ encoder.weight[0] + encoder.bias[0])).relu()
    F = (Ā @ F @ layer.linear.weight[0] + layer.bias[0]).relu()
    wanted = Ā @ (F @ decoder.weight[0] + decoder.bias[0])
    torch.testing.assert_close(model()[:, 0], wanted, rtol=1e-4, atol=1e-5)


def test_a_step_of_training_moves_the_weights_and_inference_does_not():
    graph = prepared(SMALL)
    for model in cost.models(graph, 2, 8).values():
        before = [p.detach().clone() for p in model.parameters()]
        cost.inference(model)()
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        cost.training(model, graph)()
        moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
        assert sum(moved) >= len(moved) - 1  # β alone may stay where its gradient is zero


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    trials = cost.grid(SMALL, depths=(2, 3), widths=(4, 8), rounds=3)
    rows = [row for trial in trials for row in compute([trial])]
    return pd.DataFrame(
        [r["spec"] | r["result"] | {"status": r["status"], "error": r["error"]} for r in rows]
    )


def test_a_cost_trial_times_every_model_in_every_round(measured):
    assert (measured.status == "done").all(), measured.error.tolist()
    times = cost.times(measured)
    assert len(times) == 4 * 9 * 2 * 3
    assert (times.milliseconds > 0).all()
    counts = times.groupby(["depth", "width", "library", "model", "phase"])["round"].apply(list)
    assert len(counts) == 4 * 9 * 2
    assert all(rounds == [0, 1, 2] for rounds in counts)


def test_ratios_are_paired_within_rounds_and_libraries(measured):
    times = cost.times(measured)
    ratios = cost.ratios(times)
    assert len(ratios) == 4 * 2 * (2 * 3 + 2 * 2)
    one = ratios.query(
        "depth == 3 and width == 8 and phase == 'training' and other == 'GAT' and library == 'PyG'"
    )
    cell = times.query("depth == 3 and width == 8 and phase == 'training' and library == 'PyG'")
    table = cell.pivot(index="round", columns="model", values="milliseconds")
    for row in one.itertuples():
        wanted = np.exp(np.log(table["GAT"] / table[row.graff]).mean())
        assert row.ratio.mean == pytest.approx(wanted)


def ratio_rows(cells: dict[tuple[int, int], dict[tuple[str, str, str], tuple[float, float]]]) -> pd.DataFrame:
    rows = []
    for (depth, width), pairs in cells.items():
        for (library, graff, other), (lower, upper) in pairs.items():
            ratio = Interval((lower * upper) ** 0.5, lower, upper, 0.95, 10)
            rows.append([depth, width, library, "inference", graff, other, ratio])
            slow = Interval(0.1, 0.05, 0.2, 0.95, 10)
            rows.append([depth, width, library, "training", graff, other, slow])
    return pd.DataFrame(rows, columns=["depth", "width", "library", "phase", "graff", "other", "ratio"])


def test_a_cell_is_won_against_every_gcn_and_lost_against_one():
    won, even, lost = (1.5, 2.0), (0.9, 1.1), (0.5, 0.8)

    def cell(ours, plain, theirs, dd=won):
        found = {("ours", "GCN"): ours, ("ours", "plain GCN"): plain, ("PyG", "GCN"): theirs}
        pairs = {(library, "GRAFF diag", other): r for (library, other), r in found.items()}
        pairs |= {(library, "GRAFF DD", other): dd for library, other in found}
        return pairs | {("ours", g, "GAT"): lost for g in cost.GRAFFS}  # GAT is no GCN

    evidence = cost.verdict(
        ratio_rows(
            {
                (2, 16): cell(won, lost, won),
                (2, 64): cell(won, even, won),
                (8, 16): cell(won, won, won),
                (8, 64): cell(won, won, won, dd=lost),
            }
        ),
        rounds=10,
    )
    assert (evidence["cells"], evidence["rounds"]) == (4, 10)
    assert (evidence["diag_wins"], evidence["diag_losses"]) == (0.5, 0.25)
    assert (evidence["dd_wins"], evidence["dd_losses"]) == (0.75, 0.25)
    assert evidence["condition"] == "W is diagonal, and not at depth × width 2 × 16, 2 × 64"
    r = [3.0**0.5, 0.99**0.5, 0.4**0.5]
    assert evidence["diag_ratio"] == pytest.approx((r[0] ** 10 * r[1] * r[2]) ** (1 / 12))
    assert evidence["dd_ratio"] == pytest.approx((r[0] ** 9 * r[2] ** 3) ** (1 / 12))


def test_without_any_time_the_first_error_is_told():
    table = pd.DataFrame({"status": ["failed"], "error": ["no such graph"]})
    with pytest.raises(
        ValueError, match="none of 1 cost trials is done; the first failed with no such graph"
    ):
        cost.times(table)
    with pytest.raises(
        ValueError, match="none of 1 scale trials is done; the first failed with no such graph"
    ):
        scaling.medians(table)


def test_widths_that_heads_cannot_share_are_refused():
    with pytest.raises(SpecError, match="width = 10 is refused"):
        cost.CostTrial(dataset=SMALL, depth=2, width=10)


def test_the_published_file_holds_the_declared_grids():
    trials = published.study()["cost"]()
    cells = [t for t in trials if isinstance(t, cost.CostTrial)]
    assert len(cells) >= 20
    assert {t.dataset for t in cells} == {"cora"}
    assert min(t.rounds for t in cells) >= 10
    assert {t.key for t in scaling.by_edges(4) + scaling.by_nodes(2)} <= {t.key for t in trials}


# --- drawn ---------------------------------------------------------------------------------------


def test_the_chapters_figures_are_drawn(measured):
    figures.theme()
    times = cost.times(measured)
    graph = load("karate")
    edges, nodes = (scaling.medians(rows) for rows in scale_rows(1.0, 1.0))
    found = counting.accuracy(graph, 4, "diag", 3.0)
    drawn = [
        pictures.layers(counting.layers_counted(graph, 8)),
        pictures.growth(edges, nodes),
        pictures.side_by_side(times, "inference", 2, 8),
        pictures.ratio_maps(cost.ratios(times)),
        pictures.integrators(found, 12),
    ]
    layers, growth, lines, maps, methods = drawn
    assert [t.get_text() for t in layers.axes[0].get_yticklabels()] == ["GCN", "GRAFF diag", "GRAFF DD"]
    assert len(growth.axes[0].containers) == 4 and len(growth.axes[1].containers) == 2
    assert [len(axis.containers) for axis in lines.axes] == [5, 5, 4, 4]
    assert sum(len(axis.texts) for axis in maps.axes[:2]) == 8
    assert {t.get_text() for t in methods.axes[0].texts} == {
        "Euler",
        "RK4",
        "dopri5",
        "the network: 12 layers",
    }
    for figure in drawn:
        figures.show(figure, alt="A figure that is drawn by a test and shown nowhere.")
    assert plt.get_fignums() == []
