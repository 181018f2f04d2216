"""The compiled loop: one network runs, visit by visit, until its time is over or too many questions are open.

Edges, not matrices: every visit touches the edges of the visited node alone, so that a sparse network of thousands of
nodes costs what its edges cost. Sums run over edges in ascending order of the other end, without fused operations.
"""

from __future__ import annotations

import math

import numba
import numpy as np

# numba does not see when this changes: after an edit of it, remove the cached loops of this file (__pycache__/*.nb?).
from flowprune.pruning.spectral import leading, surely_real

RATE, CLIP = 0.15, 10.0  # facts of the published implementation
QUIET, LIST, STAR, EGO = (
    0,
    1,
    2,
    3,
)  # kinds of questions: none, all n nodes, neighbourhood, with edges among neighbours

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def fill(into, values):
    """``into[:] = values``, which numba would compile anew wherever it stands."""
    for i in range(values.size):
        into[i] = values[i]


@_compiled
def visit(c, learn, y, net, V, E, w, alive):
    """Steps 1 to 3 of node c: forward, error, weights of the edges into it."""
    into, source, target, out, out_edge, _ = net
    s = 0.0
    for e in range(into[c], into[c + 1]):
        if alive[e]:
            s += V[source[e]] * w[e]
    V[c] = 1.0 / (1.0 + math.exp(-s))
    if not learn:
        return
    first_output = V.size - y.size
    if c >= first_output:
        E[c] = RATE * (V[c] - y[c - first_output])
    else:
        s = 0.0
        for k in range(out[c], out[c + 1]):
            e = out_edge[k]
            if alive[e]:
                s += E[target[e]] * w[e]
        E[c] = V[c] * (1.0 - V[c]) * s
    for e in range(into[c], into[c + 1]):
        if alive[e]:
            w[e] = min(max(w[e] - E[c] * V[source[e]], -CLIP), CLIP)


@_compiled
def star(c, counted, net, w, alive, d, b):
    """Of the star of c: d_c, the numbers m of mutual neighbours, of neighbours that c only hears and of others, κ, ‖L‖.

    Writes d_i and b_i of the mutual neighbours to ``d`` and ``b``.
    """
    into, _, _, out, out_edge, reverse = net
    heard, told = 0.0, 0.0
    m, only_heard, mass, low, high = 0, 0, 0.0, 1.0, 1.0
    for e in range(into[c], into[c + 1]):
        if not alive[e]:
            continue
        x, back = w[e], reverse[e]
        heard += 1.0 if counted else x
        mutual = back >= 0 and alive[back]
        own = 2.0 if counted else x + w[back]
        if not mutual:
            own = 1.0 if counted else x
        mass += x * x + own * own
        if mutual and x != 0 and w[back] != 0:
            d[m], b[m] = own, x * w[back]
            ratio = math.sqrt(abs(x / w[back]))
            low, high = min(low, ratio), max(high, ratio)
            m += 1
        elif x != 0:
            only_heard += 1
    for k in range(out[c], out[c + 1]):
        e = out_edge[k]
        if not alive[e]:
            continue
        x = w[e]
        told += 1.0 if counted else x
        mass += x * x
        if reverse[e] < 0 or not alive[reverse[e]]:
            mass += 1.0 if counted else x * x
    d_c = heard + told
    return d_c, m, only_heard, high / low, math.sqrt(mass + d_c * d_c)


@_compiled
def nameable(first, last, link, alive):
    """Whether an edge k + 1 → k is left between two of these places.

    LAPACK first moves rows without entries to the end and columns without entries to the front; with h neighbours that
    are only heard and m mutual ones the places h to h + m are left for pairs, but for those that lead.
    """
    for k in range(first, last):  # noqa: SIM110, numba knows no any()
        if link[k] >= 0 and alive[link[k]]:
            return True
    return False


@_compiled
def matrix(kind, c, counted, net, w, alive, L, members, place):
    """Write the matrix to decompose and its nodes in ascending order; returns its size. ``place [n]`` holds −1."""
    into, source, target, out, out_edge, _ = net
    n = place.size
    size = 0
    for i in range(n if kind == LIST else 0):
        members[i] = i
        size += 1
    if kind != LIST:
        place[c] = 0
        for e in range(into[c], into[c + 1]):
            if alive[e]:
                place[source[e]] = 0
        for k in range(out[c], out[c + 1]):
            if alive[out_edge[k]]:
                place[target[out_edge[k]]] = 0
        for i in range(n):
            if place[i] == 0:
                members[size] = i
                size += 1
    for p in range(size):
        place[members[p]] = p
    for p in range(size):
        for q in range(size):
            L[p, q] = 0.0
    for q in range(size):
        j, told = members[q], 0.0
        if kind != EGO and j != c:
            continue
        for e in range(into[j], into[j + 1]):
            p = place[source[e]]
            if alive[e] and p >= 0:
                x = 1.0 if counted else w[e]
                L[p, q] = -w[e]
                L[q, q] += x
                if kind != EGO:
                    L[p, p] += x
        for k in range(out[j], out[j + 1]):
            e = out_edge[k]
            p = place[target[e]]
            if alive[e] and p >= 0:
                x = 1.0 if counted else w[e]
                L[q, p] = -w[e]
                told += x
                if kind != EGO:
                    L[p, p] += x
        L[q, q] += told  # D_in + D_out, each summed for itself
    for p in range(size):
        place[members[p]] = -1
    return size


