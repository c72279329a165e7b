"""Time and memory of a stage."""

import time
from pathlib import Path

import pytest
import torch

from harness_circuits.machine import spent as module
from harness_circuits.machine.spent import spent

CPU = torch.device("cpu")
MIB = 2**20


linux = pytest.mark.skipif(not module.CLEAR.exists(), reason="only Linux tells a process its peak")


@linux
def test_a_stage_is_charged_for_what_it_holds_at_most() -> None:
    found = []
    for size in (2, 64, 2):  # millions of float32: 8, 256, 8 MiB
        with spent(CPU) as stage:
            torch.ones(size * MIB)
        assert stage.peak_bytes is not None
        found.append(stage.peak_bytes / MIB)
    assert 250 <= found[1] <= 300  # the system counts in batches
    assert max(found[0], found[2]) < 64


@linux
def test_memory_that_an_earlier_stage_has_freed_counts_again() -> None:
    torch.ones(8 * MIB)  # from now on glibc takes such blocks from its heap, and keeps them
    peaks = []
    for _ in range(3):
        with spent(CPU) as stage:
            held = [torch.ones(MIB // 4) for _ in range(300)]
            del held
        peaks.append(stage.peak_bytes)
    assert all(peak is not None and peak >= 290 * MIB for peak in peaks)


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
