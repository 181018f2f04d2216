"""Noise-prune: which edges of a symmetric linear network to keep so that its spectrum stays (Moore and Chaudhuri 2020).

The network ẋ = (W − D)x + σξ has weights W ``[n, n]`` with a zero diagonal and leaks D. An edge is kept with a
probability that its own noise-driven covariance tells, and kept weights are divided by it, so that E[W'] = W.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch import Tensor


def stationary_covariance(A: Tensor, σ: float = 1.0) -> Tensor:
    """The covariance C of ẋ = Ax + σξ in the end, from A C + C Aᵀ + σ²I = 0: ``[n, n]``.

    Raises ValueError unless all eigenvalues of A have negative real parts.
    """
    abscissa = torch.linalg.eigvals(A).real.max().item()
    if not abscissa < 0:
        raise ValueError(
            f"stationary covariance: the spectral abscissa of A is {abscissa:.6g}; allowed is below 0"
        )
    noise = -(σ**2) * np.eye(len(A))
    return torch.from_numpy(scipy.linalg.solve_continuous_lyapunov(A.numpy(), noise)).to(A)


def edge_scores(W: Tensor, C: Tensor) -> Tensor:
    """|w_ij| (C_ii + C_jj − 2 sgn(w_ij) C_ij), zero on the diagonal: ``[n, n]``.

    With W − D = −L, the Laplacian of a weighted graph, this is σ²/2 · w_ij times the effective resistance of the edge.
    """
    variance = C.diagonal()
    scores = W.abs() * (variance.unsqueeze(1) + variance - 2 * W.sign() * C)
    return scores - torch.diag(scores.diagonal())


def probabilities(scores: Tensor, kept: float) -> Tensor:
    """min(1, K s_ij) with the K for which ``kept`` edges are expected to stay, each pair counted once: ``[n, n]``.

    Raises ValueError unless ``kept`` lies between 0 and the number of edges with a positive score.
    """
    s = torch.triu(scores, 1)
    s = s[s > 0].sort(descending=True).values
    if not 0 < kept <= len(s):
        raise ValueError(f"noise-prune: {kept:g} edges are to be kept; allowed is above 0, up to {len(s)}")
    sure = torch.arange(len(s), dtype=s.dtype)  # with the m largest at 1, the others share what is left
    K = (kept - sure) / s.flip(0).cumsum(0).flip(0)
    first = int((K * s <= 1 + 1e-12).nonzero()[0])
    return (K[first] * scores).clamp(max=1.0)


def noise_prune(W: Tensor, p: Tensor, rng: np.random.Generator) -> Tensor:
    """Keep each edge with probability p_ij, independently, and divide what is kept by p_ij: ``[n, n]``, symmetric.

    Raises ValueError when W is not symmetric.
    """
    if not torch.equal(W, W.T):
        raise ValueError("noise-prune: W is not symmetric; one draw an edge needs w_ij = w_ji")
    drawn = torch.triu(torch.from_numpy(rng.random(W.shape)).to(W) < p, 1)
    return torch.where(drawn | drawn.T, W / p, 0.0)


def corrected_leak(leak: Tensor, W: Tensor, pruned: Tensor) -> Tensor:
    """The diagonal D ``[n]`` of the leaks, changed as much as the absolute row sums of W are.

    A Laplacian stays a Laplacian: each node loses through its leak what it gains from its neighbours.
    """
    return leak + pruned.abs().sum(1) - W.abs().sum(1)
