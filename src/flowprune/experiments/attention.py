"""GATs read as maps, layer by layer: before, during and after training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import eigs
from torch import Tensor
from torch.nn.functional import elu, leaky_relu

from flowprune.dynamics.jacobian import Jacobian
from flowprune.dynamics.oversmoothing import coefficient
from flowprune.experiments.nodes import NodeTrial, build, operator, prepared
from flowprune.experiments.theory.attention import diameter, slopes
from flowprune.flows.attention import Attention
from flowprune.flows.classifier import NodeClassifier
from flowprune.study.specs import spec
from flowprune.training.fit import fit

PROBES = 8  # random directions in which the Jacobian is compared with the printed one


@spec
class AttentionTrial(NodeTrial):
    """Train a GAT of one head and read its layers as maps at first and after each epoch of ``snapshots``.

    Of every layer at the state it receives: ``norm`` ‖W‖₂; ``constant`` ‖W‖₂(1 + ½LD), which bounds its Lipschitz
    constant there; ``radius`` ρ(J); ``omitted``, the share of J that the blocks σ′α_ij Wᵀ leave out; ``second`` |λ₂| of
    the attention; ``fixed`` ρ(J) at the layer's own fixed point, None where that does not settle. ``mu`` by state.
    The last epoch is read, not the best. ``walk`` is |λ₂| of the random walk with loops.
    """

    experiment: ClassVar[str] = "attention"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"test_accuracy": 0.1}

    snapshots: tuple[int, ...] = (10, 50, 200)

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, followed(trial)

    @classmethod
    def device(cls) -> str:
        return "cpu"


def followed(t: AttentionTrial) -> dict[str, Any]:
    """Train one network, reading it on the way."""
    graph = prepared(t.dataset, t.component)
    model = build(graph, [t])
    readings, epochs = {0: read(model, t)}, count(1)

    def latest(_: Tensor) -> Tensor:
        """The latest epoch counts as the best, so that the last one's weights stay; some are read."""
        epoch = next(epochs)
        if epoch in t.snapshots:
            readings[epoch] = read(model, t)
        return torch.full((1,), float(epoch))

    masks = (part[[t.split]] for part in (graph.train, graph.val, graph.test))
    rates = {"lr": [t.lr], "weight_decay": [t.weight_decay]}
    [reached] = fit(model, graph.labels, *masks, **rates, epochs=t.epochs, criterion=latest)
    pattern = operator(graph, t)
    n = pattern.shape[0]
    ones = sp.csr_array(
        (np.ones(pattern.col_indices().numel()), pattern.col_indices(), pattern.crow_indices())
    )
    walk = sp.diags_array(1 / ones.sum(1)) @ ones
    found = {f"{name}_at_{epoch}": values for epoch, row in readings.items() for name, values in row.items()}
    return {
        "test_accuracy": reached.test_accuracy,
        "train_accuracy": reached.train_accuracy,
        "nodes": n,
        "walk": second(walk),
    } | found


def read(model: NodeClassifier, t: NodeTrial) -> dict[str, list[float | None]]:
    """The quantities of :class:`AttentionTrial` of the network as it is, in float64."""
    model.eval()
    with torch.no_grad():
        X = model.encoder()[:, 0].double()
    pattern = operator(prepared(t.dataset, t.component), t)
    found: dict[str, list[float | None]] = {"mu": [coefficient(X).item()]}
    for layer in model.flow.layers:
        f = Head(layer, pattern)
        for name, value in f.at(X).items():
            found.setdefault(name, []).append(value)
        X = f(X)
        found["mu"].append(coefficient(X).item())
    return found


