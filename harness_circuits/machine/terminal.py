"""A terminal that a bar has for itself: what others write to it comes line by line, above the bar."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from typing import TextIO

OUTPUTS = (1, 2)  # file descriptors of what programs print and of what they say
PATIENCE = 0.1  # seconds between two looks at whether it is over
MOST = 65536  # bytes read at once


class OwnTerminal:
    """The terminal behind stderr; this process's and its children's output goes to `write` by lines.

    File descriptors are redirected, so that libraries, loggers and child processes need not know. What
    ends in a carriage return, as other bars do, is left out.

    Attributes:
        stream: Writes to the terminal.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        """Find the terminal; nothing is redirected before `take`.

        Args:
            write: Called with each line, from a thread.
        """
        self._write = write
        self.stream: TextIO = os.fdopen(os.dup(2), "w", buffering=1)

    def take(self) -> None:
        """Redirect the outputs that are terminals."""
        self._saved = {fd: os.dup(fd) for fd in OUTPUTS if os.isatty(fd)}
        self._reading, writing = os.pipe()
        for fd in self._saved:
            (sys.stdout if fd == 1 else sys.stderr).flush()
            os.dup2(writing, fd)
        os.close(writing)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def give_back(self) -> None:
        """Write what is left and put the outputs back where they were."""
        for fd, saved in self._saved.items():
            (sys.stdout if fd == 1 else sys.stderr).flush()
            os.dup2(saved, fd)
            os.close(saved)
        self._over.set()
        self._thread.join()
        os.close(self._reading)

    def _pump(self) -> None:
        rest = b""
        while True:
            over = self._over.is_set()  # before the look, so that nothing is missed
            ready, _, _ = select.select([self._reading], [], [], 0 if over else PATIENCE)
            found = os.read(self._reading, MOST) if ready else b""
            *lines, rest = (rest + found).split(b"\n")
            for line in lines:
                self._line(line)
            if over and not found:
                self._line(rest)
                return

    def _line(self, line: bytes) -> None:
        text = line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")
        if text.strip():
            self._write(text)
