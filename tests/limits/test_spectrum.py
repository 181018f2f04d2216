"""Numbers of a spectrum against spectra made by hand, and predicted losses against descent itself."""

import math

import pytest
import torch

from flowprune.limits.spectrum import metrics, norm_bound, predicted_loss


def with_spectrum(λ, seed=0):
    Q = torch.linalg.qr(
        torch.randn(len(λ), len(λ), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    ).Q
    return Q @ torch.diag(λ) @ Q.T


def test_a_power_law_is_read_off():
    λ = 3 * torch.arange(1, 65, dtype=torch.float64) ** -1.7
    told = metrics(with_spectrum(λ))
    assert told["decay"] == pytest.approx(1.7, abs=1e-9)
    assert told["rank"] == pytest.approx(float(λ.sum() / λ[0]))
    assert told["gap"] == pytest.approx(2**1.7)
    assert told["top5"] == pytest.approx(float(λ[:5].sum() / λ.sum()))


def test_a_flat_spectrum_has_full_rank_and_no_decay():
    told = metrics(2 * torch.eye(20))
    assert told == pytest.approx({"decay": 0, "rank": 20, "gap": 1, "top5": 0.25}, abs=1e-12)


@pytest.mark.parametrize("outputs", [None, 3])
def test_the_predicted_loss_is_that_of_a_linear_model(outputs):
    g = torch.Generator().manual_seed(0)
    J = torch.randn(12, 30, dtype=torch.float64, generator=g)
    shape = (12,) if outputs is None else (12, outputs)
    θ = torch.zeros(30, *shape[1:], dtype=torch.float64)
    target = torch.randn(shape, dtype=torch.float64, generator=g)
    rate, found = 0.05, []
    for _ in range(40):
        r = J @ θ - target
        found.append(0.5 / 12 * (r * r).sum())
        θ = θ - rate * J.T @ r / 12
    steps = torch.arange(40)
    torch.testing.assert_close(
        predicted_loss(J @ J.T, -target, rate, steps), torch.stack(found), rtol=1e-10, atol=0
    )


def test_the_bound_is_the_norm_of_the_least_solution():
    g = torch.Generator().manual_seed(0)
    J, y = (
        torch.randn(8, 20, dtype=torch.float64, generator=g),
        torch.randn(8, dtype=torch.float64, generator=g),
    )
    least = torch.linalg.lstsq(J, y[:, None]).solution
    assert norm_bound(J @ J.T, y) == pytest.approx(math.sqrt(2 / 8) * float(least.norm()))


def test_what_has_no_answer_is_refused():
    with pytest.raises(ValueError, match="16 samples or more, got 4"):
        metrics(torch.eye(4))
    with pytest.raises(ValueError, match="the kernel is singular"):
        norm_bound(torch.ones(4, 4), torch.ones(4))
