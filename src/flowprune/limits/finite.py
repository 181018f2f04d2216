"""Kernels of networks of finite width: of masked perceptrons by products of matrices, of any module by torch.func."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from .duals import Dual, relu
from .ntk import Counted

_ENTRIES = 1 << 24  # of the pairs of units that a block of rows needs


def masked_ntk(
    weights: Sequence[Tensor],
    masks: Sequence[Tensor],
    x: Tensor,
    *,
    dual: Dual = relu,
    gain: float = math.sqrt(2),
    counted: Counted = "kept",
) -> Tensor:
    """The kernel of a perceptron in parameters of size one, mean over its outputs: ``[N, N]``.

    The gradient of m_ij θ_ij in layer l is a product δ_i h_j of two units, and the kernel is a sum over units,

        Σ_l g²/n_{l-1} Σ_ij m_ij δ_i δ′_i h_j h′_j  (kept),   Σ_l g²/n_{l-1} Σ_i δ_i δ′_i Σ_j h_j h′_j  (all),

    so that no Jacobian is stored.

    Args:
        weights: plain weights as of :func:`flowprune.limits.mlp.mlp`, ``[n_l, n_{l-1}]``.
        masks: of equal shapes, bool or 0 and 1.
        x: samples ``[N, d]``.
    """
    M = [m.to(x) for m in masks]
    w = [a.to(x) * m for a, m in zip(weights, M, strict=True)]
    h, slopes = [x], []
    for a in w[:-1]:
        z = h[-1] @ a.T
        slopes.append(_slope(dual, z))
        h.append(dual.function(z))
    outputs = len(w[-1])
    δ = torch.eye(outputs).to(x)[None].expand(len(x), -1, -1)  # [N, o, n_l], of output o
    kernel = x.new_zeros(len(x), len(x))
    for layer in range(len(w) - 1, -1, -1):
        below, scale = h[layer], gain**2 / w[layer].shape[1] / outputs
        if counted == "all":
            kernel += scale * (δ.flatten(1) @ δ.flatten(1).T) * (below @ below.T)
        else:
            kernel += scale * _through(M[layer], δ, below)
        if layer:
            δ = (δ @ w[layer]) * slopes[layer - 1][:, None]
    return kernel


def _through(m: Tensor, δ: Tensor, h: Tensor) -> Tensor:
    """Σ_ij m_ij (Σ_o δ_oi δ′_oi) h_j h′_j of all pairs of samples."""
    N = len(h)
    out = h.new_empty(N, N)
    rows = max(1, _ENTRIES // (max(m.shape) * N))
    for start in range(0, N, rows):
        at, beyond = slice(start, start + rows), slice(start, None)
        inputs = m @ (h[at, :, None] * h[beyond].T)  # [b, n, N']
        signals = torch.einsum("boi,moi->bim", δ[at], δ[beyond])
        block = (signals * inputs).sum(1)
        out[at, beyond] = block
        out[beyond, at] = block.T
    return out


def _slope(dual: Dual, z: Tensor) -> Tensor:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        return torch.autograd.grad(dual.function(z).sum(), z)[0]


def empirical_ntk(model: nn.Module, x: Tensor, block: int = 32) -> Tensor:
    """The kernel of any module in its own trainable parameters, mean over its outputs: ``[N, N]``.

    A weight that torch.nn.utils.prune has masked has no gradient and so is not counted. ``block`` samples at a time
    have their Jacobian in memory, two blocks at once.

    Args:
        model: takes ``[N, …]`` and returns ``[N, o]``, each row from its own sample alone.
        x: samples.
    """
    parameters = {k: p.detach() for k, p in model.named_parameters() if p.requires_grad}
    fixed = {k: b.detach() for k, b in model.named_buffers()}

    def one(free: dict[str, Tensor], sample: Tensor) -> Tensor:
        return torch.func.functional_call(model, (free, fixed), (sample[None],))[0]

    jacobian = torch.func.vmap(torch.func.jacrev(one), (None, 0))

    def flat(samples: Tensor) -> Tensor:
        return torch.cat([j.flatten(2) for j in jacobian(parameters, samples).values()], 2)

    with torch.no_grad():
        blocks = x.split(block)
        out = []
        for a in blocks:
            J = flat(a)
            out.append(torch.cat([torch.einsum("aop,bop->ab", J, flat(b)) / J.shape[1] for b in blocks], 1))
    for module in model.modules():  # their weights were set inside torch.func: set them again
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, prune.BasePruningMethod):
                hook(module, ())
    return torch.cat(out)
