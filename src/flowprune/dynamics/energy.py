"""The Dirichlet energy in its three forms, and the energy that GRAFF descends (arXiv 2206.10991)."""

from __future__ import annotations

import torch
from torch import Tensor

from flowprune.graphs import Graph


def edge_gradient(graph: Graph, F: Tensor) -> Tensor:
    """(∇F)_ij = √a_ij (f_i/√d_i − f_j/√d_j) for every stored edge, in both orders: ``[E, …]`` from ``[n, …]``."""
    rows, cols = graph.edge_index
    scaled = F * _column(graph.degree.clamp_min(torch.finfo(F.dtype).tiny).rsqrt(), F)
    return _column(graph.adjacency.values().sqrt(), F) * (scaled[rows] - scaled[cols])


def _column(x: Tensor, like: Tensor) -> Tensor:
    return x.to(like.dtype).view(-1, *[1] * (like.dim() - 1))


def dirichlet_energy(graph: Graph, F: Tensor) -> Tensor:
    """E_Dir(F) = ½ tr(Fᵀ Δ F) of features ``[n, d]``; of ``[n, R, d]`` one energy a replica, ``[R]``.

    >>> from flowprune.graphs import load
    >>> graph = load("path?n=3").to(dtype=torch.float64)
    >>> F = graph.degree.sqrt().unsqueeze(1)
    >>> float(dirichlet_energy(graph, F).abs()) < 1e-15  # √d is the smoothest signal
    True
    """
    ΔF = (graph.laplacian @ F.reshape(graph.n, -1)).view(F.shape)
    return 0.5 * (F * ΔF).sum((0, -1))


def dirichlet_energy_by_edges(graph: Graph, F: Tensor) -> Tensor:
    """The same as a sum over edges: ¼ Σ_(i,j) ‖(∇F)_ij‖², both orders; scalar for ``[n, d]``."""
    return 0.25 * edge_gradient(graph, F).square().sum()


def dirichlet_energy_by_frequency(graph: Graph, F: Tensor) -> Tensor:
    """The same as a sum over frequencies: ½ Σ_ℓ λ_ℓ ‖c_ℓ‖² with c_ℓ = φ_ℓᵀ F; scalar for ``[n, d]``."""
    λ, φ = torch.linalg.eigh(graph.laplacian.to_dense())
    return 0.5 * (λ * (φ.T @ F).square().sum(1)).sum()


def normalised_energy(graph: Graph, F: Tensor) -> Tensor:
    """E_Dir(F/‖F‖) in [0, ρ_Δ/2], the quantity that low- and high-frequency dominance speak of."""
    return dirichlet_energy(graph, F) / F.square().sum((0, -1))


def total_energy(graph: Graph, F: Tensor, W: Tensor, Ω: Tensor) -> Tensor:
    """E_tot(F) = ½ Σ_i ⟨f_i, Ω f_i⟩ − ½ Σ_ij ā_ij ⟨f_i, W f_j⟩ for ``F [n, d]`` and ``W, Ω [d, d]``."""
    return 0.5 * (F * (F @ Ω.T)).sum() - 0.5 * (F * (graph.norm_adjacency @ F @ W.T)).sum()


def energy_field(graph: Graph, F: Tensor, W: Tensor, Ω: Tensor) -> Tensor:
    """−FΩ + ĀFW, which is −∇E_tot when W and Ω are symmetric: ``[n, d]``."""
    return graph.norm_adjacency @ F @ W - F @ Ω


def field_jacobian(graph: Graph, W: Tensor, Ω: Tensor) -> Tensor:
    """Wᵀ ⊗ Ā − Ωᵀ ⊗ I, the field −FΩ + ĀFW on stacked columns: dense ``[nd, nd]``; for symmetric W and Ω minus the
    Hessian of E_tot."""
    identity = torch.eye(graph.n, dtype=W.dtype)
    return torch.kron(W.T.contiguous(), graph.norm_adjacency.to_dense()) - torch.kron(
        Ω.T.contiguous(), identity
    )


def largest_step(graph: Graph, W: Tensor, Ω: Tensor) -> float:
    """2/λ_max of the Hessian of E_tot, for symmetric W and Ω: an Euler step up to it never raises E_tot, and a longer
    one raises it from some F. Infinite when E_tot has no direction in which it is convex."""
    top = torch.linalg.eigvalsh(-field_jacobian(graph, W, Ω))[-1].item()
    return 2 / top if top > 0 else float("inf")


def attraction_repulsion(W: Tensor) -> tuple[Tensor, Tensor]:
    """Θ₊ and Θ₋ with W = Θ₊ᵀΘ₊ − Θ₋ᵀΘ₋ from the eigenvalues of a symmetric W, each ``[d, d]``.

    >>> Θp, Θm = attraction_repulsion(torch.tensor([[4.0, 0.0], [0.0, -9.0]]))
    >>> torch.linalg.matrix_norm(Θp, 2).item(), torch.linalg.matrix_norm(Θm, 2).item()
    (2.0, 3.0)
    """
    w, U = torch.linalg.eigh(W)
    return w.clamp_min(0).sqrt().unsqueeze(1) * U.T, (-w).clamp_min(0).sqrt().unsqueeze(1) * U.T


def edge_norms(graph: Graph, F: Tensor, Θ: Tensor) -> Tensor:
    """‖Θ(∇F)_ij‖² for every stored edge, in both orders: ``[E]`` from ``F [n, d]`` and ``Θ [m, d]``."""
    return (edge_gradient(graph, F) @ Θ.T).square().sum(1)


def harmonic_energy(graph: Graph, F: Tensor, W: Tensor) -> Tensor:
    """E_W(F) = ¼ Σ_(i,j) ‖W(∇F)_ij‖², both orders, for ``W [m, d]``; the harmonic flow Ḟ = −ΔFWᵀW descends it."""
    return 0.25 * edge_norms(graph, F, W).sum()


def total_energy_by_edges(graph: Graph, F: Tensor, W: Tensor, Ω: Tensor) -> Tensor:
    """E_tot as ½Σ_i⟨f_i, (Ω−W)f_i⟩ + ¼Σ‖Θ₊(∇F)_ij‖² − ¼Σ‖Θ₋(∇F)_ij‖² for symmetric W.

    The first sum takes −W only at nodes with edges. The source's has it everywhere; at an isolated node that is wrong,
    because no edge brings it back.
    """
    Θp, Θm = attraction_repulsion(W)
    held = F * _column(graph.degree > 0, F)
    own = 0.5 * (F * (F @ Ω)).sum() - 0.5 * (held * (held @ W)).sum()
    return own + harmonic_energy(graph, F, Θp) - harmonic_energy(graph, F, Θm)


def edge_signs(graph: Graph, F: Tensor, velocity: Tensor, W: Tensor) -> tuple[float, float]:
    """Shares of edges, in [0, 1], whose Θ₊ part does not grow and whose Θ₋ part does not shrink while F moves with this
    velocity. Not a number where W has no eigenvalue of that sign. Self-loops, which have no gradient, are left out."""
    moving, before = edge_gradient(graph, velocity), edge_gradient(graph, F)
    joins = graph.edge_index[0] != graph.edge_index[1]
    shares = []
    for Θ, sign in zip(attraction_repulsion(W), (-1, 1), strict=True):
        rate = 2 * ((before @ Θ.T) * (moving @ Θ.T)).sum(1)[joins]
        shares.append((sign * rate >= 0).double().mean().item() if Θ.any() else float("nan"))
    return shares[0], shares[1]
