"""Masks that are found while training: pruning in rounds that rewind, and sparse networks that rewire themselves.

Both yield the masks as they go, so that a path of masks can be recorded; both keep to the conventions of
:mod:`torch.nn.utils.prune`, like :mod:`~flowprune.pruning.saliency`.

>>> import torch
>>> from flowprune.pruning.iterative import magnitude_rounds
>>> from flowprune.pruning.saliency import masks
>>> model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.ReLU(), torch.nn.Linear(30, 5))
>>> path = list(magnitude_rounds(model, 0.9, train=lambda model: None, rounds=4))
>>> [sum(int(mask.sum()) for mask in point.values()) for point in path]
[422, 237, 133, 75]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from .saliency import Weights, _layers, _parameter, masks, prune

SHARE, EVERY, UNTIL = 0.3, 100, 0.75  # of RigL, as its authors recommend them


def magnitude_rounds(
    model: nn.Module, sparsity: float, train: Callable[[nn.Module], object], *, rounds: int = 10
) -> Iterator[Weights]:
    """Train, remove the smallest weights, rewind what is left to its first values (Frankle and Carbin 2019).

    After round k there are round((1 − s)^{k/rounds}·total) weights, the largest \\|θ\\| over all layers after training.
    Parameters and buffers then get the values that they had at the start. The last masks come with first weights, too:
    train once more to see what they can do.

    Args:
        train: trains the model in place; it sees a model that is rewound, with the masks of the round before, so its
            optimiser must be new each time.

    Yields:
        All masks after each round, by layer name. Raises ValueError for what
        :func:`~flowprune.pruning.saliency.prune` refuses.
    """
    first = [(t, t.detach().clone()) for t in [*model.parameters(), *model.buffers()]]
    for k in range(1, rounds + 1):
        train(model)
        found = prune(model, "magnitude", sparsity if k == rounds else 1 - (1 - sparsity) ** (k / rounds))
        with torch.no_grad():
            for tensor, value in first:  # a parameter stays the same object when it is renamed by a mask
                tensor.copy_(value)
        _apply_masks(model)
        yield found


def rigl(
    model: nn.Module,
    loss: Callable[[], Tensor],
    optimiser: torch.optim.Optimizer,
    steps: int,
    *,
    every: int = EVERY,
    share: float = SHARE,
    until: float = UNTIL,
) -> Iterator[tuple[int, Weights]]:
    """Train a sparse network that moves its edges to where the loss wants them (RigL; Evci et al. 2020).

    Every so many steps, up to the share ``until`` of all, :func:`rewire` takes the place of a step of the optimiser, at
    a share of the edges that falls from ``share`` to 0 by a half cosine.

    Args:
        model: with masks, for instance of ``prune(model, "random", 0.9)``; a layer without a mask stays dense.
        loss: of the next batch, with a graph.

    Yields:
        After each rewiring the number of the step, from 1, and all masks. Raises ValueError when no layer is masked.
    """
    for t in range(1, steps + 1):
        if t % every == 0 and t < until * steps:
            rewire(model, loss, share / 2 * (1 + math.cos(math.pi * t / (until * steps))), optimiser)
            yield t, masks(model)
        else:
            optimiser.zero_grad()
            loss().backward()
            optimiser.step()


def rewire(
    model: nn.Module,
    loss: Callable[[], Tensor],
    share: float,
    optimiser: torch.optim.Optimizer | None = None,
) -> None:
    """In each masked layer drop that share of the kept weights, rounded down, and grow as many.

    Dropped are the smallest \\|θ\\|; grown the largest \\|∂loss/∂θ\\| among those that are not kept, of the network in
    which every weight is a parameter. One that was dropped just now may be grown, and then keeps its value, as in the
    authors' code; others start at 0, and so does whatever the optimiser remembers of them.

    Raises ValueError for a share outside of [0, 1] and when no layer is masked.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share = {share} is refused: it is a share of the kept weights, in [0, 1]")
    gradient = dense_gradient(model, loss)
    for name, g in gradient.items():
        layer = _layers(model)[name]
        θ, mask = _parameter(layer), layer.weight_mask.flatten() != 0
        count = int(share * int(mask.sum()))
        size = torch.where(mask, θ.detach().flatten().abs(), torch.inf)
        stay = mask.clone()
        stay[size.topk(count, largest=False).indices] = False
        wanted = torch.where(stay, -1, g.flatten().abs())
        kept = stay.clone()
        kept[wanted.topk(count).indices] = True
        fresh = (kept & ~mask).view_as(θ)
        with torch.no_grad():
            layer.weight_mask.copy_(kept.view_as(θ))
            for tensor in [θ, *_remembered(optimiser, θ)]:
                tensor[fresh] = 0
    _apply_masks(model)


def dense_gradient(model: nn.Module, loss: Callable[[], Tensor]) -> Weights:
    """∂loss/∂θ of every weight of the masked layers, at the masked network: pruned weights have one, too.

    Pruned weights are set to 0, where the mask has put them in effect, and stay so.
    """
    layers = {n: layer for n, layer in _layers(model).items() if hasattr(layer, "weight_mask")}
    if not layers:
        raise ValueError(f"{type(model).__name__} has no masked layer; prune it first")
    before = {n: layer.weight_mask.clone() for n, layer in layers.items()}
    with torch.no_grad():
        for layer in layers.values():
            layer.weight_orig.mul_(layer.weight_mask)
            layer.weight_mask.fill_(1)
    try:
        with torch.enable_grad():
            g = torch.autograd.grad(loss(), [layer.weight_orig for layer in layers.values()])
    finally:
        for n, layer in layers.items():
            layer.weight_mask.copy_(before[n])
    return dict(zip(layers, g, strict=True))


def _remembered(optimiser: torch.optim.Optimizer | None, θ: nn.Parameter) -> list[Tensor]:
    """What the optimiser knows of each entry of a parameter: moments and the like."""
    state = optimiser.state.get(θ, {}) if optimiser else {}
    return [t for t in state.values() if isinstance(t, Tensor) and t.shape == θ.shape]


def _apply_masks(model: nn.Module) -> None:
    """Make masked weights again from their parameters, as the next forward pass would."""
    for layer in _layers(model).values():
        if hasattr(layer, "weight_mask"):
            layer.weight = layer.weight_orig * layer.weight_mask
