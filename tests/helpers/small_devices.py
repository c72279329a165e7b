"""Real devices that are full or read-only: a tmpfs in a mount namespace of the test's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.environments import ROOT

_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")
_PREPARE = '''
import contextlib, io, subprocess, sys
from harness_circuits.commands.main import main

def mount(options, folder, kind="tmpfs"):
    subprocess.run(["mount", "-t", kind, "-o", options, kind, folder], check=True)

def fill(folder):
    with contextlib.suppress(OSError), open(f"{folder}/filler", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass

def run(*arguments):
    """Code and output of a command."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = main(arguments)
        except SystemExit as error:
            code = 1 if isinstance(error.code, str) else error.code
            out.write(f"{error.code}\\n")
    return code, out.getvalue()
'''


def on_a_device(code: str, folder: Path, *arguments: str) -> str:
    """Run Python in a process that may mount devices, with `mount`, `fill` and `run` defined.

    Args:
        code: What is run; its `sys.argv[1]` is the folder.
        folder: Where it may mount something; made here.
        *arguments: More for `sys.argv`.

    Returns:
        What it prints. The test is skipped where the system lets nobody mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probe = [*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("needs a system where `unshare --user --mount` may mount a tmpfs")
    command = [*_UNSHARE, sys.executable, "-c", _PREPARE + code, str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
