"""G9, G13, G14: the energies that flows descend, what they are made of, and when a flow is a gradient flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from flowprune.dynamics.energy import (
    attraction_repulsion,
    energy_field,
    field_jacobian,
    harmonic_energy,
    largest_step,
    total_energy,
    total_energy_by_edges,
)
from flowprune.dynamics.spectra import TOLERANCE
from flowprune.experiments.theory.instances import Check, Finding, features, instances, symmetric
from flowprune.graphs import Graph

UPDATES: dict[str, Callable[[Tensor], Tensor]] = {  # |σ(x)| ≤ |x| and xσ(x) ≥ 0
    "ReLU": torch.relu,
    "tanh": torch.tanh,
    "leaky ReLU": torch.nn.functional.leaky_relu,
    "arctan": torch.atan,
}


def trajectory(graph: Graph, W: Tensor, Ω: Tensor, F0: Tensor, times: np.ndarray) -> Iterator[Tensor]:
    """The exact solution of Ḟ = −FΩ + ĀFW, for any W and Ω, at equally spaced times from 0 on: each ``[n, d]``."""
    step = torch.matrix_exp((times[1] - times[0]) * field_jacobian(graph, W, Ω))
    x = F0.T.reshape(-1)  # columns stacked
    for _ in times:
        yield x.view(F0.shape[1], graph.n).T
        x = step @ x


def rises(energies: list[Tensor] | Tensor) -> bool:
    """Whether a sequence of energies goes up anywhere, but for rounding."""
    E = torch.stack(list(energies))
    return bool((E.diff() > 1e-11 * E.abs().max()).any())


def looped(check: Check) -> Check:
    """The same check, where every second graph has a self-loop of random weight at one node."""

    def with_loop(graph: Graph, rng: np.random.Generator) -> Finding:
        if rng.integers(2):
            return check(graph, rng)
        node = int(rng.integers(graph.n))
        edges = torch.cat([graph.edge_index, torch.tensor([[node], [node]])], dim=1)
        weight = torch.cat([graph.adjacency.values(), torch.tensor([rng.uniform(0.2, 3.0)]).double()])
        return check(
            Graph.from_edges("loop", edges, graph.n, weight=weight, self_loops=True, dtype=torch.float64), rng
        )

    return with_loop


# ---- the harmonic flow


def harmonic_descends(graph: Graph, rng: np.random.Generator) -> Finding:
    """G9: −∇E_W = −ΔFWᵀW by automatic differentiation, for any W; dE_W/dt = −‖ΔFWᵀW‖², and E_W never rises.

    The flow is that of E_tot with WᵀW in the places of W and Ω, but for isolated nodes, which stay where they are.
    """
    F0 = features(graph, rng)
    W = torch.from_numpy(rng.standard_normal((int(rng.integers(1, 5)), 3)))
    velocity = -(graph.laplacian @ F0) @ W.T @ W
    gradient = gradient_of(lambda F: harmonic_energy(graph, F, W), F0)
    S = W.T @ W
    flow = -torch.kron(S, graph.laplacian.to_dense())
    step = torch.matrix_exp(0.3 * flow / torch.linalg.matrix_norm(S, 2))
    states = [F0.T.reshape(-1)]
    for _ in range(12):
        states.append(step @ states[-1])
    energies = [harmonic_energy(graph, x.view(3, -1).T, W) for x in states]
    off = (gradient + velocity).norm() / (1 + velocity.norm())
    return Finding(off.item(), not rises(energies))


def gradient_of(energy: Callable[[Tensor], Tensor], F: Tensor) -> Tensor:
    """∇E(F) by automatic differentiation."""
    F = F.clone().requires_grad_()
    return torch.autograd.grad(energy(F), F)[0]


# ---- the total energy


def total_energy_descends(graph: Graph, rng: np.random.Generator) -> Finding:
    """G13. Every second W and Ω are symmetric: then the field is −∇E_tot, and E_tot never rises, neither along the flow
    nor after Euler steps up to the bound; just beyond the bound it rises from some F.

    Of the others one is not symmetric, or both have the same antisymmetric part: then the Jacobian must not be
    symmetric. Outside the condition: every eighth graph keeps a loop at each node instead of its edges.
    """
    even = bool(rng.integers(2))
    if not rng.integers(8):
        node = torch.arange(graph.n)
        graph = Graph.from_edges("loops", [node, node], graph.n, self_loops=True, dtype=torch.float64)
    F, W, Ω, covered = features(graph, rng), symmetric(rng), symmetric(rng), graph.num_edges > 0
    if even:
        field = energy_field(graph, F, W, Ω)
        off = (gradient_of(lambda X: total_energy(graph, X, W, Ω), F) + field).norm() / field.norm()
        return Finding(off.item(), _falls(graph, F, W, Ω), covered=covered)
    K = torch.from_numpy(rng.standard_normal((3, 3)))
    K, which = K - K.T, int(rng.integers(3))
    W, Ω = W + K * (which != 1), Ω + K * (which != 0)
    J = field_jacobian(graph, W, Ω)
    felt = -field_jacobian(graph, (W + W.T) / 2, (Ω + Ω.T) / 2)
    hessian = torch.autograd.functional.hessian(
        lambda x: total_energy(graph, x.view(3, -1).T, W, Ω), F.T.reshape(-1)
    )
    off = (hessian - felt).norm() / felt.norm()
    return Finding(off.item(), bool((J - J.T).norm() > TOLERANCE * J.norm()), covered=covered)


def _falls(graph: Graph, F0: Tensor, W: Tensor, Ω: Tensor) -> bool:
    """No rise of E_tot along the flow, nor after Euler steps at 99 % of the bound; a rise at 101 % from the worst F."""
    energy = lambda F: total_energy(graph, F, W, Ω)  # noqa: E731
    stepped = lambda F, τ: F + τ * energy_field(graph, F, W, Ω)  # noqa: E731
    scale = torch.linalg.matrix_norm(field_jacobian(graph, W, Ω), 2).item()
    exact = [energy(F) for F in trajectory(graph, W, Ω, F0, np.linspace(0, 3, 13) / scale)]
    if rises(exact) or (τ := largest_step(graph, W, Ω)) == float("inf"):
        return not rises(exact)
    worst, steps = stiffest(graph, W, Ω), [F0]
    for _ in range(6):
        steps.append(stepped(steps[-1], 0.99 * τ))
    within, beyond = (energy(stepped(worst, share * τ)) for share in (0.99, 1.01))
    return not rises([energy(F) for F in steps]) and bool(within < energy(worst) < beyond)


def stiffest(graph: Graph, W: Tensor, Ω: Tensor) -> Tensor:
    """The unit F in which E_tot is most convex, where too long a step shows first: ``[n, d]``."""
    return torch.linalg.eigh(-field_jacobian(graph, W, Ω))[1][:, -1].view(len(W), graph.n).T


def nonlinear_updates(count: int, seed: int) -> dict[str, int]:
    """Evidence on Ḟ = σ(−∇E_tot) with xσ(x) ≥ 0 and |σ(x)| ≤ |x|: states, rises where none may be, rises beyond.

    dE_tot/dt = −⟨v, σ(v)⟩ with v = −∇E_tot. Steps are taken at the bound of the linear flow from random features, and
    at one and a half times the bound from a small multiple of the worst F.
    """
    found = {"states": 0, "rises": 0, "beyond": 0}
    for _, graph, rng in instances(count, seed):
        F, W, Ω = features(graph, rng), symmetric(rng), symmetric(rng)
        E0, v, τ = total_energy(graph, F, W, Ω), energy_field(graph, F, W, Ω), largest_step(graph, W, Ω)
        gradient = gradient_of(lambda X: total_energy(graph, X, W, Ω), F)  # noqa: B023
        for σ in UPDATES.values():
            found["states"] += 1
            found["rises"] += int((gradient * σ(v)).sum() > 0)
            if τ == float("inf"):
                continue
            after = total_energy(graph, F + τ * σ(v), W, Ω)
            found["rises"] += int(after - E0 > 1e-11 * (E0.abs() + after.abs()))
            worst = 1e-3 * stiffest(graph, W, Ω)
            far = worst + 1.5 * τ * σ(energy_field(graph, worst, W, Ω))
            found["beyond"] += int(total_energy(graph, far, W, Ω) > total_energy(graph, worst, W, Ω))
    return found


def edges_and_nodes(graph: Graph, rng: np.random.Generator) -> Finding:
    """G14: E_tot = ½Σ⟨f, (Ω−W)f⟩ + ¼Σ‖Θ₊∇F‖² − ¼Σ‖Θ₋∇F‖². Outside the condition: graphs with isolated nodes.

    The deviation is that of the form which leaves W out at isolated nodes; it holds on every graph. The printed form is
    true when it agrees as well. A random rotation of Θ₊ and Θ₋ must not matter.
    """
    F, W, Ω = features(graph, rng), symmetric(rng), symmetric(rng)
    E = total_energy(graph, F, W, Ω)
    Q = torch.linalg.qr(torch.from_numpy(rng.standard_normal((3, 3))))[0]
    Θp, Θm = (Q @ Θ for Θ in attraction_repulsion(W))
    along = harmonic_energy(graph, F, Θp) - harmonic_energy(graph, F, Θm)
    printed = 0.5 * (F * (F @ (Ω - W))).sum() + along
    scale = total_energy(graph, F.abs(), W.abs(), -Ω.abs()).abs()
    off = lambda other: ((other - E).abs() / scale).item()  # noqa: E731
    return Finding(
        off(total_energy_by_edges(graph, F, W, Ω)),
        off(printed) < TOLERANCE,
        covered=bool((graph.degree > 0).all()),
    )


# ---- without symmetry


def closed_orbits(graph: Graph, rng: np.random.Generator) -> Finding:
    """Ḟ = ĀFW where the eigenvalues of W with the largest real part are a pair a ± ib, a > 0: late normalised features
    turn for ever, with period 2π/b, and are their own negative after half of it. Deviation: from both returns."""
    a, b, r = rng.uniform(0.5, 2), rng.uniform(0.5, 2), rng.uniform(-0.5, 0.5)
    S = torch.eye(3, dtype=torch.float64) + 0.3 * torch.from_numpy(rng.uniform(-1, 1, (3, 3)))
    turn = torch.tensor([[a, b, 0], [-b, a, 0], [0, 0, r * a]], dtype=torch.float64)
    W = S @ turn @ torch.linalg.inv(S)
    half = torch.matrix_exp(np.pi / b * field_jacobian(graph, W, torch.zeros_like(W)))
    late = half
    for _ in range(14):  # to 2^14 half periods, the direction alone
        late = late @ late
        late = late / late.norm()
    G = _unit(late @ features(graph, rng).T.reshape(-1))
    later = _unit(half @ G)
    return Finding(max((later + G).norm().item(), (_unit(half @ later) - G).norm().item()))


def _unit(x: Tensor) -> Tensor:
    return x / x.norm()


def rises_without_symmetry(count: int, seed: int) -> tuple[int, int]:
    """Of flows Ḟ = ĀFW with a random W that is not symmetric: how many raise E_tot somewhere, and how many flows."""
    rose, zero = 0, torch.zeros(3, 3, dtype=torch.float64)
    for _, graph, rng in instances(count, seed):
        F0, W = features(graph, rng), torch.from_numpy(rng.standard_normal((3, 3)))
        times = np.linspace(0, 4, 17) / torch.linalg.matrix_norm(W, 2).item()
        rose += rises([total_energy(graph, F, W, zero) for F in trajectory(graph, W, zero, F0, times)])
    return rose, count
