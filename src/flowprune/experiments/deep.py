"""Deep networks: what depth does to features and to training, for plain layers and for the remedies against it.

Training failure and over-smoothing are told apart: features, energies and gradients are read before training and
after it, at layers 0, 1, 2, 4, … of every network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from flowprune.dynamics import oversmoothing
from flowprune.dynamics.energy import normalised_energy
from flowprune.experiments.evolution import trajectory
from flowprune.experiments.nodes import Count, NodeTrial, Rate, build, operator
from flowprune.flows.attention import GAT
from flowprune.flows.classifier import NodeClassifier
from flowprune.flows.convolution import DAGNN, GCN
from flowprune.flows.dynamo import DynamoGAT
from flowprune.flows.gating import GradientGating
from flowprune.flows.gradient import GRAFF
from flowprune.flows.remedies import DropEdge, pair_norm
from flowprune.flows.wave import GraphCON
from flowprune.graphs import Graph
from flowprune.pruning.dynamo import Dynamo
from flowprune.study.specs import spec
from flowprune.training.fit import flushed
from flowprune.training.operations import Operations

Size = Annotated[float, Field(ge=0)]
Build = Callable[["DeepTrial", Sequence[int], Sequence[float], Tensor], nn.Module]


def _steps(t: DeepTrial) -> dict[str, float]:
    return {"time": t.depth * t.step, "step": t.step}


def _attention(t: DeepTrial, rates: Sequence[float]) -> dict[str, Any]:
    return {"dropout": rates, "heads": t.heads, "residual": t.residual, "step": t.step}


NETWORKS: dict[str, Build] = {
    "gcn": lambda t, seeds, rates, _: GCN(seeds, t.hidden, t.depth, dropout=rates, residual=t.residual),
    "gat": lambda t, seeds, rates, _: GAT(seeds, t.hidden, t.depth, **_attention(t, rates)),
    "pairnorm": lambda t, seeds, rates, _: GAT(
        seeds, t.hidden, t.depth, after=pair_norm, **_attention(t, rates)
    ),
    "dropedge": lambda t, seeds, rates, _: GAT(
        *(seeds, t.hidden, t.depth),
        normalise=DropEdge(seeds, t.drop_edge, t.heads),
        **_attention(t, rates),
    ),
    "g2": lambda t, seeds, rates, _: GradientGating(seeds, t.hidden, t.depth, dropout=rates, heads=t.heads),
    "graphcon": lambda t, seeds, rates, _: GraphCON(
        seeds, t.hidden, "gat", dropout=rates, heads=t.heads, **_steps(t)
    ),
    "dagnn": lambda t, seeds, rates, _: DAGNN(seeds, t.hidden, t.depth),
    "graff": lambda t, seeds, rates, _: GRAFF(seeds, t.hidden, t.structure, **_steps(t)),
    "dynamo": lambda t, seeds, rates, operator: DynamoGAT(
        seeds, t.hidden, t.depth, operator, t.rule(), **_attention(t, rates)
    ),
}
"""The networks by name. Each is built from a trial, the seeds and rates of dropout of its replicas, and its operator.

One that is no variant of the study stands in the depth comparison under its own name.

