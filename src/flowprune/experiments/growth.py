"""Attention on growing graphs (D13): time and memory of GAT and DYNAMO-GAT against edges, and their accuracy.

Time and memory do not ask what a graph says and are taken on regular graphs; accuracy is taken on block models of known
homophily. All graphs have the same mean degree; all networks have one layer with one head.
"""

from __future__ import annotations

import multiprocessing
import re
import resource
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from flowprune.experiments.scaling import DEGREE, clocked, ring
from flowprune.flows.attention import GAT
from flowprune.flows.classifier import NodeClassifier
from flowprune.flows.dynamo import DynamoGAT
from flowprune.graphs import load
from flowprune.pruning.dynamo import Dynamo
from flowprune.study.specs import Count, Trial, spec
from flowprune.training.fit import fit, flushed
from flowprune.training.memory import kept_memory

Size = Annotated[int, Field(ge=DEGREE // 2 * (DEGREE + 1), multiple_of=DEGREE // 2)]
Share = Annotated[float, Field(gt=0, lt=1)]
Model = Literal["gat", "dynamo"]
MODELS: tuple[Model, ...] = ("gat", "dynamo")
CLASSES, FEATURES = 5, 16
WEAK = Dynamo(rate=0.01)  # so little that no edge goes while a step is timed
STRONG = Dynamo(rate=0.5)  # so much that edges go, and the pattern is made anew, in each of a few steps
RULES = {  # a fifth goes, as in the study of depth; training is shorter here, so the rate is larger
    "dynamo": Dynamo(rate=0.5, limit=0.2),
    "one shot": Dynamo(rate=0.5, limit=0.2, gradual=False),
}


@spec
class GrowthTrial(Trial):
    """Time one layer of GAT and of DYNAMO-GAT, and a training step with each, in turn on one regular graph.

    A step is a pass, its way back, Adam and, for DYNAMO-GAT, the pruning rule; no edge goes in it. Apart from that, a
    layer that has lost one of ``shares`` of its edges, drawn at random, is timed in turn with a whole one.
    ``shuffled``: whether neighbours lie anywhere in memory. ``kept``: whether the process keeps freed memory, see
    :func:`~flowprune.training.memory.kept_memory`. Results are milliseconds of each round.
    """

    experiment: ClassVar[str] = "growth"
    version: ClassVar[int] = 1

    edges: Size
    width: Count = 16
    shuffled: bool = True
    kept: bool = False
    shares: tuple[Share, ...] = ()
    rounds: Annotated[int, Field(ge=2)] = 5

    def weight(self) -> float:
        return 1e-6 * self.edges

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            with kept_memory() if trial.kept else nullcontext():
                yield trial, trial.measure()

    @flushed()
    def measure(self) -> dict[str, list[float]]:
        """``layer/MODEL`` without gradients and ``step/MODEL``; for every share ``pruned/SHARE`` and ``whole/SHARE``,
        layers as well, and ``rebuild/SHARE``, the time to make the pattern of what is left and its transpose."""
        n = nodes(self.edges)
        pattern, F = with_loops(ring(n, n, self.shuffled)), torch.randn(n, 1, self.width)
        models = {model: network(model, F[:, 0], pattern, self.width, WEAK) for model in MODELS}
        calls = {f"layer/{name}": partial(_pass, model.flow, F, pattern) for name, model in models.items()}
        calls |= {f"step/{name}": training(model) for name, model in models.items()}
        times = in_turn(calls, self.rounds)
        if float(models["dynamo"].flow.removed()) > 0:
            raise RuntimeError("edges were removed while whole layers were timed")
        for share in self.shares:
            flow = thinned(pattern, self.width, share)
            times[f"rebuild/{share:g}"] = [clocked(lambda: flow.eval().layers[0].entries()[0].transposed)]  # noqa: B023
            pair = {f"pruned/{share:g}": partial(_pass, flow, F, pattern)}
            times |= in_turn(pair | {f"whole/{share:g}": calls["layer/dynamo"]}, self.rounds)
        return times


@spec
class MemoryTrial(Trial):
    """The most memory that a process of its own holds while it makes a regular graph and trains on it, in bytes above
    what it held before. A few steps with a strong rule, so that removal counts too."""

    experiment: ClassVar[str] = "growth-memory"
    version: ClassVar[int] = 1

    edges: Size
    model: Model
    width: Count = 16

    def weight(self) -> float:
        return 1e-6 * self.edges

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        for trial in trials:
            yield trial, apart(occupied, trial.model, trial.edges, trial.width)


@spec
class AccuracyTrial(Trial):
    """Train one layer on a contextual block model with ``edges`` edges in expectation, of which the share ``homophily``
    joins one of five classes.

    ``mlp`` has no layer between encoder and decoder. ``one shot`` removes as many edges as DYNAMO-GAT may, all in its
    first step, and weakens no other. ``signal``: length of a class mean in units of the noise.
    """

    experiment: ClassVar[str] = "growth-accuracy"
    version: ClassVar[int] = 1
    tolerance: ClassVar[dict[str, float]] = {"test_accuracy": 0.03}

    edges: Size
    homophily: Annotated[float, Field(ge=0, le=1)]
    model: Literal["mlp", "gat", "dynamo", "one shot"]
    graph: Annotated[int, Field(ge=0)]
    signal: Annotated[float, Field(ge=0)] = 1.0
    epochs: Count = 20
    lr: Annotated[float, Field(gt=0)] = 0.05
    width: Count = 16

    def group(self) -> Hashable:
        """Models on one graph share a pass, so that it is made once."""
        return self.edges, self.homophily, self.graph, self.signal

    @classmethod
    def batch_size(cls, trials: Sequence[Self]) -> int:
        return len(trials)

    def weight(self) -> float:
        return 1e-6 * self.edges * self.epochs

    @classmethod
    def run(cls, trials: Sequence[Self]) -> Iterator[tuple[Self, dict[str, Any]]]:
        t = trials[0]
        size = f"n={nodes(t.edges)}&classes={CLASSES}&degree={DEGREE}&features={FEATURES}"
        graph = load(f"csbm?{size}&homophily={t.homophily}&signal={t.signal}&seed={t.graph}")
        pattern, told = with_loops(graph.adjacency), {"joined": graph.homophily()}
        masks = [m[:1] for m in (graph.train, graph.val, graph.test)]
        for t in trials:
            rule = RULES.get(t.model, WEAK)
            model = network(t.model, graph.features, pattern, t.width, rule, t.graph)
            rates = {"lr": [t.lr], "weight_decay": [0.0], "epochs": t.epochs}
            (found,) = fit(model, graph.labels, *masks, **rates)
            yield (
                t,
                told
                | {
                    "test_accuracy": found.test_accuracy,
                    "train_accuracy": found.train_accuracy,
                    "best_epoch": found.best_epoch,
                    **attended(model),
                },
            )


@torch.no_grad()
def attended(model: NodeClassifier) -> dict[str, float]:
    """The share of edges removed, and ``own``: the mean weight that a node's attention gives to the node itself."""
    F, flow = model.eval().encoder(), model.flow
    if flow is None:
        return {"removed": 0.0, "own": 1.0}
    if isinstance(flow, GAT):
        edges, weights, removed = flow.edges, flow.layers[0].attended(F, flow.edges)[1], 0.0
    else:
        layer = flow.layers[0]
        edges, weights, removed = layer.entries()[0], layer.attend(F)[1], float(layer.removed())
    return {"removed": removed, "own": float(weights[edges.row == edges.col].mean())}


# --- graphs and networks -----------------------------------------------------------------------------


def nodes(edges: int) -> int:
    """As many nodes as give so many edges the mean degree of all graphs here."""
    return 2 * edges // DEGREE


def with_loops(adjacency: Tensor) -> Tensor:
    """The pattern of a sparse CSR matrix without a diagonal, ``[n, n]``, together with its diagonal."""
    n, crow, node = adjacency.shape[0], adjacency.crow_indices().long(), torch.arange(adjacency.shape[0])
    row = torch.cat([node.repeat_interleave(crow.diff()), node])
    col = torch.cat([adjacency.col_indices().long(), node])
    col = col[torch.argsort(row * n + col)]
    crow, col = (crow + torch.arange(n + 1)).int(), col.int()  # as of every graph
    return torch.sparse_csr_tensor(crow, col, torch.ones(len(col)), (n, n), check_invariants=False)


def network(
    model: str, X: Tensor, pattern: Tensor, width: int, rule: Dynamo, seed: int = 0
) -> NodeClassifier:
    """One layer, or none for "mlp", between encoder and decoder; equal seeds give all models equal first weights."""
    rates = {"dropout": [0.0], "heads": 1}
    if model == "mlp":
        flow = None
    elif model == "gat":
        flow = GAT([seed], width, 1, **rates)
    else:
        flow = DynamoGAT([seed], width, 1, pattern, rule, **rates)
    size = {"d": width, "classes": CLASSES, "dropout": [0.0], "input_dropout": [0.0]}
    return NodeClassifier(X, pattern, flow, [seed], **size)


def thinned(pattern: Tensor, width: int, share: float) -> DynamoGAT:
    """One layer that has lost this share of its edges, drawn at random."""
    flow = DynamoGAT([0], width, 1, pattern, WEAK, dropout=[0.0], heads=1)
    edges = flow.layers[0].joins.nonzero().squeeze(1)
    chosen = torch.randperm(len(edges), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        flow.layers[0].w[:, edges[chosen[: round(share * len(edges))]]] = 0
    return flow


def training(model: NodeClassifier) -> Callable[[], None]:
    """One step of Adam towards random labels of all nodes."""
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    labels = torch.randint(CLASSES, (model.operator.shape[0],), generator=torch.Generator().manual_seed(0))

    def call() -> None:
        optimiser.zero_grad()
        nn.functional.cross_entropy(model.train()()[:, 0], labels).backward()
        optimiser.step()

    return call


# --- measuring ---------------------------------------------------------------------------------------


@torch.no_grad()
def _pass(flow: nn.Module, F: Tensor, pattern: Tensor) -> None:
    flow.eval()(F, pattern)


def in_turn(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every call in each round, after one that is not counted; each round begins with another call."""
    names, times = list(calls), {name: [] for name in calls}
    for call in calls.values():
        call()
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(clocked(calls[name]))
    return times


def occupied(model: Model, edges: int, width: int, steps: int = 5) -> dict[str, float]:
    """Peak memory above the present one, in bytes, of making a graph and training on it, and the share removed."""
    torch.set_num_threads(1)
    _train(model, DEGREE // 2 * (DEGREE + 1), width, steps)  # what is loaded once belongs to no size
    before = held()
    lost = _train(model, edges, width, steps)
    return {"bytes": held() - before, "removed": lost}


def _train(model: Model, edges: int, width: int, steps: int) -> float:
    n = nodes(edges)
    made = network(model, torch.randn(n, width), with_loops(ring(n, n, shuffled=True)), width, STRONG)
    step = training(made)
    for _ in range(steps):
        step()
    return float(made.flow.removed()) if isinstance(made.flow, DynamoGAT) else 0.0


def held() -> int:
    """The most bytes that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss begins with the peak of the process that started this one
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """The answer of a module's function in a process that has done nothing else.

    Processes are forked from one that has only imported this module, which is quicker than to import it each time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()
