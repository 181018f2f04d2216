"""A small experiment to test with: a random walk, alone or as replicas of one pass, with faults on demand."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from flowprune.study import Trial, spec


@spec
class Walk(Trial):
    experiment: ClassVar[str] = "walk"
    tolerance: ClassVar[dict[str, float]] = {"end": 1e-6, "path": 1e-6, "kind": 0}
    seed: int
    steps: int = 4
    replicas: str = ""  # trials of one name share a pass
    pause: float = 0.0  # seconds
    fault: Literal["", "nan", "raise", "die", "silent", "collide", "elsewhere"] = ""

    def group(self) -> Hashable:
        return self.replicas or self.key

    @classmethod
    def batch_size(cls, trials: Sequence[Walk]) -> int:
        return 3

    def unavailable(self) -> str | None:
        absent = self.fault == "elsewhere" and "SAMPLED_DATA" not in os.environ
        return "the walk's data are not at hand" if absent else None

    @classmethod
    def run(cls, trials: Sequence[Walk]) -> Iterator[tuple[Walk, dict[str, Any]]]:
        for trial in trials:
            time.sleep(trial.pause)
            if trial.fault == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if trial.fault == "raise":
                raise ArithmeticError(f"walk {trial.seed} fell\nand a second line")
        log("pass")
        for trial in trials:
            if trial.fault == "silent":
                continue
            path = np.random.default_rng(trial.seed).standard_normal(trial.steps).cumsum()
            log(f"trial {trial.seed}")
            end = np.nan if trial.fault == "nan" else path[-1]
            result = {"end": end, "path": path, "kind": "walk", "torch_threads": torch.get_num_threads()}
            yield trial, result | ({"steps": 1} if trial.fault == "collide" else {})


def log(line: str) -> None:
    """One line in the file named by SAMPLED_LOG, so that tests can count what was computed in any process."""
    if file := os.environ.get("SAMPLED_LOG"):
        with open(file, "a") as out:
            out.write(line + "\n")
