"""The study of pruned networks in training: which of them run, and what is read from their rows (W8 to W10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy.stats import rankdata

from flowprune.experiments.images import Images
from flowprune.experiments.network_rows import compared
from flowprune.experiments.pruned_training import KERNELS, METRICS, PrunedTrainingTrial
from flowprune.pruning.saliency import METHODS, Method

SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
FEWER = (0.5, 0.8, 0.95)
SEEDS = 12  # so that a permutation test can pass Holm's correction over four metrics in all cells
CLAIMED: tuple[Method, ...] = ("snip", "synflow")
DESCENT = 512  # images of networks that are trained by gradient descent
MARGIN = 0.05  # a relative change of a metric that matters
RESAMPLES = 1999


def grid(
    methods: Sequence[Method], sparsities: Sequence[float], seeds: int, **fields: Any
) -> list[PrunedTrainingTrial]:
    """Every method at every sparsity with seeds 0, 1, …"""
    return [
        PrunedTrainingTrial(method=m, sparsity=s, seed=seed, **fields)
        for m in methods
        for s in sparsities
        for seed in range(seeds)
    ]


def both(
    methods: Sequence[Method], sparsities: Sequence[float], seeds: int, descent: int = DESCENT, **fields: Any
) -> list[PrunedTrainingTrial]:
    """The same with Adam and, on ``descent`` images, by gradient descent; and networks that keep every weight."""
    trials = []
    for extra in ({}, {"optimiser": "gd", "samples": descent}):
        trials += grid(methods, sparsities, seeds, **fields | extra)
        trials += grid(["random"], [0.0], seeds, **fields | extra)
    return trials


def study() -> list[PrunedTrainingTrial]:
    """The published trials of narrow networks on digits: every method, every sparsity, both optimisers."""
    return both(METHODS, SPARSITIES, SEEDS)


def wide(
    images: Images = "mnist",
    width: int = 1024,
    sparsities: Sequence[float] = FEWER,
    seeds: int = 10,
    descending: int = 5,
    others: int = 3,
    descent: int = 256,
    **fields: Any,
) -> list[PrunedTrainingTrial]:
    """The published trials in the setting of the paper.

    Random pruning, SNIP and SynFlow with ``seeds`` networks, ``descending`` of them by gradient descent on ``descent``
    images, and ``others`` networks of the other methods and without pruning.
    """
    fields |= {"images": images, "width": width}
    main = ("random", *CLAIMED)
    return [
        *grid(main, sparsities, seeds, **fields),
        *grid(main, sparsities, descending, **fields | {"optimiser": "gd", "samples": descent}),
        *grid([m for m in METHODS if m not in main], sparsities, others, **fields),
        *grid(["random"], [0.0], others, **fields),
    ]


def against_random(nets: pd.DataFrame, *values: str) -> pd.DataFrame:
    """Values of each method minus those of random pruning, paired by seed; p is corrected over all rows together.

    Columns: value, optimiser, method, sparsity, networks, difference, lower, upper, p, and ``share``, the difference
    over the mean of random pruning.
    """
    pairs, means = [], []
    for value in values:
        for (optimiser, s), part in nets[nets.sparsity > 0].groupby(["optimiser", "sparsity"], sort=False):
            wide = part.pivot(index="seed", columns="method", values=value)
            for m in wide.columns.drop("random"):
                pairs.append(((value, optimiser, m, s), wide[m], wide.random))
                means.append(wide.random[wide[m].notna()].mean())
    told = compared(pairs, ["value", "optimiser", "method", "sparsity"])
    return told.assign(share=told.difference / np.array(means))


def kernels(nets: pd.DataFrame) -> pd.DataFrame:
    """Each pruned network once: its kernels are those before training, whatever trains it."""
    return nets[nets.sparsity > 0].drop_duplicates(["method", "sparsity", "seed"])


def spectra(nets: pd.DataFrame, kernel: str) -> pd.DataFrame:
    """The four metrics of a kernel (own, fresh, graphon) beside random pruning; ``sure``: p < 0.05 and by a margin."""
    told = against_random(kernels(nets).assign(optimiser="any"), *(f"{m}_{kernel}" for m in METRICS))
    return told.assign(sure=(told.p < 0.05) & (told.share.abs() >= MARGIN))


def constancy(nets: pd.DataFrame, kernel: str, method: Method = "random") -> float:
    """The largest relative change of a metric's mean from the least sparsity to any other."""
    part = kernels(nets)
    means = part[part.method == method].groupby("sparsity")[[f"{m}_{kernel}" for m in METRICS]].mean()
    return float((means / means.iloc[0] - 1).abs().max(axis=None))


