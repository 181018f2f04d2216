"""The replica axis: R copies of one small model, trained in one pass.

Features are ``[n, R, d]``: one sparse product moves all replicas, and each replica mixes its channels with its own
weights ``[R, d, e]``. A replica must compute the same numbers whether it runs alone or among others. So nothing here
draws from a shared random stream: parameters come from a generator seeded by (seed, name), and dropout from a
counter-based hash of (seed, name, number of the pass, entry), which is also the same on every device.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowprune.training import kernels
from flowprune.training.operations import passed

# torch announces with every process that its CSR support is in beta; a reader can do nothing about it.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


def stream(seed: int, name: str) -> int:
    """The 63-bit seed of one named random stream of one replica: independent of every other name and seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big") >> 1


def draw(seeds: Sequence[int], name: str, shape: Sequence[int], bound: float) -> Tensor:
    """Uniform numbers in ``[-bound, bound]``, one block ``[*shape]`` a replica: ``[R, *shape]``."""
    blocks = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(stream(seed, name))
        blocks.append(torch.rand(*shape, generator=generator) * (2 * bound) - bound)
    return torch.stack(blocks)


# --- one sparse product for all replicas -----------------------------------------------------------------------------


class _Propagate(torch.autograd.Function):
    """Ā F for a symmetric Ā, whose product is its own backward."""

    @staticmethod
    def forward(ctx, adjacency: Tensor, F: Tensor) -> Tensor:
        ctx.adjacency = adjacency
        return product(adjacency, F)

    @staticmethod
    def backward(ctx, G: Tensor) -> tuple[None, Tensor]:
        return None, product(ctx.adjacency, G)


def product(adjacency: Tensor, F: Tensor) -> Tensor:
    """The sparse product ``Ā F`` of all replicas at once, without a gradient: ``[n, n] × [n, R, d] → [n, R, d]``."""
    return (adjacency @ F.reshape(F.shape[0], -1)).view(F.shape)


def propagate(adjacency: Tensor, F: Tensor) -> Tensor:
    """Move all replicas along the edges: ``Ā F``, differentiable in F.

    Args:
        adjacency: *symmetric* sparse CSR ``[n, n]``; the backward pass relies on the symmetry.
        F: features ``[n, R, d]``.
    """
    return _Propagate.apply(adjacency, F)


def mix(F: Tensor, W: Tensor) -> Tensor:
    """Mix the channels of each replica with its own matrix: ``[n, R, d] × [R, d, e] → [n, R, e]``."""
    return torch.matmul(F.transpose(0, 1), W).transpose(0, 1).contiguous()


# --- dropout that a replica draws alone ------------------------------------------------------------------------------

_GOLDEN, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def _splitmix(state: int) -> int:
    """One output of SplitMix64 (Steele, Lea and Flood 2014), in Python integers."""
    z = (state + _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * _MIX1) & _MASK
    z = ((z ^ (z >> 27)) * _MIX2) & _MASK
    return z ^ (z >> 31)


def _scramble(x: Tensor) -> Tensor:
    """A bijection of 32-bit integers with good avalanche in its high bits: multiply, shift-xor, multiply."""
    x = x * 0x7FEB352D
    x.bitwise_xor_(torch.bitwise_right_shift(x, 15))
    return x.mul_(-0x61C88647)


def hashed_mask(entry: Tensor, key: Tensor, threshold: Tensor, scale: Tensor) -> Tensor:
    """``scale`` where the hash of (entry, key) reaches ``threshold``, else 0; the arguments are broadcast.

    The formula that :mod:`flowprune.training.kernels` compiles for the CPU.
    """
    return (_scramble(_scramble(entry) ^ key) >= threshold) * scale


