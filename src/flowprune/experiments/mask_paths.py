"""Paths of masks while networks are pruned or rewired in training, as paths of graphons (W15)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy import ndarray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from flowprune.experiments.designed import accuracy, pool
from flowprune.experiments.images import Images, missing
from flowprune.experiments.network_rows import short
from flowprune.experiments.perceptrons import adam, perceptron
from flowprune.limits.graphon import degree_part, l2, sorted_average
from flowprune.limits.ntk import graphon_ntk
from flowprune.limits.null import erdos_renyi, expected_distance
from flowprune.limits.positions import network_graphons
from flowprune.limits.spectrum import metrics
from flowprune.pruning.iterative import magnitude_rounds, rigl
from flowprune.pruning.saliency import prune
from flowprune.study.specs import Count, Trial, spec

PROBED = 128  # images whose kernel is looked at
POSITIONS = 32  # cells a side
PICTURE = 16  # of the graphons that are drawn


@spec
class PathTrial(Trial):
    """One network whose mask changes, and the graphons that it passes.

    - "rounds": train for ``steps`` steps of Adam, remove the smallest weights, rewind; ``points`` times;
    - "rewiring": RigL, from a random mask of the sparsity in each layer, ``steps`` steps in all, rewired every
      steps/(points + 1)-th of the first ¾.

    Lists over the points of the path, of each layer l = 0, 1, …: ``density_l``; ``away_l``, the L2 distance of the
    sorted average from its own density; ``null_l``, the same expected of a mask without structure; ``degrees_l``, the
    distance from its degree part; ``placed_l``, the distance from the density when a unit has one position in all
    layers, and ``placed_null_l``, of random masks of as many edges; ``step_l``, the distance to the point before (0 at
    the first), ``step_null_l``, of random masks; ``new_l``, the share of edges that the point before did not have;
    ``strange_l``, that the first did not have. Of the Graphon NTK: ``top5``, ``rank``. ``at``: the steps taken.
    ``accuracy`` (held out): at each point, before weights are removed or as they are; ``final``: of the last mask,
    trained from its first weights as long as a round, or to the end; ``still`` ("rewiring"): of the first mask, trained
    as long without rewiring. ``first_l``, ``last_l``: sorted graphons of ``PICTURE`` cells, in thousandths.
    """

    experiment: ClassVar[str] = "mask-paths"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"final": 0.03}

    kind: Literal["rounds", "rewiring"]
    sparsity: Annotated[float, Field(gt=0, lt=1)] = 0.95
    rate: Annotated[float, Field(gt=0)] = 1e-3
    images: Images = "digits"
    width: Annotated[int, Field(ge=2)] = 256
    hidden: Annotated[int, Field(ge=2)] = 3
    samples: Annotated[int, Field(ge=PROBED)] = 512
    steps: Count = 200
    points: Count = 8
    seed: Annotated[int, Field(ge=0)] = 0

    def weight(self) -> float:
        rounds = self.points if self.kind == "rounds" else 2
        return 1e-8 * self.samples * self.steps * rounds * self.hidden * self.width**2

    def unavailable(self) -> str | None:
        return missing(self.images)

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, trial.measure()

    def network(self) -> nn.Sequential:
        """The network before it is pruned."""
        return perceptron(self.images, self.width, self.hidden, self.seed)

    def measure(self) -> dict[str, Any]:
        x, y = pool(self.images, self.samples, self.seed)
        path = Path(x[:PROBED], self.seed)
        model = self.network()
        told = (self.rounds if self.kind == "rounds" else self.rewiring)(model, x, y, path)
        return told | path.told()

    def rounds(self, model: nn.Module, x: Tensor, y: Tensor, path: Path) -> dict[str, Any]:
        def train(m: nn.Module) -> None:
            adam(m, x, y, self.steps, self.rate)
            path.note(accuracy=accuracy(m, self.images), at=self.steps * (1 + len(path.values["accuracy"])))

        for masks in magnitude_rounds(model, self.sparsity, train, rounds=self.points):
            path.look(masks)
        adam(model, x, y, self.steps, self.rate)
        return {"final": accuracy(model, self.images)}

    def rewiring(self, model: nn.Module, x: Tensor, y: Tensor, path: Path) -> dict[str, Any]:
        def start(m: nn.Module) -> dict[str, Tensor]:
            return prune(m, "random", self.sparsity, seed=self.seed, budget="layerwise")

        path.look(start(model))
        path.note(accuracy=accuracy(model, self.images), at=0)
        every = max(1, self.steps * 3 // 4 // (self.points + 1))
        optimiser = torch.optim.Adam(model.parameters(), self.rate)
        for t, masks in rigl(model, lambda: cross_entropy(model(x), y), optimiser, self.steps, every=every):
            path.look(masks)
            path.note(accuracy=accuracy(model, self.images), at=t)
        still = self.network()
        start(still)
        adam(still, x, y, self.steps, self.rate)
        return {"final": accuracy(model, self.images), "still": accuracy(still, self.images)}


class Path:
    """What is gathered of a path of masks."""

    def __init__(self, x: Tensor, seed: int) -> None:
        self.x, self.seed = x.double(), seed
        self.values: dict[str, list[float]] = {"accuracy": []}
        self.seen: list[
            tuple[list[ndarray], list[ndarray], list[ndarray]]
        ] = []  # masks, graphons, of the null

    def note(self, **values: float) -> None:
        """Write down values of the point that is next."""
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def look(self, found: dict[str, Tensor]) -> None:
        """Take in the masks of a point."""
        masks = [m.numpy().astype(float) for m in found.values()]
        lots = np.random.default_rng([self.seed, len(self.seen)]).integers(2**31, size=len(masks))
        null = [erdos_renyi(*m.shape, int(m.sum()), int(lot)) for m, lot in zip(masks, lots, strict=True)]
        sorted_, of_null = ([sorted_average(m, POSITIONS) for m in part] for part in (masks, null))
        placed, placed_null = (network_graphons(part, POSITIONS) for part in (masks, null))
        before = self.seen[-1] if self.seen else (masks, sorted_, of_null)
        first = self.seen[0][0] if self.seen else masks
        for i, m in enumerate(masks):
            p, W = float(m.mean()), sorted_[i]
            told = {
                "density": p,
                "away": l2(W, p),
                "null": expected_distance(*m.shape, p, POSITIONS),
                "degrees": l2(W, degree_part(W)),
                "placed": l2(placed[i], p),
                "placed_null": l2(placed_null[i], p),
                "step": l2(W, before[1][i]),
                "step_null": l2(of_null[i], before[2][i]),
                "new": float(m[before[0][i] == 0].sum() / m.sum()),
                "strange": float(m[first[i] == 0].sum() / m.sum()),
            }
            self.note(**{f"{name}_{i}": value for name, value in told.items()})
        self.seen.append((masks, sorted_, of_null))
        shape = metrics(graphon_ntk([torch.as_tensor(W) for W in placed], self.x))
        self.note(top5=shape["top5"], rank=shape["rank"])

    def told(self) -> dict[str, Any]:
        """The results, see :class:`PathTrial`."""
        result: dict[str, Any] = {name: short(values) for name, values in self.values.items()}
        for name, masks in (("first", self.seen[0][0]), ("last", self.seen[-1][0])):
            for i, m in enumerate(masks):
                result[f"{name}_{i}"] = (
                    (1e3 * sorted_average(m, PICTURE)).round().astype(int).ravel().tolist()
                )
        return result
