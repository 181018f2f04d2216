"""What the mean over k neighbours tells of a node's class, and what is left of it after pruning (own derivation).

The classes of neighbours are drawn by H = h I + (1 − h) K, the matrix of the generated graphs, and features are
s e_c + N(0, I) in the coordinates of the class means. The mean over neighbours has expectation s H_c; the noise of the
features becomes N(0, I/k).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from flowprune.flows.dynamo import DynamoGAT
from flowprune.graphs import Graph
from flowprune.graphs.sampling import compatibility
from flowprune.pruning.dynamo import Dynamo


def harmonics(classes: int) -> np.ndarray:
    """κ_1 … κ_{C−1}, ascending: eigenvalues of K, the matrix of neighbours of other classes, without that of 1."""
    return np.linalg.eigvalsh(compatibility(classes, 0.0))[:-1]


def amplitude(classes: int, homophily: float | np.ndarray) -> np.ndarray:
    """A(h), the root mean square of h + (1 − h) κ_m: differences of class means after averaging, over those before.

    With neighbours of other classes drawn uniformly this is |h − (1 − h)/(C − 1)|, the first term under the root.

    >>> float(amplitude(2, 0.5)), float(amplitude(10, 1.0))
    (0.0, 1.0)
    """
    h, C = np.asarray(homophily, dtype=float), classes
    return np.sqrt(((C * h - 1) / (C - 1)) ** 2 + (1 - h) ** 2 * harmonics(C).var())


def critical(classes: int) -> float:
    """h*, where A is least: (C + w)/(C² + w) with w = (C − 1)² Var κ; 1/C when K is uniform."""
    w = (classes - 1) ** 2 * harmonics(classes).var()
    return float((classes + w) / (classes**2 + w))


def silent(classes: int) -> np.ndarray:
    """The homophily −κ_m/(1 − κ_m) at which each pattern of classes vanishes; negative where it never does."""
    κ = harmonics(classes)
    return -κ / (1 - κ)


def left(classes: int, removed: float, h_removed: float, h_kept: float) -> float:
    """√(1 − r) A(h_kept)/A(h): the signal over noise after removing a share r of the neighbours, over that before."""
    h = removed * h_removed + (1 - removed) * h_kept
    return float(np.sqrt(1 - removed) * amplitude(classes, h_kept) / max(amplitude(classes, h), 1e-12))


def best(classes: int, removed: float, homophily: float) -> float:
    """The same after removing only edges across classes, as far as there are any, or only edges within them, whichever
    leaves more."""
    r, h = removed, homophily
    ends = (1 - min(1 - h, r) / r, min(h, r) / r)  # the share within a class of what goes
    return max(left(classes, r, x, (h - r * x) / (1 - r)) for x in ends)


def predicted(
    classes: int, homophily: float, degrees: np.ndarray, signal: float, draws: int = 20000, seed: int = 0
) -> float:
    """Accuracy of choosing the class whose s H_c is nearest to the mean over neighbours, if these were independent.

    Means are drawn as Gaussian with covariance (I + s² (diag H_c − H_c H_cᵀ))/k, for k drawn from ``degrees``. The
    classes lie on a circle, so that the first stands for all.
    """
    rng = np.random.default_rng(seed)
    H, k = compatibility(classes, homophily), rng.choice(degrees[degrees > 0], draws)
    covariance = np.eye(classes) + signal**2 * (np.diag(H[0]) - np.outer(H[0], H[0]))
    noise = rng.standard_normal((draws, classes)) @ np.linalg.cholesky(covariance).T
    return float((_nearest(signal * H[0] + noise / np.sqrt(k)[:, None], signal * H) == 0).mean())


def measured(graph: Graph, signal: float, draws: int = 10, seed: int = 0) -> float:
    """The same on the edges of a generated graph, with the homophily it has: features drawn anew ``draws`` times."""
    rng = np.random.default_rng(seed)
    labels, n, classes = graph.labels.numpy(), graph.n, graph.num_classes
    row, col = graph.edge_index.numpy()
    A = sp.csr_array((np.ones(len(row)), (row, col)), shape=(n, n))
    k = np.maximum(A.sum(1), 1)
    H = compatibility(classes, graph.homophily())
    hits = []
    for _ in range(draws):
        X = signal * np.eye(classes)[labels] + rng.standard_normal((n, classes))
        hits.append((_nearest(A @ X / k[:, None], signal * H) == labels).mean())
    return float(np.mean(hits))


def _nearest(points: np.ndarray, means: np.ndarray) -> np.ndarray:
    return ((points[:, None] - means) ** 2).sum(-1).argmin(1)


def lost(graph: Graph, rule: Dynamo, passes: int, *, d: int = 16, seed: int = 0) -> np.ndarray:
    """The share of its edges that every node has lost in an untrained layer after ``passes`` of training: ``[n]``.

    Features are drawn as white noise, so that attention is nearly uniform, about 1/k_i, and scores differ by chance.
    """
    looped = graph.with_self_loops()
    flow = DynamoGAT([seed], d, 1, looped.adjacency, rule, dropout=[0.0], heads=2).train()
    layer = flow.layers[0]
    F = torch.randn(graph.n, 1, d, generator=torch.Generator().manual_seed(seed))
    for _ in range(passes):
        layer(F)
    gone = (layer.w[0] == 0).double().numpy()
    row = layer.full.row.numpy()
    return np.bincount(row, gone, graph.n) / np.maximum(graph.degree.numpy(), 1)
