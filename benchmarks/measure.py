"""Time and memory of one process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.stages import Stage
from harness_circuits.machine.spent import spent

CPU = torch.device("cpu")


def wait_for(device: torch.device) -> None:
    """Let a GPU finish what it has been given; a CPU has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(
    stages: Mapping[str, Stage], repeats: int, device: torch.device = CPU
) -> dict[str, dict[str, float]]:
    """Smallest CPU and wall time of each stage, in seconds, over rounds of all stages in turn.

    A machine shared with others slows all stages of a round; none of them is slowed in every round.
    `counts` is what ratios are made of: CPU time, or the wall time of a GPU, which is waited for.
    """
    found: dict[str, dict[str, float]] = {}
    for number in range(repeats + 1):  # the first round warms up
        for name, stage in stages.items():
            wait_for(device)
            cpu, wall = time.process_time(), time.perf_counter()
            stage()
            wait_for(device)
            spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
            spent["counts"] = spent["wall" if device.type == "cuda" else "cpu"]
            if number:
                best = found.setdefault(name, spent)
                found[name] = {kind: min(best[kind], spent[kind]) for kind in spent}
    return found


def peak_above(stage: Stage, device: torch.device = CPU) -> dict[str, float]:
    """Peak memory of one run of a stage above what was in use before it, in bytes.

    Resident memory of the process, or what torch has allocated on a GPU.
    """
    cpu = time.process_time()
    wait_for(device)
    with spent(device) as found:
        stage()
        wait_for(device)
    if found.peak_bytes is None:
        raise OSError("this system does not tell a process its peak memory")
    return {"peak_bytes": found.peak_bytes, "cpu": time.process_time() - cpu}


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    import platform

    import numpy
    import transformers

    import harness_circuits

    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [x for x in information.read_text().splitlines() if x.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return {
        "cpu": cpu,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
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
