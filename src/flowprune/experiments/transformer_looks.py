"""Looks inside a pruned graph transformer: which pairs go, what is left of a neighbourhood, two identities."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor, nn

from flowprune.experiments.depth_study import TRAINING
from flowprune.experiments.transformer import AT_ONCE, READINGS, UNPRUNED, VARIANTS, TransformerTrial
from flowprune.flows.attention import Edges
from flowprune.flows.classifier import NodeClassifier
from flowprune.flows.transformer import DotAttention, GraphTransformer, hop_classes
from flowprune.pruning.dynamo import Dynamo, edge_covariance


def masks(dataset: str, epochs: int, rate: float) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Labels ``[n]`` in order, distance classes ``[n, n]`` in that order, and for every reading the share of blocks
    ``[n, n]`` that lost a pair, of a network over all pairs trained for ``epochs``."""
    shares, fields = {}, TRAINING | {"dataset": dataset, "epochs": epochs, "rate": rate, "pairs": "all"}
    for name, change in READINGS.items():
        graph, model, _ = TransformerTrial.fitted([TransformerTrial(split=0, seed=0, **fields, **change)])
        order = graph.labels.argsort(stable=True)
        gone = torch.stack([layer.w[0] == 0 for layer in model.flow.layers]).float().mean(0)
        shares[name] = gone.view(graph.n, graph.n)[order][:, order]
    return graph.labels[order], hop_classes(graph.adjacency)[order][:, order], shares


def by_class(labels: Tensor, shares: Mapping[str, Tensor]) -> str:
    """Of :func:`masks`: how many of the pairs within a class are gone, and of those between two classes."""
    same = labels.unsqueeze(1) == labels
    joins = ~torch.eye(len(labels), dtype=torch.bool)
    told = [
        f"{name} {100 * x[same & joins].mean():.0f} % and {100 * x[~same].mean():.0f} %"
        for name, x in shares.items()
    ]
    return f"Gone within a class and between classes: {', '.join(told)}."


def listening(dataset: str, epochs: int, rate: float) -> pd.DataFrame:
    """Of networks over neighbours, unpruned and pruned step by step or at once, means over nodes, heads and blocks.

    ``w``: median multiplier of the edges that are left. ``oneself``: attention that a node pays to itself. ``alone``:
    share of nodes whose neighbours are all gone, and ``by chance``, if as many edges were removed at random.
    """
    fields, told = TRAINING | {"dataset": dataset, "epochs": epochs, "rate": rate}, []
    for name in (UNPRUNED, "minus", AT_ONCE):
        t = TransformerTrial(split=0, seed=0, **fields | VARIANTS[name])
        _, model, _ = TransformerTrial.fitted([t])
        w = torch.cat([layer.w[0, layer.joins] for layer in model.flow.layers])
        place = {"variant": name, "w": w[w > 0].median().item(), "oneself": oneself(model)}
        told.append(place | dict(zip(("alone", "by chance"), alone(model.flow), strict=True)))
    return pd.DataFrame(told)


@torch.no_grad()
def oneself(model: NodeClassifier) -> float:
    """The mean weight of self-loops in evaluation mode."""
    states, weights = model.eval().flow.trajectory(model.encoder()), []
    for block, F in zip(model.flow.blocks, states, strict=False):
        edges, _ = block.attention.entries()
        weights.append(block.attention.attend(block.first(F))[1][edges.row == edges.col].mean())
    return torch.stack(weights).mean().item()


def alone(flow: GraphTransformer) -> tuple[float, float]:
    """The share of nodes with neighbours that have none left, of one replica, and that by chance.

    A node of k neighbours loses them all with probability s^k when a share s is removed at random.
    """
    shares = []
    for layer in flow.layers:
        row, left = layer.full.row[layer.joins], layer.w[0, layer.joins] > 0
        had, has = (torch.bincount(r, minlength=layer.full.n) for r in (row, row[left]))
        s = 1 - left.double().mean()
        shares.append(torch.stack([(has == 0).double(), s**had])[:, had > 0].mean(1))
    return tuple(torch.stack(shares).mean(0).tolist())


def checks(seed: int = 0) -> tuple[float, float]:
    """Largest difference of our attention over all pairs from PyTorch's; and of minus plus plus from its constant
    4 d/(d − 1), on a state that was normalised."""
    n, d = 50, 32
    F = torch.randn(n, 1, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    edges = Edges(torch.ones(n, n).to_sparse_csr(), 4)
    layer = DotAttention([seed], "check", d, d, 4).double()
    q, k, v = layer.maps(F)[:, 0].view(n, 3, 4, -1).permute(1, 2, 0, 3)
    moved = nn.functional.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(n, 1, d)
    difference = (layer.attended(F, edges)[0] - layer.out(moved)).abs().max().item()
    covariance = edge_covariance(nn.functional.layer_norm(F, (d,), eps=0.0)[:, 0], edges.row, edges.col)
    both = sum(Dynamo(sign=sign).score(covariance) for sign in ("minus", "plus"))
    return difference, (both - 4 * d / (d - 1)).abs().max().item()
