"""The same networks in batched torch operations, one visit of all R at a time, for devices without compiled loops.

Sums are taken in another order, so that numbers agree to rounding only. Where the published rule acts on rounding (mode
D with three or more mutual neighbours and threshold 0) it may therefore remove other edges than the compiled loops do.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from flowprune.argnn import kernels
from flowprune.argnn.judge import Judge, Questions, Tape
from flowprune.argnn.networks import Networks


def run(nets: Networks, tape: Tape, judge: Judge, screen: bool, device: str) -> ndarray:
    """Train dense ``[R, n, n]`` weights on a device, with LAPACK on the CPU; returns the errors ``[R, inputs]``."""

    def there(x: ndarray) -> Tensor:
        return torch.as_tensor(x, device=device)

    V, E, W, A = there(nets.V.copy()), there(nets.E.copy()), there(nets.weights), there(nets.adjacency)
    X, Y, rows = there(tape.X), there(tape.Y), there(tape.rows)
    errors, R, k = torch.empty(rows.shape, dtype=V.dtype, device=device), len(V), len(tape.visited)
    every = torch.arange(R, device=device)
    visit = 0
    for start, end, order in tape.pieces():
        order = there(order).long()
        for t in range(start, end):
            V[:, : nets.inputs], y = X[every, rows[:, t]], Y[every, rows[:, t]]
            for step in range(tape.turn):
                c = order[:, t - start, step // k, step % k]
                _visit(c, y, V, E, W, A)
                if (asks := _asks(nets, judge, visit, screen)).size:
                    q = _questions(judge, asks, c[asks], visit, W[asks], A[asks])
                    for p, lost in judge(q):
                        r, s, d = int(q.r[p]), nets.edges.source[lost], nets.edges.target[lost]
                        W[r, s, d], A[r, s, d], nets.alive[r, lost] = 0, False, False
                visit += 1
            errors[:, t] = (V[:, -nets.outputs :] - y).abs().mean(1)
    nets.V[:], nets.E[:] = V.cpu(), E.cpu()
    nets.w[:] = W.cpu().numpy()[:, nets.edges.source, nets.edges.target]
    return errors.cpu().numpy()


def _visit(c: Tensor, y: Tensor, V: Tensor, E: Tensor, W: Tensor, A: Tensor) -> None:
    """Steps 1 to 3 of node c_r in every network r, in place."""
    every, first_output = torch.arange(len(c), device=c.device), V.shape[1] - y.shape[1]
    into, heard = A[every, :, c], W[every, :, c]
    v = V[every, c] = torch.sigmoid((V * into * heard).sum(1))
    hidden = v * (1 - v) * (E * A[every, c] * W[every, c]).sum(1)
    output = kernels.RATE * (v - y[every, (c - first_output).clamp_min(0)])
    e = E[every, c] = torch.where(c >= first_output, output, hidden)
    W[every, :, c] = torch.where(into, (heard - e[:, None] * V).clamp(-kernels.CLIP, kernels.CLIP), heard)


def _asks(nets: Networks, judge: Judge, visit: int, screen: bool) -> ndarray:
    """Networks with a question at this visit."""
    asks = np.where(judge.forced, (judge.moments == visit).any(1), True) & (judge.kind != kernels.QUIET)
    if screen:  # the published rule can only name an edge k + 1 → k
        link = nets.edges.link[nets.edges.link >= 0]
        asks &= judge.forced | (judge.kind != kernels.LIST) | nets.alive[:, link].any(1)
    return asks.nonzero()[0]


def _questions(judge: Judge, asks: ndarray, c: Tensor, visit: int, W: Tensor, A: Tensor) -> Questions:
    """The Laplacians of the asking networks: weights and adjacency ``[P, n, n]`` of these alone."""
    P, n = W.shape[:2]
    every = torch.arange(P, device=c.device)
    near, centre = A[every, :, c] | A[every, c], torch.zeros(P, n, dtype=torch.bool, device=c.device)
    near[every, c] = centre[every, c] = True
    ego, counted = (
        torch.as_tensor(x, device=c.device)[:, None, None]
        for x in (judge.kind[asks] == kernels.EGO, judge.counted[asks])
    )
    kept = A & near[:, :, None] & near[:, None, :] & (ego | centre[:, :, None] | centre[:, None, :])
    coupled = torch.where(kept, W, 0.0)
    degree = torch.where(counted, kept.to(W.dtype), coupled)
    L = (torch.diag_embed(degree.sum(1) + degree.sum(2)) - coupled).cpu().numpy()
    inside = (near.cpu().numpy()) | (judge.kind[asks] == kernels.LIST)[:, None]
    members, small = np.argsort(~inside, axis=1, kind="stable"), inside.sum(1)
    L = np.take_along_axis(np.take_along_axis(L, members[:, :, None], 1), members[:, None, :], 2)
    return Questions(asks, c.cpu().numpy(), np.full(P, visit), small, members, L)
