from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, mannwhitneyu, t

from flowprune.study import stats


def sample(n: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n) + shift


def test_the_bootstrap_interval_covers() -> None:
    """Of 300 intervals at 90 % for the mean of 30 exponential values, 82 to 96 % hold the true mean 1."""
    rng = np.random.default_rng(1)
    intervals = [stats.mean_interval(rng.exponential(size=30), level=0.9) for _ in range(300)]
    covered = np.mean([i.lower <= 1 <= i.upper for i in intervals])
    assert 0.82 <= covered <= 0.96


def test_the_bootstrap_interval_of_a_normal_sample_is_near_the_t_interval() -> None:
    x = sample(200)
    half = t.ppf(0.975, 199) * x.std(ddof=1) / np.sqrt(200)
    interval = stats.mean_interval(x)
    assert interval.lower == pytest.approx(x.mean() - half, abs=0.1 * half)
    assert interval.upper == pytest.approx(x.mean() + half, abs=0.1 * half)


def test_equal_values_have_an_interval_of_one_point() -> None:
    assert str(stats.mean_interval([5.0] * 4)) == "5.00 [5.00, 5.00] (95 %, n = 4)"


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_the_paired_test_is_the_exact_count_of_sign_flips(alternative: str) -> None:
    a, b = sample(9, 0.5, 1), sample(9, 0, 2)
    d = a - b
    means = np.array([np.mean(d * signs) for signs in itertools.product([1, -1], repeat=9)])
    greater, less = np.mean(means >= d.mean() - 1e-12), np.mean(means <= d.mean() + 1e-12)
    expected = {"greater": greater, "less": less, "two-sided": min(1, 2 * min(greater, less))}[alternative]
    found = stats.paired(a, b, alternative=alternative)
    assert found.p == pytest.approx(expected, abs=1e-12)
    assert found.effect == pytest.approx(d.mean() / d.std(ddof=1))
    assert found.mean == pytest.approx(d.mean()) and found.lower < found.mean < found.upper


def test_pairs_without_difference() -> None:
    found = stats.paired([1, 2, 3], [1, 2, 3])
    assert (found.mean, found.p, found.effect) == (0, 1, 0)


def test_equivalence_is_two_one_sided_t_tests() -> None:
    a, b, margin = sample(20, 0.1, 3), sample(20, 0, 4), 0.8
    d = a - b
    error = d.std(ddof=1) / np.sqrt(20)
    expected = max(t.sf((d.mean() + margin) / error, 19), t.cdf((d.mean() - margin) / error, 19))
    found = stats.equivalence(a, b, margin)
    assert found.p == pytest.approx(expected, rel=1e-10)
    half = t.ppf(0.95, 19) * error
    assert (found.lower, found.upper) == pytest.approx((d.mean() - half, d.mean() + half), rel=1e-10)


@given(seed=st.integers(0, 10**6), margin=st.floats(0.05, 2))
def test_equivalent_means_an_interval_inside_the_margin(seed: int, margin: float) -> None:
    found = stats.equivalence(sample(12, 0.2, seed), sample(12, 0, seed + 1), margin)
    assert (found.p < 0.05) == (-margin < found.lower and found.upper < margin)


def test_resampled_widens_the_variance_by_the_overlap() -> None:
    a, b = sample(10, 0.3, 5), sample(10, 0, 6)
    d = a - b
    error = np.sqrt((1 / 10 + 20 / 60) * d.var(ddof=1))  # J = 10 splits, 60 % to train and 20 % to test
    found = stats.resampled(a, b, train=60, test=20)
    assert found.p == pytest.approx(2 * t.sf(abs(d.mean()) / error, 9), rel=1e-10)
    half = t.ppf(0.975, 9) * error
    assert (found.lower, found.upper) == pytest.approx((d.mean() - half, d.mean() + half), rel=1e-10)


def test_resampled_keeps_its_level_where_the_plain_t_test_does_not() -> None:
    """Means over the test parts of ten overlapping splits: their correlation is exactly test / (train + test)."""
    rng = np.random.default_rng(7)
    plain, corrected = [], []
    for _ in range(500):
        x = rng.standard_normal(100)
        d = np.array([x[rng.permutation(100)[:20]].mean() for _ in range(10)])  # the truth is 0
        plain.append(stats.resampled(d, np.zeros(10), train=1, test=1e-12).p < 0.05)
        corrected.append(stats.resampled(d, np.zeros(10), train=80, test=20).p < 0.05)
    assert np.mean(plain) > 0.2
    assert 0.02 < np.mean(corrected) < 0.09


def test_holm_on_a_worked_example() -> None:
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 gives 0.02, 0.03, 0.06, 0.04, made monotone 0.02, 0.03, 0.06, 0.06
    np.testing.assert_allclose(stats.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferroni(p: list[float]) -> None:
    adjusted = stats.holm(p)
    assert (adjusted >= np.array(p)).all() and (adjusted <= np.minimum(1, len(p) * np.array(p)) + 1e-15).all()
    np.testing.assert_allclose(stats.adjust(p, "bh"), false_discovery_control(p))


def test_probability_of_improvement_is_the_u_statistic() -> None:
    a, b = sample(15, 0.4, 8), sample(12, 0, 9)
    found = stats.probability_of_improvement([a], [b])
    assert found.mean == pytest.approx(mannwhitneyu(a, b).statistic / (15 * 12))
    assert found.lower < found.mean < found.upper
    two = stats.probability_of_improvement([a, b], [b, a])
    assert two.mean == pytest.approx(0.5)


def test_results_do_not_depend_on_the_moment() -> None:
    a, b = sample(30, 0.2, 1), sample(30, 0, 2)
    assert stats.paired(a, b) == stats.paired(a, b)
    assert stats.probability_of_improvement([a], [b]) == stats.probability_of_improvement([a], [b])


def test_results_read_well() -> None:
    text = str(stats.paired([3, 4, 5, 6, 7.5], [1, 2, 3, 4, 5]))
    assert text.startswith("2.10 [2.00, 2.") and "(95 %, n = 5), p = 0.0625, d = 9.39, two-sided" in text


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: stats.mean_interval([1.0]), "at least two finite numbers"),
        (lambda: stats.mean_interval([1.0, np.nan]), "at least two finite numbers"),
        (lambda: stats.paired([1, 2], [1, 2, 3]), "a has 2 values and b has 3"),
        (lambda: stats.equivalence([1, 2], [1, 2], 0), "margin = 0 must be positive"),
        (lambda: stats.resampled([1, 2], [1, 2], 0, 1), "train = 0 and test = 1 must be positive"),
        (lambda: stats.adjust([0.1], "sidak"), "allowed are holm, bh and by"),
        (lambda: stats.adjust([1.1]), "numbers in .0, 1."),
        (lambda: stats.probability_of_improvement([], []), "at least one"),
    ],
)
def test_wrong_input_is_named(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
