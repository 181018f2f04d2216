"""Figures of the chapter on concentrated kernels and early training."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, ScalarFormatter
from scipy.stats import t as student

from flowprune.experiments.pictures.masks import MARK, METHOD_COLOURS, name
from flowprune.experiments.pruned_training import KERNELS, RANKS, TOLD
from flowprune.study.figures import INK, PAPER

KERNEL = {"own": "own weights", "fresh": "other weights", "graphon": "Graphon NTK"}
METRIC = {"decay": "decay α", "rank": "effective rank", "gap": "λ₁/λ₂", "top5": "top-5 energy"}
AMONG = {
    "all": ("o", "all networks"),
    "methods": ("D", "at equal sparsity"),
    "sparsities": ("s", "within a method"),
    "seeds": ("^", "within both"),
}
OPTIMISER = {"adam": "Adam", "gd": "gradient descent"}
START = {"adam": 10.0, "gd": 0.6}  # losses above are out of the frame


def modes(nets: pd.DataFrame) -> Figure:
    """One network of each method: left the spectrum of its kernel, right its loss, dashed what the kernel predicts."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.3))
    for row in nets.itertuples():
        colour = METHOD_COLOURS[row.method]
        seen = [λ for λ in row.spectrum_own if λ > 0]
        left.plot(
            RANKS[: len(seen)], seen, marker=MARK[row.method], ms=4, color=colour, label=name(row.method)
        )
        right.plot(TOLD[: len(row.curve)], row.curve, color=colour)
        right.plot(TOLD[: len(row.curve)], row.predicted, color=colour, lw=1.2, ls="--")
    left.set(xscale="log", yscale="log", xlabel="rank k of the mode", ylabel="share of the trace")
    _whole(left.xaxis, (1, 5, 20, 128))
    right.set(yscale="log", xlabel="step of gradient descent", ylabel="loss")
    _losses(right)
    fig.legend(loc="outside upper center", ncols=5)
    return fig


