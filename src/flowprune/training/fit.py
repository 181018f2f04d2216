"""Fit R replicas at once: each with its own split, seed, learning rate, weight decay and stopping time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm


class Adam:
    """Adam (Kingma and Ba 2015) with a learning rate and an L2 weight decay for each replica.

    Every parameter is ``[R, …]``; each replica's block moves as ``torch.optim.Adam`` would move it alone. ``share``
    holds the parameters that have only so much of the weight decay.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: Sequence[float],
        weight_decay: Sequence[float],
        share: Mapping[Tensor, float] | None = None,
    ):
        self.parameters = [p for p in parameters if p.requires_grad]
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        part = share or {}
        self.rates = [(_column(lr, p), part.get(p, 1.0) * _column(weight_decay, p)) for p in self.parameters]
        self.steps = 0

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        self.steps += 1
        correction1, correction2 = 1 - beta1**self.steps, 1 - beta2**self.steps
        for p, (m, v), (lr, decay) in zip(self.parameters, self.moments, self.rates, strict=True):
            g = torch.addcmul(p.grad, p, decay)
            m.lerp_(g, 1 - beta1)
            v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            scale = v.sqrt().div_(correction2**0.5).add_(eps)
            p.sub_((m * (lr / correction1)).div_(scale))


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """One number a replica, shaped to multiply a parameter ``[R, …]``."""
    column = torch.as_tensor(list(values), dtype=like.dtype, device=like.device)
    return column.view(-1, *[1] * (like.dim() - 1))


@dataclass(frozen=True)
class Fitted:
    """What one replica reached: accuracies in [0, 1] at its best validation epoch (1-based)."""

    train_accuracy: float
    val_accuracy: float
    test_accuracy: float
    best_epoch: int
    epochs: int
    train_loss: float


@contextmanager
def flushed() -> Iterator[None]:
    """Numbers below the normal range of floats are zero inside: gradients that vanish through many layers reach that
    range, where a processor takes many times as long for each operation."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@flushed()
def fit(
    model: nn.Module,
    labels: Tensor,
    train: Tensor,
    val: Tensor,
    test: Tensor,
    *,
    lr: Sequence[float],
    weight_decay: Sequence[float],
    share: Mapping[Tensor, float] | None = None,
    epochs: int,
    patience: int | None = None,
    criterion: Callable[[Tensor], Tensor] | None = None,
    progress: bool = False,
) -> list[Fitted]:
    """Train all replicas of ``model`` and leave it with each replica's best-validation weights.

    The loss is the cross entropy averaged over a replica's own training nodes, summed over replicas, so gradients do
    not mix. After every epoch all replicas are evaluated without dropout; a replica's best epoch is the first with its
    highest validation accuracy, or ``criterion``. A replica without improvement for ``patience`` epochs is frozen:
    whatever the others still do, its result and weights stay. A replica whose loss is not finite is frozen as well; its
    ``train_loss`` tells.

    Args:
        model: called without arguments, returns logits ``[n, R, k]``; parameters ``[R, …]``.
        labels: ``[n]`` in 0..k-1.
        train, val, test: boolean ``[R, n]``, one split a replica.
        lr, weight_decay: one number a replica.
        share: the parameters that have only so much of the weight decay.
        epochs: the most epochs; patience: None trains them all.
        criterion: from logits ``[n, R, k]``, what the best epoch maximises, ``[R]``.
        progress: draw a bar over epochs, with the number of replicas that still train.
    """
    R = train.shape[0]
    optimiser = Adam(list(model.parameters()), lr, weight_decay, share)
    best = Best(model, R)
    weights = (train.T / train.sum(1)).to(torch.float32)  # [n, R], columns sum to one
    shares = torch.stack([(m.T / m.sum(1)).to(torch.float32) for m in (train, val, test)])
    target = labels.view(-1, 1, 1).expand(-1, R, 1)
    bar = tqdm(range(1, epochs + 1), desc=f"{R} replicas", unit="epoch", disable=not progress, leave=False)
    for epoch in bar:
        model.train()
        optimiser.zero_grad()
        log_p = model().log_softmax(-1)
        loss = -(log_p.gather(-1, target).squeeze(-1) * weights).sum(0)
        loss.sum().backward()
        optimiser.step()
        logits = evaluated(model)
        reached = accuracies(logits, labels, shares)
        score = reached[1] if criterion is None else criterion(logits)
        best.update(epoch, loss.detach(), reached, score, patience)
        if progress:
            bar.set_postfix(training=int(best.running.sum()))
        if not best.running.any():
            break
    best.restore()
    return best.fitted()


@torch.no_grad()
def evaluated(model: nn.Module) -> Tensor:
    """Logits ``[n, R, k]`` in evaluation mode."""
    model.eval()
    return model()


def accuracies(logits: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """Accuracy of each replica on each set of nodes, ``[sets, R]``: logits ``[n, R, k]``, shares ``[sets, n, R]``."""
    correct = (logits.argmax(-1) == labels.view(-1, 1)).to(shares.dtype)
    return (correct * shares).sum(1)


class Best:
    """The best validation epoch of every replica: its accuracies and its weights."""

    def __init__(self, model: nn.Module, R: int):
        self.parameters = list(model.parameters())
        device = self.parameters[0].device
        self.weights = [p.detach().clone() for p in self.parameters]
        self.accuracy = torch.zeros(3, R, device=device)
        self.score = torch.full((R,), -torch.inf, device=device)
        self.loss = torch.zeros(R, device=device)
        self.epoch = torch.zeros(R, dtype=torch.int64, device=device)
        self.epochs = torch.zeros(R, dtype=torch.int64, device=device)
        self.running = torch.ones(R, dtype=torch.bool, device=device)

    @torch.no_grad()
    def update(self, epoch: int, loss: Tensor, accuracy: Tensor, score: Tensor, patience: int | None) -> None:
        """Take in one epoch: ``loss [R]``, ``accuracy [3, R]`` (train, val, test), ``score [R]`` to maximise."""
        self.epochs[self.running] = epoch
        diverged = self.running & ~torch.isfinite(loss)
        self.loss[diverged] = loss[diverged]
        self.running = self.running & ~diverged
        # accuracies are sums of equal shares: a tie must not be won by rounding
        better = self.running & (score > self.score + 1e-6)
        if better.any():
            self.score[better] = score[better]
            self.accuracy[:, better] = accuracy[:, better]
            self.loss[better], self.epoch[better] = loss[better], epoch
            for p, kept in zip(self.parameters, self.weights, strict=True):
                kept[better] = p[better]
        if patience is not None:
            self.running = self.running & (epoch - self.epoch < patience)

    @torch.no_grad()
    def restore(self) -> None:
        for p, kept in zip(self.parameters, self.weights, strict=True):
            p.copy_(kept)

    def fitted(self) -> list[Fitted]:
        rows = zip(
            *self.accuracy.tolist(),
            self.epoch.tolist(),
            self.epochs.tolist(),
            self.loss.tolist(),
            strict=True,
        )
        return [Fitted(*row) for row in rows]


def chunk_size(n: int, d: int, device: torch.device, cache_bytes: int = 2**20) -> int:
    """How many replicas share one pass: all on a GPU, and as many as keep one state [n, R, d] in cache on a CPU.

    The default, 1 MiB of float32, lies between what ``flowprune publish speed`` measures: on Cora, where one state
    fills more than half of it, one replica a pass is fastest; on the karate club ten are faster than one.
    """
    if device.type != "cpu":
        return 64
    return max(1, min(64, cache_bytes // (4 * n * d)))
