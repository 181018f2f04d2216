"""Which weights of a network to keep: five scores, and masks that keep exactly as many as asked.

A network of anyone's is pruned in two lines, through the conventions of :mod:`torch.nn.utils.prune`:

>>> import torch
>>> from flowprune.pruning.saliency import collapsed, prune
>>> model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.ReLU(), torch.nn.Linear(30, 5))
>>> masks = prune(model, "synflow", sparsity=0.9)
>>> sum(int(mask.sum()) for mask in masks.values()), collapsed(model)
(75, [])

so that whatever :mod:`torch.nn.utils.prune` does afterwards (``remove``, ``is_pruned``, pruning further) works.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune as torch_prune

from .largest import largest

Method = Literal["random", "magnitude", "snip", "grasp", "synflow"]
METHODS: tuple[Method, ...] = get_args(Method)
TEMPERATURE = 200  # of GraSP's softmax, as in its authors' code: it weighs the two parts of the Hessian
SAFE = (1e-20, 1e30)  # flows that float32 carries without loss

Weights = dict[str, Tensor]


def scores(
    model: nn.Module, method: Method, x: Tensor | None = None, y: Tensor | None = None, *, seed: int = 0
) -> Weights:
    """How much every weight matters before training; higher = keep.

    With θ the weights, g and H gradient and Hessian of the cross entropy:

    - random: uniform; magnitude: \\|θ\\|;
    - snip: \\|θ ⊙ g\\| (Lee, Ajanthan and Torr 2019);
    - grasp: θ ⊙ Hg, by double backward, at their softmax temperature of 200. Its authors write −θ ⊙ Hg and remove the
      largest (Wang, Zhang and Grosse 2020): weights without which the norm of the gradient would grow;
    - synflow: \\|θ\\| ⊙ ∂R/∂\\|θ\\|, with R the sum of outputs for an input of ones when all parameters are replaced by
      their absolute values (Tanaka et al. 2020). Activations stay, as in their code: ReLU is the identity there.

    Args:
        model: its :class:`~torch.nn.Linear` and :class:`~torch.nn.Conv2d` layers are scored; a weight that is masked
            already counts as 0 and scores 0.
        x: a batch; its shape without values serves synflow, which takes the first linear layer's without it.
        y: classes ``[N]``, for snip and grasp.
        seed: of random.

    Returns:
        By layer name a tensor of the shape of its weight.
    """
    layers = _layers(model)
    _check(method, x, y)
    if method == "random":
        generator = torch.Generator().manual_seed(seed)
        return {n: torch.rand(m.shape, generator=generator).to(m.device) * m for n, m in masks(model).items()}
    if method == "magnitude":
        return {n: _weight(layer).abs() for n, layer in layers.items()}
    if method == "synflow":
        return _Flow(model, x)(masks(model))
    parameters = [_parameter(layer) for layer in layers.values()]
    with torch.enable_grad():
        f = model(x)
        if method == "snip":
            g = torch.autograd.grad(cross_entropy(f, y), parameters)
            found = [(_weight(w) * d).abs() for w, d in zip(layers.values(), g, strict=True)]
        else:
            loss = cross_entropy(f / TEMPERATURE, y)
            g = torch.autograd.grad(loss, parameters, create_graph=True)
            Hg = torch.autograd.grad(sum((d.detach() * d).sum() for d in g), parameters)
            found = [_weight(w) * d for w, d in zip(layers.values(), Hg, strict=True)]
    return dict(zip(layers, found, strict=True))


def prune(
    model: nn.Module,
    method: Method,
    sparsity: float,
    x: Tensor | None = None,
    y: Tensor | None = None,
    *,
    seed: int = 0,
    budget: Literal["global", "layerwise"] = "global",
    rounds: int = 100,
    layers: Sequence[str] | None = None,
) -> Weights:
    """Mask all but round((1 − sparsity)·total) weights, those of the highest :func:`scores`; returns all masks.

    Weights that are masked already stay so and count as pruned. Among weights of equal score at the border, lots are
    drawn by ``seed``. SynFlow scores again after each of ``rounds`` steps, the k-th of which keeps (1 − s)^{k/rounds}
    of what was there.

    Args:
        sparsity: share of the weights without a mask that go, in [0, 1].
        budget: "global": one total and one threshold over all layers, any of which may lose everything, see
            :func:`collapsed`; "layerwise": each layer keeps its round((1 − sparsity)·size).
        layers: names of the layers to prune, by default every one.

    Raises ValueError for a sparsity, method, layer or batch that is not allowed, and when fewer weights are left
    already than are to be kept.
    """
    found = _layers(model)
    _check(method, x, y)
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity = {sparsity} is refused: it is a share in [0, 1]")
    if rounds < 1:
        raise ValueError(f"rounds = {rounds} is refused: at least one is needed")
    if budget not in ("global", "layerwise"):
        raise ValueError(f"budget {budget!r} is unknown; allowed are 'global' and 'layerwise'")
    if layers is not None and (unknown := set(layers) - set(found)):
        raise ValueError(f"layers {sorted(unknown)} are not in the model; it has {list(found)}")
    chosen = list(found) if layers is None else [n for n in found if n in layers]
    groups = [chosen] if budget == "global" else [[n] for n in chosen]
    kept = masks(model)
    start = [_size(kept, names, left=True) for names in groups]
    goal = [round((1 - sparsity) * _size(kept, names)) for names in groups]
    for names, there, count in zip(groups, start, goal, strict=True):
        if count > there:
            raise ValueError(f"{count} weights are to be kept, but only {there} are left in {list(names)}")
    rng = np.random.default_rng(seed)
    if method == "synflow":
        flow = _Flow(model, x)
        for t in np.arange(1, rounds + 1) / rounds:
            counts = [round(a ** (1 - t) * b**t) for a, b in zip(start, goal, strict=True)]
            kept |= _kept(flow(kept), kept, groups, counts, rng)
    else:
        kept |= _kept(scores(model, method, x, y, seed=seed), kept, groups, goal, rng)
    for name in chosen:
        torch_prune.custom_from_mask(found[name], "weight", kept[name])
    return kept


def masks(model: nn.Module) -> Weights:
    """By layer name which weights are kept, of the weight's shape (``[out, in]`` of a linear layer)."""
    return {n: _mask(layer) for n, layer in _layers(model).items()}


