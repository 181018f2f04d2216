"""What GRAFF costs, counted: parameters, multiplications of a step (G20), and velocities of an integrator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from flowprune.experiments.theory.instances import Finding
from flowprune.flows.classifier import NodeClassifier
from flowprune.flows.convolution import GCN
from flowprune.flows.gradient import GRAFF
from flowprune.flows.integrators import adaptive, euler, exact, rk4
from flowprune.flows.module import GRAFFConv
from flowprune.graphs import Graph

STRUCTURES = {"diag": "GRAFF diag", "dd": "GRAFF DD"}  # as figures and tables name them


class Multiplications(TorchDispatchMode):
    """Counts the scalar multiplications of the torch operations inside its ``with`` block, by kind.

    Kinds: ``edges`` for sparse products (one for each stored entry and column), ``channels`` for dense matrix products,
    ``entries`` for products entry by entry. Loops compiled outside torch are not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kinds = {"edges": 0, "channels": 0, "entries": 0}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if name in ("mm", "bmm", "_sparse_addmm"):
            A, B = [x for x in args if isinstance(x, Tensor)][-2:]
            if A.layout == torch.strided:
                self.kinds["channels"] += A.numel() * B.shape[-1]
            else:
                self.kinds["edges"] += A.values().numel() * B.shape[-1]
        elif name in ("mul", "mul_", "addcmul", "addcmul_"):
            self.kinds["entries"] += out.numel()
        return out


def multiplications(function: Callable[[], Any]) -> dict[str, int]:
    """Scalar multiplications of one call, by kind: edges, channels, entries."""
    with torch.no_grad(), Multiplications() as counter:
        function()
    return counter.kinds


def printed_parameters(p: int, d: int, k: int) -> int:
    """pd + d² + 3d + dk: encoder, W′ of the diagonally dominant W, its q and r with ω, decoder."""
    return p * d + d * d + 3 * d + d * k


def step_multiplications(n: int, entries: int, d: int, structure: str) -> int:
    """Multiplications of one GRAFF step: ``entries`` = 2|E| along edges, the mixing, and Ω, β and τ at the nodes.

    Linear in n and in the entries. The last term builds the diagonal of W and knows no graph.
    """
    mixing = n * d if structure == "diag" else n * d * d
    return entries * d + mixing + 3 * n * d + (d if structure == "dd" else 0)


def parameters(module: nn.Module) -> int:
    """The number of trained scalars."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def counts(graph: Graph, rng: np.random.Generator) -> Finding:
    """G20: a model of random sizes on this graph has the printed number of parameters and a cost linear in n and |E|.

    Half of the models are bare, as the formula counts: linear encoder and decoder without bias, no source. The
    others are the study's own, with biases and a source: d + k + 1 parameters more, exceptions to the printed number.
    """
    p, d, k = (int(x) for x in rng.integers((1, 1, 2), (60, 33, 12)))
    conv = GRAFFConv(d, "dd", source=False, normalize=False)
    bare = bool(rng.integers(2))
    if bare:
        found = parameters(nn.ModuleList([nn.Linear(p, d, bias=False), conv, nn.Linear(d, k, bias=False)]))
    else:
        found = parameters(_own(graph, p, d, k))
    excess = found - printed_parameters(p, d, k)
    deviation = abs(excess - (0 if bare else d + k + 1)) / found
    for structure in ("diag", "dd"):
        layer = GRAFFConv(d, structure, normalize=False).double()
        x, (edge_index, weight) = torch.ones(graph.n, d).double(), _entries(graph)
        wanted = step_multiplications(graph.n, len(weight), d, structure)
        for way in ((edge_index, weight), (graph.norm_adjacency,)):
            counted = sum(multiplications(lambda way=way, layer=layer, x=x: layer(x, *way)).values())
            deviation = max(deviation, abs(counted - wanted) / wanted)
    return Finding(deviation, true=deviation == 0 and excess == 0, covered=bare or deviation > 0)


def _own(graph: Graph, p: int, d: int, k: int) -> NodeClassifier:
    """The study's diagonally dominant GRAFF with its biases and its source."""
    size = {"d": d, "classes": k, "dropout": [0.0], "input_dropout": [0.0]}
    flow = GRAFF([0], d, "dd")
    return NodeClassifier(torch.zeros(graph.n, p), graph.norm_adjacency, flow, [0], **size)


def _entries(graph: Graph) -> tuple[Tensor, Tensor]:
    return graph.edge_index, graph.norm_adjacency.values()


def layers_counted(graph: Graph, d: int) -> pd.DataFrame:
    """Multiplications of one layer of GRAFF (diag, DD) and of GCN on a graph: model, edges, channels, entries."""
    x, loops = torch.ones(graph.n, 1, d), graph.with_self_loops().norm_adjacency
    Ā, gcn = graph.norm_adjacency, GCN([0], d, 1, dropout=[0.0])
    rows = [{"model": "GCN", **multiplications(lambda: gcn(x, loops))}]
    for structure, label in STRUCTURES.items():
        layer = GRAFFConv(d, structure, normalize=False)
        rows.append({"model": label, **multiplications(lambda layer=layer: layer(x[:, 0], Ā))})
    return pd.DataFrame(rows)


def accuracy(graph: Graph, d: int, structure: str, time: float) -> pd.DataFrame:
    """How far each integrator is from the exact F(T) of an untrained flow, for what number of velocities.

    Columns: method, velocities (evaluations of −FΩ + ĀFW + βF(0)), error (‖F − F(T)‖/‖F(T)‖). Euler and RK4 by
    more and more steps, dopri5 by its tolerance; float64, with β = 1/2.
    """
    graph = graph.to(dtype=torch.float64)
    flow = GRAFF([0], d, structure, time=time).double()
    flow.β.data.fill_(0.5)
    F0 = torch.randn(graph.n, 1, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    calls = 0

    def velocity(F: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return flow.velocity(F, F0, graph.norm_adjacency)

    runs = [("Euler", lambda m=m: euler(velocity, F0, [time / m] * m)) for m in (3, 6, 12, 24, 48, 96)]
    runs += [("RK4", lambda m=m: rk4(velocity, F0, [time / m] * m)) for m in (2, 3, 6, 12, 24)]
    runs += [("dopri5", lambda r=r: adaptive(velocity, F0, time, rtol=r)) for r in (1e-2, 1e-4, 1e-6, 1e-8)]
    rows = []
    with torch.no_grad():
        wanted = exact(flow, F0, graph.norm_adjacency, time)
        for method, run in runs:
            calls = 0
            F = run()
            rows.append([method, calls, ((F - wanted).norm() / wanted.norm()).item()])
    return pd.DataFrame(rows, columns=["method", "velocities", "error"])
