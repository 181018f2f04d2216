"""The Jacobian of any map at any state by products with vectors, and what follows from it: spectra and noise.

The state is flattened row by row: entry (i, k) of ``X [n, d]`` is number i·d + k. So the Jacobian of X ↦ A X W is
A ⊗ Wᵀ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigs, eigsh
from torch import Tensor

Map = Callable[[Tensor], Tensor]

DENSE = 3000  # entries of a state up to which its Jacobian may be written out
SMALL = 300  # entries up to which eigenvalues come from the dense matrix
PRECISE, ROUGH = 1e-9, 1e-4  # relative residuals asked of an iteration


class Jacobian:
    """J = ∂f(X)/∂X of a map f that takes and returns a tensor of X's shape.

    J v is taken forward, so the map must consist of operations that torch differentiates forward as well; the compiled
    edge products of :mod:`flowprune.flows.attention` do not.
    """

    def __init__(self, map: Map, X: Tensor):
        self.map, self.X = map, X.detach()
        self._input = X.detach().clone().requires_grad_()
        with torch.enable_grad():
            self._output = map(self._input)
        if self._output.shape != X.shape:
            raise ValueError(
                f"Jacobian: the map takes {list(X.shape)} to {list(self._output.shape)}; it must keep the shape"
            )

    def apply(self, v: Tensor) -> Tensor:
        """J v, in the shape of X."""
        return torch.func.jvp(self.map, (self.X,), (v,))[1]

    def adjoint(self, v: Tensor) -> Tensor:
        """Jᵀ v, in the shape of X."""
        return torch.autograd.grad(
            self._output, self._input, v, retain_graph=True, allow_unused=True, materialize_grads=True
        )[0]

    def dense(self) -> Tensor:
        """J written out, ``[N, N]`` with N the entries of X. Raises ValueError for more than ``DENSE`` of them."""
        N = self.X.numel()
        if N > DENSE:
            raise ValueError(
                f"Jacobian: a state of {N} entries has a dense Jacobian of {N}²; up to {DENSE} are allowed"
            )
        units = torch.eye(N, dtype=self.X.dtype, device=self.X.device)
        return torch.stack([self.adjoint(e.view(self.X.shape)).flatten() for e in units])

    def leading(self, k: int = 1) -> tuple[Tensor, Tensor]:
        """The k eigenvalues of largest modulus, descending, and unit eigenvectors: complex ``[k]``, ``[k, *X.shape]``.

        Small states are taken apart exactly, others by Arnoldi's iteration from a fixed start.
        """
        N = self.X.numel()
        if N <= SMALL or k > N - 2:
            values, vectors = np.linalg.eig(self.dense().double().cpu().numpy())
        else:
            values, vectors = eigs(self._operator(), k, which="LM", v0=_start(N), tol=PRECISE)
        order = np.argsort(-np.abs(values), kind="stable")[:k]
        states = np.ascontiguousarray(vectors[:, order].T, dtype=np.complex128).reshape(-1, *self.X.shape)
        return torch.from_numpy(values[order].astype(np.complex128)), torch.from_numpy(states)

    def radius(self) -> float:
        """The spectral radius ρ(J) = max |λ|; of large states by iteration on Jᵀ, to about four digits.

        Layers of a network on a graph with a small gap have many eigenvalues of almost the same modulus, which is then
        known long before its eigenvector is.
        """
        N = self.X.numel()
        if N <= SMALL:
            return self.leading(1)[0].abs().item()
        top = eigs(
            self._operator().H, 1, which="LM", v0=_start(N), tol=ROUGH, ncv=40, return_eigenvectors=False
        )
        return float(np.abs(top[0]))

    def norm(self) -> float:
        """The spectral norm ‖J‖₂, by Lanczos' iteration on JᵀJ unless the state is small."""
        N = self.X.numel()
        if N <= SMALL:
            return torch.linalg.matrix_norm(self.dense(), 2).item()
        J = self._operator()
        top = eigsh(J.H @ J, 1, which="LA", v0=_start(N), tol=PRECISE, return_eigenvectors=False)
        return float(np.sqrt(max(top[0], 0.0)))

    def _operator(self) -> LinearOperator:
        def product(of: Map) -> Callable[[np.ndarray], np.ndarray]:
            return lambda v: (
                of(torch.as_tensor(v).to(self.X).view(self.X.shape)).flatten().double().cpu().numpy()
            )

        N = self.X.numel()
        return LinearOperator(
            (N, N), matvec=product(self.apply), rmatvec=product(self.adjoint), dtype=np.float64
        )


def _start(N: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(N)  # fixed, so that a result can be had again


def lyapunov_covariance(J: Tensor, Q: Tensor) -> Tensor:
    """The covariance P = J P Jᵀ + Q in which x ← Jx + ξ settles when the noise ξ has covariance Q: dense ``[N, N]``.

    Sums Σ J^t Q (Jᵀ)^t by doubling (Smith 1968): after m rounds the first 2^m terms are in.

    Raises ValueError unless ρ(J) < 1: otherwise the sum need not be finite.
    """
    ρ = float(np.abs(np.linalg.eigvals(J.double().cpu().numpy())).max())
    if not ρ < 1:
        raise ValueError(
            f"discrete Lyapunov equation: the spectral radius of J is {ρ:.6g}; allowed is below 1"
        )
    P, power = Q, J
    for _ in range(60):
        P = P + power @ P @ power.T
        power = power @ power
        if power.square().sum() <= torch.finfo(J.dtype).eps:
            break
    return P


def lyapunov_exponents(maps: Sequence[Map], X: Tensor, k: int) -> Tensor:
    """The k largest finite-time exponents along F ← f_m(F) from X, in nats a layer, descending: ``[k]``, float64.

    k tangent vectors from a fixed random frame are carried along and made orthonormal after every layer (Benettin and
    others 1980); an exponent is the mean of log|R_kk| of these QR factors. −∞ where a direction is wiped out. The frame
    has to turn first, so that a finite depth leaves an error of the order of 1/depth.

    Raises ValueError unless 1 ≤ k ≤ the entries of X.
    """
    if not 1 <= k <= X.numel():
        raise ValueError(
            f"Lyapunov exponents: k = {k}; allowed are 1 to {X.numel()}, the entries of the state"
        )
    frame = torch.from_numpy(np.random.default_rng(0).standard_normal((X.numel(), k))).to(X)
    frame = torch.linalg.qr(frame)[0]
    sums = torch.zeros(k, dtype=torch.float64)
    for map in maps:
        J = Jacobian(map, X)
        moved = torch.stack([J.apply(v.view(X.shape)).flatten() for v in frame.T], 1)
        frame, R = torch.linalg.qr(moved)
        sums += R.diagonal().abs().double().cpu().log()
        X = map(X).detach()
    return (sums / len(maps)).sort(descending=True).values
