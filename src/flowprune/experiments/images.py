"""Small images as vectors: the inputs that masks and kernels of perceptrons are computed on."""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from flowprune.graphs import GraphError, mnist

Images = Literal["digits", "mnist"]


@cache
def images(name: Images) -> tuple[Tensor, Tensor]:
    """All training images ``[N, d]`` and their classes ``[N]`` in a fixed random order.

    "digits": the 1,797 images of 8 × 8 pixels in scikit-learn; "mnist": 60,000 of 28 × 28. A pixel is between 0 and 1;
    no pixel is centred, so one without ink stays an input that carries nothing. Each image has |x|² = d.
    Raises the loader's error when MNIST is not at hand.
    """
    if name == "digits":
        data = load_digits()
        x, y = torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)
    else:
        x, y, *_ = mnist()
        x, y = x.flatten(1).float() / 255, y.long()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x = x[order]
    return x * (x.shape[1] ** 0.5 / x.norm(dim=1, keepdim=True)), y[order]


def batch(name: Images, size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A random batch ``[size, d]``, ``[size]`` of the images. Raises ValueError for a size that there is not."""
    x, y = images(name)
    if not 1 <= size <= len(x):
        raise ValueError(f"a batch of {name} has 1 to {len(x)} images, not {size}")
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:size]
    return x[chosen], y[chosen]


@cache
def missing(name: Images) -> str | None:
    """Why these images cannot be had, or None; asked once, because asking may go to the network."""
    try:
        images(name)
    except GraphError as error:
        return str(error)
    return None
