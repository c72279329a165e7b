"""Models over two devices, without a GPU: every pass on fake tensors (see spread_run.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from environments import ROOT
from tiny_models import ARCHITECTURES

from harness_circuits.attribution import METHODS
from harness_circuits.scores import LEVELS

UNLIKE = {"ensemble", "random"}  # the one is made of other methods, the other runs no model


def spread(cases: str, *methods: str) -> list[str]:
    """What was run, line by line."""
    folder = Path(__file__).parent
    paths = os.pathsep.join((str(ROOT), str(folder)))
    found = subprocess.run(
        [sys.executable, str(folder / "spread_run.py"), cases, *methods],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-4000:]
    return found.stdout.splitlines()


def test_discovery_and_circuits_on_two_devices() -> None:
    done = spread("llama@gpu:0", "EAP")
    wanted = {f"llama gpu:0 {what} {level}" for what in ("EAP", "circuits") for level in LEVELS}
    assert {*wanted, "llama gpu:0 mixed devices fail"} == set(done)


@pytest.mark.slow
@pytest.mark.parametrize("near", ["gpu:0", "cpu"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_methods_on_two_devices(architecture: str, near: str) -> None:
    done = spread(f"{architecture}@{near}")
    assert {line.split()[2] for line in done} == {*METHODS, "circuits", "mixed"} - UNLIKE
    assert len(done) == len(set(done))