def spectra_evidence(nets: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim W8."""
    evidence: dict[str, Any] = {"networks": len(kernels(nets)), "seeds": int(nets.seed.nunique())}
    for kernel in KERNELS:
        found = spectra(nets, kernel)
        cells = found.groupby(["method", "sparsity"])
        rank = found[found.value == f"rank_{kernel}"]
        evidence |= {
            f"differ_{kernel}": float(cells.sure.any().mean()),
            f"largest_{kernel}": float(found[found.value == f"top5_{kernel}"].difference.abs().max()),
            f"random_first_{kernel}": float(((rank.p < 0.05) & (rank.difference < 0)).mean()),
            f"random_moves_{kernel}": constancy(nets, kernel),
        }
    return evidence


def speed_evidence(nets: pd.DataFrame, wide: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim W9: SNIP and SynFlow with Adam, in narrow networks and in the setting of the paper."""
    evidence: dict[str, Any] = {}
    for name, part in (("narrow", nets), ("wide", wide)):
        part = part[(part.optimiser == "adam") & part.method.isin(["random", *CLAIMED])]
        found, early = against_random(part, "area"), against_random(part, "speed")
        means = part[part.sparsity > 0].groupby(["method", "sparsity"]).area.mean().unstack()
        fallen = means.diff(axis=1).iloc[:, 1:] < 0
        evidence |= {
            f"cells_{name}": len(found),
            f"seeds_{name}": int(found.networks.min()),
            f"faster_{name}": float(((found.p < 0.05) & (found.difference > 0)).mean()),
            f"slower_{name}": float(((found.p < 0.05) & (found.difference < 0)).mean()),
            f"early_{name}": float(((early.p < 0.05) & (early.difference > 0)).mean()),
            f"slowed_{name}": float(fallen.to_numpy().mean()) if fallen.size else 0.0,
        }
    return evidence


def correlation(nets: pd.DataFrame, x: str, y: str = "speed") -> pd.DataFrame:
    """Rank correlation of x and y over networks of one optimiser, with a 95 % bootstrap interval over seeds.

    A seed is drawn with all its networks, so that every cell of method and sparsity stays as large as it is. Columns:
    among (all networks; methods: at equal sparsity, mean over sparsities; sparsities: within a method, mean over
    methods; seeds: within a cell, mean over cells), networks, mean, lower, upper. Seeds that lack a cell are left out.
    """
    values = []
    for column in (x, y):
        table = nets[nets.sparsity > 0].pivot(index="seed", columns=["method", "sparsity"], values=column)
        table = table.dropna().sort_index(axis=1)
        values.append(table.to_numpy().reshape(len(table), table.columns.levshape[0], -1))
    X, Y = values
    n, M, S = X.shape
    draws = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    rows = []
    for name in ("all", "methods", "sparsities", "seeds"):
        found, drawn = (
            _spearman(_grouped(X[i], name), _grouped(Y[i], name)) for i in (np.arange(n)[None], draws)
        )
        lower, upper = np.quantile(drawn, [0.025, 0.975])
        rows.append([name, n * M * S, float(found[0]), float(lower), float(upper)])
    return pd.DataFrame(rows, columns=["among", "networks", "mean", "lower", "upper"])


def _grouped(A: ndarray, among: str) -> ndarray:
    """``[B, n, M, S]`` to ``[B, groups, members]``."""
    order = {"all": (0, 1, 2, 3), "methods": (0, 3, 1, 2), "sparsities": (0, 2, 1, 3), "seeds": (0, 2, 3, 1)}
    A = A.transpose(order[among])
    B = len(A)
    shape = {
        "all": (B, 1, -1),
        "methods": (B, A.shape[1], -1),
        "sparsities": (B, A.shape[1], -1),
        "seeds": (B, -1, A.shape[3]),
    }
    return A.reshape(shape[among])


def _spearman(X: ndarray, Y: ndarray) -> ndarray:
    """Rank correlations along the last axis, mean over groups: ``[B]``; groups of equal values are left out."""
    a, b = (rankdata(Z, axis=-1) for Z in (X, Y))
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    size = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    told = size > 0
    r = np.divide((a * b).sum(-1), size, where=told, out=np.zeros_like(size))
    return r.sum(-1) / np.maximum(told.sum(-1), 1)


def predictors(nets: pd.DataFrame) -> pd.DataFrame:
    """How top-5 energies, and for gradient descent the predicted speed, go with the early speed: see
    :func:`correlation`, with columns optimiser and predictor.
    """
    tables = []
    for optimiser, part in nets.groupby("optimiser", sort=False):
        names = [f"top5_{k}" for k in KERNELS] + ["predicted_speed"] * (optimiser == "gd")
        tables += [correlation(part, x).assign(optimiser=optimiser, predictor=x) for x in names]
    return pd.concat(tables, ignore_index=True)


def top5_evidence(found: pd.DataFrame) -> dict[str, Any]:
    """The evidence of claim W10, from :func:`predictors`: correlations at equal sparsity, and their lower ends."""
    evidence: dict[str, Any] = {"networks": int(found.networks.min())}
    for r in found.itertuples():
        name = f"{r.predictor.removeprefix('top5_')}_{r.optimiser}"
        if r.among == "methods":
            evidence |= {name: r.mean, f"{name}_lower": r.lower, f"{name}_upper": r.upper}
        elif r.predictor == "top5_own":
            evidence[f"{name}_{r.among}"] = r.mean
    top5 = found[(found.among == "methods") & found.predictor.str.startswith("top5")]
    return evidence | {"best_lower": float(top5.lower.max())}


def misses(nets: pd.DataFrame) -> pd.DataFrame:
    """Gradient descent beside the prediction: mean difference of ln(loss) over the told steps after the first,
    and by how much the prediction is ahead after 50 steps; by method and sparsity.
    """
    gd = nets[nets.optimiser == "gd"]
    off = [np.abs(np.log(r.curve[1:]) - np.log(r.predicted[1:])).mean() for r in gd.itertuples()]
    gd = gd.assign(off=off, ahead=gd.predicted_speed - gd.speed)
    return gd.groupby(["method", "sparsity"], sort=False)[["off", "ahead"]].mean().reset_index()
