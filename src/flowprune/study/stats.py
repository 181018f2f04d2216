"""Intervals and tests, through scipy. Every random draw is seeded, so a number in the book comes out again.

Runs are paired when they share split and seed; differences are then taken pair by pair. Repeated splits of
one data set overlap, so their results are not independent: `resampled` widens the interval for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

SEED = 0
RESAMPLES = 9999


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval."""

    mean: float
    lower: float
    upper: float
    level: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.2f} [{self.lower:.2f}, {self.upper:.2f}] ({100 * self.level:g} %, n = {self.n})"


@dataclass(frozen=True)
class Comparison(Interval):
    """A mean difference with its interval, the p-value of a test and the effect size d (mean over standard
    deviation).
    """

    p: float
    effect: float
    test: str

    def __str__(self) -> str:
        return f"{super().__str__()}, p = {self.p:.3g}, d = {self.effect:.2f}, {self.test}"


def mean_interval(x: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of `x` with its bias-corrected and accelerated bootstrap interval (Efron 1987).

    Raises ValueError for fewer than two values or values that are not finite.

    >>> print(mean_interval([1.0, 2.0, 3.0, 4.0, 5.0]))
    3.00 [1.80, 4.20] (95 %, n = 5)
    """
    x = _sample(x)
    if (
        np.ptp(x) <= 1e-12 * np.abs(x).max()
    ):  # equal but for rounding: the bootstrap distribution is one point
        return Interval(float(x[0]), float(x[0]), float(x[0]), level, x.size)
    found = stats.bootstrap(
        (x,),
        np.mean,
        confidence_level=level,
        n_resamples=RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(float(x.mean()), float(found.low), float(found.high), level, x.size)


def paired(a: ArrayLike, b: ArrayLike, level: float = 0.95, alternative: str = "two-sided") -> Comparison:
    """Mean of a − b over pairs: bootstrap interval and sign-flip permutation test of a mean of zero.

    The test is exact up to 13 pairs and uses 9999 random flips beyond. alternative: two-sided, greater or
    less.

    >>> paired([3, 4, 5, 6, 7], [1, 2, 3, 4, 5]).p  # all of 2⁵ signs; two are as extreme
    0.0625
    """
    d = _differences(a, b)
    interval = mean_interval(d, level)
    found = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, alternative=alternative,
        vectorized=True, rng=np.random.default_rng(SEED),
    )  # fmt: skip
    return _comparison(interval, float(found.pvalue), d, f"{alternative} permutation test")


def equivalence(a: ArrayLike, b: ArrayLike, margin: float, level: float = 0.95) -> Comparison:
    """Two one-sided t-tests on pairs (Schuirmann 1987): is |mean(a − b)| < margin?

    p is the larger of the two; small means equivalent. The interval has level 2·level − 1 (90 % for 95 %):
    the means are equivalent at `level` exactly when it lies inside ±margin. Raises ValueError unless margin
    > 0.
    """
    if not margin > 0:
        raise ValueError(f"margin = {margin} must be positive: the largest difference that does not matter")
    d = _differences(a, b)
    if np.ptp(d) == 0:
        p, lower, upper = float(abs(d[0]) >= margin), d[0], d[0]
    else:
        p = max(
            stats.ttest_1samp(d, -margin, alternative="greater").pvalue,
            stats.ttest_1samp(d, margin, alternative="less").pvalue,
        )
        lower, upper = stats.ttest_1samp(d, 0).confidence_interval(2 * level - 1)
    interval = Interval(float(d.mean()), float(lower), float(upper), 2 * level - 1, d.size)
    return _comparison(interval, float(p), d, f"equivalence within ±{margin:g}")


def resampled(a: ArrayLike, b: ArrayLike, train: float, test: float, level: float = 0.95) -> Comparison:
    """Corrected resampled t-test for differences over repeated, overlapping splits (Nadeau & Bengio 2003).

    The variance of the mean over J splits is taken as (1/J + test/train) s², where `train` and `test` are
    the sizes or fractions of the two parts.
    """
    if not (train > 0 and test > 0):
        raise ValueError(
            f"train = {train} and test = {test} must be positive sizes or fractions of the split"
        )
    d = _differences(a, b)
    error = np.sqrt((1 / d.size + test / train) * d.var(ddof=1))
    if error == 0:
        p, half = float(d[0] == 0), 0.0
    else:
        p = 2 * stats.t.sf(abs(d.mean()) / error, d.size - 1)
        half = stats.t.ppf((1 + level) / 2, d.size - 1) * error
    interval = Interval(float(d.mean()), float(d.mean() - half), float(d.mean() + half), level, d.size)
    return _comparison(interval, float(p), d, "corrected resampled t-test")


def adjust(p: ArrayLike, method: str = "holm") -> np.ndarray:
    """p-values corrected for their number: ``holm`` (family-wise), ``bh`` or ``by`` (false discovery rate).

    >>> adjust([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, dtype=float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p must be a list of numbers in [0, 1]")
    if method in ("bh", "by"):
        return stats.false_discovery_control(p, method=method)
    if method != "holm":
        raise ValueError(f"method {method!r} is unknown; allowed are holm, bh and by")
    order = np.argsort(p)
    stepped = np.maximum.accumulate((p.size - np.arange(p.size)) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's step-down correction (1979)."""
    return adjust(p, "holm")


def probability_of_improvement(
    a: Sequence[ArrayLike], b: Sequence[ArrayLike], level: float = 0.95
) -> Interval:
    """P(A > B) + ½ P(A = B) for one run of each, averaged over tasks (Agarwal et al. 2021), runs not paired.

    a, b: for each task the scores of its runs. The interval is a percentile bootstrap stratified by task.

    >>> probability_of_improvement([[2, 3]], [[1, 2]]).mean
    0.875
    """
    if len(a) != len(b) or not len(a):
        raise ValueError(f"a has {len(a)} tasks and b has {len(b)}; both need the same, at least one")
    tasks = [(_sample(x), _sample(y)) for x, y in zip(a, b, strict=True)]
    rng = np.random.default_rng(SEED)
    draws = np.zeros(RESAMPLES)
    for x, y in tasks:
        wins = 0.5 * (1 + np.sign(x[:, None] - y[None, :]))
        # a resample is a count for every run, so the mean over its pairs is a bilinear form in the counts
        u = rng.multinomial(x.size, np.full(x.size, 1 / x.size), RESAMPLES) / x.size
        v = rng.multinomial(y.size, np.full(y.size, 1 / y.size), RESAMPLES) / y.size
        draws += np.einsum("ri,ij,rj->r", u, wins, v, optimize=True) / len(tasks)
    mean = float(np.mean([0.5 * (1 + np.sign(x[:, None] - y[None, :])).mean() for x, y in tasks]))
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(lower), float(upper), level, sum(x.size + y.size for x, y in tasks))


def _comparison(interval: Interval, p: float, d: np.ndarray, test: str) -> Comparison:
    spread = d.std(ddof=1)
    effect = d.mean() / spread if spread > 0 else np.copysign(np.inf, d.mean()) if d.mean() else 0.0
    return Comparison(**vars(interval), p=p, effect=float(effect), test=test)


def _sample(x: ArrayLike) -> np.ndarray:
    x = np.asarray(x, dtype=float)
    if x.ndim != 1 or x.size < 2 or not np.isfinite(x).all():
        raise ValueError(
            f"a sample is a list of at least two finite numbers, not {x.size} values of shape {x.shape}"
        )
    return x


def _differences(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    a, b = _sample(a), _sample(b)
    if a.size != b.size:
        raise ValueError(f"pairs are needed: a has {a.size} values and b has {b.size}")
    return a - b


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over data sets (1 is best), with Friedman's p and Nemenyi's critical difference."""

    ranks: dict[str, float]
    p: float
    difference: float
    n: int

    def groups(self) -> list[tuple[str, ...]]:
        """The largest sets of neighbours in rank that differ by less than the critical difference, best first."""
        names = sorted(self.ranks, key=self.ranks.__getitem__)
        spans = []
        for first, name in enumerate(names):
            near = [x for x in names[first:] if self.ranks[x] - self.ranks[name] < self.difference]
            last = first + len(near)
            if len(near) > 1 and (not spans or last > spans[-1][1]):
                spans.append((first, last))
        return [tuple(names[a:b]) for a, b in spans]


def ranking(scores: Mapping[str, ArrayLike], level: float = 0.95) -> Ranking:
    """Rank models over data sets (Demšar 2006): ``scores`` holds one value a data set for every model, high is good.

    Raises ValueError for fewer than three models or two data sets.

    >>> found = ranking({"a": [9, 8, 7, 9], "b": [5, 6, 5, 6], "c": [1, 2, 3, 2]})
    >>> found.ranks, round(found.p, 4), found.groups()
    ({'a': 1.0, 'b': 2.0, 'c': 3.0}, 0.0183, [('a', 'b'), ('b', 'c')])
    """
    values = np.array([_sample(x) for x in scores.values()])
    k, n = values.shape
    if k < 3:
        raise ValueError(f"a ranking needs at least three models, got {k}")
    ranks = stats.rankdata(-values, axis=0).mean(1)
    q = stats.studentized_range.ppf(level, k, np.inf) / np.sqrt(2)
    p = float(stats.friedmanchisquare(*values).pvalue)
    return Ranking(
        dict(zip(scores, map(float, ranks), strict=True)), p, float(q * np.sqrt(k * (k + 1) / (6 * n))), n
    )
