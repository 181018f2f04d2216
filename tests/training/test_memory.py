"""Freed memory that a process keeps, measured in a process of its own, whose heap no other test has filled."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from flowprune.training.memory import MIB, kept_memory

SIZE = 256  # MiB


def held() -> float:
    """MiB that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MIB


def left() -> float:
    """The part of a tensor of SIZE that stays with the process after it was made and freed."""
    before = held()
    tensor = torch.ones(SIZE * MIB // 4)
    del tensor
    return (held() - before) / SIZE


def measured() -> dict[str, float]:
    told = {"outside": left()}
    before = held()
    with kept_memory() as able:
        told["inside"] = left() if able else 0.0
    told["given back"] = (held() - before) / SIZE
    with suppress(RuntimeError), kept_memory():
        raise RuntimeError("in the middle")
    return told | {"after an error": left()}


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is of glibc")
def test_freed_blocks_stay_inside_and_go_back_afterwards():
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told.pop("inside") > 0.9
    assert len(told) == 3 and max(told.values()) < 0.1


if __name__ == "__main__":
    print(json.dumps(measured()))
