"""The multilayer perceptron whose masks and kernels are studied: no biases, one width."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Activation(nn.Module):
    """A function applied to every entry, as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, z: Tensor) -> Tensor:
        """Any shape to the same."""
        return self.function(z)


def mlp(
    widths: Sequence[int],
    seed: int,
    activation: Callable[[Tensor], Tensor] = torch.relu,
    gain: float = math.sqrt(2),
    dtype: torch.dtype = torch.float32,
) -> nn.Sequential:
    """Linear maps ``widths[l] → widths[l + 1]`` without biases, an activation between them.

    Weights are normal with standard deviation gain/√(fan-in), so that gradient descent with the rate η/(fan-in) of each
    layer is gradient descent with the rate η on weights of size one, the parameters of the neural tangent kernel
    (Jacot, Gabriel and Hongler 2018). The linear layers are named "0", "2", "4", … from the input.

    Args:
        widths: inputs, hidden widths, outputs; at least two numbers.
        seed: of the weights, whose stream of random numbers is their own: masks drawn by a generator of an equal seed
            are independent of them.
        gain: √2 keeps the size of features under ReLU.
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths must be at least two positive numbers, got {list(widths)}")
    stream = hashlib.sha256(f"mlp/{seed}".encode()).digest()[:7]
    generator = torch.Generator().manual_seed(int.from_bytes(stream, "big"))
    layers: list[nn.Module] = []
    for d, n in pairwise(widths):
        linear = nn.utils.skip_init(nn.Linear, d, n, bias=False, dtype=dtype)
        with torch.no_grad():
            linear.weight.normal_(0, gain / math.sqrt(d), generator=generator)
        layers += [linear, Activation(activation)]
    return nn.Sequential(*layers[:-1])
