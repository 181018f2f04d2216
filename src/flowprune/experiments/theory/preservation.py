"""What keeps the slow modes of a noisy linear network when edges go: noise-prune, its controls, and its reverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from flowprune.pruning import preserve

CLUSTERS = 3


def clustered(rng: np.random.Generator, size: int = 50, across: float = 0.005) -> Tensor:
    """Symmetric W ``[n, n]`` of three dense clusters, N(1, 1), and sparse weights between them, uniform on (0, 1).

    Scaled to the spectral abscissa 1/1.1, so that ẋ = (W − I)x + σξ is stable (Moore and Chaudhuri 2020).
    """
    n = CLUSTERS * size
    cluster = np.arange(n) // size
    same = cluster[:, None] == cluster
    weight = np.where(same, rng.normal(1, 1, (n, n)), rng.random((n, n)) * (rng.random((n, n)) < across))
    upper = np.triu(weight, 1)
    W = torch.from_numpy(upper + upper.T)
    return W / (1.1 * torch.linalg.eigvalsh(W)[-1])


def keep_noise(W: Tensor, C: Tensor, kept: float) -> Tensor:
    """Kept with a probability in proportion to |w|(C_ii + C_jj − 2 sgn(w) C_ij)."""
    return preserve.probabilities(preserve.edge_scores(W, C), kept)


def keep_weight(W: Tensor, C: Tensor, kept: float) -> Tensor:
    """Kept in proportion to |w|."""
    return preserve.probabilities(W.abs(), kept)


def keep_evenly(W: Tensor, C: Tensor, kept: float) -> Tensor:
    """Kept with one probability for all edges."""
    return preserve.probabilities((W != 0).to(W), kept)


def remove_noise(W: Tensor, C: Tensor, kept: float) -> Tensor:
    """The reverse of noise-prune: *removed* in proportion to its score."""
    edges = int((torch.triu(W, 1) != 0).sum())
    return torch.where(W != 0, 1 - preserve.probabilities(preserve.edge_scores(W, C), edges - kept), 0.0)


RULES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "noise-prune": keep_noise,
    "by weight": keep_weight,
    "evenly": keep_evenly,
    "removed by noise-prune's score": remove_noise,
}


def compare(networks: int, shares: Sequence[float], seed: int) -> pd.DataFrame:
    """One draw of every rule on each network at each share of kept edges; leaks are corrected.

    Columns: network, rule, kept (share wanted, below 1); shift and error (mean and root mean square of λ'/λ − 1
    over the three slowest modes), angle (largest between the old and the new slow subspace, degrees).
    """
    rows = []
    for network in range(networks):
        rng = np.random.default_rng([seed, network])
        W = clustered(rng)
        leak = torch.ones(len(W), dtype=torch.float64)
        A = W - torch.diag(leak)
        C = preserve.stationary_covariance(A)
        edges = int((torch.triu(W, 1) != 0).sum())
        λ, slow = _slowest(A)
        for share in shares:
            for rule, keep in RULES.items():
                pruned = preserve.noise_prune(W, keep(W, C, share * edges), rng)
                new, modes = _slowest(pruned - torch.diag(preserve.corrected_leak(leak, W, pruned)))
                ratio = new / λ - 1
                cosine = torch.linalg.svdvals(slow.T @ modes)[-1].clamp(max=1.0)
                rows.append(
                    {"network": network, "rule": rule, "kept": share, "shift": ratio.mean().item()}
                    | {"error": ratio.square().mean().sqrt().item(), "angle": cosine.acos().rad2deg().item()}
                )
    return pd.DataFrame(rows)


def _slowest(A: Tensor) -> tuple[Tensor, Tensor]:
    """The three largest eigenvalues of A, ascending, and their eigenvectors."""
    λ, vectors = torch.linalg.eigh(A)
    return λ[-CLUSTERS:], vectors[:, -CLUSTERS:]
