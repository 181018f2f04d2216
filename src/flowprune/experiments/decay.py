"""How the over-smoothing coefficient falls along a deep GCN or GAT: exponentially, as a power, or to a plateau."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from flowprune.dynamics.oversmoothing import coefficient
from flowprune.experiments.evolution import trajectory
from flowprune.experiments.nodes import NodeTrial, operator, prepared
from flowprune.flows.classifier import NodeClassifier
from flowprune.study.specs import spec
from flowprune.study.stats import mean_interval

FLOOR = 1e-13  # a coefficient below this is rounding in float64
STRAIGHT, STEADY = 0.95, 0.5  # what R² and the late slope must reach to be called exponential


@spec
class DecayTrial(NodeTrial):
    """Train a deep GCN or GAT; read μ of every state before and after, in float64, as it is and divided by √d_i.

    ``plateau`` is μ of the vector √d_i, which a GCN's smoothest states are multiples of.
    """

    experiment: ClassVar[str] = "decay"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"test_accuracy": 0.1}

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        t = trials[0]
        root = prepared(t.dataset, t.component).with_self_loops().degree.double().sqrt()
        plateau = coefficient(root.unsqueeze(1)).item()
        for trial, row, seen in cls.read_and_fitted(trials, lambda model: coefficients(model, t, root)):
            reached = {name: row[name] for name in ("test_accuracy", "train_accuracy")}
            yield trial, reached | {"plateau": plateau} | {name: μ.tolist() for name, μ in seen.items()}


@torch.no_grad()
def coefficients(model: NodeClassifier, t: NodeTrial, root: Tensor) -> dict[str, Tensor]:
    """μ of F(0), …, F(depth), and of the same over √d_i, each ``[R, depth + 1]``; leaves the model in float64."""
    model = model.double().eval()
    moved_over = operator(prepared(t.dataset, t.component), t).double()
    states = trajectory(model.flow, model.encoder(), moved_over)
    level = [F / root.view(-1, 1, 1) for F in states]
    measured = (torch.stack([coefficient(F) for F in series], 1) for series in (states, level))
    return dict(zip(("mu", "mu_level"), measured, strict=True))


GRAPHS = ("texas", "cora", "citeseer")


def deep(
    datasets: Sequence[str] = GRAPHS, depth: int = 32, *, splits: int = 3, epochs: int = 100
) -> list[DecayTrial]:
    """GCNs and GATs (one head) of this depth with 32 channels, on largest components: Adam at 0.005, dropout ½."""
    training = {"lr": 0.005, "weight_decay": 0.0005, "dropout": 0.5, "input_dropout": 0.5, "epochs": epochs}
    network = {"component": "largest", "hidden": 32, "heads": 1, "depth": depth, "seed": 0}
    cells = [(d, m, k) for d in datasets for m in ("gcn", "gat") for k in range(splits)]
    return [DecayTrial(dataset=d, model=m, split=k, **network, **training) for d, m, k in cells]


@dataclass(frozen=True)
class Shape:
    """How a series of μ over layers falls: straight lines through log μ over depth t and over log t, t ≥ 1."""

    rate: float  # −slope of log μ over t
    straight: float  # R² of that line
    power: float  # R² of the line over log t
    late: float  # slope over the second half of the layers by that over the first

    @property
    def exponential(self) -> bool:
        """Log μ falls on a line over depth, a better one than over log t, and does not level off."""
        return self.rate > 0 and self.straight >= max(STRAIGHT, self.power) and self.late >= STEADY


def shape(mu: Sequence[float]) -> Shape:
    """Fit the layers 1, 2, … until μ first falls below ``FLOOR``. Raises ValueError for fewer than four of them."""
    mu = np.asarray(mu, dtype=float)[1:]
    below = np.flatnonzero(mu < FLOOR)
    mu = mu[: below[0]] if below.size else mu
    if len(mu) < 4:
        raise ValueError(
            f"shape of a decay: {len(mu)} layers have a coefficient above {FLOOR}; four are needed"
        )
    t, y = np.arange(1, len(mu) + 1), np.log(mu)
    half = (len(mu) + 1) // 2
    slope, straight = _line(t, y)
    first, last = _line(t[:half], y[:half])[0], _line(t[-half:], y[-half:])[0]
    return Shape(-slope, straight, _line(np.log(t), y)[1], last / first if first else 0.0)


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and R² of the least-squares line; R² is 0 where y does not vary."""
    slope, offset = np.polyfit(x, y, 1)
    total = np.square(y - y.mean()).sum()
    return float(slope), float(1 - np.square(y - slope * x - offset).sum() / total) if total > 1e-20 else 0.0


CASES = {  # what is fitted, by name: model and column
    "GCN at first": ("gcn", "mu_at_first"),
    "GCN trained": ("gcn", "mu"),
    "GAT at first": ("gat", "mu_at_first"),
    "GAT trained": ("gat", "mu"),
    "GCN over √d, at first": ("gcn", "mu_level_at_first"),
    "GCN over √d, trained": ("gcn", "mu_level"),
}


def shapes(table: pd.DataFrame) -> pd.DataFrame:
    """One row a network and case: case, dataset, split, rate, straight, power, late, exponential."""
    rows = []
    for case, (model, column) in CASES.items():
        for row in table[table.model == model].itertuples():
            s = shape(getattr(row, column))
            rows.append(
                {"case": case, "dataset": row.dataset, "split": row.split}
                | asdict(s)
                | {"exponential": s.exponential}
            )
    return pd.DataFrame(rows)


def evidence(found: pd.DataFrame) -> dict[str, float]:
    """For the ledger: the share of exponential decays in each of the four cases that the claim names, and rates."""
    share = found.groupby("case").exponential.mean()
    named = {
        "gcn_first": "GCN at first",
        "gcn": "GCN trained",
        "gat_first": "GAT at first",
        "gat": "GAT trained",
    }
    shares = {name: float(share[case]) for name, case in named.items()}
    rate = mean_interval(found.rate[found.case == "GAT at first"])
    return {
        "networks": int(found.case.isin(("GCN trained", "GAT trained")).sum()),
        **shares,
        "least": min(shares.values()),
        "most": max(shares.values()),
        "levelled": float(share["GCN over √d, at first"]),
        "rate": rate.mean,
        "rate_lower": rate.lower,
        "rate_upper": rate.upper,
    }
