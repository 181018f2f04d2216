"""G25: node features as particles that attract and repel, and whether they come apart by label.

Two channels move by Ḟ = ĀFW. One W attracts in both, the other differs in the sign of one eigenvalue and repels there.
The decoder is a linear discriminant (the nearest class mean in the metric of the pooled covariance), fitted on a random
half of the nodes and read on the other; like a linear layer it does not feel the scale of a channel.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from flowprune.dynamics.energy import (
    edge_signs,
    energy_field,
    normalised_energy,
    total_energy,
)
from flowprune.dynamics.spectra import Spectrum, linear_flow
from flowprune.graphs import Graph, load
from flowprune.study.stats import holm, paired

MIXINGS = {
    "attracts and repels": torch.diag(torch.tensor([1.0, -2.0], dtype=torch.float64)),
    "attracts only": torch.diag(torch.tensor([1.0, 2.0], dtype=torch.float64)),
}


def block_graph(n: int, homophily: float, seed: int) -> Graph:
    """The largest component of a contextual block model with two classes, mean degree 6 and two channels."""
    name = f"csbm?n={n}&classes=2&degree=6&homophily={homophily:g}&features=2&signal=1.0&seed={seed}"
    return load(name).largest_component().to(dtype=torch.float64)


def halves(graph: Graph, seed: int = 0) -> np.ndarray:
    """The random half of the nodes on which a decoder is fitted: ``[n]`` bool."""
    return np.random.default_rng(seed).permutation(graph.n) < graph.n // 2


def decoded(graph: Graph, F: Tensor, fitted: np.ndarray) -> float:
    """Accuracy (%) of the linear discriminant on the nodes that it was not fitted on, for ``F [n, d]``."""
    F, label = F.numpy(), graph.labels.numpy()
    decoder = LinearDiscriminantAnalysis().fit(F[fitted] / F.std(0), label[fitted])
    return 100 * decoder.score(F[~fitted] / F.std(0), label[~fitted])


def followed(graph: Graph, W: Tensor, times: np.ndarray) -> tuple[list[np.ndarray], pd.DataFrame]:
    """Positions ``[n, 2]``, scaled to the unit square, and a row of what is measured, at every time.

    Columns: time, total (E_tot(F/‖F‖) with Ω = 0), dirichlet (E_Dir(F/‖F‖)), accuracy (%), shrink and grow (shares of
    single edges that obey, in %).
    """
    s, fitted, zero = Spectrum.of(graph), halves(graph), torch.zeros_like(W)
    F0, places, rows = graph.features, [], []
    for t in times:
        F, _ = linear_flow(s, W, F0, float(t))
        places.append((F / F.abs().max()).numpy())
        shrink, grow = edge_signs(graph, F, energy_field(graph, F, W, zero), W)
        rows.append(
            {
                "time": t,
                "total": total_energy(graph, F, W, zero).item(),
                "dirichlet": normalised_energy(graph, F).item(),
                "accuracy": decoded(graph, F, fitted),
                "shrink": 100 * shrink,
                "grow": 100 * grow,
            }
        )
    return places, pd.DataFrame(rows)


def separation(homophily: float, graphs: int, n: int, time: float) -> pd.DataFrame:
    """Accuracy (%) at the start and at the end under each W, one row a graph.

    Columns: seed, the names of MIXINGS, start, and majority: that of always naming the larger class of the fitted half.
    """
    rows = []
    for seed in range(graphs):
        graph = block_graph(n, homophily, seed)
        s, fitted = Spectrum.of(graph), halves(graph)
        ends = {name: linear_flow(s, W, graph.features, time)[0] for name, W in MIXINGS.items()}
        states = {**ends, "start": graph.features}
        larger = graph.labels[fitted].bincount().argmax()
        blind = {"majority": 100 * (graph.labels[~fitted] == larger).double().mean().item()}
        rows.append({"seed": seed} | {name: decoded(graph, F, fitted) for name, F in states.items()} | blind)
    return pd.DataFrame(rows)


def particle_evidence(heterophilic: pd.DataFrame, homophilic: pd.DataFrame) -> dict[str, float]:
    """What G25 records: three paired differences with their intervals, their p-values corrected together."""
    both, one = MIXINGS
    sign = paired(heterophilic[both], heterophilic[one])
    gain = paired(heterophilic[both], heterophilic["start"])
    mirror = paired(homophilic[one], homophilic[both])
    p = holm([sign.p, gain.p, mirror.p])
    return {
        "graphs": len(heterophilic),
        "sign_lower": sign.lower,
        "sign_upper": sign.upper,
        "p_sign": p[0],
        "gain_lower": gain.lower,
        "p_gain": p[1],
        "mirror_lower": mirror.lower,
        "p_mirror": p[2],
    }
