"""Evolution trials: every state is the one the network passes through, and what is read from it is right."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch_geometric.utils import homophily

from flowprune.dynamics.energy import normalised_energy
from flowprune.dynamics.spectra import Spectrum
from flowprune.experiments import evolution
from flowprune.experiments.evolution import EvolutionTrial
from flowprune.experiments.nodes import NodeTrial, build, operator, prepared
from flowprune.flows.gradient import GRAFF
from flowprune.graphs import load
from flowprune.study.passes import compute

QUICK = {
    "dataset": "csbm?n=60&degree=4&homophily=0.2&features=8&signal=2&seed=1",
    "split": 0,
    "seed": 0,
    "lr": 0.02,
    "weight_decay": 0.001,
    "dropout": 0.2,
    "input_dropout": 0.1,
    "hidden": 16,
    "epochs": 30,
}
MODELS = {
    "graff": {"model": "graff", "time": 2.5},
    "dd": {"model": "graff", "structure": "dd", "time": 2.0, "step": 0.5},
    "relu": {"model": "graff", "structure": "sum", "relu": True},
    "gcn": {"model": "gcn", "depth": 3},
    "residual": {"model": "gcn", "depth": 2, "residual": True},
    "gat": {"model": "gat", "depth": 2},
    "mlp": {"model": "mlp"},
}
STATES = {"graff": 4, "dd": 5, "relu": 4, "gcn": 4, "residual": 3, "gat": 3, "mlp": 1}


def trial(name: str, **fields) -> EvolutionTrial:
    return EvolutionTrial(**QUICK | MODELS[name] | fields)


@pytest.mark.parametrize("name", MODELS)
def test_training_is_that_of_the_node_trial(name):
    """Reading the states afterwards changes no number that the node trial gives."""
    read, plain = compute([trial(name)])[0], compute([NodeTrial(**QUICK | MODELS[name])])[0]
    assert read["status"] == "done", read["error"]
    assert read["key"] != plain["key"]
    assert {k: read["result"][k] for k in plain["result"]} == plain["result"]
    steps = [v for k, v in read["result"].items() if k.endswith("_by_step")]
    assert len(steps) == 5
    assert {len(values) for values in steps} == {STATES[name]}


@pytest.mark.parametrize("name", MODELS)
def test_the_last_state_is_what_the_network_decodes(name):
    result = compute([trial(name)])[0]["result"]
    assert result["accuracy_by_step"][-1] == pytest.approx(result["test_accuracy"], abs=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_the_states_are_those_of_the_forward_pass(name):
    t = trial(name)
    graph = prepared(t.dataset)
    model = build(graph, [t, trial(name, split=1)]).eval()
    with torch.no_grad():
        F0, FT = model.evolve()
        states = evolution.trajectory(model.flow, F0, operator(graph, t))
    assert torch.equal(states[0], F0)
    torch.testing.assert_close(states[-1], FT)
    assert all(not torch.equal(a, b) for a, b in pairwise(states))


def test_the_states_of_a_gcn_end_each_after_its_layer():
    """A network cut after its first layer ends in the second state of the whole."""
    t = trial("gcn")
    graph = prepared(t.dataset)
    whole, cut = (build(graph, [trial("gcn", depth=depth)]).eval() for depth in (3, 1))
    with torch.no_grad():
        F0 = whole.evolve()[0]
        states = evolution.trajectory(whole.flow, F0, operator(graph, t))
        torch.testing.assert_close(states[1], cut.flow(F0, operator(graph, t)))


def test_a_flow_of_unknown_states_is_refused():
    with pytest.raises(TypeError, match="the states of Linear cannot be read"):
        evolution.trajectory(torch.nn.Linear(2, 2), torch.zeros(3, 1, 2), torch.eye(3))


def test_predictions_are_read_on_edges_and_on_test_nodes():
    graph = load(QUICK["dataset"]).with_self_loops()
    wrong = (graph.labels + 1) % 2
    mixed = torch.where(torch.arange(graph.n) < 30, graph.labels, wrong)
    read = evolution.predictions(graph, torch.stack([graph.labels, wrong, mixed]), graph.test[0])
    plain = load(QUICK["dataset"])
    assert read["homophily_by_step"][:2] == pytest.approx([graph.homophily()] * 2)
    assert read["homophily_by_step"][2] == pytest.approx(homophily(plain.edge_index, mixed), abs=1e-6)
    assert read["accuracy_by_step"][:2] == [1.0, 0.0]
    assert read["homophily_true"] == pytest.approx(homophily(plain.edge_index, plain.labels), abs=1e-6)


@pytest.mark.parametrize("loops", [False, True])
def test_frequencies_of_eigenvectors_and_of_mixtures(loops):
    graph, spectrum = evolution.measured_on(QUICK["dataset"], "all", loops)
    φ, λ = spectrum.φ, spectrum.λ
    flat = torch.stack([φ[:, :2], φ[:, -2:], (φ[:, :1] + φ[:, -1:]).expand(-1, 2), 0 * φ[:, :2]])
    read = evolution.frequencies(graph, spectrum, flat)
    expected = [λ[:2].mean() / λ[-1], λ[-2:].mean() / λ[-1], 0.5, 0.0]
    assert read["energy_by_step"] == pytest.approx([float(x) for x in expected], abs=1e-9)
    assert read["low_by_step"][:3] == pytest.approx([1, 0, 0.5], abs=1e-9)
    assert read["high_by_step"][:3] == pytest.approx([0, 1, 0.5], abs=1e-9)
    assert read["low_by_step"][3] == read["high_by_step"][3] == 0


def test_energies_agree_with_the_spectral_sum_and_without_a_spectrum_the_shares_are_left_out():
    graph, spectrum = evolution.measured_on(QUICK["dataset"], "all", False)
    states = torch.randn(3, graph.n, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    content = (spectrum.φ.T @ states).square().sum(-1)
    by_frequency = (content * spectrum.λ).sum(1) / content.sum(1) / graph.rho
    torch.testing.assert_close(evolution.energies(graph, states), by_frequency)
    assert evolution.energies(graph, states)[0] == normalised_energy(graph, states[0]) / (graph.rho / 2)
    assert set(evolution.frequencies(graph, None, states)) == {"rho", "energy_by_step"}


@pytest.mark.parametrize("structure", ["diag", "sum", "prod", "neg-prod", "dd"])
def test_the_fastest_growth_is_at_an_end_of_the_spectrum(structure):
    """Brute force over all frequencies of a graph and all channels, by the Kronecker form."""
    spectrum = Spectrum.of(load(QUICK["dataset"]))
    flow = GRAFF([0, 1], 6, structure, step=0.5)
    for r in range(2):
        read = evolution.tendencies(flow, r, spectrum.ρ)
        W, Ω = flow.W[0].matrix()[r].double(), torch.diag(flow.ω.detach()[r].double())
        μ = torch.stack([torch.linalg.eigvalsh((1 - λ) * W - Ω) for λ in spectrum.λ])
        assert max(read["rate_low"], read["rate_high"]) == pytest.approx(μ.max().item())
        assert max(read["step_low"], read["step_high"]) == pytest.approx((1 + 0.5 * μ).abs().max().item())
        w = torch.linalg.eigvalsh(W)
        assert read["attraction"] == pytest.approx(max(0, w[-1].item()))
        assert read["repulsion"] == pytest.approx(max(0, -w[0].item()) * (spectrum.ρ - 1))
        assert read["negative_share"] == pytest.approx((w[w < 0].square().sum() / w.square().sum()).item())


def test_only_graff_has_a_spectrum_of_w_and_replicas_are_read_apart():
    rows = compute([trial("dd", split=s) for s in range(3)])
    alone = compute([trial("dd", split=1)])[0]["result"]
    among = rows[1]["result"]
    assert "rate_high" in among
    assert "rate_high" not in compute([trial("gcn")])[0]["result"]
    for name in ("homophily_by_step", "energy_by_step", "high_by_step", "repulsion"):
        assert among[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-4), name
    assert among["energy_by_step"] != rows[0]["result"]["energy_by_step"]


def test_signs_do_what_they_promise_to_the_energy():
    """From the same start attraction smooths and repulsion roughens, at a homophily that asks for neither."""
    before_after = {}
    for structure in ("prod", "neg-prod"):
        t = trial("dd", structure=structure, omega="zero", source_term=False, time=3.0)
        energy = compute([t])[0]["result"]["energy_by_step"]
        before_after[structure] = energy[-1] - energy[0]
    assert before_after["prod"] < 0 < before_after["neg-prod"]


def test_states_of_another_best_epoch_are_not_compared_and_that_is_said():
    row = {"best_epoch": 23, "test_accuracy": 0.2}
    tolerance, reason = EvolutionTrial.comparable(row, row)
    assert tolerance == EvolutionTrial.tolerance and "homophily_by_step" in tolerance and not reason
    tolerance, reason = EvolutionTrial.comparable(row, row | {"best_epoch": 35})
    assert set(tolerance) == {"test_accuracy", "val_accuracy"}
    assert reason == "best epoch 35, published 23: accuracies are compared, states are not"
    damaged = {"test_accuracy": 0.2}
    assert EvolutionTrial.comparable(damaged, row) == (EvolutionTrial.tolerance, "")
