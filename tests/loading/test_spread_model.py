"""Models over two devices, without a GPU: every pass on fake tensors (see spread_run.py)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from helpers.environments import ROOT

from harness_circuits.circuits.scores import LEVELS


def spread(cases: str, *methods: str) -> list[str]:
    """What was run, line by line."""
    folder = ROOT / "tests"
    paths = os.pathsep.join((str(ROOT), str(folder)))
    found = subprocess.run(
        [sys.executable, str(folder / "helpers" / "spread_run.py"), cases, *methods],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-4000:]
    return found.stdout.splitlines()


def test_discovery_and_circuits_on_two_devices() -> None:
    done = spread("llama@gpu:0", "EAP")
    kinds = ("EAP", "circuits", "masks")
    wanted = {f"llama gpu:0 {what} {level}" for what in kinds for level in LEVELS}
    assert {*wanted, "llama gpu:0 mixed devices fail"} == set(done)


@pytest.mark.slow
def test_parallel_and_post_norm_models_on_two_devices() -> None:
    """All methods on all architectures take long: `python tests/helpers/spread_run.py gemma2@cpu`."""
    done = spread("phi@cpu olmo2@gpu:0", "RelP")
    assert len(done) == len(set(done)) == 2 * (1 + 3 * len(LEVELS))
