"""What to say where the extra `report` is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness_circuits.errors import OptionError
from harness_circuits.machine.extras import how_to_install


@contextmanager
def needs_report() -> Iterator[None]:
    """Turn a failed import of plotly or matplotlib into advice.

    Raises:
        OptionError: One is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise OptionError(
            f"{error.name} is not installed. Pages and drawings need the extra `report`: "
            f"{how_to_install('report')}"
        ) from error
