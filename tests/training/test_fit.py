"""Fitting many replicas: each as it would be alone, stopped and restored on its own."""

import pytest
import torch
from random_graphs import random_graph

from flowprune.flows.attention import GAT
from flowprune.flows.classifier import NodeClassifier
from flowprune.flows.convolution import GCN
from flowprune.flows.gradient import GRAFF, STRUCTURES
from flowprune.training.fit import Adam, accuracies, chunk_size, evaluated, fit

N, CLASSES = 40, 3
GRAPH = random_graph(N, 7, p=0.1).to(dtype=torch.float32)
LABELS = torch.randint(0, CLASSES, (N,), generator=torch.Generator().manual_seed(0))
X = torch.nn.functional.one_hot(LABELS, 12).float() + 0.3 * torch.randn(
    N, 12, generator=torch.Generator().manual_seed(1)
)

FLOWS = {
    **{s: lambda seeds, rates, s=s: GRAFF(seeds, 8, s, time=1.2, step=0.5) for s in STRUCTURES},
    "relu": lambda seeds, rates: GRAFF(seeds, 8, "dd", time=2, step=1, relu=True, time_dependent=True),
    "gcn": lambda seeds, rates: GCN(seeds, 8, 2, dropout=rates, residual=True),
    "gat": lambda seeds, rates: GAT(seeds, 8, 2, dropout=rates, heads=2),
    "mlp": lambda seeds, rates: None,
}


def classifier(flow, seeds, rates, sparse=False):
    features = (X * (X > 0)).to_sparse_csr() if sparse else X
    return NodeClassifier(
        features,
        GRAPH.with_self_loops().norm_adjacency,
        FLOWS[flow](seeds, rates),
        seeds,
        d=8,
        classes=CLASSES,
        dropout=rates,
        input_dropout=rates,
    )


def masks(seeds):
    """One random split a replica: train, val, test ``[R, n]``."""
    parts = [torch.randperm(N, generator=torch.Generator().manual_seed(s)) for s in seeds]

    def part(a, b):
        return torch.stack([torch.zeros(N, dtype=torch.bool).index_fill(0, p[a:b], True) for p in parts])

    return part(0, 20), part(20, 30), part(30, N)


def train(flow, seeds, epochs=12, patience=None, sparse=False, **settings):
    rates = settings.get("rates", [0.1 + 0.1 * s for s in seeds])
    model = classifier(flow, seeds, rates, sparse)
    lr = settings.get("lr", [0.01 * (1 + s) for s in seeds])
    decay = [0.01 * s for s in seeds]
    return model, fit(
        model, LABELS, *masks(seeds), lr=lr, weight_decay=decay, epochs=epochs, patience=patience
    )


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("flow", FLOWS)
def test_a_replica_among_others_is_the_model_alone(flow, sparse):
    together, fitted = train(flow, [0, 1, 2], sparse=sparse)
    swapped, _ = train(flow, [2, 0, 1], sparse=sparse)
    for r, seed in enumerate([0, 1, 2]):
        alone, single = train(flow, [seed], sparse=sparse)
        for p, q, s in zip(together.parameters(), alone.parameters(), swapped.parameters(), strict=True):
            torch.testing.assert_close(p[r], q[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(s[(r + 1) % 3], q[0], rtol=1e-5, atol=1e-5)
        assert fitted[r].best_epoch == single[0].best_epoch
        assert fitted[r].test_accuracy == pytest.approx(single[0].test_accuracy)


@pytest.mark.parametrize("share", [None, 0.25])
def test_adam_moves_each_replica_as_torch_would(share):
    g = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, 2, generator=g)
    lr, decay = [0.1, 0.01, 0.3], [0.0, 0.5, 0.1]
    ours = torch.nn.Parameter(start.clone())
    optimiser = Adam([ours], lr, decay, None if share is None else {ours: share})
    theirs = [torch.nn.Parameter(start[r].clone()) for r in range(3)]
    decays = [d if share is None else share * d for d in decay]
    references = [torch.optim.Adam([p], lr=lr[r], weight_decay=decays[r]) for r, p in enumerate(theirs)]
    for _ in range(20):
        gradient = torch.randn(3, 4, 2, generator=g)
        ours.grad = gradient.clone()
        optimiser.step()
        for r in range(3):
            theirs[r].grad = gradient[r].clone()
            references[r].step()
    torch.testing.assert_close(ours.detach(), torch.stack([p.detach() for p in theirs]), rtol=1e-5, atol=1e-6)


def test_early_stopping_is_each_replicas_own():
    seeds = [0, 1, 2, 3]
    lr = {seed: 0.001 * (1 + seed) for seed in seeds}
    _, together = train("diag", seeds, epochs=60, patience=5, lr=list(lr.values()))
    for r, seed in enumerate(seeds):
        _, alone = train("diag", [seed], epochs=60, patience=5, lr=[lr[seed]])
        assert together[r].epochs == alone[0].epochs
        assert together[r].best_epoch == alone[0].best_epoch
    assert len({f.epochs for f in together}) > 1
    assert all(f.epochs == min(60, f.best_epoch + 5) for f in together)


def test_the_model_is_left_with_each_replicas_best_weights():
    model, fitted = train("dd", [0, 1, 2], epochs=40)
    shares = torch.stack([(m.T / m.sum(1)).float() for m in masks([0, 1, 2])])
    reached = accuracies(evaluated(model), LABELS, shares)
    for r, f in enumerate(fitted):
        assert reached[:, r].tolist() == pytest.approx([f.train_accuracy, f.val_accuracy, f.test_accuracy])


def test_training_learns():
    _, fitted = train("mlp", [0, 1], epochs=80)
    assert min(f.train_accuracy for f in fitted) > 0.8
    assert min(f.test_accuracy for f in fitted) > 0.6


def test_a_diverging_replica_is_frozen_and_leaves_the_others_alone():
    _, together = train("diag", [1, 2], epochs=10, lr=[1e30, 0.01], rates=[0.0, 0.0])
    _, alone = train("diag", [2], epochs=10, lr=[0.01], rates=[0.0])
    assert not torch.isfinite(torch.tensor(together[0].train_loss))
    assert together[0].epochs < 10
    assert together[1].test_accuracy == pytest.approx(alone[0].test_accuracy)
    assert together[1].train_loss == pytest.approx(alone[0].train_loss, rel=1e-4)


def test_results_do_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    runs = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs.append(train("sum", [0, 1], epochs=15, sparse=True)[0])
    finally:
        torch.set_num_threads(before)
    for p, q in zip(runs[0].parameters(), runs[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)


def test_progress_is_a_bar_over_epochs(capsys):
    fit(
        classifier("mlp", [0, 1], [0.0] * 2),
        LABELS,
        *masks([0, 1]),
        lr=[0.01] * 2,
        weight_decay=[0.0] * 2,
        epochs=3,
    )
    assert capsys.readouterr().err == ""
    model = classifier("mlp", [0, 1], [0.0] * 2)
    fit(model, LABELS, *masks([0, 1]), lr=[0.01] * 2, weight_decay=[0.0] * 2, epochs=3, progress=True)
    said = capsys.readouterr().err
    assert "2 replicas" in said and "training=2" in said


def test_chunks_fit_the_cache_and_are_whole_on_a_gpu():
    assert chunk_size(183, 64, torch.device("cpu")) > chunk_size(2708, 64, torch.device("cpu")) >= 1
    assert chunk_size(10**6, 64, torch.device("cpu")) == 1
    assert chunk_size(2708, 64, torch.device("cuda")) == 64
