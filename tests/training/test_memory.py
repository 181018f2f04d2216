"""Freed memory that a process keeps."""

import gc
import sys
from pathlib import Path

import pytest
import torch

from flowprune.training.memory import MIB, kept_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mallopt is of glibc")
SIZE = 256  # MiB


def held() -> float:
    """MiB that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MIB


def left() -> float:
    """MiB that stay with the process after a tensor of SIZE was made and freed."""
    gc.collect()
    before = held()
    tensor = torch.ones(SIZE * MIB // 4)
    assert held() - before > 0.9 * SIZE
    del tensor
    return held() - before


def test_freed_blocks_stay_inside_and_go_back_afterwards():
    assert left() < 0.1 * SIZE
    before = held()
    with kept_memory() as able:
        assert able and left() > 0.9 * SIZE
    assert held() - before < 0.1 * SIZE
    assert left() < 0.1 * SIZE


def test_settings_return_after_an_error():
    with pytest.raises(RuntimeError), kept_memory():
        raise RuntimeError("in the middle")
    assert left() < 0.1 * SIZE
