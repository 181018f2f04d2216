"""The diagnosis of real networks: each illness found where it is, none where it is not, and the model left alone."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, MessagePassing, SAGEConv, Sequential
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.nn.models import GAT, GCN, GraphSAGE

from flowprune.dynamics import diagnose as module
from flowprune.dynamics import oversmoothing
from flowprune.dynamics.diagnose import RULES, diagnose
from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.oversmoothing import coefficient, effective_rank
from flowprune.flows.module import GRAFFConv
from flowprune.graphs import Graph, load
from flowprune.pruning.attach import Pruner, attach
from flowprune.pruning.dynamo import Dynamo


def data_of(name: str = "syn-cora?n=200&homophily=0.8") -> Data:
    g = load(name)
    return Data(
        x=g.features.to_dense(),
        edge_index=g.edge_index,
        y=g.labels,
        train_mask=g.train[0],
        test_mask=g.test[0],
    )


DATA = data_of()
CLASSES = int(DATA.y.max()) + 1


class HighPass(MessagePassing):
    """x ↦ x − Āx = Δx."""

    def forward(self, x, edge_index):
        edge_index, weight = gcn_norm(edge_index, None, len(x), add_self_loops=False)
        return x - self.propagate(edge_index, x=x, weight=weight)

    def message(self, x_j, weight):
        return weight[:, None] * x_j


class Repeated(nn.Module):
    """One layer, called again and again between an encoder and a decoder."""

    def __init__(self, conv: nn.Module, times: int, channels: int = 8):
        super().__init__()
        self.encoder, self.conv = nn.Linear(DATA.num_features, channels), conv
        self.decoder, self.times = nn.Linear(channels, CLASSES), times

    def forward(self, x, edge_index):
        x = self.encoder(x)
        for _ in range(self.times):
            x = self.conv(x, edge_index)
        return self.decoder(x)


class Residual(Repeated):
    def forward(self, x, edge_index):
        x = self.encoder(x)
        for _ in range(self.times):
            x = x + 0.3 * self.conv(x, edge_index).tanh()
        return self.decoder(x)


def scaled(model: nn.Module, factor: float) -> nn.Module:
    with torch.no_grad():
        for conv in model.convs:
            conv.lin.weight *= factor
    return model


def fitted(model: nn.Module, epochs: int = 80) -> nn.Module:
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(epochs):
        optimiser.zero_grad()
        out = model(DATA.x, DATA.edge_index)
        nn.functional.cross_entropy(out[DATA.train_mask], DATA.y[DATA.train_mask]).backward()
        optimiser.step()
    return model


def repelling() -> GRAFFConv:
    conv = GRAFFConv(8, "diag", omega=False, source=False)
    with torch.no_grad():
        conv.graff.W[0].w.fill_(-1.2)
    return conv


def gcn(depth: int, **options) -> GCN:
    return GCN(DATA.num_features, 16, depth, CLASSES, **options)


CASES = {
    "deep GCN": (lambda: gcn(16), {"over-smoothing"}, {"over-sharpening", "exploding gradients"}),
    "deep GAT": (lambda: GAT(DATA.num_features, 8, 40, CLASSES), {"over-smoothing"}, {"over-sharpening"}),
    "tiny weights": (lambda: scaled(gcn(6), 0.02), {"vanishing gradients"}, {"exploding gradients"}),
    "large weights": (lambda: scaled(gcn(5), 20.0), {"exploding gradients"}, {"vanishing gradients"}),
    "overflow": (lambda: scaled(gcn(8), 1e6), {"exploding gradients"}, {"vanishing gradients"}),
    "high pass": (lambda: Repeated(HighPass(), 10), {"over-sharpening"}, {"over-smoothing"}),
    "negative W": (lambda: Repeated(repelling(), 8), {"over-sharpening"}, {"over-smoothing"}),
    "shallow": (lambda: gcn(2), set(), set(RULES)),
    "trained": (lambda: fitted(gcn(2, dropout=0.5)), set(), set(RULES)),
    "trained residual": (lambda: fitted(Residual(GCNConv(8, 8), 4), 40), set(), set(RULES)),
}


@pytest.mark.parametrize("case", CASES)
def test_each_network_has_what_it_has_and_the_words_say_so(case):
    torch.manual_seed(0)
    make, ill, not_ill = CASES[case]
    found = diagnose(make(), DATA)
    assert ill <= set(found.findings) <= set(RULES) - not_ill
    words = str(found)
    assert all(name.capitalize() in words for name in found.findings)
    assert ("Nothing is found wrong" in words) == (not found.findings)
    assert "nan" not in words


def test_readings_are_those_of_the_states_computed_by_hand():
    torch.manual_seed(1)
    first, second = GCNConv(DATA.num_features, 8), GCNConv(8, 8)
    model = Sequential(
        "x, edge_index", [(first, "x, edge_index -> x"), nn.ELU(), (second, "x, edge_index -> x")]
    )
    edges = DATA.edge_index[:, (DATA.edge_index < 180).all(0)]
    X = DATA.x.double()
    found = diagnose(model.double(), Data(x=X, edge_index=edges, y=DATA.y, train_mask=DATA.train_mask))
    H = nn.functional.elu(first(X, edges))
    out = second(H, edges)
    graph = Graph.from_edges("", edges, len(X), dtype=torch.float64)
    inside = torch.from_numpy(graph.component_of == np.bincount(graph.component_of).argmax())
    assert 100 < inside.sum() < len(X)  # only nodes of one component become alike
    part = graph.largest_component()
    for row, state in zip(found.table.itertuples(), (X, H, out), strict=True):
        assert row.μ == pytest.approx(coefficient(state[inside]).item(), rel=1e-9)
        assert row.energy == pytest.approx(normalised_energy(part, state[inside]).item(), rel=1e-9)
        assert row.rank == pytest.approx(effective_rank(state[inside]).item(), rel=1e-9)
    loss = nn.functional.cross_entropy(out[DATA.train_mask], DATA.y[DATA.train_mask])
    for g, read in zip(torch.autograd.grad(loss, [H, out]), found.table.gradient[1:], strict=True):
        assert read == pytest.approx(g.norm().item(), rel=1e-9)
    looped = graph.with_self_loops()
    top = [
        np.abs(np.linalg.eigvals(M.detach().numpy())).max()
        for M in (looped.norm_adjacency.to_dense(), second.lin.weight)
    ]
    assert found.table.radius[1] == pytest.approx(top[0] * top[1], rel=1e-3)
    assert np.isnan(found.table.radius[0]) and np.isnan(found.table.radius[2])
    assert found.skipped == ("no radius of a layer that changes the number of channels",)
    share = (out.argmax(1) == out.argmax(1).mode().values).double().mean().item()
    assert found.common == pytest.approx(share)
    assert found.highest == pytest.approx(part.rho / 2)


def test_a_shared_layer_has_a_row_for_every_call():
    torch.manual_seed(0)
    table = diagnose(Repeated(GCNConv(8, 8), 5), DATA).table
    assert list(table.state) == ["into conv"] * 5 + ["out of conv"]
    assert np.allclose(table.radius[:5], table.radius[0], rtol=1e-3)  # a linear layer has one Jacobian
    assert table.gradient.nunique() == 6


def test_large_graphs_are_sampled_and_large_layers_skipped_with_a_reason(monkeypatch):
    torch.manual_seed(0)
    model = gcn(3)
    exact = diagnose(model, DATA)
    monkeypatch.setattr(oversmoothing, "EXACT", 10)
    monkeypatch.setattr(module, "LARGE", 10)
    sampled = diagnose(model, DATA)
    assert np.abs(sampled.table["μ"] - exact.table["μ"]).max() < 0.02
    assert exact.table.radius.notna().sum() == 1 and sampled.table.radius.isna().all()
    assert "no radius of a state with more than 10 entries" in sampled.skipped


def test_the_model_is_left_as_it_was():
    torch.manual_seed(0)
    model = GCN(DATA.num_features, 8, 3, CLASSES, dropout=0.5, norm="batch")
    model(DATA.x, DATA.edge_index).sum().backward()
    model.train()
    model.norms[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    with torch.no_grad():
        found = diagnose(model, DATA)
    assert found.table.gradient.notna().all()
    assert modes == [m.training for m in model.modules()]
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not DATA.x.requires_grad


def test_a_network_that_prunes_is_read_on_the_edges_that_are_left():
    torch.manual_seed(0)
    model = GAT(DATA.num_features, 8, 3, CLASSES)
    attach(model, Dynamo(gradual=False, limit=0.3, noise=0.0))
    model(DATA.x, DATA.edge_index)
    plain = copy.deepcopy(model)
    Pruner(plain).detach()
    pruned, full = diagnose(model, DATA), diagnose(plain, DATA)
    H = model.convs[1](model.convs[0](DATA.x, DATA.edge_index).relu(), DATA.edge_index).relu()
    assert pruned.table["μ"][2] == pytest.approx(coefficient(H.double()).item(), rel=1e-5)
    assert (pruned.table[["μ", "radius"]].iloc[1] != full.table[["μ", "radius"]].iloc[1]).all()


def test_hooks_are_taken_out_after_an_error():
    model = gcn(2)
    wrong = DATA.clone()
    wrong.x = wrong.x[:, :5]
    with pytest.raises(RuntimeError):
        diagnose(model, wrong)
    assert not any(m._forward_hooks for m in model.modules()) and model.training


def test_a_constant_input_is_named_as_such_only_if_it_stays_so():
    data = DATA.clone()
    data.x = torch.ones(data.num_nodes, 4)
    torch.manual_seed(0)
    average = diagnose(
        Sequential("x, edge_index", [(SAGEConv(4, 4), "x, edge_index -> x"), nn.Linear(4, CLASSES)]), data
    )
    assert set(average.findings) == {"over-smoothing"} and "as in the input" in str(average)
    by_degree = diagnose(GraphSAGE(4, 16, 2, CLASSES, aggr="sum"), data)
    assert by_degree.table["μ"][0] < 1e-6 and "over-smoothing" not in by_degree.findings


def test_dead_units_are_smooth_and_pass_no_gradient():
    class Dead(Repeated):
        def forward(self, x, edge_index):
            x = -self.encoder(x).exp()
            x = self.conv(self.conv(x, edge_index), edge_index).relu()
            return self.decoder(self.conv(x, edge_index))

    positive = GCNConv(8, 8, bias=False)
    positive.lin.weight.data.abs_()
    found = diagnose(Dead(positive, 3), DATA)
    assert {"over-smoothing", "vanishing gradients"} == set(found.findings) and "nan" not in str(found)


class OfData(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = GATConv(DATA.num_features, CLASSES)

    def forward(self, data):
        return self.conv(x=data.x, edge_index=data.edge_index), "more"


class OfPositions(OfData):
    def forward(self, features, edges):
        return self.conv(features, edges).log_softmax(1)


@pytest.mark.parametrize("make", [OfData, OfPositions, lambda: GATConv(DATA.num_features, CLASSES)])
def test_models_are_called_as_they_ask(make):
    found = diagnose(make(), DATA)
    assert found.about == f"1 layer of GATConv on {DATA.num_nodes} nodes."
    assert found.table.gradient.notna().all() and found.findings == {}


def test_without_labels_there_are_no_gradients_and_pairs_have_no_radius():
    class Pair(OfData):
        def forward(self, x, edge_index):
            return self.conv((x, x), edge_index)

    found = diagnose(Pair(), Data(x=DATA.x, edge_index=DATA.edge_index))
    assert found.table.gradient.isna().all() and found.table.radius.isna().all()
    assert any("no y and train_mask" in reason for reason in found.skipped)
    assert any("pair of states" in reason for reason in found.skipped)


def test_what_cannot_be_read_is_refused_in_one_sentence():
    class Asks(OfData):
        def forward(self, x, edge_index, spins):
            return self.conv(x, edge_index)

    class Pooled(OfData):
        def forward(self, x, edge_index):
            return self.conv(x[:10], edge_index[:, (edge_index < 10).all(0)])

    for model, data, words in (
        (
            nn.Linear(3, 3),
            DATA,
            "Linear has passed no messages; a torch-geometric layer that is called is needed",
        ),
        (Asks(), DATA, r"Asks asks for x, edge_index, spins; allowed are arguments named as the fields"),
        (Pooled(), DATA, r"conv has shape \[10, .*allowed are features of all 200 nodes"),
        (gcn(2), Data(x=DATA.x, edge_index=DATA.edge_index[:, :0]), "the data has no edges"),
    ):
        with pytest.raises(ValueError, match=words):
            diagnose(model, data)
