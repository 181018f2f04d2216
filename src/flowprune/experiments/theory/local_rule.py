"""A1: which function one node's step descends, and what the settled errors of a whole network are.

Every step is the one of the library's compiled loop; gradients come from automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from numpy import ndarray
from torch import Tensor

from flowprune.argnn import Networks, kernels

SETTLED = 60  # updates after which the networks below stand still, and as many that a gradient goes through


def step(nets: Networks, c: int, y: ndarray) -> tuple[ndarray, ndarray]:
    """One visit of node c in the first network, in place: its weights before and after, ``[E]`` each."""
    state = nets.V[0], nets.E[0], nets.w[0], nets.alive[0]
    before = nets.w[0].copy()
    kernels.visit(c, True, y, nets.edges.compiled, *state)
    return before, nets.w[0].copy()


def heard(nets: Networks, c: int) -> tuple[Tensor, Tensor]:
    """Values that node c hears and the weights it hears them with, the latter ready for a gradient: ``[k]`` each."""
    into = (nets.edges.target == c) & nets.alive[0]
    w = torch.tensor(nets.w[0, into], requires_grad=True)
    return torch.tensor(nets.V[0, nets.edges.source[into]]), w


def squared_error(v: Tensor, target: Tensor | float) -> Tensor:
    return 0.5 * (v - target) ** 2


def cross_entropy(z: Tensor, y: float) -> Tensor:
    """−y log σ(z) − (1 − y) log(1 − σ(z))."""
    return torch.nn.functional.softplus(z) - y * z


def stated(nets: Networks, c: int, y: ndarray) -> tuple[ndarray, ndarray]:
    """The step of node c as we state it, and as gradient descent on its squared error: ``[k]`` each.

    Output: −∇ of RATE times the cross-entropy, against −∇ RATE · ½(v − y)². Hidden node: −∇ ½(v − t)² for the target
    t = v − Σ_k e_k w_ck held fixed, which is the squared error that it has.
    """
    v_in, w = heard(nets, c)
    z = v_in @ w
    v, first = torch.sigmoid(z), nets.edges.n - nets.outputs
    if c >= first:
        own = kernels.RATE * cross_entropy(z, y[c - first])
        squared = kernels.RATE * squared_error(v, y[c - first])
    else:
        out = (nets.edges.source == c) & nets.alive[0]
        told = float(nets.E[0, nets.edges.target[out]] @ nets.w[0, out])
        own = squared = squared_error(v, v.detach() - told)
    return tuple(-torch.autograd.grad(x, w, retain_graph=True)[0].numpy() for x in (own, squared))


def one_node(rng: np.random.Generator) -> dict[str, object]:
    """A visit in a random network with random values and errors: its kind and deviations from both statements."""
    nets = Networks.start([int(rng.integers(2**31))], 2, int(rng.integers(0, 6)), int(rng.integers(1, 3)))
    nets.w[:] *= rng.uniform(0.5, 4.0)
    nets.V[:], nets.E[:] = rng.uniform(0, 1, nets.V.shape), rng.normal(0, 0.1, nets.E.shape)
    y = rng.integers(0, 2, nets.outputs).astype(float)
    c, first = int(rng.integers(nets.inputs, nets.edges.n)), nets.edges.n - nets.outputs
    into, size = nets.edges.target == c, np.linalg.norm
    own, squared = stated(nets, c, y)
    before, after = (w[into] for w in step(nets, c, y))
    taken, v_in = after - before, nets.V[0, nets.edges.source[into]]
    row = {"kind": "output" if c >= first else "hidden", "deviation": size(taken - own) / size(taken)}
    row |= {"squared": size(taken - squared) / size(taken), "slope": float(nets.V[0, c] * (1 - nets.V[0, c]))}
    if c < first:
        return row
    missed = [abs(1 / (1 + np.exp(-(v_in @ w))) - y[c - first]) for w in (before, after)]
    return row | {"nearer": bool(missed[1] < missed[0])}


def survey(count: int, seed: int = 0) -> pd.DataFrame:
    """``count`` visits, a row each."""
    return pd.DataFrame([one_node(np.random.default_rng([seed, k])) for k in range(count)])


def settled(W: Tensor, x: Tensor) -> Tensor:
    """Values ``[n]`` at rest, inputs x; every update at once, which has the same rest as one node after the other."""
    v = torch.cat([x, torch.zeros(len(W) - len(x), dtype=W.dtype)])
    for through in (W.detach(), W):
        for _ in range(SETTLED):
            v = torch.cat([x, torch.sigmoid(v @ through)[len(x) :]])
    return v


def errors_at_rest(W: ndarray, v: ndarray, y: ndarray, n_in: int) -> ndarray:
    """e ``[n]`` when nothing moves any more: RATE (v − y) at outputs, v(1 − v) Σ_k e_k w_ik at hidden nodes.

    Raises numpy.linalg.LinAlgError if they do not settle at one value.
    """
    n, first = len(W), len(W) - len(y)
    hidden, out = slice(n_in, first), slice(first, n)
    e = np.zeros(n)
    e[out] = kernels.RATE * (v[out] - y)
    slope = (v * (1 - v))[hidden, None]
    e[hidden] = np.linalg.solve(
        np.eye(first - n_in) - slope * W[hidden, hidden], slope[:, 0] * (W[hidden, out] @ e[out])
    )
    return e


def at_rest(rng: np.random.Generator, outputs: int, forward: bool) -> dict[str, object]:
    """The whole step Σ_i −e_i v_j at rest against the gradient of RATE · cross-entropy through the point of rest.

    forward: edges lead to later nodes only, and none out of an output. Returns the cosine of the two, and the
    gradient's length over the step's.
    """
    hidden = int(rng.integers(1, 5))
    n = 2 + hidden + outputs
    A = np.triu(np.ones((n, n), bool), 1) if forward else ~np.eye(n, dtype=bool)
    A[:, :2] = False
    A[2 + hidden :] &= not forward
    W = np.where(A, rng.uniform(-1, 1, (n, n)), 0.0)
    x, y = rng.integers(0, 2, 2).astype(float), rng.integers(0, 2, outputs).astype(float)
    v = settled(torch.from_numpy(W), torch.from_numpy(x)).numpy()
    taken, through = np.outer(v, errors_at_rest(W, v, y, 2))[A], gradient(W, x, y)[A]
    sizes = np.linalg.norm(taken), np.linalg.norm(through)
    cosine = taken @ through / np.prod(sizes)
    return {"outputs": outputs, "forward": forward, "cosine": cosine, "ratio": sizes[1] / sizes[0]}


def rests(count: int, seed: int = 0) -> pd.DataFrame:
    """``count`` networks at rest of each kind: forward or recurrent, one output or two."""
    kinds = [(outputs, forward) for outputs in (1, 2) for forward in (True, False)]
    return pd.DataFrame(
        [
            at_rest(np.random.default_rng([seed, k, i]), *kind)
            for i, kind in enumerate(kinds)
            for k in range(count)
        ]
    )


def evidence(steps: pd.DataFrame, still: pd.DataFrame, learning: pd.DataFrame) -> dict[str, object]:
    """A1. An exception is an output's step that is not the gradient of its squared error."""
    outputs = steps[steps.kind == "output"]
    one = still[still.outputs == 1]
    return {
        "instances": len(steps),
        "families": "hidden nodes; output nodes",
        "deviation": float(steps.deviation.max()),
        "counterexamples": int((steps.deviation > 1e-9).sum()),
        "exceptions": int((outputs.squared > 1e-9).sum()),
        "condition": "hidden nodes, for the target v − Σ e_k w_ik held fixed; an output descends its cross-entropy",
        "nearer": float(outputs.nearer.astype(float).mean()),
        "rest": float((1 - one.cosine).max()),
        "rest_two": float(still[(still.outputs == 2) & ~still.forward].cosine.min()),
        "moving": float(learning.cosine.median()),
        "against": float((learning.cosine < 0).mean()),
    }


