"""One frame for every model of the study: encode, flow, decode.

Only the flow differs between models, so a comparison is controlled by construction: F(0) = ψ_EN(X), F(T) by the flow,
logits ψ_DE(F(T)) with ψ_DE = ReLU, dropout, linear. With no flow at all the frame is a multilayer perceptron.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from flowprune.training.replicas import Dropout, Encoder, Linear


class NodeClassifier(nn.Module):
    """R classifiers of the nodes of one graph; called without arguments, returns logits ``[n, R, k]``.

    Args:
        X: features ``[n, p]``, strided or sparse CSR.
        operator: the symmetric sparse operator ``[n, n]`` over which the flow moves.
        flow: maps ``([n, R, d], operator)`` to ``[n, R, d]``; None for the perceptron.
        seeds: one integer a replica.
        d, classes: numbers of channels and of classes.
        dropout, input_dropout: one rate a replica, before the decoder and on the features.
    """

    def __init__(
        self,
        X: Tensor,
        operator: Tensor,
        flow: nn.Module | None,
        seeds: Sequence[int],
        *,
        d: int,
        classes: int,
        dropout: Sequence[float],
        input_dropout: Sequence[float],
    ):
        super().__init__()
        self.encoder = Encoder(X, seeds, d, input_dropout)
        self.flow = flow
        self.dropout = Dropout(seeds, "decoder", dropout)
        self.decoder = Linear(seeds, "decoder", d, classes)
        self.register_buffer("operator", operator, persistent=False)

    def evolve(self) -> tuple[Tensor, Tensor]:
        """F(0) and F(T), both ``[n, R, d]``."""
        F0 = self.encoder()
        return F0, F0 if self.flow is None else self.flow(F0, self.operator)

    def decode(self, F: Tensor) -> Tensor:
        """Logits ``[n, R, k]`` of features ``[n, R, d]``."""
        return self.decoder(self.dropout(F.relu()))

    def forward(self) -> Tensor:
        """Logits ``[n, R, k]``."""
        return self.decode(self.evolve()[1])
