"""Deep networks read before and after training, and the depth study's evidence from rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from flowprune.dynamics import oversmoothing
from flowprune.experiments import deep, depth_costs, depth_study
from flowprune.experiments.deep import DeepTrial
from flowprune.experiments.evolution import trajectory
from flowprune.experiments.nodes import build, operator, prepared
from flowprune.flows.classifier import NodeClassifier
from flowprune.study.specs import SpecError
from flowprune.study.trials import collect
from flowprune.training.replicas import propagate

SMALL = "syn-cora?homophily=0.8&n=150"


def trial(variant: str, depth: int = 4, **fields) -> DeepTrial:
    return depth_study.trial(SMALL, variant, depth, **{"epochs": 4} | fields)


@pytest.mark.parametrize("variant", depth_study.VARIANTS)
def test_every_network_is_read_at_its_marked_layers(variant):
    ((_, row),) = DeepTrial.run([trial(variant)])
    for name in ("mu", "direction", "rank", "deviation"):
        for suffix in ("", "_at_first"):
            assert len(row[f"{name}{suffix}"]) == len(deep.marks(4)) == 4
            assert np.isfinite(row[f"{name}{suffix}"]).all()
    assert row["sparse"] > 0 and row["training_step"] > row["dense"] + row["sparse"]
    assert ("same_removed" in row) == variant.startswith("DYNAMO")


@pytest.mark.parametrize("variant", ["GCN", "G²-GAT", "GraphCON", "DAGNN", "DYNAMO (+)", "GRAFF", "PairNorm"])
def test_states_run_from_the_encoder_to_the_decoder(variant):
    t = trial(variant)
    graph = prepared(t.dataset, t.component)
    model = build(graph, [t]).eval()
    F0, last = model.evolve()
    states = trajectory(model.flow, F0, operator(graph, t))
    assert torch.equal(states[0], F0)
    torch.testing.assert_close(states[-1], last)
    assert len(states) >= t.depth + 1


def test_layers_decay_by_the_step_and_the_coders_as_told():
    t = trial("GAT, small steps", 16, decay_by_step=True)
    model = build(prepared(t.dataset, t.component), [t])
    share = t.share(model)
    assert t.step == 0.25 and {id(p) for p in share} == {id(p) for p in model.flow.parameters()}
    assert set(share.values()) == {0.25} and not trial("GAT, small steps", 16).share(model)


def test_training_decays_by_the_step_in_the_layers_alone():
    def trained(**fields) -> NodeClassifier:
        return DeepTrial.fitted([trial("GAT, small steps", 16, weight_decay=0.1, epochs=1, **fields)])[1]

    one, other = trained(), trained(decay_by_step=True)
    assert all(
        torch.equal(p, q) for p, q in zip(*(m.encoder.parameters() for m in (one, other)), strict=True)
    )
    pairs = zip(*(m.flow.parameters() for m in (one, other)), strict=True)
    assert sum(not torch.equal(p, q) for p, q in pairs) >= 16


def test_replicas_are_read_as_each_alone():
    group = [trial("GAT", seed=seed) for seed in (0, 1)]
    together = [row for _, row in DeepTrial.run(group)]
    for t, row in zip(group, together, strict=True):
        ((_, alone),) = DeepTrial.run([t])
        for name in ("mu_at_first", "rank_at_first", "gradient_at_first", "dense", "sparse", "training_step"):
            np.testing.assert_allclose(row[name], alone[name], rtol=2e-3)


def test_a_network_before_training_is_read_by_hand():
    t = trial("GAT", 2)
    graph = prepared(t.dataset, t.component)
    model = build(graph, [t]).eval()
    read = deep.Reading(graph, model, t, graph.train[:1]).of(0)
    F0 = model.encoder().detach().requires_grad_()
    end = model.flow(F0, model.operator)
    loss = torch.nn.functional.cross_entropy(
        model.decode(end)[graph.train[0], 0], graph.labels[graph.train[0]]
    )
    g0, g1 = torch.autograd.grad(loss, [F0, end])
    assert read["gradient"] == pytest.approx((g0.norm() / g1.norm()).item(), rel=1e-3)
    assert read["loss"] == pytest.approx(loss.item(), rel=1e-3)
    assert read["mu"][-1] == pytest.approx(oversmoothing.coefficient(end[:, 0]).item(), rel=1e-3)


class Heat(torch.nn.Module):
    """A flow that the study does not have: F ← Ā F, ``depth`` times."""

    def __init__(self, depth: int):
        super().__init__()
        self.depth = depth

    def trajectory(self, F, adjacency):
        states = [F]
        for _ in range(self.depth):
            states.append(propagate(adjacency, states[-1]))
        return states

    def forward(self, F, adjacency):
        return self.trajectory(F, adjacency)[-1]


def test_a_network_that_is_registered_is_trained_and_read(monkeypatch):
    with pytest.raises(SpecError, match=r"model = 'heat' is refused: the networks are gcn, gat, .*, dynamo"):
        trial("GCN", model="heat")
    monkeypatch.setitem(deep.NETWORKS, "heat", lambda t, *_: Heat(t.depth))
    ((_, row),) = DeepTrial.run([trial("GCN", model="heat")])
    ((_, gcn),) = DeepTrial.run([trial("GCN")])
    assert (
        row["sparse"] == gcn["sparse"] and row["dense"] < gcn["dense"]
    )  # over the same graph, without weights
    assert row["mu"] == sorted(row["mu"], reverse=True) and len(row["mu"]) == 4


def test_every_network_is_a_variant_of_the_comparison():
    assert {fields["model"] for fields in depth_study.VARIANTS.values()} == set(deep.NETWORKS)


def test_marks_are_powers_of_two_and_the_last():
    assert deep.marks(128) == [0, 1, 2, 4, 8, 16, 32, 64, 128]
    assert deep.marks(6) == [0, 1, 2, 4, 6]


def test_removed_edges_are_compared_with_kept_ones_by_hand():
    t = trial("DYNAMO (−)", gradual=False, limit=0.3)
    graph, model, _ = DeepTrial.fitted([t])
    layer = model.flow.layers[0]
    told = deep.removed(graph, model.flow)
    X = torch.nn.functional.normalize(graph.features.to_dense(), dim=1)
    shares, counts = [0.0, 0.0], [0, 0]
    for layer in model.flow.layers:
        for e in layer.joins.nonzero().flatten().tolist():
            kept = int(layer.w[0, e] > 0)
            counts[kept] += 1
            shares[kept] += float(X[layer.full.row[e]] @ X[layer.full.col[e]])
    assert told["removed"] == pytest.approx(counts[0] / sum(counts), rel=1e-3)
    assert told["cosine_removed"] == pytest.approx(shares[0] / counts[0], rel=1e-3)
    assert told["cosine_kept"] == pytest.approx(shares[1] / counts[1], rel=1e-3)


# --- evidence --------------------------------------------------------------------------------------------------------


def rows(falls: dict[str, float]) -> pd.DataFrame:
    """Two graphs, three runs, depths 2 and 128; accuracy 80 at 2 layers, less the fall at 128."""
    told = []
    for g in ("a", "b"):
        for variant in depth_study.VARIANTS:
            for L in (2, 128):
                for run in range(3):
                    accuracy = 80.0 - (falls.get(variant, 0.0) if L == 128 else 0.0) + 0.1 * run
                    place = {"graph": g, "variant": variant, "layers": L, "run": run, "accuracy": accuracy}
                    read = {"mu": [0.8, 0.4], "mu_at_first": [0.8, 0.2], "train_accuracy": accuracy / 100}
                    pruned = variant.startswith("DYNAMO")
                    cost = {
                        "dense": 1e9 * L,
                        "sparse": 1e9,
                        "softmax": 0,
                        "covariance": 0,
                        "training_step": 3e9,
                    }
                    edges = {"removed": 0.2 if pruned else np.nan, "cosine_removed": 0.3, "cosine_kept": 0.5}
                    told.append(place | read | cost | edges | {"same_removed": 0.6, "same_kept": 0.9})
    return pd.DataFrame(told)


def test_evidence_of_depth_is_read_from_means():
    found = depth_study.depth_evidence(
        rows({"GAT": 50, "GCN": 40, "DYNAMO (−)": 30, "DYNAMO (+)": 45, "DYNAMO (corr)": 45})
    )
    assert found["fall"] == pytest.approx(30) and found["least_fall"] == pytest.approx(30)
    assert (
        found["slow_fall"] == 0 and found["lead"] == pytest.approx(20) and found["mu"] == pytest.approx(0.5)
    )
    assert found["untrained"] == pytest.approx(0.8)  # all but DYNAMO (−), which still fits half
    assert (found["graphs"], found["runs"], found["deepest"]) == (2, 3, 128)


def test_evidence_of_cost_gating_dagnn_and_removal():
    table = rows({"G²-GAT": 3.0, "DAGNN": 5.0})
    assert depth_study.gating_evidence(table)["fall"] == pytest.approx(3)
    assert depth_study.gating_evidence(table)["mu_first"] == pytest.approx(0.25)
    found = depth_study.dagnn_evidence(table, rows({"DAGNN": 1.0}))
    assert (found["fall"], found["rate"]) == (pytest.approx(5), pytest.approx(1))
    cost = depth_costs.cost_evidence(table)
    assert cost["share"] == 0 and cost["most"] == pytest.approx(1) and cost["ours"] == pytest.approx(129 / 3)


def test_evidence_of_removal_is_counted_by_graph():
    table = rows({}).assign(spread=lambda t: 0.01 * t.run)
    table["cosine_removed"] += table.spread  # 0.3 against 0.5
    table.loc[(table.graph == "b") & (table.variant == "DYNAMO (−)"), "cosine_removed"] += 0.5
    table.loc[(table.graph == "b") & (table.variant == "DYNAMO (+)"), "cosine_removed"] += 0.19
    found = depth_study.removal_evidence(table)
    assert (found["graphs"], found["networks"]) == (2, 48)
    assert (found["minus_less"], found["minus_more"]) == (0.5, 0.5)
    assert (found["plus_less"], found["plus_more"]) == (0.5, 0.0)
    assert found["correlation_less"] == 1 and found["condition"] == "reading minus on a"


def test_fresh_runs_are_no_run_of_the_grid():
    assert max(depth_study.GRAPHS.values()) <= depth_study.FRESH
    for d in depth_study.GRAPHS:
        fresh = {t.key for part in depth_study.removing(d).values() for t in part}
        grid = {t.key for part in depth_study.grid(d, runs=5).values() for t in part}
        assert len(fresh) == 30 and not fresh & grid


def test_a_trial_of_two_variants_counts_for_both():
    cells = depth_study.grid(SMALL, (2,), ("residual GAT", "GAT, small steps"), runs=1, epochs=2)
    assert len({t.key for part in cells.values() for t in part}) == 1
    table = collect([t for part in cells.values() for t in part], executor="local")
    assert list(depth_study.runs_of(cells, table).variant) == ["residual GAT", "GAT, small steps"]


def test_runs_on_a_public_split_differ_in_their_seed():
    public, ten = (
        depth_study.grid(d, (2,), ("GAT",), runs=3)["GAT", 2] for d in ("cora?split=public", "cora")
    )
    assert [(t.split, t.seed) for t in public] == [(0, 0), (0, 1), (0, 2)]
    assert [(t.split, t.seed) for t in ten] == [(0, 0), (1, 1), (2, 2)]


def test_reported_operations_stand_beside_those_of_the_nearest_depth():
    table = rows({}).assign(graph=lambda t: t.graph.map({"a": "cora?split=public", "b": "cornell-corrected"}))
    told = depth_costs.cost_table(table, "cora?split=public").set_index("network")
    assert list(told.layers) == [2, 2, 128, 128]  # GAT is reported with four
    assert told["pass"]["GCN"] == pytest.approx(3) and told["reported pass"]["DYNAMO-GAT"] == 0.605
    assert len(depth_costs.cost_table(table, "cornell-corrected")) == 4
    assert depth_costs.cost_table(table.assign(graph="karate"), "karate").empty


def test_a_pass_after_one_shot_has_the_share_of_entries_that_is_left():
    cells = depth_costs.passes(SMALL, 2, (0.5,), runs=2)
    read = depth_costs.saving(cells, collect([t for part in cells.values() for t in part], executor="local"))
    loops, edges = 150, prepared(SMALL).adjacency.values().numel()
    assert len(read) == 2 and np.allclose(read.removed, 0.5, atol=1 / edges)
    np.testing.assert_allclose(
        read.entries, (loops + edges * (1 - read.removed)) / (loops + edges), rtol=1e-3
    )
    np.testing.assert_allclose(read.excess, read.time / (1 - read.removed) - 1)
