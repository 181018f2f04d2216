"""The Graphon NTK: the kernel of a masked perceptron in the limit of its width (Pham et al. 2025).

With weights of size one, z_i = g n^{-1/2} Σ_j m_ij θ_ij σ(z_j), and masks that follow graphons W(u, v), a unit is known
by its position u. In the limit its pre-activations are Gaussian with a covariance that depends on u:

    S₁(u; x, x′) = g²/d Σ_j W₁(u, j) x_j x′_j,    S_{l+1}(u) = g² ∫ W_{l+1}(u, v) V_l(v) dv,

V_l(v) = E[σσ′] and D_l(v) = E[σ̇σ̇′] under the Gaussian of position v (:mod:`~flowprune.limits.duals`). If the kept
weights are the parameters, the kernel follows in the same pass,

    T₁(u) = S₁(u),    T_{l+1}(u) = S_{l+1}(u) + g² ∫ W_{l+1}(u, v) D_l(v) T_l(v) dv;

if all weights are (a pruned one moves too, and is not seen), layer l adds ∫ G_l du · g² ∫ V_{l-1} dv with
G_l(v) = D_l(v) g² ∫ W_{l+1}(u, v) G_{l+1}(u) du.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from .duals import Dual, relu

Counted = Literal["kept", "all"]
GRID = 64  # positions in each layer
_ENTRIES = 1 << 16  # of a tensor of one block of rows, so that what a block needs stays in cache


def on_grid(graphon: Callable[[Tensor, Tensor], Tensor], rows: int = GRID, columns: int = GRID) -> Tensor:
    """W at the midpoints of rows × columns cells: float64 ``[rows, columns]``; the error falls as their number²."""
    u = (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
    v = (torch.arange(columns, dtype=torch.float64) + 0.5) / columns
    return graphon(u[:, None], v[None, :]).expand(rows, columns).clone()


def graphon_ntk(
    graphons: Sequence[Tensor],
    x: Tensor,
    y: Tensor | None = None,
    *,
    dual: Dual = relu,
    gain: float = math.sqrt(2),
    counted: Counted = "kept",
) -> Tensor:
    """The kernel of samples x with samples y: ``[N, M]``, in the type and on the device of x.

    Memory beyond the answer is linear in the number of samples; of the kernel of x with itself one half is computed.

    Args:
        graphons: for each layer of weights a step graphon ``[K_out, K_in]`` with cells of equal size: the first
            ``[K_1, d]``, the last ``[o, K_L]``, the mean over whose o outputs is returned.
        x, y: samples ``[N, d]``, ``[M, d]``; x itself by default.
        gain: g above, ``gain`` of :func:`flowprune.limits.mlp.mlp`.
        counted: whose gradients are counted, those of the kept weights or of all.

    Raises ValueError when sizes do not fit or a graphon leaves [0, 1].
    """
    W = [torch.as_tensor(w).to(x) for w in graphons]
    _check(W, x, y)
    other = x if y is None else y
    variances = _variances(W, x, dual, gain)
    others = variances if y is None else _variances(W, other, dual, gain)
    out = x.new_empty(len(x), len(other))
    rows = max(1, _ENTRIES // (max(len(w) for w in W) * len(other)))
    for start in range(0, len(x), rows):
        at = slice(start, start + rows)
        beyond = slice(start if y is None else 0, None)
        S = gain**2 / x.shape[1] * (W[0][:, None] * x[at]) @ other[beyond].T
        p, q = [v[:, at, None] for v in variances], [v[:, None, beyond] for v in others]
        steps = _steps(W, S, p, q, dual, gain)
        if counted == "kept":
            block = _kept(S, steps)
        else:
            block = _all(x[at] @ other[beyond].T / x.shape[1], len(W[-1]), steps, gain)
        out[at, beyond] = block
        if y is None:
            out[beyond, at] = block.T
    return out


def _check(W: list[Tensor], x: Tensor, y: Tensor | None) -> None:
    sizes = [tuple(w.shape) for w in W]
    if len(W) < 2 or any(a[0] != b[1] for a, b in pairwise(sizes)):
        raise ValueError(
            f"each graphon needs as many columns as the one before has rows, and two are the least, got {sizes}"
        )
    if x.dim() != 2 or x.shape[1] != sizes[0][1] or (y is not None and y.shape[1] != x.shape[1]):
        raise ValueError(
            f"samples must be [N, {sizes[0][1]}] like the columns of the first graphon, got {tuple(x.shape)}"
        )
    for number, w in enumerate(W, 1):
        if not (w.min() >= 0 and w.max() <= 1):
            raise ValueError(f"graphon {number} must lie in [0, 1], got {w.min():.3g} to {w.max():.3g}")


def _variances(W: list[Tensor], x: Tensor, dual: Dual, gain: float) -> list[Tensor]:
    """S_l(u; x, x) of each hidden layer: ``[K_l, N]``."""
    q = [gain**2 / x.shape[1] * W[0] @ (x**2).T]
    for w in W[1:-1]:
        q.append(gain**2 / w.shape[1] * w @ dual.moments(q[-1], q[-1], q[-1])[0])
    return q


def _integral(A: Tensor, f: Tensor) -> Tensor:
    """∫ A(u, v) f(v) dv of all pairs in one product of matrices: ``[K, K'] × [K', b, M] → [K, b, M]``."""
    return (A @ f.flatten(1)).view(-1, *f.shape[1:])


def _steps(
    W: list[Tensor], S: Tensor, p: list[Tensor], q: list[Tensor], dual: Dual, gain: float
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each hidden layer: the operator g² ∫ W(u, ·) of the next, the value and the slope ``[K, b, M]``."""
    for w, a, b in zip(W[1:], p, q, strict=True):
        A, (V, D) = gain**2 / w.shape[1] * w, dual.moments(a, S, b)
        yield A, V, D
        S = _integral(A, V)


def _kept(T: Tensor, steps: Iterable[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    for A, V, D in steps:
        T = _integral(A, V + D * T)
    return T.mean(0)


def _all(outer: Tensor, outputs: int, steps: Iterable[tuple[Tensor, Tensor, Tensor]], gain: float) -> Tensor:
    steps = list(steps)
    below = [outer] + [V.mean(0) for _, V, _ in steps]  # ∫ V_{l-1} dv
    kernel = gain**2 * below[-1]
    G = torch.ones_like(outer).expand(outputs, -1, -1) / outputs
    for (A, _, D), V in zip(reversed(steps), reversed(below[:-1]), strict=True):
        G = D * _integral(A.T, G)  # with the cells' sizes: its sum over u is ∫ G du
        kernel = kernel + gain**2 * G.sum(0) * V
    return kernel
