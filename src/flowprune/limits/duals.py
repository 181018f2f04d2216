"""Dual kernels of activations: what two correlated Gaussian pre-activations look like behind the activation.

For (a, b) ~ N(0, [[p, r], [r, q]]) the kernel of a wide layer needs E[σ(a)σ(b)] and E[σ′(a)σ′(b)], the *value* and the
*slope*. Closed forms: ReLU (Cho and Saul 2009), erf (Williams 1996); others by quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Moments = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Dual:
    """An activation with its dual kernels.

    ``moments`` takes variances p, the covariance r and variances q, of any shapes that broadcast, and returns value and
    slope. At p = 0 or q = 0 a unit gets no input and passes nothing: there the slope of ReLU, which has no limit, is 0.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    moments: Moments


def _relu(p: Tensor, r: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Near 1 a cosine that is off by ε is an angle that is off by √ε; one that is 1 but for rounding is made 1."""
    size = (p * q).sqrt()
    cosine = torch.where(size > 0, r / size, -1).clamp(-1, 1)
    cosine = torch.where(cosine > 1 - 32 * torch.finfo(cosine.dtype).eps, 1, cosine)
    slope = (math.pi - cosine.acos()) / (2 * math.pi)
    return size * ((1 - cosine * cosine).sqrt() / (2 * math.pi) + slope * cosine), slope


def _erf(p: Tensor, r: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    square = (1 + 2 * p) * (1 + 2 * q)
    return torch.asin(2 * r / square.sqrt()) * (2 / math.pi), 4 / math.pi / (square - 4 * r * r).sqrt()


def _linear(p: Tensor, r: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return r, torch.ones_like(r)


relu = Dual("relu", torch.relu, _relu)
erf = Dual("erf", torch.erf, _erf)
linear = Dual("linear", lambda z: z, _linear)


def quadrature(name: str, function: Callable[[Tensor], Tensor], points: int = 48) -> Dual:
    """The dual of any activation by Gauss and Hermite's rule with points² nodes.

    Accurate to rounding for smooth activations; a kink costs digits, and the slope needs ``function`` to be
    differentiable by torch. Each moment costs points² evaluations.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    weights = weights / weights.sum()
    derivative = torch.func.vmap(torch.func.grad(function))

    def slope(z: Tensor) -> Tensor:
        return derivative(z.reshape(-1)).reshape(z.shape)

    def moments(p: Tensor, r: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        size = (p * q).sqrt()
        cosine = torch.where(size > 0, r / size, 0).clamp(-1, 1)
        sine = (1 - cosine * cosine).sqrt()
        out = []
        for f in (function, slope):
            total = torch.zeros_like(size)
            for s, w in zip(nodes, weights, strict=True):
                inner = sum(
                    v * f(q.sqrt() * (cosine * s + sine * t)) for t, v in zip(nodes, weights, strict=True)
                )
                total += w * f(p.sqrt() * s) * inner
            out.append(total)
        return out[0], out[1]

    return Dual(name, function, moments)
