"""Time and memory that a stage takes."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")  # writing 5 sets the peak back to what is resident now


@dataclass
class Spent:
    """What a stage took; filled in when it ends.

    Attributes:
        seconds: Wall time.
        peak_bytes: Largest memory in use above what was in use when it started: allocated memory of
            a CUDA device, or resident memory of the process. None where the system does not tell
            (other than Linux, or without the right to reset the count).
    """

    seconds: float = 0.0
    peak_bytes: int | None = None


@contextmanager
def spent(device: torch.device) -> Iterator[Spent]:
    """Measure what runs inside the block.

    Args:
        device: Where the stage computes; decides whose memory is watched.
    """
    result = Spent()
    before = _start_peak(device)
    started = time.perf_counter()
    yield result
    result.seconds = time.perf_counter() - started
    if before is not None:
        result.peak_bytes = max(0, _peak(device) - before)


def _start_peak(device: torch.device) -> int | None:
    """Forget the peak so far; bytes in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    _return_freed()
    try:
        CLEAR.write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def _return_freed() -> None:
    """Have the C library give back what was freed: a stage that reuses it would seem to need none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _status("VmHWM")


def _status(name: str) -> int:
    (line,) = (x for x in STATUS.read_text().splitlines() if x.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