def losses(nets: pd.DataFrame, predicted: bool = False) -> Figure:
    """Loss over steps, a panel a sparsity: geometric means, 95 % bands; dotted: nothing pruned; dashed: predicted."""
    sparsities = sorted(s for s in set(nets.sparsity) if s > 0)
    columns = min(3, len(sparsities))
    lines = -(-len(sparsities) // columns)
    fig, axes = plt.subplots(
        lines, columns, figsize=(7, 0.7 + 2.4 * lines), sharex=True, sharey=True, squeeze=False
    )
    optimiser = nets.optimiser.iloc[0]
    whole = nets[nets.sparsity == 0]
    for axis, s in zip(axes.flat, sparsities, strict=False):
        if len(whole):
            mean, *_ = _band(whole.curve)
            axis.plot(TOLD[: len(mean)], mean, color=INK, lw=1.2, ls=":")
        for method in METHOD_COLOURS:
            part = nets[(nets.method == method) & (nets.sparsity == s)]
            if part.empty:
                continue
            mean, low, high = _band(part.curve)
            steps = TOLD[: len(mean)]
            axis.fill_between(steps, low, high, color=METHOD_COLOURS[method], alpha=0.2, lw=0)
            axis.plot(steps, mean, color=METHOD_COLOURS[method], label=name(method))
            if predicted:
                axis.plot(steps, _band(part.predicted)[0], color=METHOD_COLOURS[method], lw=1.2, ls="--")
        axis.set(title=f"sparsity {100 * s:.0f} %", yscale="log")
    floor = min(axis.get_ylim()[0] for axis in axes.flat)
    axes[0, 0].set_ylim(floor, START[optimiser])
    for axis in axes[-1]:
        axis.set_xlabel("step")
    for axis in axes[:, 0]:
        axis.set_ylabel("loss")
        if predicted:
            _losses(axis)
    _legend(fig, axes[0, 0])
    return fig


def metrics(nets: pd.DataFrame) -> Figure:
    """The four metrics over sparsity, a row each, a column each kernel: means with 95 % intervals."""
    sparsities = sorted(set(nets.sparsity))
    fig, axes = plt.subplots(len(METRIC), 3, figsize=(7, 7.4), sharex=True, sharey="row")
    for line, (metric, word) in zip(axes, METRIC.items(), strict=True):
        for axis, kernel in zip(line, KERNELS, strict=True):
            for shift, (method, colour) in enumerate(METHOD_COLOURS.items()):
                part = nets[nets.method == method].groupby("sparsity")[f"{metric}_{kernel}"]
                if not len(part):
                    continue
                mean, half = part.mean(), part.agg(_half)
                x = 100 * mean.index + 0.5 * (shift - 2)
                axis.errorbar(
                    x, mean, half, color=colour, marker=MARK[method], ms=3.5, lw=1.2, label=name(method)
                )
        line[0].set_ylabel(word)
        if metric == "gap":
            line[0].set_yscale("log")
    for axis, kernel in zip(axes[0], KERNELS, strict=True):
        axis.set_title(KERNEL[kernel])
    for axis in axes[-1]:
        axis.set(xlabel="sparsity, %", xticks=[100 * s for s in _apart(sparsities)])
    _legend(fig, axes[0, 0])
    return fig


def gains(settings: dict[str, pd.DataFrame]) -> Figure:
    """Mean ln(loss) below random pruning over the sparsity, with 95 % intervals, a panel a setting; filled: sure.

    ``settings``: by title tables of :func:`flowprune.experiments.pruned_training_study.against_random`.
    """
    fig, axes = plt.subplots(1, len(settings), figsize=(7, 3.2), squeeze=False)
    for axis, (title, found) in zip(axes[0], settings.items(), strict=True):
        axis.axhline(0, color=METHOD_COLOURS["random"], lw=1.2)
        for shift, (method, part) in enumerate(found.groupby("method", sort=False)):
            colour, mark = METHOD_COLOURS[str(method)], MARK[str(method)]
            x = 100 * part.sparsity + 0.6 * (shift - 1.5)
            axis.errorbar(
                x, part.difference, [part.difference - part.lower, part.upper - part.difference],
                color=colour, lw=1.2,
            )  # fmt: skip
            for at, y, p in zip(x, part.difference, part.p, strict=True):
                axis.plot(at, y, mark, ms=5.5, color=colour, mfc=colour if p < 0.05 else PAPER)
        ends = 100 * found.sparsity.min() - 4, 100 * found.sparsity.max() + 4
        ticks = [100 * s for s in _apart(sorted(set(found.sparsity)))]
        axis.set(title=title, xlabel="sparsity, %", xlim=ends, xticks=ticks)
    axes[0, 0].set_ylabel("ln(loss) below random pruning")
    fig.legend(
        handles=[
            _line(m, METHOD_COLOURS[m])
            for m in METHOD_COLOURS
            if any(m in set(f.method) for f in settings.values())
        ],
        loc="outside upper center",
        ncols=4,
    )
    return fig


def scatter(nets: pd.DataFrame, kernel: str = "own") -> Figure:
    """Early speed over top-5 energy, one mark a network, the larger the sparser; a panel an optimiser."""
    nets = nets[nets.sparsity > 0]
    optimisers = [o for o in OPTIMISER if (nets.optimiser == o).any()]
    fig, axes = plt.subplots(1, len(optimisers), figsize=(7, 3.4), squeeze=False)
    for axis, optimiser in zip(axes[0], optimisers, strict=True):
        for method, colour in METHOD_COLOURS.items():
            part = nets[(nets.optimiser == optimiser) & (nets.method == method)]
            size = 12 + 36 * np.clip(part.sparsity - 0.5, 0, 1) / 0.45
            axis.scatter(
                part[f"top5_{kernel}"], part.speed, s=size, marker=MARK[method], color=colour, alpha=0.6, lw=0
            )
        axis.set(title=OPTIMISER[optimiser], xlabel=f"top-5 energy, {KERNEL[kernel]}")
    axes[0, 0].set_ylabel("early speed")
    handles = [_line(m, c, ls="") for m, c in METHOD_COLOURS.items() if (nets.method == m).any()]
    fig.legend(handles=handles, loc="outside upper center", ncols=5)
    return fig


def correlations(found: pd.DataFrame) -> Figure:
    """Rank correlations with the early speed and their intervals, a row a predictor, a panel an optimiser.

    ``found``: of :func:`flowprune.experiments.pruned_training_study.predictors`.
    """
    words = {f"top5_{k}": f"top-5, {w}" for k, w in KERNEL.items()} | {"predicted_speed": "predicted speed"}
    rows = [p for p in words if (found.predictor == p).any()]
    optimisers = [o for o in OPTIMISER if (found.optimiser == o).any()]
    fig, axes = plt.subplots(
        1, len(optimisers), figsize=(7, 1.2 + 0.6 * len(rows)), sharey=True, squeeze=False
    )
    for axis, optimiser in zip(axes[0], optimisers, strict=True):
        axis.axvline(0, color=INK, lw=1, ls=":")
        for r in found[found.optimiser == optimiser].itertuples():
            y = rows.index(r.predictor) + 0.18 * (list(AMONG).index(r.among) - 1.5)
            main = r.among == "methods"
            axis.plot([r.lower, r.upper], [y, y], color=INK, lw=2 if main else 1)
            axis.plot(
                r.mean, y, AMONG[r.among][0], ms=6 if main else 4.5, color=INK, mfc=INK if main else PAPER
            )
        axis.set(title=OPTIMISER[optimiser], xlabel="rank correlation with early speed", xlim=(-1.05, 1.05))
        axis.set_yticks(range(len(rows)), [words[p] for p in rows])
        axis.grid(axis="y", visible=False)
    axes[0, 0].invert_yaxis()
    handles = [
        plt.Line2D([], [], color=INK, marker=m, ms=5, ls="", mfc=INK if a == "methods" else PAPER, label=w)
        for a, (m, w) in AMONG.items()
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=4)
    return fig


def _band(curves: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Geometric mean of curves, with a 95 % interval of Student's t at every step."""
    logs = np.log(np.array(curves.tolist()))
    mean, half = logs.mean(0), 0.0
    if len(logs) > 1:
        half = student.ppf(0.975, len(logs) - 1) * logs.std(0, ddof=1) / np.sqrt(len(logs))
    return np.exp(mean), np.exp(mean - half), np.exp(mean + half)


def _half(x: pd.Series) -> float:
    return 0.0 if len(x) < 2 else float(student.ppf(0.975, len(x) - 1) * x.std() / np.sqrt(len(x)))


def _apart(sparsities: Sequence[float]) -> list[float]:
    """Those whose ticks do not touch: 90 gives way to 95 %."""
    return [s for s in sparsities if not (s == 0.9 and 0.95 in sparsities)]


def _whole(axis, values: Sequence[int]) -> None:
    axis.set_major_locator(FixedLocator(values))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())


def _losses(axis: Axes) -> None:
    """Plain numbers on a logarithmic axis that spans less than two decades."""
    axis.yaxis.set_major_locator(FixedLocator([0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5]))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _line(method: str, colour: str, ls: str = "-") -> plt.Line2D:
    return plt.Line2D([], [], color=colour, marker=MARK[method], ms=5, lw=1.2, ls=ls, label=name(method))


def _legend(fig: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=5)
