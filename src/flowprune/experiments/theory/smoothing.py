"""G8, G10, G11, G12: what the harmonic flow and the plain GCN do to differences between nodes.

Everything here is solved in the eigenbases of Δ and of H = WᵀW, in float64, or run step by step; half of the instances
carry self-loops.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse.csgraph
import torch
from torch import Tensor

from flowprune.dynamics.energy import dirichlet_energy, dirichlet_energy_by_edges
from flowprune.dynamics.spectra import TOLERANCE, Spectrum
from flowprune.experiments.theory.instances import Finding, features
from flowprune.graphs import Graph

VANISHED = 1e-6  # an energy of normalised features below this is called zero


def looped(graph: Graph, rng: np.random.Generator) -> Graph:
    """The graph as it is (half of the time), or with self-loops: of one weight, or such that all degrees are equal."""
    kind = int(rng.integers(4))
    if kind < 2:
        return graph
    if kind == 2:
        return graph.with_self_loops(float(10.0 ** rng.uniform(-1, 1)))
    missing = graph.degree.max() - graph.degree
    node = (missing > 0).nonzero().squeeze(1)
    edges = torch.cat([graph.edge_index, node.repeat(2, 1)], dim=1)
    weight = torch.cat([graph.adjacency.values(), missing[node]])
    return Graph.from_edges("levelled", edges, graph.n, weight=weight, self_loops=True, dtype=torch.float64)


def components(graph: Graph) -> Tensor:
    """The component of every node, ``[n]``; a node without edges is one of its own."""
    label = scipy.sparse.csgraph.connected_components(graph.adjacency.to_dense().numpy())[1]
    return torch.from_numpy(label).long()


def mixing(rng: np.random.Generator, d: int = 3, rank: int | None = None) -> Tensor:
    """A random W ``[d, d]`` of this rank, by default any."""
    rank = int(rng.integers(d + 1)) if rank is None else rank
    return torch.from_numpy(rng.standard_normal((d, rank)) @ rng.standard_normal((rank, d)))


def squared(W: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``[d]`` (descending) and eigenvectors of WᵀW, from the singular values: its kernel stays exact."""
    _, σ, Vh = torch.linalg.svd(W)
    return σ.square(), Vh.T


def harmonic_flow(s: Spectrum, W: Tensor, F0: Tensor, t: float) -> Tensor:
    """F(t) of Ḟ = −ΔF WᵀW, exactly: coefficient (ℓ, k) in the eigenbases of Δ and WᵀW decays as e^{−tλ_ℓη_k}."""
    η, U = squared(W)
    λ = s.λ.where(~s.lowest, 0.0)  # long times would otherwise see the rounding of a zero
    return s.φ @ ((-t * λ.unsqueeze(1) * η).exp() * (s.φ.T @ F0 @ U)) @ U.T


def harmonic_limit(graph: Graph, W: Tensor, F0: Tensor) -> Tensor:
    """f_i = √d_i φ_∞ + P_ker f_i(0), φ_∞ the component's mean Σ_j √d_j f_j(0) / Σ_j d_j outside the kernel of W."""
    P = torch.eye(W.shape[1], dtype=torch.float64) - torch.linalg.pinv(W, rtol=1e-10) @ W
    label, root = components(graph), graph.degree.sqrt().unsqueeze(1)
    sums = torch.zeros(int(label.max()) + 1, F0.shape[1] + 1, dtype=torch.float64)
    sums.index_add_(0, label, torch.cat([root * F0, root.square()], dim=1))
    mean = (sums[:, :-1] / sums[:, -1:])[label]
    moving = F0 - F0 @ P
    settled = torch.where(root > 0, root * (mean - mean @ P), moving)  # an isolated node stays where it is
    return settled + F0 @ P


def _slowest(s: Spectrum, W: Tensor) -> float:
    """gap(WᵀW) gap(Δ), the rate of the last term to die; infinite when nothing moves."""
    η, _ = squared(W)
    alive = η[η > TOLERANCE * η[0].clamp_min(1e-300)]
    return alive[-1].item() * s.gap if alive.numel() else float("inf")


