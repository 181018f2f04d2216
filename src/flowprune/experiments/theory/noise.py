"""D3: what a linear layer driven by noise, x(t+1) = Jx(t) + σξ(t), tells about its edges.

If ρ(J) < 1 the covariance settles in the solution of C = JCJᵀ + σ²I. The score of a pair is the variance of its
difference, S_ij = C_ii + C_jj − 2C_ij = E(x_i − x_j)², which DYNAMO-GAT and noise-prune read on edges. σ is 1 here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.linalg
import torch
from scipy.stats import kstest, rankdata
from torch import Tensor

from flowprune.dynamics.jacobian import lyapunov_covariance
from flowprune.experiments.theory.instances import Finding, features, instances
from flowprune.experiments.theory.never_high import attention
from flowprune.graphs import Graph

KINDS = ("attention", "channels", "diffusion", "at one")
TOLERANCE = 1e-9


def walk(graph: Graph, rng: np.random.Generator) -> Tensor:
    """Row-stochastic attention ``[n, n]`` over neighbours and the node itself, from random queries and keys."""
    F = features(graph, rng)
    return attention(graph.with_self_loops(), F.expand(2, -1, -1), rng)[1]


def laplacian(graph: Graph) -> Tensor:
    """L = D − A of the weighted graph, dense ``[n, n]``."""
    return torch.diag(graph.degree) - graph.adjacency.to_dense()


def radius(J: Tensor) -> float:
    """The spectral radius ρ(J)."""
    return torch.linalg.eigvals(J).abs().max().item()


def linear_layer(graph: Graph, rng: np.random.Generator, kind: str) -> Tensor:
    """J ``[N, N]`` of one linear layer. Its radius lies between 0.3 and 0.95, and is 1 for the kind "at one".

    attention: a multiple of a random 𝒜. channels: 𝒜 ⊗ Wᵀ with two channels, row by row. diffusion: a multiple of
    I − τL. at one: 𝒜 itself, row-stochastic.
    """
    if kind == "at one":
        return walk(graph, rng)
    if kind == "channels":
        J = torch.kron(walk(graph, rng), torch.from_numpy(rng.standard_normal((2, 2))))
    elif kind == "diffusion":
        L = laplacian(graph)
        J = torch.eye(graph.n, dtype=torch.float64) - rng.uniform(0.2, 1.9) / torch.linalg.eigvalsh(L)[-1] * L
    else:
        J = walk(graph, rng)
    return rng.uniform(0.3, 0.95) / radius(J) * J


def pair_scores(C: Tensor) -> Tensor:
    """S_ij = C_ii + C_jj − 2C_ij: ``[…, n, n]``."""
    variance = C.diagonal(dim1=-2, dim2=-1)
    return variance.unsqueeze(-1) + variance.unsqueeze(-2) - 2 * C


def settles(graph: Graph, rng: np.random.Generator) -> Finding:
    """D3. C_T = Σ_{s<T} J^s(J^s)ᵀ tends to the solution of C = JCJᵀ + I; covered when ρ(J) < 1.

    Deviation, relative: of the doubled series from scipy's direct solution. Outside, C_T of 4096 and of 8192 layers are
    compared: they should be alike, and differ by a factor of two where the noise piles up.
    """
    kind = KINDS[int(rng.integers(len(KINDS)))]
    J = linear_layer(graph, rng, kind)
    one = torch.eye(len(J), dtype=torch.float64)
    if kind == "at one":
        P, power = one, J
        for _ in range(12):
            P, power = P + power @ P @ power.T, power @ power
        growth = (torch.trace(P + power @ P @ power.T) / torch.trace(P)).item()
        return Finding(growth - 1, growth - 1 < TOLERANCE, covered=False)
    C = torch.from_numpy(scipy.linalg.solve_discrete_lyapunov(J.numpy(), one.numpy()))
    deviation = ((lyapunov_covariance(J, one) - C).norm() / C.norm()).item()
    return Finding(deviation, deviation < TOLERANCE)


def differences(J: Tensor) -> tuple[Tensor, Tensor]:
    """An orthonormal basis B ``[n, n − 1]`` of the differences and their own map BᵀJB, for J1 = 1.

    Bᵀx obeys an equation of its own, since BᵀJ1 = Bᵀ1 = 0.
    """
    n = len(J)
    B = torch.linalg.qr(torch.cat([torch.ones(n, 1), torch.eye(n)[:, : n - 1]], 1).double())[0][:, 1:]
    return B, B.T @ J @ B


def settled_scores(J: Tensor) -> Tensor:
    """The scores ``[n, n]`` in the end for J1 = 1, where C itself has no end: the differences have."""
    B, own = differences(J)
    return pair_scores(B @ lyapunov_covariance(own, torch.eye(len(own), dtype=torch.float64)) @ B.T)


def differences_settle(graph: Graph, rng: np.random.Generator) -> Finding:
    """At ρ(J) = 1, J = 𝒜 on a connected graph: all differences settle, and only the consensus diffuses.

    Deviation, relative, after 64 layers summed one by one: of the scores and what is still to come, C among the
    differences moved on by 64 layers, from :func:`settled_scores`; and of the variance of πᵀx, π the stationary
    distribution, from 64‖π‖².
    """
    J, layers = walk(graph.largest_component(), rng), 64
    S, (B, own) = settled_scores(J), differences(J)
    values, left = torch.linalg.eig(J.T)
    π = left[:, values.real.argmax()].real
    power, summed = torch.eye(len(J), dtype=torch.float64), torch.zeros_like(J)
    for _ in range(layers):
        summed = summed + power @ power.T
        power = J @ power
    later = B @ torch.linalg.matrix_power(own, layers)
    C = torch.from_numpy(scipy.linalg.solve_discrete_lyapunov(own.numpy(), np.eye(len(own))))
    apart = ((pair_scores(summed + later @ C @ later.T) - S).abs().max() / S.max()).item()
    drift = abs((π @ summed @ π / (layers * π @ π)).item() - 1)
    return Finding(max(apart, drift), max(apart, drift) < TOLERANCE)


def scores_are_resistances(graph: Graph, rng: np.random.Generator) -> Finding:
    """S = σ²/2 R for dx = −Lx dt + σdB, and (R + τ/2 b'(I − τL/2)⁻¹b)/2τ for steps J = I − τL, R the resistance.

    Deviation, relative: of both from solutions of their Lyapunov equations among the differences, and of Σ w_ij S_ij
    over edges from (n − 1)/2 (Foster 1949).
    """
    graph = graph.largest_component()
    L, one = laplacian(graph), torch.eye(graph.n, dtype=torch.float64)
    τ = rng.uniform(0.05, 1.95) / torch.linalg.eigvalsh(L)[-1].item()
    R = pair_scores(torch.linalg.pinv(L, hermitian=True))
    B, own = differences(one - L)
    flow = scipy.linalg.solve_continuous_lyapunov((own - B.T @ B).numpy(), -np.eye(graph.n - 1))
    S = pair_scores(B @ torch.from_numpy(flow) @ B.T)
    stepped = settled_scores(one - τ * L)
    expected = (R + τ / 2 * pair_scores(torch.linalg.inv(one - τ / 2 * L))) / (2 * τ)
    foster = (graph.adjacency.to_dense() * S).sum().item() / 2
    deviation = max(
        ((S - R / 2).abs().max() / R.max()).item(),
        ((stepped - expected).abs().max() / expected.max()).item(),
        abs(2 * foster / (graph.n - 1) - 1),
    )
    return Finding(deviation, deviation < TOLERANCE)


# --- what T layers of one run see ------------------------------------------------------------------------------------


def sampled_scores(
    J: Tensor, pairs: Tensor, lengths: Sequence[int], runs: int, rng: np.random.Generator
) -> Tensor:
    """Time averages of (x_i − x_j)² over the first T of each length, from a start in C: ``[lengths, pairs, runs]``."""
    C = lyapunov_covariance(J, torch.eye(len(J), dtype=torch.float64)).numpy()
    x = np.linalg.cholesky(C) @ rng.standard_normal((len(J), runs))
    step, (i, j) = J.numpy(), pairs.numpy()
    total, found = np.zeros((len(i), runs)), []
    for t in range(1, max(lengths) + 1):
        total += (x[i] - x[j]) ** 2
        if t in lengths:
            found.append(total / t)
        x = step @ x + rng.standard_normal(x.shape)
    return torch.from_numpy(np.stack(found))


def standard_error(J: Tensor, pairs: Tensor, T: int) -> tuple[Tensor, Tensor]:
    """The score S of each pair and the exact standard error of its time average over T layers: ``[pairs]`` each.

    With γ(s) = bᵀJ^sCb the variance of the average is (2/T) Σ_{|s|<T} (1 − |s|/T) γ(s)², all being normal.
    """
    C = lyapunov_covariance(J, torch.eye(len(J), dtype=torch.float64))
    one = torch.eye(len(J), dtype=torch.float64)
    b = one[:, pairs[0]] - one[:, pairs[1]]
    moved = C @ b
    S = (b * moved).sum(0)
    total = S.square()
    for s in range(1, T):
        moved = J @ moved
        γ = (b * moved).sum(0)
        total = total + 2 * (1 - s / T) * γ.square()
        if moved.square().sum() < 1e-20 * S.square().min():
            break
    return S, (2 * total / T).sqrt()


def simulated(count: int, T: int, seed: int) -> pd.DataFrame:
    """One run of T layers on each of ``count`` instances, and how many standard errors one score is off.

    Columns: family, kind, radius, score, z.
    """
    rows = []
    for number, (family, graph, rng) in enumerate(instances(count, seed)):
        kind = KINDS[number % 3]
        J = linear_layer(graph, rng, kind)
        channels = len(J) // graph.n
        edge = int(rng.integers(graph.edge_index.shape[1]))
        pair = graph.edge_index[:, [edge]] * channels + int(rng.integers(channels))
        S, error = standard_error(J, pair, T)
        z = ((sampled_scores(J, pair, [T], 1, rng) - S) / error).item()
        rows.append({"family": family, "kind": kind, "radius": radius(J), "score": S.item(), "z": z})
    return pd.DataFrame(rows)


def rates(J: Tensor, pairs: Tensor, lengths: Sequence[int], runs: int, seed: int) -> pd.DataFrame:
    """Relative error of sampled scores by length: measured (root mean square over runs and pairs) and exact.

    Columns: T, measured, exact, low, high; the last two hold the middle 90 % of runs.
    """
    found = sampled_scores(J, pairs, lengths, runs, np.random.default_rng(seed))
    rows = []
    for T, at in zip(lengths, found, strict=True):
        S, error = standard_error(J, pairs, T)
        by_run = ((at / S.unsqueeze(1) - 1).square().mean(0)).sqrt()
        low, high = np.quantile(by_run, [0.05, 0.95])
        exact = (error / S).square().mean().sqrt().item()
        measured = by_run.square().mean().sqrt().item()
        rows.append({"T": T, "measured": measured, "exact": exact, "low": low, "high": high})
    return pd.DataFrame(rows)


def normal_p(z: Sequence[float]) -> float:
    """p of the Kolmogorov-Smirnov test that these numbers are standard normal."""
    return float(kstest(z, "norm").pvalue)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of log y over log x, by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


# --- can one tell an edge by its score? -------------------------------------------------------------------------------


def noisy_layers(J: Tensor, layers: int, channels: int, rng: np.random.Generator) -> Tensor:
    """Covariance over channels ``[n, n]`` of fresh noise after so many layers, each of which adds noise of its own."""
    x = torch.from_numpy(rng.standard_normal((len(J), channels)))
    for _ in range(layers):
        x = J @ x + torch.from_numpy(rng.standard_normal(x.shape))
    return torch.cov(x)


def told_apart(graph: Graph, S: Tensor) -> float:
    """The chance that an edge has a lower score than a pair without one, ties half; one half is guessing."""
    i, j = torch.triu_indices(graph.n, graph.n, 1)
    edge = graph.adjacency.to_dense()[i, j].bool().numpy()
    rank = rankdata(-S[i, j].numpy())
    m, k = edge.sum(), (~edge).sum()
    return float((rank[edge].sum() - m * (m + 1) / 2) / (m * k))


def separation(count: int, layers: Sequence[int], channels: int, seed: int) -> pd.DataFrame:
    """:func:`told_apart` after so many layers, on graphs with a pair that is no edge: rows are instances.

    Columns: family, then one for each number of layers.
    """
    rows = []
    for family, graph, rng in instances(count, seed):
        graph = graph.largest_component()
        if 2 * graph.num_edges == graph.n * (graph.n - 1):
            continue
        J = walk(graph, rng)
        found = {T: told_apart(graph, pair_scores(noisy_layers(J, T, channels, rng))) for T in layers}
        rows.append({"family": family} | found)
    return pd.DataFrame(rows)
