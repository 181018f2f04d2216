"""Networks of clusters and what rules of keeping do to their slow modes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowprune.experiments.theory import preservation as theory
from flowprune.pruning import preserve


def test_the_network_is_symmetric_stable_and_has_three_slow_modes():
    W = theory.clustered(np.random.default_rng(0))
    λ = torch.linalg.eigvalsh(W)
    assert torch.equal(W, W.T) and not W.diagonal().any()
    assert λ[-1].item() == pytest.approx(1 / 1.1)
    assert λ[-3] > 1.5 * λ[-4]
    inside = (W[:50, :50] != 0).double().mean()
    across = (W[:50, 50:] != 0).double().mean()
    assert inside == pytest.approx(0.98) and 0.001 < across < 0.01


@pytest.mark.parametrize("rule", theory.RULES)
def test_every_rule_meets_its_budget(rule):
    W = theory.clustered(np.random.default_rng(1))
    C = preserve.stationary_covariance(W - torch.eye(len(W), dtype=torch.float64))
    p = theory.RULES[rule](W, C, 200.0)
    assert torch.triu(p, 1).sum().item() == pytest.approx(200, rel=1e-9)
    assert ((p > 0) <= (W != 0)).all() and p.max() <= 1


def test_with_nearly_everything_kept_little_moves():
    table = theory.compare(1, [0.999], seed=0)
    assert table.error.max() < 0.02
    assert table.angle.max() < 2


def test_noise_prune_keeps_slow_modes_and_its_reverse_loses_them():
    table = theory.compare(6, [0.3], seed=2).groupby("rule")[["error", "angle"]].median()
    assert table.error["noise-prune"] < table.error["evenly"]
    assert table.error["noise-prune"] < 0.5 * table.error["removed by noise-prune's score"]
    assert table.angle["noise-prune"] < table.angle["removed by noise-prune's score"]
