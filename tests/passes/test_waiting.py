"""No pass waits for the device between layers, without a GPU: see waiting_run.py."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from helpers.environments import ROOT

from harness_circuits.circuits.scores import LEVELS

ARCHITECTURES = ("gpt2", "gemma2")  # two norms and two mixers; post-norms have sums of their own


@pytest.fixture(scope="module")
def run() -> list[list[str]]:
    """What was run, line by line."""
    folder = ROOT / "tests"
    paths = os.pathsep.join((str(ROOT), str(folder)))
    found = subprocess.run(
        [sys.executable, str(folder / "helpers" / "waiting_run.py"), *ARCHITECTURES],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-4000:]
    return [line.split() for line in found.stdout.splitlines()]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_reads_a_value_and_indices_are_moved_once_per_circuit(
    architecture: str, run: list[list[str]]
) -> None:
    lines = [line for line in run if line[0] == architecture]
    methods = [line for line in lines if len(line) == 3]
    assert len(methods) == 4 * len(LEVELS)
    circuits = {line[2]: [int(n) for n in line[3:]] for line in lines if line[1] == "circuits"}
    assert set(circuits) == set(LEVELS)
    for first, again, plain in circuits.values():
        # Beside what any pass takes, each of two circuits looks up its positions.
        assert again <= plain + 2 and first >= again
