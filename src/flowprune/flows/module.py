"""The GRAFF layer for any PyTorch Geometric model: one explicit Euler step, with the library's conventions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import Adj, OptTensor
from torch_geometric.utils import spmm

from flowprune.flows.gradient import GRAFF


class GRAFFConv(MessagePassing):
    r"""One step of the gradient flow framework, F + τ(−FΩ + ĀFW + βF(0)) (Di Giovanni et al., arXiv 2206.10991).

    A GRAFF model applies *one* module T/τ times, so that all its steps share W, Ω and β::

        conv = GRAFFConv(64, step=0.5)
        x_0 = x = encoder(x)
        for _ in range(4):
            x = conv(x, edge_index, x_0=x_0)

    The step descends an energy only if Ā is symmetric, that is, if the graph is undirected: every edge stands in
    ``edge_index`` in both directions, with one weight. A directed graph is not refused. Its Ā, normalised by in-degrees
    as in ``GCNConv``, is then not symmetric, the step is plain message passing, and no energy is promised to fall.

    Args:
        channels: d, of input and output.
        structure: of the symmetric W: "diag", "dd", "sum", "prod" or "neg-prod", see
            :class:`~flowprune.flows.gradient.ChannelMixing`.
        step: τ.
        omega: whether the diagonal Ω is learned; otherwise it is zero.
        source: whether the scalar β is learned, 0 at first; otherwise it is zero.
        relu: whether ReLU is applied to the update before it is added.
        add_self_loops: whether every node gets a loop of weight one.
        normalize: whether Ā is computed from ``edge_weight``; otherwise the weights are the entries of Ā.
        cached: whether Ā is computed once and kept, for one graph that never changes.
        **kwargs: of :class:`torch_geometric.nn.conv.MessagePassing`.

    Shapes:
        ``x [n, d]``, ``edge_index [2, E]`` (or a sparse Āᵀ ``[n, n]``), ``edge_weight [E]``, ``x_0 [n, d]`` to
        ``[n, d]``.
    """

    def __init__(
        self,
        channels: int,
        structure: str = "dd",
        *,
        step: float = 1.0,
        omega: bool = True,
        source: bool = True,
        relu: bool = False,
        add_self_loops: bool = False,
        normalize: bool = True,
        cached: bool = False,
        **kwargs,
    ):
        super().__init__(**{"aggr": "add"} | kwargs)
        self.channels, self.structure, self.step, self.relu = channels, structure, step, relu
        self.add_self_loops, self.normalize, self.cached = add_self_loops, normalize, cached
        self.learned = {"omega": "diag" if omega else "zero", "source": source}
        self.graff = self._drawn()
        self._cache: tuple[Adj, OptTensor] | None = None

    def _drawn(self) -> GRAFF:
        """The parameters W, Ω and β of one replica; its seed comes from torch's generator, as the library's do."""
        seed = int(torch.randint(2**31, (1,)))
        return GRAFF([seed], self.channels, self.structure, time=self.step, step=self.step, **self.learned)

    def reset_parameters(self) -> None:
        """Draw W and Ω anew, set β to zero, and forget a cached Ā."""
        super().reset_parameters()
        self.graff.load_state_dict(self._drawn().state_dict())
        self._cache = None

    def forward(
        self, x: Tensor, edge_index: Adj, edge_weight: OptTensor = None, x_0: OptTensor = None
    ) -> Tensor:
        """One step from ``x``; ``x_0`` are the features F(0) that the source holds on to, by default ``x`` itself."""
        if self.normalize:
            edge_index, edge_weight = self._normalised(x, edge_index, edge_weight)
        W, ω, β = self.graff.W[0]()[0], self.graff.ω[0], self.graff.β[0]
        mixed = x * W if W.dim() == 1 else x @ W
        update = self.propagate(edge_index, x=mixed, edge_weight=edge_weight)
        update = update - x * ω + β * (x if x_0 is None else x_0)
        return x + self.step * (update.relu() if self.relu else update)

    def _normalised(self, x: Tensor, edge_index: Adj, edge_weight: OptTensor) -> tuple[Adj, OptTensor]:
        """Ā as ``GCNConv`` computes it."""
        if self._cache is not None:
            return self._cache
        options = {"add_self_loops": self.add_self_loops, "flow": self.flow, "dtype": x.dtype}
        found = gcn_norm(edge_index, edge_weight, x.size(self.node_dim), **options)
        if self.cached:
            self._cache = found
        return found

    def message(self, x_j: Tensor, edge_weight: OptTensor) -> Tensor:
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j

    def message_and_aggregate(self, adj_t: Adj, x: Tensor) -> Tensor:
        return spmm(adj_t, x, reduce=self.aggr)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, structure={self.structure}, step={self.step})"