def moving(sizes: Sequence[int], trained: int, runs: int) -> pd.DataFrame:
    """While learning: cosine of what each of ten updates changes with −∇ at rest, of the weights before the input.

    ``runs`` networks of each size learn XOR for ``trained`` inputs first; then all four rows are shown and measured.
    """
    from_, to = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), np.array([[0], [1], [1], [0]], float)
    rows = []
    for hidden, seed in product(sizes, range(runs)):
        nets, rng = Networks.start([seed], 2, hidden, 1), np.random.default_rng([seed, 5])
        for t in range(trained + 4):
            row = int(rng.integers(4)) if t < trained else t - trained
            nets.V[0, :2], start = from_[row], nets.weights[0]
            target = -gradient(start, from_[row], to[row]) if t >= trained else None
            for update in range(10):
                before = nets.weights[0]
                for c in rng.permutation(np.arange(2, nets.edges.n)):
                    step(nets, int(c), to[row])
                if target is not None:
                    change = nets.weights[0] - before
                    size = np.linalg.norm(change) * np.linalg.norm(target)
                    rows.append({"h": hidden, "update": update + 1, "cosine": (change * target).sum() / size})
    return pd.DataFrame(rows)


def gradient(weights: ndarray, x: ndarray, y: ndarray) -> ndarray:
    """∇ of RATE · cross-entropy of the settled network with these weights ``[n, n]``, where there are edges."""
    W = torch.tensor(weights, requires_grad=True)
    z = (settled(W, torch.tensor(x)) @ W)[len(W) - len(y) :]
    loss = kernels.RATE * sum(cross_entropy(z[k], y[k]) for k in range(len(y)))
    return torch.autograd.grad(loss, W)[0].numpy() * (weights != 0)
