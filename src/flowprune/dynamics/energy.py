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
