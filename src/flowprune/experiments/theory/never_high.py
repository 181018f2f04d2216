"""G16: CGNN, linear GRAND and linear PDE-GCN_D, searched for a start and parameters that let high frequencies win.

All energies here are relative: E_Dir(F/‖F‖) over its largest value ρ_Δ/2, so that 1 means HFD. Every instance is a
graph with one start F(0) and one draw of the parameters; R of them share a graph and are solved side by side, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from flowprune.dynamics.spectra import Spectrum
from flowprune.experiments.theory.instances import instances, symmetric
from flowprune.experiments.theory.smoothing import components, direction_energy, looped
from flowprune.graphs import Graph

CHANNELS = 3
HIGH = 1 - 1e-12  # a relative energy above this is that of the highest frequency, in float64


@dataclass(frozen=True)
class Trajectory:
    """What R instances on one graph reached, each ``[R]``.

    late: relative energy in the end. ceiling: what the proof says it does not exceed; at 1 the proof is silent.
    excess: the largest rise above the ceiling at the times looked at, or any other deviation from what was derived.
    """

    late: Tensor
    ceiling: Tensor
    excess: Tensor


def starts(s: Spectrum, R: int, rng: np.random.Generator) -> Tensor:
    """Coefficients c of F(0) = φc on the eigenvectors of Δ, ``[R, n, d]``.

    Of every eight starts the first holds the highest frequency alone and the second has no part in the kernel of Δ:
    null sets, which a random search never meets. The others are normal, scaled frequency by frequency.
    """
    c = rng.standard_normal((R, s.λ.numel(), CHANNELS)) * np.exp(rng.standard_normal((R, s.λ.numel(), 1)))
    c = torch.from_numpy(c)
    c[::8, ~s.highest] = 0
    c[1::8, s.lowest] = 0
    return c


def relative(s: Spectrum, log_gain: Tensor, c: Tensor) -> Tensor:
    """Relative energy of features with coefficients e^{log_gain} c ``[…, n, d]``."""
    return direction_energy(s, log_gain, c) * (2 / s.ρ)


def cgnn(graph: Graph, s: Spectrum, c: Tensor, rng: np.random.Generator, source: bool = True) -> Trajectory:
    """Ḟ = −ΔF + FΩ̃ + F(0), Ω̃ symmetric. Channel k along an eigenvector of Ω̃ multiplies frequency λ by g(ω_k − λ, t).

    g(a, t) = e^{at} + (e^{at} − 1)/a rises with a, so in each channel the low frequencies gain on the high ones: the
    relative energy never exceeds that of the channel which starts with the most. Without the source g = e^{at}.
    """
    Ω = torch.stack([symmetric(rng) * np.exp(rng.standard_normal()) for _ in range(len(c))])
    ω, U = torch.linalg.eigh(Ω - torch.eye(CHANNELS, dtype=torch.float64) * rng.standard_normal())
    c = c @ U
    a = ω.unsqueeze(1) - s.λ.unsqueeze(1)
    zero = torch.zeros(len(s.λ), 1, dtype=torch.float64)
    ceiling = torch.stack([relative(s, zero, c[..., [k]]) for k in range(CHANNELS)]).amax(0)
    times = np.geomspace(0.01, 60 / min(s.gap, 1.0), 12)
    energies = torch.stack([relative(s, log_gain(a, t) if source else a * t, c) for t in times])
    return Trajectory(energies[-1], ceiling, (energies - ceiling).amax(0))


def log_gain(a: Tensor, t: float) -> Tensor:
    """log g(a, t) of ċ = ac + c(0): g = e^{at} + ∫₀ᵗ e^{as} ds, without overflow."""
    decay = (-a.abs() * t).exp()
    integral = torch.where(a == 0, t, -torch.expm1(-a.abs() * t) / a.abs().where(a != 0, 1.0))
    return torch.where(a > 0, a * t + (1 + integral).log(), (decay + integral).log())


def grand(graph: Graph, s: Spectrum, c: Tensor, rng: np.random.Generator) -> Trajectory:
    """Ḟ = −(I − 𝒜(F(0)))F with scaled dot-product attention over neighbours; every eighth attends evenly.

    e^{−t(I−𝒜)} is the transition matrix of a random walk. It tends to 1πᵀ on every component, so features become
    constant there. The ceiling is the relative energy of the constant vector of the worst component.
    """
    R, F0 = len(c), s.φ @ c
    walk = attention(graph, F0, rng)
    P = torch.linalg.matrix_exp(walk - torch.eye(graph.n, dtype=torch.float64))
    early = P @ F0
    for _ in range(64):  # t = 2⁶⁴; rows are renewed, for rounding doubles with t
        P = P @ P
        P = P / P.sum(-1, keepdim=True)
    limit = P @ F0
    label = components(graph)
    indicators = torch.nn.functional.one_hot(label).double()
    constant = relative(s, torch.zeros(1, dtype=torch.float64), (s.φ.T @ indicators).T.unsqueeze(-1))
    mean = (indicators / indicators.sum(0)) @ (indicators.T @ limit)
    left = limit.flatten(1).norm(dim=1) > 1e-12 * F0.flatten(1).norm(dim=1)
    excess = ((limit - mean).flatten(1).norm(dim=1) / limit.flatten(1).norm(dim=1)).where(left, 0.0)
    end = torch.where(
        left.view(R, 1, 1), limit, early
    )  # where πᵀF(0) = 0 the limit is 0, and the direction another
    late = relative(s, torch.zeros(1, dtype=torch.float64), s.φ.T @ end)
    return Trajectory(
        late, torch.where(left, constant.max(), 1.0), excess.maximum((late - constant.max()).where(left, 0.0))
    )


def attention(graph: Graph, F: Tensor, rng: np.random.Generator) -> Tensor:
    """Row-stochastic attention ``[R, n, n]`` over the edges: softmax of ⟨Qf_i, Kf_j⟩/√d; a node without edges stays."""
    R, d = len(F), F.shape[-1]
    Q, K = (torch.from_numpy(rng.standard_normal((R, d, d))) / d**0.5 for _ in range(2))
    Q[::8] = 0
    scale = F.flatten(1).square().mean(1).sqrt().clamp_min(1e-300).view(R, 1, 1)
    F = F / scale
    edge = graph.adjacency.to_dense() > 0
    edge = edge | torch.diag(~edge.any(1))
    scores = (F @ Q) @ (F @ K).mT / d**0.5
    return scores.masked_fill(~edge, -torch.inf).softmax(-1)


def pde_gcn(graph: Graph, s: Spectrum, c: Tensor, rng: np.random.Generator) -> Trajectory:
    """Ḟ = −ΔF K(t)ᵀK(t), K piecewise constant, of any rank and norm on each of eight intervals.

    Row ℓ of the coefficients obeys ċ_ℓ = −λ_ℓ c_ℓ KᵀK: its norm never grows, and that of the kernel stays. So E_Dir
    never rises, and the kernel's share never falls below its share in F(0); both are looked at after each interval.
    """
    R = len(c)
    energy = lambda c: 0.5 * (s.λ.unsqueeze(1) * c.square()).sum((1, 2))  # noqa: E731
    none = torch.zeros(1, dtype=torch.float64)
    c = c / c.flatten(1).norm(dim=1).view(R, 1, 1)
    ceiling = 1 - c[:, s.lowest].square().sum((1, 2))
    excess = torch.zeros(R, dtype=torch.float64)
    λ = s.λ.where(~s.lowest, 0.0).view(-1, 1)
    for _ in range(8):
        K = torch.from_numpy(rng.standard_normal((R, CHANNELS, CHANNELS)))
        K *= torch.from_numpy(np.exp(rng.standard_normal((R, 1, 1))))
        K[rng.random((R, CHANNELS)) < 0.3] = 0  # drops rows, hence rank
        η, U = torch.linalg.eigh(K.mT @ K)
        η = η.clamp_min(0).unsqueeze(1)
        duration = (100 / η.amax((1, 2), keepdim=True)).clamp_max(rng.exponential())  # nothing underflows
        new = ((-λ * η * duration).exp() * (c @ U)) @ U.mT
        excess = excess.maximum(energy(new) - energy(c))  # ‖c‖ = 1
        c = new / new.flatten(1).norm(dim=1).view(R, 1, 1)
        excess = excess.maximum(relative(s, none, c) - ceiling)
    return Trajectory(relative(s, none, c), ceiling, excess)


MODELS: dict[str, Callable[..., Trajectory]] = {
    "CGNN": cgnn,
    "linear GRAND": grand,
    "linear PDE-GCN_D": pde_gcn,
}


def search(graphs: int, R: int = 24, seed: int = 0) -> pd.DataFrame:
    """R instances of every model on each of ``graphs`` random graphs, half of them with self-loops: one row each.

    Columns: model, family, nodes, edges, relative (energy in the end), ceiling, excess.
    """
    tables = []
    for family, bare, rng in instances(graphs, seed):
        graph = looped(bare, rng)
        s = Spectrum.of(graph)
        for model, solve in MODELS.items():
            found = solve(graph, s, starts(s, R, rng), rng)
            values = {"relative": found.late, "ceiling": found.ceiling, "excess": found.excess}
            same = {"model": model, "family": family, "nodes": graph.n, "edges": graph.num_edges}
            tables.append(pd.DataFrame(same | {name: value.numpy() for name, value in values.items()}))
    return pd.concat(tables, ignore_index=True)


def evidence(found: pd.DataFrame) -> dict[str, int | float | str]:
    """Evidence for the ledger: covered are the instances whose ceiling is below 1, where the proof speaks."""
    covered, high = found.ceiling < HIGH, found.relative > HIGH
    exceptions = found[high & ~covered].sort_values(["nodes", "edges"], kind="stable")
    smallest = exceptions.groupby("model", sort=False).first()
    return {
        "instances": len(found),
        "families": ", ".join(dict.fromkeys(found.family)),
        "deviation": float(found.excess[covered].clip(lower=0).max()),
        "counterexamples": int((high & covered).sum()),
        "exceptions": len(exceptions),
        "smallest": "; ".join(
            f"{model}: {row.nodes} nodes, {row.edges} edge{'s' if row.edges > 1 else ''}"
            for model, row in smallest.iterrows()
        )
        or "none found",
    }


def without_source(graphs: int, R: int = 24, seed: int = 0) -> dict[str, int | float]:
    """Two bounds on E_Dir(F/‖F‖) for CGNN without its source, as printed and with the constant it needs.

    The first is e^{−gap(Δ)t}. The second is (ρ_Δ/2) e^{−2 gap(Δ)t} (1 − σ)/σ, σ the smallest share of the kernel in a
    channel of F(0). Returns the number of instances, of those that break the first at some time, and the largest excess
    over the second.
    """
    broken, excess = 0, 0.0
    for _, bare, rng in instances(graphs, seed):
        s = Spectrum.of(looped(bare, rng))
        c = torch.from_numpy(rng.standard_normal((R, len(s.λ), CHANNELS)))
        ω = torch.from_numpy(
            rng.standard_normal((R, 1, CHANNELS))
        )  # in the eigenbasis of Ω̃, any start is any start
        σ = (c[:, s.lowest].square().sum(1) / c.square().sum(1)).amin(-1)
        t = torch.linspace(0, 8 / s.gap, 81, dtype=torch.float64).view(-1, 1)
        E = direction_energy(s, (ω - s.λ.view(-1, 1)) * t.view(-1, 1, 1, 1), c.expand(len(t), -1, -1, -1))
        broken += int((E - (-s.gap * t).exp() > 1e-9).any(0).sum())
        bound = 0.5 * s.ρ * (-2 * s.gap * t).exp() * (1 - σ) / σ
        excess = max(excess, (E - bound).max().item())
    return {"instances": graphs * R, "broken": broken, "excess": excess}


def constant_vector(graph: Graph) -> tuple[float, float]:
    """Relative energy of the constant vector, and its bound 1 − cos²∠(1, √d) = 1 − (Σ√d_i)²/(n Σd_i) ≤ 1 − 1/n."""
    one = torch.ones(graph.n, 1, dtype=torch.float64)
    energy = (one * (graph.laplacian @ one)).sum() / graph.n
    cosine = graph.degree.sqrt().sum().square() / (graph.n * graph.degree.sum())
    return energy.item() / graph.rho, 1 - cosine.item()


def core_and_rim(core: int) -> Graph:
    """A complete graph on a heavy core and a light rim of 4·core² nodes, weights x_i x_j with x = (4·core)² and 1.

    Its Ā is close to a matrix of rank one, so that ρ_Δ is close to 1, while √d is far from constant: the constant
    vector's relative energy tends to 1 as the core grows. A star's tends to ½.
    """
    x = torch.cat([torch.full((core,), 16.0 * core**2), torch.ones(4 * core**2)]).double()
    edges = torch.triu_indices(len(x), len(x), 1)
    weight = x[edges[0]] * x[edges[1]]
    return Graph.from_edges(f"core {core}", edges, len(x), weight=weight, dtype=torch.float64)