def equal_inputs_end_equal(graph: Graph, rng: np.random.Generator) -> Finding:
    """G10. One pair of nodes of equal degree gets equal input; covered when both lie in one component.

    Deviation: of the late state from the closed form of the limit, and any excess over the energy bound
    e^{−2t gap(WᵀW) gap(Δ)} ‖F(0)‖² + E_Dir(F(0) P_ker) along the way.
    """
    graph = looped(graph, rng)
    s, W, F0 = Spectrum.of(graph), mixing(rng), features(graph, rng)
    equal = torch.triu((graph.degree.unsqueeze(1) - graph.degree).abs() < TOLERANCE, 1).nonzero()
    i, j = equal[int(rng.integers(len(equal)))] if len(equal) else torch.zeros(2, dtype=torch.long)
    F0[j] = F0[i]
    rate = min(_slowest(s, W), 1e300)
    late = harmonic_flow(s, W, F0, 60 / rate)
    off = (late - harmonic_limit(graph, W, F0)).norm() / F0.norm()
    kernel = F0 - F0 @ torch.linalg.pinv(W, rtol=1e-10) @ W
    excess = max(
        (dirichlet_energy(graph, harmonic_flow(s, W, F0, t / rate)) - dirichlet_energy(graph, kernel)).item()
        - np.exp(-2 * t) * F0.square().sum().item()
        for t in (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
    )
    label, apart = components(graph), (late[i] - late[j]).norm() / F0.norm()
    together = bool(label[i] == label[j])
    deviation = max(off.item(), excess / F0.square().sum().item(), apart.item() if together else 0.0)
    return Finding(deviation, bool(apart < VANISHED), covered=together)


def equal_degrees_end_equal(graph: Graph, rng: np.random.Generator) -> Finding:
    """G11, W with trivial kernel: in every component f_i(∞)/√d_i is one vector, whatever the input was."""
    graph = looped(graph, rng)
    s, W, F0 = Spectrum.of(graph), mixing(rng, rank=3), features(graph, rng)
    late = harmonic_flow(s, W, F0, 60 / _slowest(s, W))
    label = components(graph)
    both = (label.unsqueeze(1) == label) & ((graph.degree.unsqueeze(1) - graph.degree).abs() < TOLERANCE)
    spread = (torch.cdist(late, late, compute_mode="donot_use_mm_for_euclid_dist") * both).max() / F0.norm()
    return Finding(spread.item(), bool(spread < VANISHED))


def direction_energy(s: Spectrum, log_gain: Tensor, c: Tensor) -> Tensor:
    """E_Dir(F/‖F‖) of features with coefficients e^{log_gain} c ``[…, n, d]`` on the eigenvectors of Δ.

    No gain is too large or too small for it: only differences of logarithms count.
    """
    share = torch.softmax(2 * (log_gain + c.abs().log()).flatten(-2), -1).view(*c.shape)
    return 0.5 * (s.λ.unsqueeze(1) * share).sum((-2, -1))


FORMS = ("continuous", "residual", "plain")


def harmonic_smooths(
    graph: Graph, rng: np.random.Generator, form: str | None = None, reach: float | None = None
) -> Finding:
    """G12: E_Dir(F/‖F‖) → 0 for W of any spectral norm (10⁻² to 10²) and trivial kernel, in one of three forms.

    continuous: Ḟ = −ΔFH with H = WᵀW. residual: F ← F − τΔFH, its explicit Euler step, covered when
    ``reach`` = τρ_Δ‖W‖² is below 2. plain: F ← ĀFH without F itself, covered when no component is bipartite.
    """
    graph = looped(graph, rng)
    form = form or FORMS[int(rng.integers(3))]
    s, W = Spectrum.of(graph), mixing(rng, rank=3)
    W = W / torch.linalg.matrix_norm(W, 2) * 10.0 ** rng.uniform(-2, 2)
    η, U = squared(W)
    F0 = features(graph, rng) * (graph.degree > 0).unsqueeze(1)  # an isolated node has no part in Ā
    λη = s.λ.clamp_min(0).unsqueeze(1) * η
    reach = rng.uniform(0.2, 4.0) if reach is None else reach
    if form == "continuous":
        log_gain, covered = -λη, True
    elif form == "residual":
        log_gain, covered = (1 - reach / (s.ρ * η[0]) * λη).abs().log(), reach < 2
    else:
        log_gain, covered = ((1 - s.λ).unsqueeze(1) * η).abs().log(), s.ρ < 2 - TOLERANCE
    rough = log_gain[~s.lowest].max()
    lead = (
        log_gain[s.lowest].max() - rough
    ).item()  # how much faster the smooth part grows, in one unit of time
    steps = 60 / min(max(abs(lead), 1e-12), 1e3)
    E = direction_energy(s, steps * log_gain, s.φ.T @ F0 @ U).item()
    return Finding(E, E < VANISHED, covered)


def contraction(s: Spectrum) -> float:
    """μ = max |1 − λ_ℓ| over the frequencies above zero: E_Dir(ĀF) ≤ μ² E_Dir(F)."""
    return (1 - s.λ[~s.lowest]).abs().max().item()


def gcn_contracts(graph: Graph, rng: np.random.Generator) -> Finding:
    """G8: F ← ReLU(ĀFW) with ‖W‖ < 1/μ. Every layer obeys E_Dir(F⁺) ≤ (‖W‖μ)² E_Dir(F), ReLU itself never raises E_Dir.

    So E_Dir falls at least like Π(‖W‖μ)². Deviation: the largest excess over either inequality, in units of
    ‖F‖², and how far the slowest eigenvector is from equality, which says that no smaller factor will do.
    """
    graph, d = looped(graph, rng), 4
    s = Spectrum.of(graph)
    μ = contraction(s)
    slowest = s.φ[:, [(1 - s.λ).abs().where(~s.lowest, -1.0).argmax().item()]]
    tight = dirichlet_energy(graph, graph.norm_adjacency @ slowest) - μ**2 * dirichlet_energy(graph, slowest)
    F, excess = features(graph, rng, d), abs(tight.item())
    for _ in range(int(rng.integers(1, 25))):
        W = torch.from_numpy(rng.standard_normal((d, d)))
        W = W / torch.linalg.matrix_norm(W, 2) * rng.uniform(0.2, 1.0) / max(μ, 0.1)
        update = graph.norm_adjacency @ F @ W
        before, mixed, after = (
            dirichlet_energy_by_edges(graph, X).item() for X in (F, update, update.relu())
        )
        allowed = (torch.linalg.matrix_norm(W, 2).item() * μ) ** 2 * before
        excess = max(excess, mixed - allowed, after - mixed, after - allowed)
        if not update.relu().any():
            break
        F = update.relu() / update.relu().norm()
    return Finding(excess, excess < TOLERANCE)
