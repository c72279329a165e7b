"""What we bring to lm-eval beside the model: the task folder, and errors that people can read."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness_circuits.errors import CircuitError
from harness_circuits.machine.interrupts import Interrupted


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn a `CircuitError` into its message on stderr and exit code 1.

    A run that a signal ended in order has said so itself: its exit code is the shell's for the signal.

    With lm-eval's log level at DEBUG (`LMEVAL_LOG_LEVEL=DEBUG`) the error passes through, so that
    Python prints the traceback. Every other exception passes through as it is.
    """
    try:
        yield
    except Interrupted as signal:
        sys.exit(signal.code)
    except CircuitError as error:
        if logging.getLogger("lm_eval").isEnabledFor(logging.DEBUG):
            raise
        sys.exit(f"harness-circuits: error: {error}")


def tasks_folder() -> Path:
    """Return the folder of the circuit tasks, in a checkout or in an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_tasks"
    return installed if installed.is_dir() else package.parent / "tasks"