:meta hide-value:
"""


def _known(model: str) -> str:
    if model not in NETWORKS:
        names = {"networks": ", ".join(NETWORKS)}
        raise PydanticCustomError("network", "the networks are {networks}", names)
    return model


@spec
class DeepTrial(NodeTrial):
    """Train a network of ``depth`` layers and read it before and after.

    ``model`` is a name of :data:`NETWORKS`. ``residual`` with ``step`` speaks of GAT and DYNAMO-GAT: F + τ · update in
    place of the update; with ``decay_by_step`` the weights of the layers have τ times the weight decay, as their
    gradients have a factor τ. GRAFF and GraphCON take ``depth`` steps of length ``step``. ``drop_edge`` speaks of
    "dropedge", and the fields from ``sign`` on are those of :class:`~flowprune.pruning.dynamo.Dynamo`, for "dynamo".
    "pairnorm" and "dropedge" are GATs as well.
    """

    experiment: ClassVar[str] = "deep"
    version: ClassVar[int] = 1
    # a network at the edge of training moves with the rounding of another processor
    tolerance: ClassVar[dict[str, float]] = {"test_accuracy": 0.1, "val_accuracy": 0.1}

    model: Annotated[str, AfterValidator(_known)]
    hidden: Count = 32
    decay_by_step: bool = False
    drop_edge: Rate = 0.3
    sign: Literal["minus", "plus", "correlation", "none"] = "minus"
    noise: Size = 0.05
    draws: Annotated[int, Field(ge=0)] = 0
    rate: Size = 0.05
    growth: Size = 0.0
    beta: Size = 1.0
    adaptive: bool = True
    floor: Rate = 0.1
    limit: Annotated[float, Field(ge=0, le=1)] = 1.0
    gradual: bool = True
    recalibrate: bool = True

    def rule(self) -> Dynamo:
        """The pruning rule of these fields."""
        return Dynamo(**{name: getattr(self, name) for name in Dynamo.__dataclass_fields__})

    def weight(self) -> float:
        return super().weight() * self.depth

    def share(self, model: NodeClassifier) -> dict[Tensor, float]:
        return dict.fromkeys(model.flow.parameters(), self.step) if self.decay_by_step else {}

    def flow(self, seeds: Sequence[int], rates: Sequence[float], operator: Tensor) -> nn.Module:
        return NETWORKS[self.model](self, seeds, rates, operator)

    @classmethod
    def batch_size(cls, trials: Sequence[Self]) -> int:
        # a pattern that several replicas share holds what any of them still has
        return 1 if trials[0].model == "dynamo" else super().batch_size(trials)

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        t, device = trials[0], torch.device(cls.device())
        graph, model, rows = cls.fitted(trials)
        fresh = build(graph, trials).to(device)
        masks = graph.train[[trial.split for trial in trials]]
        read = [Reading(graph, m, t, masks) for m in (fresh, model)]
        costs = cost(graph, fresh, model, masks)
        if isinstance(model.flow, DynamoGAT):
            costs |= removed(graph, model.flow)
        for r, (trial, row) in enumerate(zip(trials, rows, strict=True)):
            first, last = (reading.of(r) for reading in read)
            yield trial, row | {f"{name}_at_first": v for name, v in first.items()} | last | costs


def marks(depth: int) -> list[int]:
    """The layers that are read: 0, 1, 2, 4, … and the last."""
    return sorted({0, depth, *(2**k for k in range(depth.bit_length()) if 2**k <= depth)})


class Reading:
    """What a network's layers hold and how its gradient travels, for all replicas, in evaluation mode.

    Energies are those of the graph with self-loops, over which the deep networks move.
    """

    def __init__(self, graph: Graph, model: NodeClassifier, t: DeepTrial, train: Tensor):
        looped = graph.with_self_loops()
        model.eval()
        F0 = model.evolve()[0].detach().requires_grad_()
        states = trajectory(model.flow, F0, operator(graph, t))
        logits = model.decode(states[-1])
        losses = torch.stack(
            [nn.functional.cross_entropy(logits[m, r], graph.labels[m]) for r, m in enumerate(train)]
        )
        start, end = torch.autograd.grad(losses.sum(), [F0, states[-1]])
        read = [states[m] for m in marks(t.depth)[:-1]] + [states[-1]]  # the last is what is decoded
        chosen = [F.detach().double() for F in read]
        size = torch.finfo(torch.float64).tiny
        self.by_layer = {
            "mu": [oversmoothing.estimate(F) for F in chosen],
            "direction": [
                normalised_energy(looped.to(dtype=torch.float64), F).nan_to_num(0) * (2 / looped.rho)
                for F in chosen
            ],
            "rank": [oversmoothing.effective_rank(F) for F in chosen],
            "deviation": [oversmoothing.deviation(F) for F in chosen],
        }
        share = nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).double().mean(0).amax(-1)
        self.single = {
            "loss": losses.detach(),
            "gradient": start.square().sum((0, 2)).sqrt() / end.square().sum((0, 2)).sqrt().clamp_min(size),
            "constant": share,
        }

    def of(self, r: int) -> dict[str, Any]:
        """Of replica r: lists by layer of μ, E_Dir(F/‖F‖)/(ρ_Δ/2), effective rank and ‖F − 1F̄‖; the training loss, the
        gradient's norm at F(0) over that at F(T), and the share of nodes in the class predicted most often."""
        lists = {name: [short(v[r]) for v in values] for name, values in self.by_layer.items()}
        return lists | {name: short(v[r]) for name, v in self.single.items()}


def short(x: Tensor) -> float:
    """Four significant digits, so that a row stays readable; what is not finite is said to be large."""
    return float(f"{x.nan_to_num(nan=1e30, posinf=1e30).clamp(-1e30, 1e30).item():.4g}")


@flushed()
def cost(graph: Graph, fresh: NodeClassifier, model: NodeClassifier, train: Tensor) -> dict[str, Any]:
    """Operations of a pass before and after training, by kind, and of a training step; seconds of both passes.

    For one replica. The two models take turns, and the least of three times counts.
    """
    R, told = len(train), dict[str, Any]()
    seconds: dict[str, list[float]] = {"_at_first": [], "": []}
    for _ in range(3):
        for suffix, m in (("_at_first", fresh), ("", model)):
            m.eval()
            with torch.no_grad(), Operations() as seen:
                m()
            told |= {f"{kind}{suffix}": count // R for kind, count in seen.counts.items()}
            with torch.no_grad():
                begun = time.perf_counter()
                m()
            seconds[suffix].append(time.perf_counter() - begun)
    told |= {f"pass_seconds{suffix}": round(min(values) / R, 6) for suffix, values in seconds.items()}
    with Operations() as seen:
        logits = fresh.train()()
        loss = sum(nn.functional.cross_entropy(logits[m, r], graph.labels[m]) for r, m in enumerate(train))
        loss.backward()
    told["training_step"] = sum(seen.counts.values()) // R
    return told


def removed(graph: Graph, flow: DynamoGAT) -> dict[str, Any]:
    """Of one replica: the share of edges removed, and what tells removed edges from kept ones, averaged over layers.

    That is the share that joins two nodes of one class, and the mean cosine of the two nodes' input features. Zero
    where nothing is removed, or nothing kept.
    """
    joins = flow.layers[0].joins
    row, col = (end[joins] for end in (flow.layers[0].full.row, flow.layers[0].full.col))
    X = nn.functional.normalize(graph.features.to_dense(), dim=1)
    cosine = torch.cat(
        [(X[i] * X[j]).sum(1) for i, j in zip(row.split(2**14), col.split(2**14), strict=True)]
    )
    same = (graph.labels[row] == graph.labels[col]).float()
    gone = torch.stack([layer.w[0, joins] == 0 for layer in flow.layers]).float()
    told = {"removed": short(gone.mean())}
    for name, part in (("removed", gone), ("kept", 1 - gone)):
        for what, value in (("same", same), ("cosine", cosine)):
            told[f"{what}_{name}"] = short((part * value).sum() / part.sum().clamp_min(1))
    return told
