"""Figures of the chapter on the graph transformer show what their tables hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PathCollection

from flowprune.experiments import transformer as study
from flowprune.experiments import transformer_looks as looks
from flowprune.experiments.nodes import prepared
from flowprune.experiments.pictures import transformer as pictures
from flowprune.flows.transformer import GraphTransformer
from flowprune.graphs import Graph
from flowprune.pruning.dynamo import Dynamo

SMALL = "csbm?n=30"


def found() -> pd.DataFrame:
    told = []
    for graph, pairs in (("texas", "all"), ("cora?split=public", "neighbours")):
        for i, name in enumerate((*study.READINGS, study.CONTROL)):
            ends = {
                "difference": i - 1.0,
                "lower": i - 2.0,
                "upper": i + 0.5,
                "adj. p": 0.01 if i == 0 else 0.3,
            }
            told.append(
                {"graph": graph, "pairs": pairs, "variant": name} | ends | {"accuracy": 70.0, "share": 0.2}
            )
    return pd.DataFrame(told)


def test_gains_are_drawn_with_intervals_and_filled_when_sure():
    axis = pictures.gains(found()).axes[0]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["cora, neighbours", "texas, all pairs"]
    dots = [c for c in axis.collections if isinstance(c, PathCollection)]
    assert sorted(float(c.get_offsets()[0, 0]) for c in dots) == [-1, -1, 0, 0, 1, 1, 2, 2]
    white = [tuple(c.get_facecolor()[0][:3]) == (1, 1, 1) for c in dots]
    assert [not w for w in white] == [float(c.get_offsets()[0, 0]) == -1 for c in dots]
    lines = [s for c in axis.collections if hasattr(c, "get_segments") for s in c.get_segments()]
    reported = study.REPORTED["cora?split=public"]
    assert sum(np.allclose(s[:, 0], reported) for s in lines) == 1
    assert sum(np.allclose(s[:, 0], [-2, 0.5]) for s in lines) == 2


def test_distances_are_means_over_runs_of_all_pairs_alone():
    told = [
        {"graph": "texas", "pairs": pairs, "variant": name, "removed_by_hop": by}
        for pairs in ("all", "neighbours")
        for name in ("minus", study.UNPRUNED)
        for by in ([0.1, 0.3], [0.3, 0.5])
    ]
    axis = pictures.distances(pd.DataFrame(told)).axes[0]
    (line,) = axis.lines
    np.testing.assert_allclose(line.get_ydata(), [20, 40])
    assert [t.get_text() for t in axis.get_xticklabels()] == ["1", "≥2"]


def test_masks_sort_nodes_and_count_the_blocks_that_lost_a_pair():
    labels, hops, shares = looks.masks(SMALL, 3, 5.0)
    assert (labels.diff() >= 0).all() and set(shares) == set(study.READINGS)
    graph = prepared(SMALL)
    order = graph.labels.argsort(stable=True)
    neighbours = graph.adjacency.to_dense()[order][:, order] > 0
    assert torch.equal(hops == 1, neighbours)
    for share in shares.values():
        assert share.diagonal().max() == 0 and 0 < share.mean() <= 0.2
    distance, *axes = pictures.masks(labels, hops, shares).axes
    np.testing.assert_array_equal(distance.images[0].get_array(), hops)
    for axis, share in zip(axes, shares.values(), strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), share)
        assert len(axis.lines) == 2 * (len(labels.unique()) - 1)


def test_shares_by_class_leave_a_node_with_itself_out():
    gone = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.5], [0.5, 0.5, 0.0]])
    assert looks.by_class(torch.tensor([0, 0, 1]), {"minus": gone}).endswith("classes: minus 100 % and 50 %.")


def test_the_table_and_the_words_hold_the_numbers():
    table = study.contrast_table(found())
    assert table.shape == (8, 7) and table["95 % interval"][0] == "-2.0 to 0.5" and table.removed[0] == "20 %"
    assert "texas, all pairs: minus -1.0, plus +0.0, correlation +1.0" in study.in_words(found())
    told = study.verdict_in_words(found())
    assert "unpruned: 8." in told and "chance: 0; losses: 2." in told
    assert "+2.0 points (1.0 to 3.5), is that of “no covariance” on texas, all pairs" in told
    assert "On cora the intervals cover -2.0 to 3.5 points; the paper reports +1.2." in told


def test_what_is_left_of_the_coefficient_is_averaged_by_variant():
    told = [{"variant": "minus", "mu_at_first": [0.5, 0.1], "mu": [0.4, x]} for x in (0.2, 0.4)]
    kept = study.kept_unlike(pd.DataFrame(told)).loc["minus"]
    assert kept.untrained == pytest.approx(0.2) and kept.trained == pytest.approx(0.75)


def test_the_checks_of_the_chapter_agree():
    assert max(looks.checks()) < 1e-12


def test_what_a_node_keeps_for_itself_is_read_from_a_dense_softmax():
    t = study.TransformerTrial(
        split=0, seed=0, **study.TRAINING | {"dataset": SMALL, "epochs": 6, "rate": 0.4, "depth": 1}
    )
    _, model, _ = study.TransformerTrial.fitted([t])
    (block,) = model.eval().flow.blocks
    layer, n = block.attention, 30
    q, k, _ = layer.attention.maps(block.first(model.encoder())).view(n, 3, 4, 8).permute(1, 2, 0, 3)
    w = torch.zeros(n, n).index_put((layer.full.row, layer.full.col), layer.w[0])
    α = ((q @ k.transpose(1, 2)) / 8**0.5 + w.log()).softmax(-1)
    assert looks.oneself(model) == pytest.approx(α.diagonal(dim1=1, dim2=2).mean().item(), rel=1e-4)
    assert 0 < w[w > 0].min() < 1


def test_multipliers_sink_step_by_step_and_stay_when_pruned_at_once():
    told = looks.listening(SMALL, 8, 1.0).set_index("variant")
    assert told.w[study.UNPRUNED] == told.w[study.AT_ONCE] == 1 > told.w["minus"]
    assert told.alone[study.UNPRUNED] == told["by chance"][study.UNPRUNED] == 0


def test_nodes_are_alone_when_their_last_neighbour_is_gone():
    star = Graph.from_edges("star", [[0, 0, 0], [1, 2, 3]], n=5)  # and an isolated node, which does not count
    loops = star.with_self_loops().adjacency
    flow = GraphTransformer([0], 4, 1, loops, Dynamo(), dropout=[0.0], heads=1)
    (layer,) = flow.layers
    layer.w[0, (layer.full.row == 1) & layer.joins] = 0
    layer.w[0, (layer.full.row == 0) & (layer.full.col == 2)] = 0
    share, chance = looks.alone(flow)  # two of six entries are gone; degrees are 3, 1, 1, 1
    assert share == pytest.approx(1 / 4)
    assert chance == pytest.approx((3 * (1 / 3) + (1 / 3) ** 3) / 4)
