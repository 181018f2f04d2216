"""G26: what a flow does to the two halves of its energy along edges, in total and edge by edge."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from flowprune.dynamics.energy import attraction_repulsion, edge_norms, edge_signs, energy_field
from flowprune.dynamics.spectra import TOLERANCE, Spectrum
from flowprune.experiments.nodes import NodeTrial
from flowprune.experiments.theory.energies import gradient_of, rises, trajectory
from flowprune.experiments.theory.instances import Finding, features, instances, symmetric
from flowprune.graphs import Graph
from flowprune.study.stats import mean_interval


def edges_in_total(graph: Graph, rng: np.random.Generator) -> Finding:
    """G26, in total: with Ω = cW, Σ‖Θ₊∇F‖² never rises and Σ‖Θ₋∇F‖² never falls, from any start, if gap(Δ) ≥ 1 − c.

    Mode (ℓ, k) has rate w_k(1 − λ_ℓ − c); the sums change by ±2w_k²λ_ℓ(1 − λ_ℓ − c)c_ℓk². Outside the condition the
    slowest frequency breaks the statement, and it is one of the two starts. c is 0, 1 or between. Deviation: of
    that formula from the change summed over edges.
    """
    s, W = Spectrum.of(graph), symmetric(rng)
    if s.lowest.all():
        return Finding(0.0)  # no edge, no gradient
    c = (0.0, 1.0, rng.uniform(0, 1))[int(rng.integers(3))]
    w, U = torch.linalg.eigh(W)
    slowest = s.φ[:, (~s.lowest).nonzero()[0, 0]]
    worst = torch.outer(slowest, U.sum(1))  # in all channels at once
    times, deviation, true = np.linspace(0, 3, 13) / w.abs().max().item(), 0.0, True
    for F0 in (features(graph, rng), worst):
        by_mode = (w.square() * (s.λ * (1 - s.λ - c)).unsqueeze(1)) * (s.φ.T @ F0 @ U).square()
        scale = (w.square() * s.λ.unsqueeze(1) * (s.φ.T @ F0 @ U).square()).sum().item()
        states = list(trajectory(graph, W, c * W, F0, times))
        for Θ, chosen, sign in zip(attraction_repulsion(W), (w > 0, w < 0), (1, -1), strict=True):
            gradient = gradient_of(lambda F, Θ=Θ: 0.5 * edge_norms(graph, F, Θ).sum(), F0)
            change = (gradient * energy_field(graph, F0, W, c * W)).sum().item()
            deviation = max(deviation, abs(change - sign * 2 * by_mode[:, chosen].sum().item()) / scale)
            true &= not rises([sign * edge_norms(graph, F, Θ).sum() for F in states])
    return Finding(deviation, true, covered=s.gap >= 1 - c - TOLERANCE)


def single_edges(count: int, seed: int, times: np.ndarray) -> pd.DataFrame:
    """How many single edges obey, from normal F(0): one row per instance, Ω and time.

    Columns: instance, Ω ("W" or "0"), time (in units of 1/‖W‖), edges, shrink and grow (shares in %; see
    :func:`edge_signs`).
    """
    rows = []
    for index, (_, graph, rng) in enumerate(instances(count, seed)):
        W, F0 = symmetric(rng), features(graph, rng)
        for name, Ω in (("W", W), ("0", torch.zeros_like(W))):
            states = trajectory(graph, W, Ω, F0, times / torch.linalg.matrix_norm(W, 2).item())
            for t, F in zip(times, states, strict=True):
                shrink, grow = edge_signs(graph, F, energy_field(graph, F, W, Ω), W)
                said = {"instance": index, "Ω": name, "time": t, "edges": graph.num_edges}
                rows.append(said | {"shrink": 100 * shrink, "grow": 100 * grow})
    return pd.DataFrame(rows)


def edge_evidence(frame: pd.DataFrame) -> dict[str, float]:
    """What G26 records of :func:`single_edges`: means over instances and times, and intervals over instances."""
    own = frame.groupby(["Ω", "instance"])[["shrink", "grow"]].mean()
    found: dict[str, float] = {"edges": int(frame.groupby("instance").edges.first().sum())}
    for part in ("shrink", "grow"):
        interval = mean_interval(own.loc["W", part].dropna())
        found |= {f"{part}_mean": interval.mean, f"{part}_lower": interval.lower}
        found[f"{part}_zero"] = float(own.loc["0", part].mean())
    return found


@torch.no_grad()
def trained_edges(homophily: float, replicas: int, n: int, epochs: int) -> pd.DataFrame:
    """Train GRAFF (sum, with Ω and a source) on block models and count the edges that obey in every step.

    One row a replica and step: replica, step, shrink and grow (shares of edges in %: ‖Θ₊(∇F)_ij‖ did not grow and
    ‖Θ₋(∇F)_ij‖ did not shrink from the state before).
    """
    dataset = f"csbm?n={n}&classes=2&degree=6&homophily={homophily:g}&features=16&signal=1.0&seed=0"
    settings = {"lr": 0.01, "weight_decay": 1e-3, "dropout": 0.2, "input_dropout": 0.2}
    shape = {"hidden": 8, "structure": "sum", "time": 3.0, "step": 0.5, "epochs": epochs}
    trials = [
        NodeTrial(dataset=dataset, model="graff", split=r, seed=r, **settings, **shape)
        for r in range(replicas)
    ]
    with torch.enable_grad():
        graph, model, _ = NodeTrial.fitted(trials)
    graph, model = graph.to("cpu", torch.float64), model.cpu().eval()
    states = [F.double() for F in model.flow.trajectory(model.encoder(), model.operator)]
    rows = []
    for r, W in enumerate(model.flow.W[0].matrix().double()):
        parts = [[edge_norms(graph, F[:, r], Θ) for Θ in attraction_repulsion(W)] for F in states]
        for m in range(1, len(parts)):
            fell, grew = ((parts[m][k] - parts[m - 1][k]) * sign >= 0 for k, sign in ((0, -1), (1, 1)))
            shares = {"shrink": 100 * fell.double().mean().item(), "grow": 100 * grew.double().mean().item()}
            rows.append({"replica": r, "step": m} | shares)
    return pd.DataFrame(rows)
