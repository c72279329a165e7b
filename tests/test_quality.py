"""Lint, format and types, so that one command checks all there is to check."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers.environments import ROOT


def run(*command: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-1000:]


def test_ruff_finds_nothing() -> None:
    run("ruff", "check", "--no-cache", ".")


def test_ruff_would_format_nothing() -> None:
    run("ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.slow
def test_mypy_finds_nothing() -> None:
    run("mypy")
