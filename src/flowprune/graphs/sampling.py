"""Random labels, edges and features from which the generated graphs are built; numpy arrays in and out.

Almost all randomness is drawn as uniform doubles, the stream that is the same on every platform.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp


def balanced_labels(n: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Labels [n] with classes of equal size (up to one node), in random order."""
    return (np.arange(n) % classes)[np.argsort(rng.random(n), kind="stable")]


def compatibility(classes: int, homophily: float) -> np.ndarray:
    """H [k, k], rows summing to one: H_ii = h, the rest falling as 1/distance of classes on a circle.

    In the published syn-cora graphs (k = 5) neighbouring classes are joined twice as often as the next ones.

    >>> compatibility(5, 0.25)[0].tolist()
    [0.25, 0.25, 0.125, 0.125, 0.25]
    """
    apart = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes)))
    distance = np.minimum(apart, classes - apart)
    H = np.where(distance > 0, 1.0 / np.maximum(distance, 1), 0.0)
    return homophily * np.eye(classes) + (1 - homophily) * H / H.sum(1, keepdims=True)


def attachment_edges(labels: np.ndarray, m: int, H: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Edges [2, E] of a graph grown by preferential attachment among classes (Zhu et al. 2020, appendix G).

    Nodes arrive in order. Each new node u joins m different nodes v that are there, drawn with probability
    proportional to H[class of u, class of v] · degree of v. The k(m+1) first nodes, m+1 of each class, draw
    one partner each among themselves with probability proportional to H. ``labels`` must start with them.
    """
    k = len(H)
    label, weight, uniform = labels.tolist(), H.tolist(), _uniforms(rng)
    ends: list[list[int]] = [[] for _ in range(k)]  # of each class: every node, as often as its degree
    edges: list[tuple[int, int]] = []

    def draw(pools: list[list[int]], i: int) -> int:
        shares = [weight[i][j] * len(pools[j]) for j in range(k)]
        x = next(uniform) * sum(shares)
        for j in range(k):
            if shares[j] > 0:
                last = j
                if x < shares[j]:
                    break
                x -= shares[j]
        return pools[last][int(next(uniform) * len(pools[last]))]

    def join(u: int, v: int) -> None:
        edges.append((u, v))
        ends[label[u]].append(u)
        ends[label[v]].append(v)

    first = k * (m + 1)
    pools = [[v for v in range(first) if label[v] == j] for j in range(k)]
    for u in range(first):
        v = draw(pools, label[u])
        while v == u:
            v = draw(pools, label[u])
        if (v, u) not in edges:
            join(u, v)
    for u in range(first, len(label)):
        chosen: list[int] = []
        while len(chosen) < m:
            v = draw(ends, label[u])
            if v not in chosen:
                chosen.append(v)
        for v in chosen:
            join(u, v)
    return np.array(edges, dtype=np.int64).T


def _uniforms(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(1 << 14).tolist()  # in blocks: a call per number would take most of the time


def block_edges(labels: np.ndarray, p_same: float, p_other: float, rng: np.random.Generator) -> np.ndarray:
    """Edges [2, E] of a stochastic block model: each pair is joined with the probability of its kind."""
    n, size = len(labels), np.bincount(labels).astype(float)
    pairs_same = int((size * (size - 1) / 2).sum())
    pairs_other = n * (n - 1) // 2 - pairs_same
    same = _distinct_pairs(labels, True, rng.binomial(pairs_same, p_same), rng)
    other = _distinct_pairs(labels, False, rng.binomial(pairs_other, p_other), rng)
    return np.concatenate([same, other], axis=1)


def _distinct_pairs(labels: np.ndarray, same: bool, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` different pairs u < v of equal (or different) labels, uniformly drawn."""
    n, code = len(labels), np.empty(0, dtype=np.int64)
    while len(code) < count:
        u, v = (rng.random((2, 4 * count + 64)) * n).astype(np.int64)
        fits = (u < v) & ((labels[u] == labels[v]) == same)
        code = np.concatenate([code, (u * n + v)[fits]])
        code = code[np.sort(np.unique(code, return_index=True)[1])]  # different ones, in the order drawn
    return np.stack(np.divmod(code[:count], n))


def gaussian_features(labels: np.ndarray, p: int, signal: float, rng: np.random.Generator) -> np.ndarray:
    """Features [n, p] float32: signal · u_c + z, a random unit vector u_c for each class and z ~ N(0, I)."""
    centre = rng.standard_normal((labels.max() + 1, p))
    centre *= signal / np.linalg.norm(centre, axis=1, keepdims=True)
    return (centre[labels] + rng.standard_normal((len(labels), p))).astype(np.float32)


def word_features(
    labels: np.ndarray, words: int, draws: int, signal: float, rng: np.random.Generator
) -> sp.csr_array:
    """Binary bags of words [n, words]: which of ``draws`` words a node has drawn.

    Word number r of a random order has frequency proportional to 1/(r + 10). A word is drawn from the class's
    own pool (every k-th word) with probability ``signal``, else from all words.
    """
    k = int(labels.max()) + 1
    common = 1.0 / (np.argsort(rng.random(words)) + 10.0)
    drawn = rng.random((len(labels), draws))
    word = np.empty(drawn.shape, dtype=np.int64)
    for c in range(k):
        own = np.where(np.arange(words) % k == c, common, 0.0)
        cumulative = np.cumsum(signal * own / own.sum() + (1 - signal) * common / common.sum())
        word[labels == c] = np.searchsorted(cumulative / cumulative[-1], drawn[labels == c], side="right")
    node = np.repeat(np.arange(len(labels)), draws)
    ones = np.ones(node.size, dtype=np.float32)
    bag = sp.coo_array((ones, (node, word.ravel())), shape=(len(labels), words)).tocsr()
    bag.data[:] = 1.0  # a word drawn twice is there once
    return bag
