"""Border cases of the phase diagram: equality, zero matrices, kernels and graphs in several parts (G15)."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from flowprune.dynamics.spectra import TOLERANCE
from flowprune.experiments.theory.frequencies import printed, reached
from flowprune.experiments.theory.without_residual import edge_apart
from flowprune.graphs import Graph, load

SAYS = {1: "high", -1: "low", 0: "nothing"}  # the printed criterion, by its sign


def cases() -> dict[str, tuple[Graph, tuple[float, float]]]:
    """What each case is called, its graph, and the two eigenvalues of W."""
    clique, triangle = (load(f"complete?n={n}").to(dtype=torch.float64) for n in (6, 3))
    unit, heavy = clique.with_self_loops(1.0), clique.with_self_loops(5.0)
    return {
        "clique, on the line": (clique, (-1.0, 0.2)),
        "clique, W = 0": (clique, (0.0, 0.0)),
        "clique, W with a kernel": (clique, (-1.0, 0.0)),
        "clique, unit loops, W with a kernel": (unit, (-1.0, 0.0)),
        "clique, unit loops, W < 0": (unit, (-1.0, -0.5)),
        "clique, loops of 5, W with a kernel": (heavy, (-1.0, 0.0)),
        "clique, loops of 5, W < 0": (heavy, (-1.0, -0.5)),
        "clique, loops of 5, both signs": (heavy, (-1.0, 0.5)),
        "triangle and edge": (edge_apart(triangle), (-1.5, 1.0)),
        "the triangle alone": (triangle, (-1.5, 1.0)),
    }


def start(graph: Graph, d: int, seed: int = 0) -> Tensor:
    """Normal features around one ``[n, d]``, so that no mode is missing by symmetry."""
    generator = torch.Generator().manual_seed(seed)
    return 1 + torch.randn(graph.n, d, generator=generator, dtype=torch.float64)


def measured(seed: int = 0) -> pd.DataFrame:
    """One row a case: eigenvalues of W, ρ_Δ, what the printed criterion says, and where E_Dir(F/‖F‖)/(ρ_Δ/2) ends."""
    rows = []
    for name, (graph, w) in cases().items():
        W = torch.diag(torch.tensor(w, dtype=torch.float64))
        margin = printed(graph.rho, W)
        rows.append(
            {
                "case": name,
                "eigenvalues of W": ", ".join(f"{x:g}" for x in w).replace("-", "−"),
                "ρ_Δ": graph.rho,
                "source says": SAYS[(margin > TOLERANCE) - (margin < -TOLERANCE)],
                "energy / (ρ_Δ/2)": abs(reached(graph, W, start(graph, 2, seed))),
            }
        )
    return pd.DataFrame(rows)
