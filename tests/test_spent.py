"""Time and memory of a stage."""

import time
from pathlib import Path

import pytest
import torch

from harness_circuits import spent as module
from harness_circuits.spent import spent

CPU = torch.device("cpu")
MIB = 2**20


def test_a_stage_is_charged_for_what_it_holds_at_most() -> None:
    with spent(CPU) as small:
        torch.ones(2 * MIB)
    with spent(CPU) as large:
        torch.ones(64 * MIB)  # float32: 256 MiB
    with spent(CPU) as after:
        torch.ones(2 * MIB)
    if small.peak_bytes is None or large.peak_bytes is None or after.peak_bytes is None:
        pytest.skip("this system does not tell a process its peak memory")
    assert 250 * MIB <= large.peak_bytes <= 300 * MIB  # the system counts in batches
    assert max(small.peak_bytes, after.peak_bytes) < 64 * MIB


def test_seconds_are_wall_time() -> None:
    with spent(CPU) as stage:
        time.sleep(0.05)
    assert stage.seconds >= 0.05


def test_memory_is_unknown_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "CLEAR", tmp_path / "no" / "clear_refs")
    with spent(CPU) as stage:
        pass
    assert stage.peak_bytes is None
