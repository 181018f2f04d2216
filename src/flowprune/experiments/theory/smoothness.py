"""G1 to G7: the spectrum of the Laplacian, the Dirichlet energy, and what it means that a frequency dominates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse.csgraph
import torch
from torch import Tensor

from flowprune.dynamics.energy import (
    dirichlet_energy,
    dirichlet_energy_by_edges,
    dirichlet_energy_by_frequency,
    normalised_energy,
)
from flowprune.dynamics.spectra import TOLERANCE, Spectrum, heat_flow, linear_flow
from flowprune.experiments.theory.instances import Finding, features, symmetric
from flowprune.graphs import Graph


def laplacian_spectrum(graph: Graph, rng: np.random.Generator) -> Finding:
    """G1. Half of the instances carry a self-loop at one node; of them the bound n/(n − 1) says nothing."""
    loops = bool(rng.integers(2))
    if loops:
        diagonal = torch.zeros(graph.n, dtype=torch.float64)
        diagonal[0] = 10.0 ** rng.uniform(-1, 2)
        edges = torch.cat([graph.edge_index, torch.tensor([[0], [0]])], dim=1)
        weight = torch.cat([graph.adjacency.values(), diagonal[:1]])
        graph = Graph.from_edges("loop", edges, graph.n, weight=weight, self_loops=True, dtype=torch.float64)
    s = Spectrum.of(graph)
    _, label = scipy.sparse.csgraph.connected_components(graph.adjacency.to_dense().numpy())
    members = torch.nn.functional.one_hot(torch.from_numpy(label).long()).double()
    smooth = members * graph.degree.sqrt().unsqueeze(1)
    isolated = smooth.norm(dim=0) == 0  # a node without edges is a component of its own
    smooth[:, isolated] = members[:, isolated]
    kernel = (graph.laplacian @ smooth).abs().max().item()
    bipartite = any(
        _part(graph, label == c).is_bipartite and (label == c).sum() > 1 for c in range(members.shape[1])
    )
    bound = graph.n / (graph.n - 1) - s.ρ
    deviation = max(-s.λ[0].item(), s.ρ - 2, kernel, 2 - s.ρ if bipartite else 0.0)
    touches_two = s.ρ > 2 - TOLERANCE
    true = (
        int(s.lowest.sum()) == members.shape[1] and touches_two == bipartite and (loops or bound < TOLERANCE)
    )
    return Finding(deviation, true)


def _part(graph: Graph, member: np.ndarray) -> Graph:
    A = graph.adjacency.to_dense()[member][:, member].to_sparse_coo().coalesce()
    return Graph.from_edges("part", A.indices(), int(member.sum()), self_loops=True, dtype=torch.float64)


def energy_forms(graph: Graph, rng: np.random.Generator) -> Finding:
    """G2: trace, edge sum and frequency sum agree; none passes (ρ_Δ/2)‖F‖²."""
    F = features(graph, rng)
    E, bound = dirichlet_energy(graph, F), 0.5 * graph.rho * F.square().sum()
    others = torch.stack([dirichlet_energy_by_edges(graph, F), dirichlet_energy_by_frequency(graph, F)])
    deviation = ((others - E).abs().max() / E).item()
    return Finding(max(deviation, ((E - bound) / bound).item()), bool(bound * (1 + TOLERANCE) - E >= 0))


def heat_descends(graph: Graph, rng: np.random.Generator) -> Finding:
    """G3: −∇E_Dir = −ΔF by automatic differentiation; E_Dir never rises; e^{−tΔ}F(0) ends in the kernel of Δ."""
    F0, s = features(graph, rng), Spectrum.of(graph)
    F = F0.clone().requires_grad_()
    gradient = torch.autograd.grad(dirichlet_energy_by_edges(graph, F), F)[0]
    from_gradient = (gradient - graph.laplacian @ F0).abs().max().item()
    energies = torch.stack(
        [dirichlet_energy(graph, heat_flow(s, F0, t)) for t in np.geomspace(0.01, 30 / s.gap, 12)]
    )
    rises = (energies.diff() > TOLERANCE * energies[0]).any().item()
    kernel = s.φ[:, s.lowest]
    limit = (heat_flow(s, F0, 40 / s.gap) - kernel @ (kernel.T @ F0)).norm() / F0.norm()
    return Finding(max(from_gradient, limit.item()), not rises)


def vectorised_flow(graph: Graph, rng: np.random.Generator) -> Finding:
    """G4: vec(ĀFW) = (W ⊗ Ā) vec(F), columns stacked. Every second W is not symmetric, and then it is Wᵀ ⊗ Ā."""
    F, even = features(graph, rng), bool(rng.integers(2))
    W = symmetric(rng) if even else torch.from_numpy(rng.standard_normal((3, 3)))
    Ā = graph.norm_adjacency.to_dense()
    stacked = lambda X: X.T.reshape(-1)  # noqa: E731
    flow = stacked(Ā @ F @ W)
    deviation = ((torch.kron(W, Ā) @ stacked(F) - flow).norm() / flow.norm()).item()
    repaired = ((torch.kron(W.T.contiguous(), Ā) @ stacked(F) - flow).norm() / flow.norm()).item()
    true = deviation < TOLERANCE
    return Finding(max(deviation if even else 0.0, repaired), true, covered=even)


def energy_diverges(graph: Graph, rng: np.random.Generator) -> Finding:
    """G5, with the condition that the source leaves out: some eigenvalue of Δ lies strictly between 0 and 1.

    Deviation: what is left of the normalised energy at the end, and how far E_Dir(F(t)) of the features themselves is
    from its closed form ½ Σ_ℓ λ_ℓ e^{2t(1−λ_ℓ)} ‖c_ℓ‖², whose growth decides.
    """
    s, F0 = Spectrum.of(graph), features(graph, rng)
    identity = torch.eye(F0.shape[1], dtype=torch.float64)
    early, late = 1.0, 40 / min(s.gap, 1.0)
    direction, log_norm = linear_flow(s, identity, F0, early)
    off = abs(normalised_energy(graph, direction).log().item() + 2 * log_norm - _log_energy(s, F0, early))
    left = normalised_energy(graph, linear_flow(s, identity, F0, late)[0]).item()
    grows = _log_energy(s, F0, 2 * late) > _log_energy(s, F0, late) + TOLERANCE
    return Finding(max(left, off), true=grows, covered=s.gap < 1 - TOLERANCE)


def _log_energy(s: Spectrum, F0: Tensor, t: float) -> float:
    """log E_Dir(e^{tĀ}F(0)) by frequencies; the kernel, which grows fastest, carries no energy."""
    exponent = 2 * t * (1 - s.λ)
    c = (s.φ.T @ F0).square().sum(1)
    terms = (0.5 * s.λ * c)[~s.lowest].log() + exponent[~s.lowest]
    return torch.logsumexp(terms, 0).item()


def low_frequency_limits(graph: Graph, rng: np.random.Generator) -> Finding:
    """G6: (gap(Δ)/2) dist² ≤ E_Dir(G) ≤ (ρ_Δ/2) dist² for unit G, dist the distance to the kernel of Δ.

    So E_Dir → 0 exactly when every limit point lies in the kernel. Checked on random unit features, and on the
    limits of random linear flows, where both sides must agree.
    """
    return _dominance(graph, rng, lambda s: (s.lowest, s.gap, lambda E: E))


def high_frequency_limits(graph: Graph, rng: np.random.Generator) -> Finding:
    """G7: the same at the other end, with ρ_Δ/2 − E_Dir(G), gap(ρ_Δ I − Δ) and the eigenspace of ρ_Δ."""
    return _dominance(graph, rng, lambda s: (s.highest, s.top_gap, lambda E: 0.5 * s.ρ - E))


def _dominance(graph: Graph, rng: np.random.Generator, side: Callable[[Spectrum], tuple]) -> Finding:
    s, F0 = Spectrum.of(graph), features(graph, rng)
    which, gap, defect = side(s)
    if which.all():
        return Finding(0.0)  # one eigenvalue only: every direction is a limit of both kinds
    limit, _ = linear_flow(s, symmetric(rng), F0, 200 / min(s.gap, s.top_gap, 1.0))
    deviation, agree = 0.0, True
    for G in (F0 / F0.norm(), limit):
        far = 1 - s.share(G, which).item()
        energy = defect(normalised_energy(graph, G).item())
        deviation = max(deviation, 0.5 * gap * far - energy, energy - 0.5 * s.ρ * far)
        agree &= (energy < 1e-7 * gap) == (far < 1e-7)
    return Finding(deviation, agree)
