"""Time and memory of one process."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from benchmarks.stages import Stage

STATUS = Path("/proc/self/status")


def interleaved(stages: Mapping[str, Stage], repeats: int) -> dict[str, dict[str, float]]:
    """Smallest CPU and wall time of each stage, in seconds, over rounds of all stages in turn.

    A machine shared with others slows all stages of a round; none of them is slowed in every round.
    """
    found: dict[str, dict[str, float]] = {}
    for number in range(repeats + 1):  # the first round warms up
        for name, stage in stages.items():
            cpu, wall = time.process_time(), time.perf_counter()
            stage()
            spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
            if number:
                best = found.setdefault(name, spent)
                found[name] = {kind: min(best[kind], spent[kind]) for kind in spent}
    return found


def peak_above(stage: Stage) -> dict[str, float]:
    """Peak resident memory of one run of a stage above what was resident before it, in bytes."""
    before = psutil.Process().memory_info().rss
    _reset_peak()
    cpu = time.process_time()
    stage()
    return {"peak_bytes": max(0, _peak() - before), "cpu": time.process_time() - cpu}


def _reset_peak() -> None:
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    if STATUS.exists():
        (line,) = (x for x in STATUS.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    import platform

    import numpy
    import torch
    import transformers

    import harness_circuits

    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [x for x in information.read_text().splitlines() if x.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return {
        "cpu": cpu,
        "cores": psutil.cpu_count(),
        "load_average": [round(x, 2) for x in psutil.getloadavg()],
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": numpy.__version__,
            "harness_circuits": harness_circuits.__version__,
        },
    }