def collapsed(model: nn.Module) -> list[str]:
    """Names of the layers that have no weight left, through which nothing passes."""
    return [name for name, mask in masks(model).items() if not mask.any()]


# ---- layers under torch's conventions: weight, or weight_orig and weight_mask


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    found = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    if not found:
        raise ValueError(f"{type(model).__name__} has no nn.Linear or nn.Conv2d layer to prune")
    return found


def _parameter(layer: nn.Module) -> nn.Parameter:
    return layer.weight_orig if hasattr(layer, "weight_orig") else layer.weight


def _mask(layer: nn.Module) -> Tensor:
    if hasattr(layer, "weight_mask"):
        return layer.weight_mask != 0
    return torch.ones_like(layer.weight, dtype=torch.bool)


def _weight(layer: nn.Module) -> Tensor:
    θ = _parameter(layer).detach()
    return θ * layer.weight_mask if hasattr(layer, "weight_mask") else θ


def _check(method: str, x: Tensor | None, y: Tensor | None) -> None:
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; allowed are {', '.join(METHODS)}")
    if method in ("snip", "grasp") and (x is None or y is None):
        raise ValueError(f"{method} reads gradients; it needs a batch x and its classes y")


# ---- synaptic flow


class _Flow:
    """The scores of SynFlow for masks that only ever lose weights; absolute weights are taken once, masked in place."""

    def __init__(self, model: nn.Module, x: Tensor | None):
        layers = _layers(model)
        first = next(iter(layers.values()))
        if x is None and not isinstance(first, nn.Linear):
            raise ValueError("synflow: the first layer is a convolution; give a batch x, whose shape is used")
        self.model, self.device = model, _parameter(first).device
        self.shape = (1, first.in_features) if x is None else (1, *x.shape[1:])
        self.state = {n: p.detach().abs() for n, p in [*model.named_parameters(), *model.named_buffers()]}
        self.θ = {}
        for n, layer in layers.items():
            name = "weight_orig" if hasattr(layer, "weight_orig") else "weight"
            self.θ[n] = f"{n}.{name}".removeprefix(".")  # a model that is itself a layer is named ""

    def __call__(self, kept: Weights) -> Weights:
        for n, name in self.θ.items():
            self.state[name] *= kept[n]
        R, found = self.evaluate(self.state)
        if not SAFE[0] < R < SAFE[1]:
            _, found = self.evaluate(
                {n: p.double() if p.is_floating_point() else p for n, p in self.state.items()}
            )
        return found

    def evaluate(self, state: Weights) -> tuple[float, Weights]:
        θ = {n: state[name].detach().requires_grad_() for n, name in self.θ.items()}
        dtype = next(iter(θ.values())).dtype
        with torch.enable_grad(), _evaluating(self.model):
            state = state | {self.θ[n]: w for n, w in θ.items()}
            R = torch.func.functional_call(
                self.model, state, torch.ones(self.shape, dtype=dtype, device=self.device)
            ).sum()
            g = torch.autograd.grad(R, list(θ.values()))
        return float(R.detach()), {n: d.mul_(w.detach()) for (n, w), d in zip(θ.items(), g, strict=True)}


class _evaluating:
    """The model in evaluation mode for a while; masked weights are made again at the end, from their parameters."""

    def __init__(self, model: nn.Module):
        self.modules = list(model.modules())
        self.modes = [m.training for m in self.modules]

    def __enter__(self) -> None:
        for m in self.modules:
            m.training = False

    def __exit__(self, *_: object) -> None:
        for m, mode in zip(self.modules, self.modes, strict=True):
            m.training = mode
            if hasattr(m, "weight_orig"):
                m.weight = m.weight_orig * m.weight_mask


# ---- exactly as many as asked


def _size(kept: Weights, names: Sequence[str], left: bool = False) -> int:
    return sum(int(kept[n].sum()) if left else kept[n].numel() for n in names)


def _kept(
    found: Weights,
    alive: Weights,
    groups: Sequence[Sequence[str]],
    counts: Sequence[int],
    rng: np.random.Generator,
) -> Weights:
    """Masks of the weights with the highest scores among those alive, so many of each group."""
    result: Weights = {}
    for names, count in zip(groups, counts, strict=True):
        parts, there = ([t[n].cpu().numpy().ravel() for n in names] for t in (found, alive))
        for n, mask in zip(names, largest(parts, there, count, rng), strict=True):
            result[n] = torch.from_numpy(mask).view(found[n].shape).to(found[n].device)
    return result
