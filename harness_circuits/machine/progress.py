"""Progress bars with time left, shown only where somebody watches."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress(total: int, what: str, unit: str) -> Iterator[Callable[[int], object]]:
    """Show a bar and yield the function that advances it.

    Silent when stderr is not a terminal, or when lm-eval's log level hides informational messages.
    """
    quiet = not sys.stderr.isatty() or not logging.getLogger("lm_eval").isEnabledFor(logging.INFO)
    with tqdm(total=total, desc=what, unit=f" {unit}", disable=quiet) as bar:
        yield bar.update
