"""Both ways of training are the same model, and their times are reported consistently."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch.nn import functional

from flowprune.experiments.nodes import NodeTrial, build, prepared, published_settings
from flowprune.experiments.speed import (
    PlainGRAFF,
    SpeedTrial,
    by_replicas,
    geometric,
    pairs,
    parts,
    plain_inputs,
    same_weights,
    train_plain,
)
from flowprune.study.passes import compute

SPARSE, DENSE = "syn-cora?n=150&seed=1", "karate"


def replicas(dataset: str, count: int = 3, **fields) -> list[NodeTrial]:
    quiet = {"dataset": dataset, "component": "all", "dropout": 0.0, "input_dropout": 0.0}
    settings = published_settings("cora") | quiet | fields
    return [NodeTrial(**settings, split=k, seed=k) for k in range(count)]


@pytest.mark.parametrize("csr", [False, True])
@pytest.mark.parametrize("dataset", [SPARSE, DENSE])
def test_the_plain_model_with_copied_weights_gives_the_same_logits_and_gradients(dataset, csr):
    graph, trials = prepared(dataset), replicas(dataset)
    ours = build(graph, trials).train()
    with torch.no_grad():  # β starts at zero; the source must be seen
        ours.flow.β.copy_(torch.tensor([[0.3], [-0.2], [0.1]]))
    logits = ours()
    loss = sum(
        functional.cross_entropy(logits[graph.train[r], r], graph.labels[graph.train[r]]) for r in range(3)
    )
    loss.backward()
    for r, trial in enumerate(trials):
        plain = same_weights(ours, r, trial).train()
        expected = plain(*plain_inputs(graph, csr))
        torch.testing.assert_close(logits[:, r], expected, rtol=1e-5, atol=1e-5)
        functional.cross_entropy(expected[graph.train[r]], graph.labels[graph.train[r]]).backward()
        for mine, theirs in (
            (ours.encoder.linear.weight.grad[r].T, plain.encoder.weight.grad),
            (ours.flow.W[0].w.grad[r], plain.w.grad),
            (ours.flow.ω.grad[r], plain.ω.grad),
            (ours.flow.β.grad[r], plain.β.grad),
            (ours.decoder.bias.grad[r], plain.decoder.bias.grad),
        ):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_other_weights_give_other_logits():
    graph, trials = prepared(DENSE), replicas(DENSE)
    ours = build(graph, trials)
    wrong = same_weights(ours, 1, trials[0])(*plain_inputs(graph))
    assert (wrong - ours()[:, 0]).abs().max() > 0.01


def test_plain_inputs_hold_the_features_and_the_normalised_adjacency():
    graph = prepared(SPARSE)
    x, edge_index, weight = plain_inputs(graph)
    assert x.layout == torch.strided
    assert torch.equal(x, graph.features.to_dense())
    Ā = torch.zeros(graph.n, graph.n)
    Ā[edge_index[0], edge_index[1]] = weight
    torch.testing.assert_close(Ā, graph.norm_adjacency.to_dense())
    x, matrix, weight = plain_inputs(graph, csr=True)
    assert matrix.layout == torch.sparse_csr and weight is None
    assert torch.equal(matrix.to_dense(), Ā)


def test_along_a_matrix_no_message_is_made():
    graph, trial = prepared(DENSE), replicas(DENSE, count=1)[0]
    plain = same_weights(build(graph, [trial]), 0, trial).eval()
    plain.message = lambda **_: pytest.fail("a message was made")
    plain(*plain_inputs(graph, csr=True))
    with pytest.raises(pytest.fail.Exception):
        plain(*plain_inputs(graph))


@pytest.mark.parametrize("csr", [False, True])
def test_the_plain_way_learns(csr):
    torch.manual_seed(0)
    easy = "csbm?n=200&features=20&signal=3&seed=1"  # two classes of equal size
    trials = replicas(easy, count=3, lr=0.02, weight_decay=0.001, epochs=40)
    assert min(train_plain(prepared(easy), trial, csr) for trial in trials) > 0.9


def test_plain_parameters_start_as_ours_do():
    torch.manual_seed(0)
    trial = replicas(DENSE, count=1)[0]
    plain, ours = PlainGRAFF(34, 4, trial), build(prepared(DENSE), [trial])
    assert plain.β.item() == ours.flow.β.item() == 0
    for theirs, mine in ((plain.w, ours.flow.W[0].w[0]), (plain.ω, ours.flow.ω[0])):
        assert theirs.shape == mine.shape
        assert theirs.abs().max() <= 1 and mine.abs().max() <= 1


@pytest.mark.parametrize(("chunk", "sizes"), [(0, [5]), (2, [2, 2, 1]), (5, [5])])
def test_a_speed_trial_reports_consistent_times(chunk, sizes):
    trial = SpeedTrial(dataset="karate", splits=5, epochs=2, chunk=chunk, settings="cora")
    (row,) = compute([trial])
    assert row["status"] == "done", row["error"]
    result = row["result"]
    ours, plain = result["ours_seconds"], result["plain_seconds"]
    assert len(ours) == len(plain) == len(sizes)
    assert min(ours + plain) > 0
    assert result["ratio"] == pytest.approx(sum(plain) / sum(ours), rel=1e-6)
    assert result["ratios"] == pytest.approx([b / a for a, b in zip(ours, plain, strict=True)], rel=1e-6)
    assert row["seconds"] > sum(ours) + sum(plain) - 0.01
    table = pairs(collected(trial, row))
    assert table.replicas.tolist() == sizes
    assert table.ratio.tolist() == pytest.approx(result["ratios"], rel=1e-6)
    assert (table.ours * table.replicas * 2 / 1000).tolist() == pytest.approx(ours)
    assert (table.plain / table.ours).tolist() == pytest.approx(result["ratios"], rel=1e-6)


def collected(trial: SpeedTrial, row: dict) -> pd.DataFrame:
    return pd.DataFrame([trial.fields | row["result"] | {"status": row["status"]}])


def times(ours: list[float], plain: list[float], **fields) -> pd.DataFrame:
    """Two repetitions of one made-up trial: 4 splits in passes of 3 and 1 replicas, 10 epochs."""
    trial = {"dataset": "karate", "splits": 4, "epochs": 10, "chunk": 3, "chunk_size": 3, "status": "done"}
    rows = [
        trial | fields | {"repetition": i, "ours_seconds": ours, "plain_seconds": plain} for i in range(2)
    ]
    return pd.DataFrame(rows)


def test_pairs_are_times_an_epoch_and_replica():
    found = pairs(times(ours=[0.3, 0.2], plain=[1.5, 0.4]))
    assert found.replicas.tolist() == [3, 1, 3, 1]
    assert found.ours.tolist() == pytest.approx([10, 20, 10, 20])  # milliseconds
    assert found.plain.tolist() == pytest.approx([50, 40, 50, 40])
    assert found.ratio.tolist() == pytest.approx([5, 2, 5, 2])


def test_without_any_time_the_first_error_is_told():
    with pytest.raises(
        ValueError, match="none of 2 speed trials is done; the first failed with no such graph"
    ):
        pairs(times([0.1], [0.2], status="failed", error="no such graph"))


def test_pairs_of_one_size_are_summed_up_together():
    table = pd.concat([times([0.3, 0.2], [1.5, 0.4]), times([0.8], [1.6], chunk_size=4, splits=4, chunk=0)])
    found = by_replicas(pairs(table)).set_index("replicas")
    assert found.index.tolist() == [1, 3, 4]
    assert found.pairs.tolist() == [2, 2, 2]
    assert [i.mean for i in found.ratio] == pytest.approx([2, 5, 2])
    assert [i.mean for i in found.ours] == pytest.approx([20, 10, 20])


def test_the_geometric_mean_of_ratios_is_that_of_their_inverses():
    up, down = geometric([2.0, 8.0, 4.0]), geometric([1 / 2, 1 / 8, 1 / 4])
    assert up.mean == pytest.approx(4)
    assert down.mean == pytest.approx(1 / 4)
    assert 2 <= up.lower < 4 < up.upper <= 8


def test_the_parts_of_a_pass_are_timed_in_all_ways():
    threads = torch.get_num_threads()
    found = parts(prepared(DENSE), replicas(DENSE, count=1)[0], repetitions=2)
    assert found.part.tolist() == ["input dropout and encoder", "flow", "dropout and decoder"]
    assert (found[["gather", "CSR", "ours"]] > 0).all(axis=None)
    assert torch.get_num_threads() == threads


def test_a_graph_without_settings_of_its_own_needs_another_graphs():
    (row,) = compute([SpeedTrial(dataset="karate", settings="karate", splits=1, epochs=1)])
    assert row["status"] == "failed"
    assert "no published GRAFF settings for 'karate'" in row["error"]
