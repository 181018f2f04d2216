"""DYNAMO on torch-geometric's own attention layers: edges leave a GAT in training without a change to its code.

    pruner = attach(model, Dynamo(sign="minus", rate=0.05, limit=0.2))
    ...  # train as always
    pruner.removed()  # the share of edges that every layer lost

The rule and its multipliers are those of :class:`flowprune.flows.dynamo.PrunedAttention`.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch_geometric.nn import GATConv, GATv2Conv
from torch_geometric.utils import scatter

from flowprune.pruning.dynamo import Covariance, Dynamo, drawn_covariance, edge_covariance


class Pruner:
    """The attention layers of a model whose edges weaken with every training pass, as :func:`attach` leaves them.

    Raises ValueError for a model without such a layer.
    """

    def __init__(self, model: nn.Module):
        self.convs = {
            name: conv
            for name, conv in model.named_modules()
            if isinstance(getattr(conv, "dynamo", None), PrunedEdges)
        }
        if not self.convs:
            raise ValueError(
                f"DYNAMO: {type(model).__name__} has no attached layer; attach(model, rule) first"
            )

    def removed(self) -> Tensor:
        """The share of edges removed in every layer, self-loops not counted: ``[layers]``."""
        return torch.stack([conv.dynamo.removed() for conv in self.convs.values()])

    def detach(self) -> None:
        """Give every layer back as it was, with all its edges; what was learned stays."""
        for conv in self.convs.values():
            conv.dynamo.leave_layer(conv)
        self.convs = {}


def attach(model: nn.Module, rule: Dynamo) -> Pruner:
    """Let the edges of every ``GATConv`` and ``GATv2Conv`` inside the model weaken by the rule.

    From the first training pass on, each layer keeps one multiplier w for each column of the ``edge_index`` it met. The
    attention is the softmax of score + log w; an edge with w = 0 leaves ``edge_index``, and ``edge_attr`` with it,
    before the layer sends messages, as if it had never been in the graph. Self-loops, given or added by the layer,
    stay. Every training pass through a layer prunes it; a layer called twice in a pass is pruned twice. In evaluation
    mode there is no noise and nothing is pruned. Directed graphs are fine: each direction has its own w.

    A copy of the model carries its multipliers along, and so does its ``state_dict``. While attached, the layer's own
    ``dropout`` reads 0 and attention is dropped after the multipliers. Where the rule does not recalibrate, removed
    edges stay and count as zeros, because the softmax needs them.

    Args:
        model: it may be the layer itself. Layers are numbered t = 0, 1, … in the order of ``model.modules()``.

    Raises:
        ValueError: if the model has no such layer, or one that is attached already. Later, in a forward pass: for
            an ``edge_index`` other than that of the first training pass, and for inputs that are not a tensor
            ``x [n, d]`` and an ``edge_index [2, E]``.
    """
    convs = [conv for conv in model.modules() if isinstance(conv, GATConv | GATv2Conv)]
    if not convs:
        raise ValueError(
            f"DYNAMO: {type(model).__name__} has no attention layer; a GATConv or GATv2Conv is needed"
        )
    if any(hasattr(conv, "dynamo") for conv in convs):
        raise ValueError(f"DYNAMO: a layer of {type(model).__name__} is attached already; detach() it first")
    for layer, conv in enumerate(convs):
        conv.dynamo = PrunedEdges(conv, rule, layer)
    return Pruner(model)


class PrunedEdges(nn.Module):
    """The multipliers of one layer, and the hooks that apply and weaken them; lives in the layer as ``conv.dynamo``.

    ``w [E]`` belongs to the columns of ``edge_index``, both None before the first training pass.
    """

    def __init__(self, conv: GATConv | GATv2Conv, rule: Dynamo, layer: int):
        super().__init__()
        self.rule, self.layer = rule, layer
        self.register_buffer("edge_index", None, persistent=False)
        self.register_buffer("w", None, persistent=False)
        self.register_buffer("τ", next(conv.parameters()).new_tensor(torch.nan))
        self.dropout, conv.dropout = conv.dropout, 0.0  # dropped only after the multipliers
        self.handles = [
            conv.register_forward_pre_hook(self.enter, with_kwargs=True),
            conv.register_edge_update_forward_hook(self.weigh),
            conv.register_forward_hook(self.leave),
        ]

    def leave_layer(self, conv: nn.Module) -> None:
        """Take the hooks out of the layer, and this out of it."""
        for handle in self.handles:
            handle.remove()
        conv.dropout = self.dropout
        del conv.dynamo

    @property
    def joins(self) -> Tensor:
        """Which columns of ``edge_index`` are no self-loops: ``[E]``."""
        return self.edge_index[0] != self.edge_index[1]

    def removed(self) -> Tensor:
        """The share of edges removed, self-loops not counted; 0 before the first training pass."""
        return self.τ.new_zeros(()) if self.w is None else (self.w[self.joins] == 0).to(self.τ).mean()

    @property
    def present(self) -> Tensor:
        """Which columns enter the layer: ``[E]``."""
        return self.w > 0 if self.rule.recalibrate else torch.ones_like(self.w, dtype=torch.bool)

    # ---- hooks, in the order in which a pass meets them

    def enter(self, conv: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """Add the noise and leave out removed edges, before the layer sees its input."""
        call = inspect.signature(conv.forward).bind(*args, **kwargs)
        given = call.arguments
        x, edge_index = given["x"], given["edge_index"]
        if not isinstance(x, Tensor) or getattr(edge_index, "layout", None) != torch.strided:
            raise ValueError(
                f"DYNAMO: layer {self.layer} is given x of type {type(x).__name__} and edge_index of type "
                f"{type(edge_index).__name__}; allowed are one dense tensor x [n, d] and edge_index [2, E]"
            )
        self.meet(edge_index, x)
        if self.training:
            given["x"] = self.noise(x)
        if self.w is not None and not (present := self.present).all():
            given["edge_index"] = edge_index[:, present]
            if given.get("edge_attr") is not None:
                given["edge_attr"] = given["edge_attr"][present]
        self.call = call
        return call.args, call.kwargs

    def weigh(self, conv: nn.Module, inputs: tuple, α: Tensor) -> Tensor:
        """Multiply the layer's attention ``[E', heads]`` by w and let it sum to one again, then drop."""
        edge_index, _, given = inputs
        joins = (
            edge_index[0] != edge_index[1]
        )  # the layer puts its own self-loops behind, and keeps the order
        if self.w is not None and (self.w < 1).any():
            w = α.new_ones(len(α))
            w[joins] = self.w[self.joins & self.present]
            α = α * w[:, None]
            if self.rule.recalibrate:
                index = given["index"]
                total = scatter(α, index, 0, dim_size=given["dim_size"])
                α = α / total.clamp_min(torch.finfo(α.dtype).tiny)[index]
        self.attention = α.detach()[joins].mean(-1)
        return dropout(α, self.dropout, self.training)

    def leave(self, conv: nn.Module, args: tuple, output: Any) -> None:
        """One step of the rule after a training pass."""
        call, attention = self.call, self.attention
        del self.call, self.attention
        if self.training and self.rule.rate > 0:
            with torch.no_grad():
                self.prune(conv, call, attention)

    # ---- the rule

    def meet(self, edge_index: Tensor, x: Tensor) -> None:
        """Take the first graph of training as the layer's own, and refuse any other."""
        if self.w is None and self.training:
            self.edge_index, self.w = edge_index.clone(), x.new_ones(edge_index.shape[1])
        if self.w is not None and not torch.equal(edge_index, self.edge_index):
            raise ValueError(
                f"DYNAMO: layer {self.layer} is given another edge_index, of shape {list(edge_index.shape)}, than "
                f"the one of shape {list(self.edge_index.shape)} that it is pruned on; allowed is the same, or detach()"
            )

    def noise(self, x: Tensor) -> Tensor:
        return x + self.rule.noise * torch.randn_like(x) if self.rule.noise else x

    def prune(self, conv: nn.Module, call: inspect.BoundArguments, attention: Tensor) -> None:
        """Weaken w, from the noisy input and the attention on the edges that entered."""
        joins = self.joins
        there = joins & self.present
        alive = self.w[there] > 0
        if not self.rule.adaptive and self.τ.isnan():
            self.τ.copy_(self.rule.threshold(attention, alive))
        τ = None if self.rule.adaptive else self.τ
        covariance = self.covariance(conv, call, *self.edge_index[:, there])
        p = torch.zeros_like(self.w)
        p[there] = self.rule.strength(attention, covariance, self.layer, alive=alive, threshold=τ)
        w = self.w.clone()
        w[joins] = self.rule.weaken(w[joins], p[joins])
        self.w = w

    def covariance(
        self, conv: nn.Module, call: inspect.BoundArguments, row: Tensor, col: Tensor
    ) -> Covariance:
        """Of the noisy state over its channels, or of the layer's outputs over draws of the noise."""
        x = call.arguments["x"]
        if self.rule.draws == 0:
            return edge_covariance(x, row, col)
        outputs = []
        for _ in range(self.rule.draws):
            call.arguments["x"] = self.noise(x)
            output = conv.forward(*call.args, **call.kwargs)  # past the hooks of the layer as a whole
            outputs.append(output[0] if isinstance(output, tuple) else output)
        return drawn_covariance(torch.stack(outputs), row, col)

    # ---- saved as one tensor, as the multipliers have no size before the first pass

    def get_extra_state(self) -> Tensor:
        """Rows source, target, w: ``[3, E]``, with no columns before the first training pass."""
        if self.w is None:
            return torch.empty(3, 0, dtype=torch.float64)
        return torch.cat([self.edge_index, self.w[None]]).double()

    def set_extra_state(self, state: Tensor) -> None:
        self.edge_index = self.w = None
        if state.shape[1]:
            self.edge_index = state[:2].long().to(self.τ.device)
            self.w = state[2].to(self.τ)