class Head:
    """One layer of one head as a map ``[n, d] → [n, d]`` in float64, of operations that torch takes forward as well."""

    def __init__(self, layer: Attention, pattern: Tensor):
        self.n, self.slope = pattern.shape[0], layer.slope
        self.col = pattern.col_indices().long()
        self.crow = pattern.crow_indices()
        self.row = torch.repeat_interleave(torch.arange(self.n), self.crow.diff())
        self.W, self.bias = layer.linear.weight[0].detach().double(), layer.bias[0].detach().double()
        self.source, self.target = layer.source[0, 0].detach().double(), layer.target[0, 0].detach().double()

    def weights(self, H: Tensor) -> Tensor:
        """The attention on the stored entries, ``[E]``."""
        score = leaky_relu((H @ self.target)[self.row] + (H @ self.source)[self.col], self.slope)
        power = (score - score.detach().max()).exp()
        return power / torch.zeros(self.n, dtype=H.dtype).index_add(0, self.row, power)[self.row]

    def moved(self, α: Tensor, H: Tensor) -> Tensor:
        """Σ_j α_ij h_j."""
        return torch.zeros_like(H).index_add(0, self.row, α.unsqueeze(1) * H[self.col])

    def __call__(self, X: Tensor) -> Tensor:
        H = X @ self.W
        return elu(self.moved(self.weights(H), H) + self.bias)

    def at(self, X: Tensor) -> dict[str, float | None]:
        """What is read of the layer at one state."""
        H, norm = X @ self.W, torch.linalg.matrix_norm(self.W, 2).item()
        α, J = self.weights(H), Jacobian(self, X)
        L = ((self.W @ self.target).norm() + (self.W @ self.source).norm()).item()
        σ = slopes(elu, self.moved(α, H) + self.bias)
        draw = torch.Generator().manual_seed(0)
        whole, missing = 0.0, 0.0
        for _ in range(PROBES):
            v = torch.randn(X.shape, generator=draw, dtype=X.dtype)
            Jv = J.apply(v)
            whole += Jv.square().sum().item()
            missing += (Jv - σ * self.moved(α, v @ self.W)).square().sum().item()
        return {
            "norm": norm,
            "constant": norm * (1 + 0.5 * L * diameter(X)),
            "radius": J.radius(),
            "omitted": (missing / whole) ** 0.5,
            "second": second(sp.csr_array((α, self.col, self.crow), (self.n, self.n))),
            "fixed": self.fixed(),
        }

    def fixed(self, steps: int = 5000) -> float | None:
        """ρ(J) at the layer's fixed point of equal nodes, which is that of diag(σ′(z*))Wᵀ; None if not found."""
        x = torch.zeros_like(self.bias)
        for _ in range(steps):
            z = x @ self.W + self.bias
            last, x = x, elu(z)
            if (x - last).norm() <= 1e-12 * (1 + x.norm()):
                return torch.linalg.eigvals(slopes(elu, z).unsqueeze(1) * self.W.T).abs().max().item()
        return None


def second(A: sp.csr_array) -> float:
    """The second largest modulus of an eigenvalue of a row-stochastic matrix."""
    n = A.shape[0]
    if n <= 400:
        return float(np.sort(np.abs(np.linalg.eigvals(A.toarray())))[-2])
    start = np.random.default_rng(0).standard_normal(n)
    values = eigs(A, 4, which="LM", v0=start, ncv=60, tol=1e-8, return_eigenvectors=False)
    return float(np.sort(np.abs(values))[-2])


GRAPHS = {"texas": 3, "wisconsin": 3, "cornell-texas-features": 3, "chameleon": 1, "cora": 1, "citeseer": 1}


def maps(
    splits: Mapping[str, int] = GRAPHS, depth: int = 4, snapshots: Sequence[int] = (10, 50, 200)
) -> list[AttentionTrial]:
    """GATs of this depth on so many splits of each graph: one head, 32 channels, largest components, seed 0.

    Trained for as many epochs as the last snapshot with Adam at 0.005, weight decay 5e-4 and dropout ½.
    """
    training = {"lr": 0.005, "weight_decay": 0.0005, "dropout": 0.5, "input_dropout": 0.5}
    network = {"model": "gat", "component": "largest", "hidden": 32, "heads": 1, "depth": depth, "seed": 0}
    asked = {"snapshots": tuple(snapshots), "epochs": max(snapshots)}
    cells = [(dataset, k) for dataset, count in splits.items() for k in range(count)]
    return [AttentionTrial(dataset=d, split=k, **network, **training, **asked) for d, k in cells]


def condition_met(trained: pd.DataFrame, last: int) -> dict[str, float]:
    """For the ledger: how many networks, the share with ‖W‖₂ < 1 in every layer, and spectral radii of their layers."""
    met = lambda name: float(np.mean([max(norms) < 1 for norms in trained[name]]))  # noqa: E731
    every = lambda name: trained[name].explode().astype(float)  # noqa: E731
    return {
        "networks": len(trained),
        "satisfied": met(f"norm_at_{last}"),
        "satisfied_at_first": met("norm_at_0"),
        "radius_at_first": float(every("radius_at_0").median()),
        "radius": float(every(f"radius_at_{last}").median()),
        "expanding": float((every(f"radius_at_{last}") > 1).mean()),
        "omitted": float(every(f"omitted_at_{last}").median()),
    }
