"""Signals end a command with one line, whatever the code that runs does with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.environments import ROOT

from harness_circuits.machine.interrupts import SIGNALS, noted


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


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_handlers_come_back(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with noted() as found:
        assert found.number is None
        os.kill(os.getpid(), number)
        assert found.number == number
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_a_second_signal_ends_the_process() -> None:
    code = """
import os, signal
from harness_circuits.machine.interrupts import noted
with noted():
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("never", flush=True)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (130, "still here\n")
    assert run.stderr == "stopping behind this step; once more to end at once\n"


def test_what_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with noted() as found:
            os.kill(os.getpid(), signal.SIGINT)
            assert found.number is None
    finally:
        signal.signal(signal.SIGINT, before)
