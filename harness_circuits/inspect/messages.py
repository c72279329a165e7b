"""Our errors as Inspect shows them: one line, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from inspect_ai._util.error import PrerequisiteError
from rich.markup import escape

from harness_circuits.errors import CircuitError


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn a `CircuitError` into what Inspect prints by itself: its message, and nothing else."""
    try:
        yield
    except CircuitError as error:
        raise PrerequisiteError(escape(f"harness-circuits: error: {error}")) from error