@_compiled
def advance(r, net, link, sizes, time, state, stream, rule, moments, questions, error, room):
    """Advance network r to the end of the stream, or until its questions are too many; returns their number.

    A question is a visit whose decision needs a decomposition. The network goes on as if nothing were removed, and
    keeps a copy of its state to return to. Visits are counted from the start of training.

    Args:
        net, link: edges into, sources, targets, edges out, reverse edges; the edges k + 1 → k.
        sizes: input nodes, updates for each input.
        time: start and end of the stream, in inputs; the next visit of each network ``[R]``.
        state: V, E ``[R, n]``, w, alive ``[R, E]``.
        stream: X ``[R, rows, n_in]``, Y, the row of each input ``[R, T]``, orders ``[R, T, updates, visited]``.
        rule: kind, counted, threshold, screened and kept silent, each ``[R]``.
        moments: visits to ask at, in ascending order ``[R, ·]``, and whether they count ``[R]``.
        questions: node, visit and size ``[Q]``, members ``[Q, S]``, L ``[Q, S, S]`` and copies of V, E, w.
        error: mean |v_out − y| after every input ``[R, inputs]``.
        room: the first free question, and how many this network may ask.
    """
    n_in, updates = sizes
    start, end, cursor = time
    V, E, w, alive = state[0][r], state[1][r], state[2][r], state[3][r]
    X, Y, rows, orders = stream[0][r], stream[1][r], stream[2][r], stream[3][r]
    kind, counted, threshold, screened = rule[0][r], rule[1][r], rule[2][r], rule[3][r]
    node, at, size, members, L, keep_V, keep_E, keep_w = questions
    n = V.size
    visited = n - n_in
    turn = updates * visited
    d, b, place = np.empty(n), np.empty(n), np.empty(n, np.int64)
    for i in range(n):
        place[i] = -1
    asked = 0
    t = cursor[r]
    when = 0
    while moments[1][r] and when < moments[0].shape[1] and moments[0][r, when] < t:
        when += 1
    while t < end * turn:
        i = t // turn - start
        row, step = rows[i], t % turn
        if step == 0:
            fill(V, X[row])
        c = orders[i, step // visited, step % visited]
        visit(c, True, Y[row], net, V, E, w, alive)
        t += 1
        if step == turn - 1:
            miss = 0.0
            for k in range(Y.shape[1]):
                miss += abs(V[n - Y.shape[1] + k] - Y[row, k])
            error[r, t // turn - 1] = miss / Y.shape[1]
        if kind == QUIET:
            continue
        if moments[1][r]:
            if when == moments[0].shape[1] or moments[0][r, when] != t - 1:
                continue
            when += 1
        d_c, m, only_heard, skew, scale = star(c, counted, net, w, alive, d, b)
        if screened and not moments[1][r]:
            if kind == LIST:
                first = only_heard + leading(counted, d_c, b[:m], scale)
                if not nameable(first, only_heard + m, link, alive):
                    continue
            if kind != EGO and surely_real(counted, d_c, d[:m], b[:m], skew, scale, threshold):
                continue
        q = room[0] + asked
        node[q], at[q] = c, t - 1
        size[q] = matrix(kind, c, counted, net, w, alive, L[q], members[q], place)
        fill(keep_V[q], V)
        fill(keep_E[q], E)
        fill(keep_w[q], w)
        asked += 1
        if asked == room[1]:
            break
    cursor[r] = t
    return asked


@_compiled
def run(running, asked, room, net, link, sizes, time, state, stream, rule, moments, questions, error):
    """:func:`advance` each of these networks, with so much room each; writes how many questions each of them asked."""
    first = running.size - running.size  # not a literal, for which numba would compile all once more
    for i in range(running.size):
        r, free = running[i], (first, room)
        asked[i] = advance(r, net, link, sizes, time, state, stream, rule, moments, questions, error, free)
        first += asked[i]


@_compiled
def answer(rows, orders, X, Y, net, V, E, w, alive, answers):
    """Evaluation: rows in this order, visiting orders ``[rows, updates, visited]``; writes ``[rows, n_out]``."""
    for i in range(rows.size):
        row = rows[i]
        fill(V, X[row])
        for u in range(orders.shape[1]):
            for k in range(orders.shape[2]):
                visit(orders[i, u, k], False, Y[row], net, V, E, w, alive)
        fill(answers[row], V[V.size - Y.shape[1] :])