class Dropout(nn.Module):
    """Dropout with a rate for each replica, whose mask is a hash of (seed, name, pass, entry).

    ``torch``'s own generators give another stream for another number of replicas. The hash costs a few integer
    operations an entry and depends on nothing else.

    Args:
        seeds: one integer a replica.
        name: the layer; two layers of one model draw independently.
        rate: one probability in [0, 1) a replica.
    """

    def __init__(self, seeds: Sequence[int], name: str, rate: Sequence[float]):
        super().__init__()
        if len(rate) != len(seeds) or not all(0 <= p < 1 for p in rate):
            raise ValueError(
                f"dropout {name}: rates must be {len(seeds)} numbers in [0, 1), got {list(rate)}"
            )
        self.streams = [stream(seed, f"dropout/{name}") for seed in seeds]
        self.passes = 0
        p = torch.tensor(rate, dtype=torch.float64)
        self.active = bool((p > 0).any())
        self.register_buffer("threshold", (p * 2**32 - 2**31).round().clamp(max=2**31 - 1).to(torch.int32))
        self.register_buffer("scale", (1 / (1 - p)).float())

    def keys(self) -> Tensor:
        """One 32-bit key a replica for this pass: ``[R]``; advances the pass."""
        draws = [(_splitmix(s ^ _splitmix(self.passes)) >> 32) - 2**31 for s in self.streams]
        self.passes += 1
        return torch.tensor(draws, dtype=torch.int32, device=self.threshold.device)

    def mask(self, n: int, d: int) -> Tensor:
        """0 for dropped entries, 1/(1 - rate) for kept ones: ``[n, R, d]``; advances the pass."""
        key, threshold, scale = self.keys(), self.threshold, self.scale
        if key.device.type == "cpu":
            out = torch.empty(n, len(key), d)
            passed(out.numpy())
            kernels.dropout_mask(key.numpy(), threshold.numpy(), scale.numpy(), out.numpy())
            return out
        entry = torch.arange(n * d, dtype=torch.int32, device=key.device).view(n, 1, d)
        return hashed_mask(entry, *(x.view(-1, 1) for x in (key, threshold, scale)))

    def drop_entries(self, entry: Tensor, replica: Tensor, value: Tensor) -> Tensor:
        """Stored values after dropout ``[m]``, each hashed by its entry number for its replica; advances the pass."""
        key, threshold, scale = self.keys(), self.threshold, self.scale
        if key.device.type == "cpu":
            out = torch.empty_like(value)
            arrays = (entry, replica, value, key, threshold, scale, out)
            passed(*(x.numpy() for x in arrays))
            kernels.drop_entries(*(x.numpy() for x in arrays))
            return out
        return value * hashed_mask(entry, key[replica], threshold[replica], scale[replica])

    def forward(self, F: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``; the identity in evaluation mode."""
        if not self.training or not self.active:
            return F
        return F * self.mask(F.shape[0], F.shape[2])


class Noise(nn.Module):
    """White noise of size σ that each replica draws alone: from a generator seeded by (seed, name, pass).

    The numbers depend on the kind of device, and on nothing else.
    """

    def __init__(self, seeds: Sequence[int], name: str, σ: float):
        super().__init__()
        self.seeds, self.name, self.σ, self.passes = list(seeds), name, σ, 0

    def forward(self, F: Tensor) -> Tensor:
        """F + σξ with ξ ~ N(0, I), ``[n, R, d]``; advances the pass."""
        if self.σ == 0:
            return F
        draws = []
        for seed in self.seeds:
            generator = torch.Generator(F.device)
            generator.manual_seed(stream(seed, f"noise/{self.name}/{self.passes}"))
            shape = (F.shape[0], F.shape[2])
            draws.append(torch.randn(shape, generator=generator, device=F.device, dtype=F.dtype))
        self.passes += 1
        return F + self.σ * torch.stack(draws, 1)


# --- layers ----------------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """R affine maps side by side, initialised as ``torch.nn.Linear`` is: uniform in ±1/√d_in."""

    def __init__(self, seeds: Sequence[int], name: str, d_in: int, d_out: int, bias: bool = True):
        super().__init__()
        bound = 1 / math.sqrt(d_in)
        self.weight = nn.Parameter(draw(seeds, f"{name}.weight", (d_in, d_out), bound))
        self.bias = nn.Parameter(draw(seeds, f"{name}.bias", (d_out,), bound)) if bias else None

    def forward(self, F: Tensor) -> Tensor:
        """``[n, R, d_in]``, or ``[n, d_in]`` shared by all replicas, to ``[n, R, d_out]``."""
        if F.dim() == 2:
            R, d_in, d_out = self.weight.shape
            out = (F @ self.weight.transpose(0, 1).reshape(d_in, R * d_out)).view(-1, R, d_out)
        else:
            out = mix(F, self.weight)
        return out if self.bias is None else out + self.bias


class BatchNorm(nn.Module):
    """Batch normalisation of every channel of R replicas over the nodes, as ``torch.nn.BatchNorm1d`` does for one.

    The running statistics are parameters without a gradient, so that they are kept with a replica's best weights.
    """

    def __init__(self, R: int, d: int, momentum: float = 0.1):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(R, d)), nn.Parameter(torch.zeros(R, d))
        self.mean = nn.Parameter(torch.zeros(R, d), requires_grad=False)
        self.var = nn.Parameter(torch.ones(R, d), requires_grad=False)
        self.momentum = momentum

    def forward(self, F: Tensor) -> Tensor:
        """``[n, R, d] → [n, R, d]``."""
        weights = (self.mean.data, self.var.data, self.weight, self.bias)
        flat = (x.flatten() for x in weights)  # views: the running statistics move in place
        out = nn.functional.batch_norm(F.flatten(1), *flat, self.training, self.momentum)
        return out.view(F.shape)


class _SparseLinear(torch.autograd.Function):
    """Sparse features times dense weights; the backward product uses a transpose that was laid out beforehand."""

    @staticmethod
    def forward(ctx, layout: BlockFeatures, values: Tensor, W: Tensor) -> Tensor:
        ctx.layout, ctx.values = layout, values
        return layout.csr(values) @ W

    @staticmethod
    def backward(ctx, G: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.layout.csr_transposed(ctx.values) @ G


class BlockFeatures(nn.Module):
    """Sparse features X ``[n, p]`` as the block matrix that encodes R replicas in one product.

    Row (i, r) holds node i's features in the columns of replica r, so that the product with the stacked weights
    ``[R p, d]`` is ``[n, R, d]`` without a copy, and each stored entry may be dropped by each replica on its own.
    """

    def __init__(self, X: Tensor, R: int):
        super().__init__()
        crow, col, value = X.crow_indices(), X.col_indices(), X.values()
        self.n, self.p, self.R = X.shape[0], X.shape[1], R
        row = torch.repeat_interleave(torch.arange(self.n, device=X.device), crow.diff())
        nnz = col.numel()
        entry = torch.arange(nnz, device=X.device).repeat(R)
        replica = torch.arange(R, device=X.device).repeat_interleave(nnz)
        order = torch.argsort(row[entry] * R + replica, stable=True)
        entry, replica = entry[order], replica[order]
        rows, cols = row[entry] * R + replica, replica * self.p + col[entry]
        back = torch.argsort(cols, stable=True)
        buffers = {
            "crow": _offsets(rows, self.n * R),
            "col": cols.int(),
            "value": value[entry],
            "replica": replica.int(),
            "back": back.int(),
            "crow_t": _offsets(cols[back], R * self.p),
            "col_t": rows[back].int(),
            "entry": entry.to(torch.int32),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)

    def csr(self, values: Tensor) -> Tensor:
        """The block matrix ``[n R, R p]`` with the given stored values."""
        return torch.sparse_csr_tensor(
            self.crow, self.col, values, (self.n * self.R, self.R * self.p), check_invariants=False
        )

    def csr_transposed(self, values: Tensor) -> Tensor:
        """Its transpose ``[R p, n R]``, from the same values."""
        return torch.sparse_csr_tensor(
            self.crow_t,
            self.col_t,
            values[self.back],
            (self.R * self.p, self.n * self.R),
            check_invariants=False,
        )

    def forward(self, W: Tensor, dropout: Dropout) -> Tensor:
        """``X_r W_r`` for each replica, X_r with its own dropout: ``[R, p, d] → [n, R, d]``."""
        values = self.value
        if dropout.training and dropout.active:
            values = dropout.drop_entries(self.entry, self.replica, values)
        return _SparseLinear.apply(self, values, W.reshape(self.R * self.p, -1)).view(self.n, self.R, -1)


def _offsets(sorted_rows: Tensor, count: int) -> Tensor:
    """CSR row offsets ``[count + 1]`` of sorted row numbers; 32-bit, as the sparse product reads them."""
    crow = torch.zeros(count + 1, dtype=torch.int32, device=sorted_rows.device)
    crow[1:] = torch.bincount(sorted_rows, minlength=count).cumsum(0)
    return crow


class Encoder(nn.Module):
    """Input dropout and a linear map of the graph's features: F(0) = ψ_EN(X), ``[n, R, d]``.

    Args:
        X: features ``[n, p]``, strided or sparse CSR, shared by all replicas. Of sparse features only the stored
            entries are dropped and multiplied; the dropped zeros of a dense matrix would change nothing.
        seeds, dropout: one integer and one rate a replica.
        d: number of channels.
    """

    def __init__(self, X: Tensor, seeds: Sequence[int], d: int, dropout: Sequence[float]):
        super().__init__()
        self.dropout = Dropout(seeds, "input", dropout)
        self.linear = Linear(seeds, "encoder", X.shape[1], d)
        self.blocks = BlockFeatures(X, len(seeds)) if X.layout == torch.sparse_csr else None
        if self.blocks is None:
            self.register_buffer("X", X, persistent=False)

    def forward(self) -> Tensor:
        """F(0): ``[n, R, d]``."""
        if self.blocks is not None:
            return self.blocks(self.linear.weight, self.dropout) + self.linear.bias
        if self.training and self.dropout.active:
            R = self.linear.weight.shape[0]
            return self.linear(self.dropout(self.X.unsqueeze(1).expand(-1, R, -1)))
        return self.linear(self.X)
