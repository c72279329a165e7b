"""A bar's own terminal: what this process, its loggers and its children write stays whole lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import termios

from helpers.environments import ROOT

PROGRAM = """
import logging, os, subprocess, sys, time
from harness_circuits.sweep.view import View

handler = logging.StreamHandler()  # holds the stderr of its making, as lm-eval's do
log = logging.getLogger("somebody")
log.addHandler(handler)
view = View(2, 0.0, 1)
child = "import sys, time\\n"
child += "for x in ('child', ' wrote this', chr(10)):"
child += " sys.stderr.write(x), sys.stderr.flush(), time.sleep(.1)"
process = subprocess.Popen([sys.executable, "-c", child])
while process.poll() is None:
    view.show([])
    time.sleep(0.02)
log.warning("logged by us")
os.write(1, b"another bar 1%\\ranother bar 9%\\r")
os.write(1, b"printed by C")
view.close()
print("after")
"""
CLEAR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def test_lines_are_not_torn_by_the_bar() -> None:
    reading, writing = os.openpty()
    termios.tcsetwinsize(writing, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=writing, stderr=writing, close_fds=True
    )
    os.close(writing)
    found = b""
    while True:
        try:
            part = os.read(reading, 65536)
        except OSError:  # how a terminal ends
            break
        if not part:
            break
        found += part
    os.close(reading)
    assert process.wait() == 0
    text = CLEAR.sub("", found.decode()).replace("\r\n", "\n")
    lines = [line.rpartition("\r")[2].strip() for line in text.split("\n")]
    for expected in ("child wrote this", "logged by us", "printed by C", "after"):
        assert expected in lines, text
    assert "cells" in text and "another bar" not in text
