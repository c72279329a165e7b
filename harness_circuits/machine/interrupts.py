"""What Ctrl-C and SIGTERM do to a command: end it, with one line and the exit code that shells expect.

Libraries swallow `KeyboardInterrupt` or turn it into errors of their own: imports, tokenizers, data sets.
So the signal's handler itself ends the process, unless the code that runs is ours and has to stop
workers: that asks for the exception with `in_order`. A second signal ends the process in any case.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

GO_ON = "interrupted; start the same command again to go on"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BY_SIGNAL = 128  # exit codes of what a signal ended, as the shell has them


class Interrupted(KeyboardInterrupt):
    """The first signal, where it is asked for as an exception."""

    def __init__(self, number: int) -> None:
        """Say which signal it was."""
        super().__init__(signal.Signals(number).name)
        self.code = _BY_SIGNAL + number


@contextmanager
def ended_by_signals(line: str) -> Iterator[None]:
    """Have SIGINT and SIGTERM end the process at once, from within any code.

    Nothing is unwound: files are whole or absent all the same (`machine.files`), and locks go with the
    process. Does nothing outside the main thread, which alone hears signals.

    Args:
        line: What is said on stderr.
    """

    def end(number: int, frame: FrameType | None) -> NoReturn:
        _say(line)
        os._exit(_BY_SIGNAL + number)

    with _handled_by(end):
        yield


@contextmanager
def in_order() -> Iterator[None]:
    """Have the first signal raise `Interrupted`, and a second one end the process."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for each in SIGNALS:
            signal.signal(each, lambda number, frame: os._exit(_BY_SIGNAL + number))
        raise Interrupted(number)

    with _handled_by(stop):
        yield


@dataclass
class Noted:
    """A signal that came while `noted` was in force.

    Attributes:
        number: Which one; None so far.
    """

    number: int | None = None


@contextmanager
def noted() -> Iterator[Noted]:
    """Have the first signal be noted, for code that ends between two steps; a second ends the process.

    A signal that was ignored (a worker's Ctrl-C is its parent's business) stays ignored.
    """
    found = Noted()
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def note(number: int, frame: FrameType | None) -> None:
        for each in heard:
            signal.signal(each, lambda number, frame: os._exit(_BY_SIGNAL + number))
        found.number = number
        _say("stopping behind this step; once more to end at once")

    with _handled_by(note, heard):
        yield found


@contextmanager
def _handled_by(handler: object, numbers: Sequence[signal.Signals] = SIGNALS) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)


def _say(line: str) -> None:
    """Write without Python's buffers, which the interrupted code may hold."""
    try:
        os.write(2, f"{line}\n".encode())
    except OSError:  # nobody listens any more
        return
