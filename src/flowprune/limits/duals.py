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

Moment = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Dual:
    """An activation with its dual kernels.

    ``value`` and ``slope`` take variances p, the covariance r and variances q, of any shapes that broadcast. Both are
    exact at p = 0 or q = 0, where a unit gets no input: such a unit is 0 for ReLU, and its slope has no limit; it is
    set to 0, as no signal passes through it.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    value: Moment
    slope: Moment


def _angle(p: Tensor, r: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """√(pq), the cosine and the angle of the two; angle π where one of them is 0.

    Near 1 a cosine that is off by ε is an angle that is off by √ε; one that is 1 but for rounding is made 1.
    """
    size = (p * q).sqrt_()
    cosine = torch.where(size > 0, r / size, -1).clamp_(-1, 1)
    cosine[cosine > 1 - 32 * torch.finfo(cosine.dtype).eps] = 1
    return size, cosine, cosine.acos()


def _relu_value(p: Tensor, r: Tensor, q: Tensor) -> Tensor:
    size, cosine, angle = _angle(p, r, q)
    sine = (1 - cosine * cosine).sqrt_()
    return (sine + (math.pi - angle) * cosine).mul_(size).div_(2 * math.pi)


def _relu_slope(p: Tensor, r: Tensor, q: Tensor) -> Tensor:
    return _angle(p, r, q)[2].neg_().add_(math.pi).div_(2 * math.pi)


def _erf_value(p: Tensor, r: Tensor, q: Tensor) -> Tensor:
    return torch.asin(2 * r / ((1 + 2 * p) * (1 + 2 * q)).sqrt()) * (2 / math.pi)


def _erf_slope(p: Tensor, r: Tensor, q: Tensor) -> Tensor:
    return 4 / math.pi / ((1 + 2 * p) * (1 + 2 * q) - 4 * r * r).sqrt()


relu = Dual("relu", torch.relu, _relu_value, _relu_slope)
erf = Dual("erf", torch.erf, _erf_value, _erf_slope)
linear = Dual("linear", lambda z: z, lambda p, r, q: r, lambda p, r, q: torch.ones_like(p * r * q))


def quadrature(name: str, function: Callable[[Tensor], Tensor], points: int = 48) -> Dual:
    """The dual of any activation by Gauss and Hermite's rule with ``points``² nodes.

    Accurate to rounding for smooth activations; a kink costs digits, and the slope needs ``function`` to be
    differentiable by torch. Each value costs points² evaluations.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    weights = weights / weights.sum()
    derivative = torch.func.vmap(torch.func.grad(function))

    def moment(f: Callable[[Tensor], Tensor]) -> Moment:
        def expected(p: Tensor, r: Tensor, q: Tensor) -> Tensor:
            size = (p * q).sqrt()
            cosine = torch.where(size > 0, r / size, 0).clamp(-1, 1)
            sine = (1 - cosine * cosine).sqrt()
            out = torch.zeros_like(size)
            for s, w in zip(nodes, weights, strict=True):
                inner = sum(
                    v * f(q.sqrt() * (cosine * s + sine * t)) for t, v in zip(nodes, weights, strict=True)
                )
                out += w * f(p.sqrt() * s) * inner
            return out

        return expected

    def slope(z: Tensor) -> Tensor:
        return derivative(z.reshape(-1)).reshape(z.shape)

    return Dual(name, function, moment(function), moment(slope))
