"""Local Laplacians: closed forms against determinants and LAPACK, what a screen may skip, and what a place names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowprune.pruning.spectral import (
    carried,
    choose,
    closed_form,
    feedback,
    laplacian,
    leading,
    local_laplacian,
    named,
    participation,
    secular,
    solver,
    surely_real,
)

settings.register_profile("patient", deadline=None, max_examples=40)  # a busy machine is no failure
settings.load_profile("patient")

PRINCIPLED = ["smallest", "feedback", "eigenvector", "both", "spectrum"]
seeds, sizes, modes = st.integers(0, 10**6), st.integers(2, 9), st.sampled_from(["D", "DW"])
points = (0.3 + 0.7j, -1.1 + 2.0j, 3.7 - 0.4j)


def network(n: int, seed: int, p: float = 0.8, size: float = 4.0):
    rng = np.random.default_rng(seed)
    A = rng.random((n, n)) < p
    A[range(n), range(n)] = False
    return rng.uniform(-size, size, (n, n)), A


def local(n: int, seed: int, mode: str, **how) -> tuple[np.ndarray, int]:
    c = seed % n
    return local_laplacian(*network(n, seed, **how), c, mode), c


def screened(L: np.ndarray, c: int, mode: str, threshold: float = 0.0) -> bool:
    mutual = (L[c] * L[:, c] != 0) & (np.arange(len(L)) != c)
    κ = np.append(1, np.sqrt(np.abs(L[mutual, c] / L[c, mutual])))
    d, b, norm = np.diag(L)[mutual], feedback(L, c)[mutual], np.linalg.norm(L)
    return surely_real(mode == "D", L[c, c], d, b, κ.max() / κ.min(), norm, threshold)


@given(sizes, seeds, modes)
def test_local_laplacian_is_the_definition_entry_by_entry(n, seed, mode):
    W, A = network(n, seed)
    c, L = seed % n, local_laplacian(W, A, seed % n, mode)
    for i in range(n):
        near = [(j, i) for j in range(n) if A[j, i] and c in (i, j)] + [
            (i, j) for j in range(n) if A[i, j] and c in (i, j)
        ]
        assert L[i, i] == pytest.approx(len(near) if mode == "D" else sum(W[e] for e in near), abs=1e-13)
        for j in range(n):
            assert i == j or L[i, j] == (-W[i, j] if A[i, j] and c in (i, j) else 0)


@given(sizes, seeds)
def test_closed_form_has_the_determinant_of_mode_D(n, seed):
    L, c = local(n, seed, "D")
    for z in points:
        expected = np.linalg.det(z * np.eye(n) - L)
        assert np.prod(z - closed_form(L, c)) == pytest.approx(expected, rel=1e-10)


@given(sizes, seeds, modes)
def test_secular_equation_has_the_determinant_of_both_modes(n, seed, mode):
    L, c = local(n, seed, mode)
    for z in points:
        expected = np.linalg.det(z * np.eye(n) - L)
        found = np.prod(z - np.delete(np.diag(L), c)) * secular(L, c, z)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(sizes, seeds, modes)
def test_spectrum_without_negative_feedback_is_real(n, seed, mode):
    W, A = network(n, seed)
    L = local_laplacian(np.abs(W), A, seed % n, mode)
    assert np.abs(np.linalg.eigvals(L).imag).max() <= 1e-6 * np.linalg.norm(L)


@given(sizes, seeds)
def test_degrees_are_never_negative_but_weighted_ones_are(n, seed):
    W, A = network(n, seed)
    assert (np.diag(laplacian(W, A, "D")) >= 0).all()
    assert (np.diag(laplacian(-np.abs(W), A, "DW")) <= 0).all()


@given(sizes, seeds, modes, st.sampled_from([0.0, 1e-12, 1e-8, 1e-3]), st.sampled_from([0.02, 1.0, 10.0]))
@settings(max_examples=200)
def test_what_the_screen_skips_is_real_for_lapack_too(n, seed, mode, threshold, size):
    L, c = local(n, seed, mode, size=size)
    if screened(L, c, mode, threshold):
        assert np.linalg.eigvals(L).imag.max() <= threshold * np.linalg.norm(L)


@given(seeds, modes, st.integers(1, 3), st.floats(-16, -6))
@settings(max_examples=200)
def test_the_screen_is_safe_where_two_eigenvalues_nearly_meet(seed, mode, m, exponent):
    """Feedback is tuned so that the discriminant of mode D vanishes up to a relative 10^exponent of either sign."""
    n, rng = m + 1, np.random.default_rng(seed)
    W, A = rng.uniform(-3, 3, (n, n)), ~np.eye(n, dtype=bool)
    b = (W[0] * W[:, 0])[1:]
    δ = 2 * m - 2 if mode == "D" else (W[0, 1:] + W[1:, 0])[1:].sum()
    W[0, 1:] *= -(δ**2) / 4 / b.sum() * (1 + rng.choice([-1, 1]) * 10**exponent)
    L = local_laplacian(W, A, 0, mode)
    if screened(L, 0, mode):
        assert not np.linalg.eigvals(L).imag.any()


def test_the_screen_skips_most_of_what_is_real():
    skipped = {}
    for mode in ("D", "DW"):
        for n in (3, 6):
            cases = [local(n, seed, mode, p=1.0) for seed in range(300)]
            real = [not np.linalg.eigvals(L).imag.any() and (feedback(L, c) >= 0).all() for L, c in cases]
            skipped[mode, n] = np.mean(
                [screened(*case, mode) for case, r in zip(cases, real, strict=True) if r]
            )
    assert skipped["D", 3] == skipped["DW", 3] == 1 and skipped["DW", 6] > 0.9
    assert skipped["D", 6] == 0  # an eigenvalue of multiplicity four may split into pairs by rounding


def test_rounding_splits_the_multiple_eigenvalue_of_mode_D():
    """All weights positive: the spectrum is real, yet LAPACK returns pairs with |Im| near 10⁻¹⁷, and names."""
    tiny = []
    for seed in range(200):
        W, A = network(8, seed, p=1.0)
        largest = np.linalg.eigvals(local_laplacian(np.abs(W), A, seed % 8, "D")).imag.max()
        assert largest < 1e-12
        tiny.append(largest > 0)
    assert 0 < np.mean(tiny) < 1


@given(sizes, seeds, modes)
def test_pairs_stand_in_neighbouring_places_between_those_without_feedback(n, seed, mode):
    L, c = local(n, seed, mode, p=0.7)
    values = np.linalg.eigvals(L)
    (source,), (target,) = named(values[None])
    if values.imag.any():
        row, column = (x != 0 for x in (np.delete(L[:, c], c), np.delete(L[c], c)))
        front, m = (row & ~column).sum(), (row & column).sum()
        assert source == target + 1 and front <= target and source <= front + m


def test_pairs_of_rounding_stand_behind_the_two_places_that_lead():
    """Feedback is tuned so that λ± come near to 2, or to each other, or neither."""
    leads, split, early = [], [], []
    for seed in range(3000):
        rng, n = np.random.default_rng(seed), 4 + seed % 7
        W, A = network(n, seed, p=rng.uniform(0.7, 1), size=10 ** rng.uniform(-1, 1))
        c = seed % n
        near = (A[c] & A[:, c]).nonzero()[0]
        if near.size < 3:
            continue
        least = -(((A[c] | A[:, c]).sum() + near.size - 2) ** 2) / 4  # Σb with λ₊ = λ₋
        total = rng.choice([0, least]) + rng.choice([-1, 1]) * 10 ** rng.uniform(-9, 2)
        W[near[0], c] += (total - W[c, near] @ W[near, c]) / W[c, near[0]]
        L = local_laplacian(W, A, c, "D")
        lead = leading(True, L[c, c], feedback(L, c)[near], np.linalg.norm(L))
        pair = np.linalg.eigvals(L).imag.nonzero()[0] - (A[:, c] & ~A[c]).sum()
        assert not pair.size or pair[0] >= lead
        leads, split = [*leads, lead], [*split, pair.size > 0]
        early.append(pair.size > 0 and pair[0] < 2)
    found = np.array(leads) == 2
    assert 0.3 < found.mean() < 0.9 and np.array(split)[found].any() and np.array(early)[~found].any()


def pairs(n: int, mode: str, many: int) -> list[tuple[np.ndarray, int]]:
    """Local Laplacians with a clear pair."""
    found = [local(n, seed, mode, p=1.0) for seed in range(40 * many)]
    return [x for x in found if np.linalg.eigvals(x[0]).imag.max() > 0.05][:many]


@pytest.mark.parametrize("choice", PRINCIPLED)
@pytest.mark.parametrize("mode", ["D", "DW"])
def test_a_principled_choice_does_not_depend_on_the_numbers_of_nodes(choice, mode):
    for k, (L, c) in enumerate(pairs(5, mode, 30)):
        p = np.random.default_rng(k).permutation(5)
        M, into = L[np.ix_(p, p)], np.ones(5, bool)
        new = choose(choice, M, np.linalg.eigvals(M), int((p == c).argmax()), into & (p != c), None)
        old = choose(choice, L, np.linalg.eigvals(L), c, into & (np.arange(5) != c), None)
        assert [(int(p[a]), int(p[b])) for a, b in new] == old and old


def test_the_published_choice_does():
    changed, into = 0, np.ones(5, bool)
    for L, c in pairs(5, "DW", 30):
        p = np.arange(5)[::-1]
        M = L[np.ix_(p, p)]
        (new,) = choose("published", M, np.linalg.eigvals(M), 4 - c, into, None)
        (old,) = choose("published", L, np.linalg.eigvals(L), c, into, None)
        assert old[0] == old[1] + 1
        changed += (4 - new[0], 4 - new[1]) != old
    assert changed == 30  # the reverse of k + 1 → k has no name of that kind


@pytest.mark.parametrize("mode", ["D", "DW"])
def test_participation_is_that_of_the_numerical_eigenvectors(mode):
    for L, c in pairs(6, mode, 20):
        λ, X = np.linalg.eig(L)
        k = λ.imag.argmax()
        expected = np.abs(X[:, k] * np.linalg.inv(X)[k])
        np.testing.assert_allclose(participation(L, c, λ[k]), expected / expected.sum(), atol=1e-8)
        if mode == "D":
            b = np.abs(feedback(L, c))
            found = np.delete(participation(L, c, λ[k]), c)
            np.testing.assert_allclose(found / found.sum(), np.delete(b, c) / b.sum(), atol=1e-8)


def test_carried_is_the_derivative_of_the_imaginary_parts():
    for L, _ in pairs(5, "DW", 10):
        total = np.abs(np.linalg.eigvals(L).imag).sum()
        assert carried(L).sum() == pytest.approx(total)
        for i, j in [(0, 1), (2, 0), (3, 3)]:
            step = np.zeros_like(L)
            step[i, j] = 1e-6 * L[i, j]
            change = [np.abs(np.linalg.eigvals(L + s * step).imag).sum() for s in (-1, 1)]
            assert (change[1] - change[0]) / 2e-6 == pytest.approx(carried(L)[i, j], abs=1e-5)


def test_choices_name_the_edge_they_describe():
    W = np.array([[0, 1, -2, 3.0], [4, 0, 0, 0], [5, 0, 0, 0], [-1.5, 0, 0, 0]])
    L, into = local_laplacian(W, W != 0, 0, "D"), np.array([False, True, True, True])
    values = np.linalg.eigvals(L)
    assert choose("smallest", L, values, 0, into, None) == [(3, 0)]
    assert choose("feedback", L, values, 0, into, None) == [(2, 0)]
    assert choose("eigenvector", L, values, 0, into, None) == [(2, 0)]
    assert choose("both", L, values, 0, into, None) == [(2, 0), (0, 2)]
    drawn = {choose("random", L, values, 0, into, np.random.default_rng(s))[0] for s in range(30)}
    assert drawn == {(1, 0), (2, 0), (3, 0)}
    assert choose("eigenvector", L, values.real, 0, into, None) == []
    assert choose("published", L, values.real, 0, into, None) == []


def test_the_solver_is_the_one_numpy_was_built_with(capsys):
    np.show_config()
    printed = capsys.readouterr().out
    assert all(word in printed for word in solver().split()[:2])
