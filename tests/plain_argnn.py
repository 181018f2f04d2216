"""One asynchronous network, line by line from the paper: matrices, plain sums, a decomposition at every visit."""

from __future__ import annotations

import math

import numpy as np

from flowprune.argnn.networks import EVALUATION, ORDERS, ROWS, WEIGHTS, draws


def plain(truth, hidden, mode, seed, inputs, updates, adjacency=None):
    """Weights, values, errors in training, removals (visit, node, from, to) and answers of the published method."""
    n_in, n_out = truth.inputs.shape[1], truth.outputs.shape[1]
    n = n_in + hidden + n_out
    A = (
        [[i != j and j >= n_in for j in range(n)] for i in range(n)]
        if adjacency is None
        else adjacency.tolist()
    )
    W = [[0.0] * n for _ in range(n)]
    ends = [(i, j) for j in range(n) for i in range(n) if A[i][j]]
    for (i, j), w in zip(ends, draws(seed, WEIGHTS).uniform(-1, 1, len(ends)).tolist(), strict=True):
        W[i][j] = w
    V, e = [0.0] * n, [0.0] * n
    rows, order = draws(seed, ROWS).integers(len(truth.inputs), size=inputs), draws(seed, ORDERS)
    errors, removals, visits = [], [], 0

    def forward(c):
        V[c] = 1.0 / (1.0 + math.exp(-sum(V[j] * W[j][c] for j in range(n) if A[j][c])))

    for row in rows:
        V[:n_in], y = truth.inputs[row].tolist(), truth.outputs[row].tolist()
        for _ in range(updates):
            for c in order.permuted(np.arange(n_in, n)[None], axis=1)[0].tolist():
                forward(c)
                if c >= n - n_out:
                    e[c] = 0.15 * (V[c] - y[c - (n - n_out)])
                else:
                    e[c] = V[c] * (1.0 - V[c]) * sum(e[k] * W[c][k] for k in range(n) if A[c][k])
                for j in range(n):
                    if A[j][c]:
                        W[j][c] = min(max(W[j][c] - e[c] * V[j], -10.0), 10.0)
                if mode != "none" and (edge := published(W, A, c, mode)):
                    A[edge[0]][edge[1]], W[edge[0]][edge[1]] = False, 0.0
                    removals.append((visits, c, *edge))
                visits += 1
        errors.append(sum(abs(V[n - n_out + k] - y[k]) for k in range(n_out)) / n_out)
    learned = list(V)
    answers, shuffle = np.empty(truth.outputs.shape), draws(seed, EVALUATION)
    for row in shuffle.permutation(len(truth.inputs)):
        V[:n_in] = truth.inputs[row].tolist()
        for _ in range(updates):
            for c in shuffle.permuted(np.arange(n_in, n)[None], axis=1)[0].tolist():
                forward(c)
        answers[row] = V[n - n_out :]
    return np.array(W), np.array(learned), np.array(errors), removals, answers


def published(W, A, c, mode):
    """The edge that the rule of the paper removes at node c, or None."""
    n = len(W)
    L = np.zeros((n, n))
    for i in range(n):
        near = (
            [(j, i) for j in range(n) if A[j][i] and c in (i, j)],
            [(i, j) for j in range(n) if A[i][j] and c in (i, j)],
        )
        into, out = (sum(1.0 if mode == "D" else W[a][b] for a, b in side) for side in near)
        L[i, i] = into + out
        for _, j in near[1]:
            L[i, j] = -W[i][j]
    im = np.linalg.eig(L)[0].imag
    if im.max() > 0 and -im.max() in im:
        source, target = int(im.argmin()), int(im.argmax())
        if A[source][target]:
            return source, target
    return None
