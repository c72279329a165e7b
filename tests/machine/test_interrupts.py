"""Signals end a command with one line, whatever the code that runs does with them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from helpers.environments import ROOT


def test_both_signals_end_a_command_that_swallows_interrupts() -> None:
    code = """
import time
from harness_circuits.machine.interrupts import ended_by_signals
with ended_by_signals("interrupted"):
    print("ready", flush=True)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            print("swallowed", flush=True)
"""
    for number, exit_code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05)
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("", "interrupted\n")
        assert process.returncode == exit_code
