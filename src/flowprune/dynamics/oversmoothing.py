"""How alike the nodes have become: the over-smoothing coefficient μ, the deviation from the mean, the effective rank.

Features are ``[n, d]``, which gives a scalar, or those of R replicas ``[n, R, d]``, which give ``[R]``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def coefficient(X: Tensor, block: int = 1024) -> Tensor:
    """μ(X) = 1/(n(n−1)) Σ_{i≠j} ‖x_i − x_j‖ / (‖x_i‖ + ‖x_j‖) in [0, 1], exactly (arXiv 2412.07243).

    0 when all nodes are equal; a pair of opposite rows counts 1, of two zero rows 0. The scale of X does not matter.
    Takes O(n² d) time, and memory for ``block`` rows of the distances.

    Raises ValueError for fewer than two nodes.

    >>> round(coefficient(torch.tensor([[1.0], [3.0]])).item(), 6)  # |1 − 3| / (1 + 3)
    0.5
    """
    n = _nodes(X)
    if X.dim() == 3:
        return torch.stack([coefficient(X[:, r], block) for r in range(X.shape[1])])
    X, _ = _scaled(X)
    size = X.norm(dim=1)
    tiny, total = torch.finfo(X.dtype).tiny, 0.0
    for start in range(
        0, n, block
    ):  # pairs of a block with itself and with all later ones, which count twice
        # not by ‖x‖² + ‖y‖² − 2⟨x, y⟩, which would drown the distances of states that are almost equal
        apart = torch.cdist(X[start : start + block], X[start:], compute_mode="donot_use_mm_for_euclid_dist")
        ratio = apart / (size[start : start + block, None] + size[start:]).clamp_min(tiny)
        total += 2 * ratio.sum(dtype=torch.float64) - ratio[:, : len(ratio)].sum(dtype=torch.float64)
    return (total / (n * (n - 1))).to(X.dtype)


def sampled_coefficient(X: Tensor, pairs: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """An unbiased estimate of μ(X) from ``pairs`` ≥ 2 pairs i ≠ j, drawn with repetition, and its standard error."""
    n = _nodes(X)
    X, _ = _scaled(X)
    i = torch.randint(n, (pairs,), generator=generator).to(X.device)
    j = (i + 1 + torch.randint(n - 1, (pairs,), generator=generator).to(X.device)) % n
    size = X.norm(dim=-1)
    ratio = (X[i] - X[j]).norm(dim=-1) / (size[i] + size[j]).clamp_min(torch.finfo(X.dtype).tiny)
    return ratio.mean(0), ratio.std(0) / pairs**0.5


EXACT, PAIRS = 1000, 100_000  # nodes up to which μ is exact, and the pairs that are drawn for more


def estimate(X: Tensor) -> Tensor:
    """μ(X), exactly up to ``EXACT`` nodes, else from ``PAIRS`` pairs, always the same: standard error below 0.002."""
    if len(X) <= EXACT:
        return coefficient(X)
    return sampled_coefficient(X, PAIRS, torch.Generator().manual_seed(0))[0]


def deviation(X: Tensor) -> Tensor:
    """‖X − 1X̄‖_F, X̄ the mean over nodes: how far all nodes are from one common value."""
    X, scale = _scaled(X - X.mean(0))
    return scale.squeeze((0, -1)) * X.square().sum((0, -1)).sqrt()


def effective_rank(X: Tensor) -> Tensor:
    """exp(−Σ p_k log p_k), p the singular values over their sum (Roy and Vetterli 2007); 0 for X = 0."""
    X, _ = _scaled(X)
    σ = torch.linalg.svdvals(X.movedim(0, -2))
    total = σ.sum(-1, keepdim=True)
    rank = torch.special.entr(σ / total.clamp_min(torch.finfo(σ.dtype).tiny)).sum(-1).exp()
    return rank.where(total.squeeze(-1) > 0, 0.0)


def _nodes(X: Tensor) -> int:
    if X.dim() not in (2, 3) or len(X) < 2:
        raise ValueError(
            f"over-smoothing coefficient: features have shape {list(X.shape)}; allowed are [n, d] and [n, R, d] "
            "with at least two nodes"
        )
    return len(X)


def _scaled(X: Tensor) -> tuple[Tensor, Tensor]:
    """X over its largest entry, replica by replica, and that entry: squares of tiny features would vanish."""
    scale = X.detach().abs().amax((0, -1), keepdim=True)
    scale = torch.where(scale > 0, scale, 1.0)
    return X / scale, scale
