"""W7 and W12: what the Graphon NTK says about a constant graphon, and about inputs that no edge leaves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from flowprune.experiments.images import images
from flowprune.experiments.perceptrons import weights
from flowprune.limits import duals
from flowprune.limits.duals import Dual
from flowprune.limits.finite import masked_ntk
from flowprune.limits.mlp import mlp
from flowprune.limits.ntk import graphon_ntk, on_grid
from flowprune.limits.spectrum import norm_bound

tanh = duals.quadrature("tanh", torch.tanh, 10)
HOMOGENEOUS = (duals.relu, duals.linear)
OTHERS = (duals.erf, tanh)
ENDS = {"all": (True, True), "not the first": (False, True), "not the last": (True, False)}


def layers(c: float, hidden: int, inputs: int, masked: tuple[bool, bool]) -> list[Tensor]:
    """A constant graphon on every layer of weights, but 1 on an unmasked first or last one; one position is enough."""
    first, last = (c if m else 1.0 for m in masked)
    shapes = [(1, inputs), *[(1, 1)] * (hidden - 1), (1, 1)]
    values = [first, *[c] * (hidden - 1), last]
    return [torch.full(s, v, dtype=torch.float64) for s, v in zip(shapes, values, strict=True)]


def implied_powers(dual: Dual, c: float, hidden: int, masked: str, counted: str, x: Tensor) -> Tensor:
    """log(Θ_ij/Θ_std,ij)/log c of every pair of samples: one number if a power of c serves."""
    K = graphon_ntk(layers(c, hidden, x.shape[1], ENDS[masked]), x, dual=dual, counted=counted)
    full = graphon_ntk(layers(1.0, hidden, x.shape[1], (True, True)), x, dual=dual)
    return (K / full).log() / math.log(c)


def powers(instances: int, seed: int = 0) -> pd.DataFrame:
    """Constant graphons at random: activation, hidden, c, masked (which layers), counted, and the implied powers.

    Columns ``least`` and ``largest`` over all pairs of samples. Samples have positive entries, so that no entry of a
    kernel is near zero, where a power would be undefined.
    """
    rng, rows = np.random.default_rng(seed), []
    cases = list(product((*HOMOGENEOUS, *OTHERS), ENDS, ("kept", "all")))
    for index in range(instances):
        dual, masked, counted = cases[index % len(cases)]
        c, hidden = float(rng.uniform(0.05, 0.95)), int(rng.integers(1, 6))
        x = torch.tensor(rng.uniform(0.2, 2.0, (4, 5)))
        p = implied_powers(dual, c, hidden, masked, counted, x)
        rows.append([dual.name, hidden, c, masked, counted, float(p.min()), float(p.max())])
    columns = ["activation", "hidden", "c", "masked", "counted", "least", "largest"]
    return pd.DataFrame(rows, columns=columns)


def sampled_power(c: float, width: int, networks: int, counted: str) -> tuple[float, float]:
    """The power of c that networks of finite width show, L = 2, all layers masked: mean and standard error.

    The trace of a masked network's kernel over that of an unmasked one with the same weights.
    """
    x = torch.tensor(np.random.default_rng(0).uniform(0.2, 2.0, (4, 5)))
    found = []
    for seed in range(networks):
        θ = [w.double() for w in weights(mlp((5, width, width, 10), seed))]
        generator = torch.Generator().manual_seed(seed)
        masks = [torch.rand(w.shape, generator=generator) < c for w in θ]
        ones = [torch.ones_like(m) for m in masks]
        pair = [masked_ntk(θ, m, x, counted=counted).trace() for m in (masks, ones)]
        found.append(math.log(pair[0] / pair[1]) / math.log(c))
    return float(np.mean(found)), float(np.std(found, ddof=1) / math.sqrt(networks))


def power_evidence(table: pd.DataFrame, sampled: dict[str, tuple[float, float]]) -> dict[str, float | str]:
    """Evidence of W7, see ``data/claims.yaml``; ``sampled``: :func:`sampled_power` by count."""
    t = table.assign(
        far_L=np.maximum((table.least - table.hidden).abs(), (table.largest - table.hidden).abs()),
        far_more=np.maximum((table.least - table.hidden - 1).abs(), (table.largest - table.hidden - 1).abs()),
        wide=table.largest - table.least,
    )
    even = t.activation.isin([d.name for d in HOMOGENEOUS])
    every = even & (t.masked == "all")
    end = even & (t.masked != "all")
    return {
        "instances": len(t),
        "paper": float(t[every & (t.counted == "all")].far_L.max()),
        "kept": float(t[every & (t.counted == "kept")].far_more.max()),
        "kept_ends": float(t[end & (t.counted == "kept")].far_L.max()),
        "kept_from_L": float(t[every & (t.counted == "kept")].far_L.min()),
        "mixed": float(t[end & (t.counted == "all") & (t.hidden > 1)].wide.max()),
        "others": float(t[~even & (t.masked == "all")].wide.min()),
        "sampled": max(abs(m - (2 if c == "all" else 3)) / se for c, (m, se) in sampled.items()),
        "condition": "if all weights are counted and all layers masked; L + 1 where only kept weights train",
    }


# --- W12: inputs that no edge leaves, and the bound ------------------------------------------------------------------


def blind(inactive: int, inputs: int, hidden: int, K: int = 16) -> list[Tensor]:
    """Smooth graphons whose first layer sees nothing of the last ``inactive`` inputs."""
    W = on_grid(lambda u, v: 0.2 + 0.6 * u * v, K, K)
    first = on_grid(lambda u, v: 0.3 + 0.6 * u * (1 - v), K, inputs)
    first[:, inputs - inactive :] = 0
    return [first, *[W] * (hidden - 1), W[-1:]]


def change_of_inactive(instances: int, seed: int = 0) -> float:
    """Largest relative change of the kernel when inactive inputs are drawn again: 0 when nothing passes."""
    rng, worst = np.random.default_rng(seed), 0.0
    for _ in range(instances):
        d, hidden = int(rng.integers(3, 9)), int(rng.integers(1, 5))
        k = int(rng.integers(1, d))
        x = torch.tensor(rng.standard_normal((5, d)))
        y = x.clone()
        y[:, d - k :] = torch.tensor(rng.standard_normal((5, k)))
        a, b = (graphon_ntk(blind(k, d, hidden), v) for v in (x, y))
        worst = max(worst, float((a - b).norm() / a.norm()))
    return worst


def circle(hidden: int, points: int = 64) -> np.ndarray:
    """Energy of the frequencies 0, 1, 2, … of the kernel on the circle, relative to the largest: ``[points/2]``.

    On equally spaced directions a kernel of a constant graphon depends on the angle only: a discrete Fourier transform
    gives its eigenvalues, and what it cannot learn are the frequencies whose eigenvalue is zero.
    """
    t = torch.arange(points, dtype=torch.float64) * (2 * math.pi / points)
    x = math.sqrt(2) * torch.stack([t.cos(), t.sin()], 1)
    K = graphon_ntk(layers(0.5, hidden, 2, (True, True)), x)
    λ = torch.fft.rfft(K[0]).real[: points // 2]
    return (λ / λ.max()).numpy()


def ray(hidden: int) -> float:
    """λ_min/λ_max of the kernel of samples on one ray, x, 2x, 3x: zero, as f(cx) = c f(x) without biases."""
    x = torch.tensor([[1.0, 0.5, -0.3]], dtype=torch.float64)
    λ = torch.linalg.eigvalsh(graphon_ntk(layers(0.5, hidden, 3, (True, True)), torch.cat([x, 2 * x, 3 * x])))
    return float(λ[0] / λ[-1])


def reach_evidence(instances: int, table: pd.DataFrame) -> dict[str, float | str]:
    """Evidence of W12, see ``data/claims.yaml``; ``table``: :func:`bounds`."""
    wide = table.pivot(index=["target", "samples"], columns="graphon", values=["bound", "error"])
    whole, masked = "constant 1", "constant 0.2"
    frequencies = 16
    return {
        "instances": instances,
        "inactive": change_of_inactive(instances),
        "ray": max(abs(ray(hidden)) for hidden in (1, 2, 3)),
        "one_hidden": float(np.abs(circle(1)[3:frequencies:2]).max()),
        "deeper": float(min(circle(hidden)[:frequencies].min() for hidden in (2, 3))),
        "cases": len(table),
        "violations": int((table.error > table.bound).sum()),
        "vacuous": float((table.bound >= 1).mean()),
        "same_error": float((wide["error"][whole] - wide["error"][masked]).abs().max()),
        "longer_bound": float((wide["bound"][masked] / wide["bound"][whole]).median()),
        "condition": "for inputs of one length and at least two hidden layers",
    }


def bounds(sizes: tuple[int, ...], tests: int = 400, hidden: int = 1) -> pd.DataFrame:
    """The bound √(2yᵀΘ⁻¹y/N) and the error that it bounds, for kernel regression on digits.

    Targets ±1: even digits, digits above 4, and labels by lot. Graphons: constant 0.2 and 1, and one whose first layer
    sees the left or right half of the image. Images have |x|² = d, and the first layer divides by d, so that one hidden
    layer is the network of Arora et al. for inputs of length one, up to the masks and its second layer. Columns:
    graphon, target, samples, bound, error (mean of min(1, |f − y|) on other images).
    """
    x, y = images("digits")
    x, d = x.double(), x.shape[1]
    left = (torch.arange(d) % 8 < 4).double()
    graphons = {
        "constant 1": layers(1.0, hidden, d, (True, True)),
        "constant 0.2": layers(0.2, hidden, d, (True, True)),
        "left half": [0.4 * left[None], *layers(0.4, hidden, d, (True, True))[1:]],
        "right half": [0.4 * (1 - left)[None], *layers(0.4, hidden, d, (True, True))[1:]],
    }
    lots = torch.randint(0, 2, y.shape, generator=torch.Generator().manual_seed(0))
    targets = {"even": y % 2, "above 4": (y > 4).long(), "by lot": lots}
    return pd.DataFrame(
        _bounds(graphons, targets, x, sizes, tests),
        columns=["graphon", "target", "samples", "bound", "error"],
    )


def _bounds(
    graphons: dict[str, list[Tensor]],
    targets: dict[str, Tensor],
    x: Tensor,
    sizes: tuple[int, ...],
    tests: int,
) -> Iterator[list]:
    last = x[-tests:]
    for name, W in graphons.items():
        for N in sizes:
            K, k = graphon_ntk(W, x[:N]), graphon_ntk(W, last, x[:N])
            for target, labels in targets.items():
                y = 2.0 * labels.double() - 1
                f = k @ torch.linalg.solve(K, y[:N])
                error = (f - y[-tests:]).abs().clamp(max=1).mean()
                yield [name, target, N, norm_bound(K, y[:N]), float(error)]
