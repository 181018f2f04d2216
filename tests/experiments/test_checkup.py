"""The networks of the chapter on diagnosis, the reader's own model, and the figure."""

import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.text import Text
from torch_geometric.data import Data

from flowprune.dynamics.diagnose import diagnose
from flowprune.experiments import checkup
from flowprune.experiments.pictures import diagnose as pictures
from flowprune.graphs import load
from flowprune.pruning.dynamo import Dynamo


@pytest.fixture(scope="module")
def data():
    return checkup.as_data(load("syn-cora?n=150&homophily=0.8"))


def test_a_shallow_network_learns_and_a_comparison_starts_from_the_same_weights(data):
    model = checkup.network("GCN, 2 layers", data, 8, seed=0)
    assert checkup.train(model, data, 40, seed=0) > 0 and not model.training
    assert checkup.accuracy(model, data) > 0.6
    compared = checkup.with_and_without("GAT, 3 layers", data, 8, 12, Dynamo(limit=0.3, rate=0.3), [0, 1])
    plain, pruned = (compared[compared.pruning == name] for name in ("none", "DYNAMO"))
    assert (plain.removed == 0).all() and pruned.removed.max() <= 0.3 and pruned.removed.min() > 0.2
    still = checkup.with_and_without("GAT, 3 layers", data, 8, 12, Dynamo(rate=0.0, noise=0.0), [0])
    assert still.accuracy.nunique() == 1
    shown = checkup.summary(compared)
    assert list(shown.pruning) == ["none", "DYNAMO"] and shown["over-smoothing"].str.endswith("of 2").all()
    assert shown["test accuracy, %"].tolist() == pytest.approx(
        [100 * p.accuracy.mean() for p in (plain, pruned)]
    )


def test_a_graph_without_features_gets_one_hot_nodes_and_its_own_split():
    graph = load("karate")
    data = checkup.as_data(graph, split=1)
    assert torch.equal(data.train_mask, graph.train[1]) and torch.equal(data.y, graph.labels)
    assert data.x.shape[0] == graph.n


def test_ones_own_model_is_read_from_a_file_or_refused(tmp_path, data):
    model = checkup.network("GCN, 2 layers", data, 8, seed=0)
    torch.save(model, tmp_path / "model.pt")
    read = checkup.own(tmp_path / "model.pt")
    assert torch.equal(read.eval()(data.x, data.edge_index), model.eval()(data.x, data.edge_index))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"weights.pt holds a OrderedDict; allowed is a whole module"):
        checkup.own(tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"is missing; allowed is a file written by torch.save"):
        checkup.own(tmp_path / "none.pt")
    script = "from torch import nn, save\nclass Deep(nn.Linear): ...\nsave(Deep(2, 2), 'script.pt')"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    with pytest.raises(ValueError, match=r"script.pt names a class that cannot be imported \(.*Deep"):
        checkup.own(tmp_path / "script.pt")


def test_the_figure_names_every_network_and_its_findings(data):
    found = {
        kind: diagnose(checkup.network(kind, data, 8, seed=0), data)
        for kind in ("GCN, 2 layers", "GCN, 16 layers")
    }
    fig = pictures.readings(found)
    said = " | ".join(text.get_text() for text in fig.findobj(Text))
    assert all(kind in said for kind in found) and "over-smoothing" in said and "nothing found" in said
    for axis, one in zip(fig.axes[:2], found.values(), strict=True):
        assert [tuple(line.get_ydata()) for line in axis.lines if len(line.get_xdata()) > 2] == [
            tuple(one.table["μ"]),
            tuple(one.table.energy),
        ]
    plt.close(fig)
    words = pictures.in_words(found)
    assert f"{found['GCN, 2 layers'].table['μ'].min():.2f}" in words
    alone = diagnose(
        checkup.network("GCN, 2 layers", data, 8, seed=0), Data(x=data.x, edge_index=data.edge_index)
    )
    with pytest.raises(ValueError, match="GCN, 2 layers: the graph has no labels to train on"):
        checkup.network("GCN, 2 layers", Data(x=data.x, edge_index=data.edge_index), 8, seed=0)
    plt.close(pictures.readings({"no labels": alone}))
    assert "n/a" in pictures.in_words({"no labels": alone})
