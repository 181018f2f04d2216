"""How a model is run once and the calls of its message-passing layers are written down, in order."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing


@dataclass(frozen=True)
class Call:
    """One call of a layer: its name, its input, its output, and how to call it again."""

    name: str
    conv: nn.Module
    args: tuple
    kwargs: dict[str, Any]
    output: Tensor

    @property
    def given(self) -> Any:
        return self.args[0] if self.args else self.kwargs["x"]

    @property
    def state(self) -> Tensor:
        """The features that enter; of a pair the targets'."""
        return self.given if isinstance(self.given, Tensor) else [X for X in self.given if X is not None][-1]

    def again(self, X: Tensor) -> Tensor:
        """The layer alone at another state."""
        if self.args:
            return first(self.conv(X, *self.args[1:], **self.kwargs))
        return first(self.conv(**self.kwargs | {"x": X}))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, with gradients; every module gets its own mode back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.enable_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def trace(model: nn.Module, data: Data) -> tuple[list[Call], Any]:
    """All calls of the outermost message-passing layers in one pass, in order, and the model's output.

    The model is called with the fields of ``data`` for which its arguments are named; else, if it needs one argument,
    with ``data``, and if two, with x and edge_index. Gradients reach ``data.x``'s copy and no further.

    Raises ValueError for a model without message passing, and for one whose arguments the data does not have.
    """
    layers: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(outer == "" or name.startswith(f"{outer}.") for outer in layers)
        if isinstance(module, MessagePassing) and not inside:
            layers[name] = module
    calls: list[Call] = []
    given: list[tuple[tuple, dict[str, Any]]] = []  # before hooks of others may change it

    def take(conv: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        given.append((args, kwargs))

    def hear(name: str) -> Any:
        return lambda conv, _, out: calls.append(
            Call(name or type(conv).__name__, conv, *given.pop(), first(out))
        )

    handles = []
    for name, conv in layers.items():
        handles.append(conv.register_forward_pre_hook(take, prepend=True, with_kwargs=True))
        handles.append(conv.register_forward_hook(hear(name)))
    data = copy(data)
    if data.get("x") is not None and data.x.is_floating_point():
        data.x = data.x.detach().clone().requires_grad_()
    try:
        output = first(_called(model, data)) if layers else None
    finally:
        for handle in handles:
            handle.remove()
    if not calls:
        raise ValueError(
            f"diagnose: {type(model).__name__} has passed no messages; a torch-geometric layer that is called is needed"
        )
    return calls, output


def _called(model: nn.Module, data: Data) -> Any:
    sequential = getattr(
        model, "signature", None
    )  # torch_geometric's Sequential, whose forward takes anything
    asked = sequential.param_dict if sequential else inspect.signature(model.forward).parameters
    needed = [name for name, p in asked.items() if sequential or p.default is p.empty]
    if all(name in data for name in needed):
        return model(**{name: data[name] for name in asked if name in data})
    if len(needed) == 1:
        return model(data)
    if len(needed) == 2:
        return model(data.x, data.edge_index)
    raise ValueError(
        f"diagnose: {type(model).__name__} asks for {', '.join(needed)}; allowed are arguments named as the fields "
        f"of the data ({', '.join(data.keys())}), or one that takes the data"
    )


def first(output: Any) -> Any:
    """The features, where a layer or model returns more beside them."""
    return output[0] if isinstance(output, tuple) else output
