"""How far a stage is and the time left: a bar where somebody watches, else a log line now and then."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from tqdm import tqdm

from harness_circuits.machine.notebook import in_notebook

logger = logging.getLogger("lm_eval.circuit")

SECONDS_BETWEEN_LINES = 10.0

Tell = Callable[[str, str], object]  # takes a stage and how far it is
_tell: ContextVar[Tell | None] = ContextVar("tell", default=None)
_parts: ContextVar[tuple[str, ...]] = ContextVar("parts", default=())


@contextmanager
def told_by(tell: Tell) -> Iterator[None]:
    """Within this context stages are told to a function, about once a second, and not shown here."""
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


@contextmanager
def within(part: str) -> Iterator[None]:
    """Within this context stages are named as stages of a part: `evidence=necessity, evaluation`."""
    token = _parts.set((*_parts.get(), part))
    try:
        yield
    finally:
        _parts.reset(token)


class Progress(Protocol):
    """What a stage tells."""

    def advance(self, n: int) -> None:
        """So many more units are done."""

    def alive(self) -> None:
        """A pass has ended, within a unit or with it."""

    def note(self, text: str) -> None:
        """What is to stand behind the numbers from now on."""


@contextmanager
def progress(
    total: int, what: str, unit: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """Show how far a stage is; where no notebook is, only if lm-eval's log level lets it be told.

    Args:
        total: Units of the whole stage.
        what: The stage.
        unit: What is counted, in the plural.
        clock: Seconds since any moment.
    """
    tell, what = _tell.get(), ", ".join((*_parts.get(), what))
    if tell is not None:
        say = lambda line: tell(*line.split(": ", 1))  # noqa: E731
        yield ProgressLines(total, what, unit, clock=clock, say=say, every=1.0)
        return
    if in_notebook():
        with _notebook_bar(total=total, desc=what, unit=f" {unit}", leave=False) as bar:
            yield _Bar(bar)
        return
    told = logging.getLogger("lm_eval").isEnabledFor(logging.INFO)
    if told and not sys.stderr.isatty():
        lines = ProgressLines(total, what, unit, clock=clock)
        yield lines
        lines.end()
        return
    with tqdm(total=total, desc=what, unit=f" {unit}", disable=not told) as bar:
        yield _Bar(bar)


def _notebook_bar(**how: Any) -> tqdm:
    """A bar of the notebook's, if it has any, else one of text."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        from tqdm.auto import tqdm as bar

        return bar(**how)


class _Bar:
    """A bar of tqdm's."""

    def __init__(self, bar: tqdm) -> None:
        self.bar, self.shown = bar, time.monotonic()

    def advance(self, n: int) -> None:
        self.bar.update(n)

    def alive(self) -> None:
        if (now := time.monotonic()) - self.shown >= 1:  # else of every pass of a tiny model
            self.shown = now
            self.bar.refresh()

    def note(self, text: str) -> None:
        self.bar.set_postfix_str(text, refresh=False)


class ProgressLines:
    """Log lines, at most one every so often: what, done, of how many, time so far and left."""

    def __init__(
        self,
        total: int,
        what: str,
        unit: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], object] = logger.info,
        every: float = SECONDS_BETWEEN_LINES,
    ) -> None:
        """Start the clock.

        Args:
            total: Units of the whole stage.
            what: The stage.
            unit: What is counted, in the plural.
            clock: Seconds since any moment.
            say: Takes a line.
            every: Seconds between two lines.
        """
        self.total, self.what, self.unit = total, what, unit
        self.done = self.passes = 0
        self._note = ""
        self._clock, self._say, self._every = clock, say, every
        self._start = self._last = clock()

    def advance(self, n: int) -> None:
        """So many more units are done; says so if the last line is old enough."""
        self.done += n
        self._say_now_and_then()

    def alive(self) -> None:
        """A pass has ended: where units take long, passes show that something happens."""
        self.passes += 1
        self._say_now_and_then()

    def note(self, text: str) -> None:
        """What is to stand behind the numbers from now on."""
        self._note = f", {text}"

    def end(self) -> None:
        """Say how long it took, if anything was said before."""
        if self._last != self._start:
            took = tqdm.format_interval(self._clock() - self._start)
            done = f"{self.done} of {self.total} {self.unit} in {took}"
            self._say(f"{self.what}: {done}{self._note}")

    def _say_now_and_then(self) -> None:
        now = self._clock()
        if now - self._last < self._every or self.done >= self.total:
            return
        self._last = now
        so_far, left = now - self._start, "time left not known yet"
        if self.done:
            rest = so_far / self.done * (self.total - self.done)
            left = f"about {tqdm.format_interval(rest)} left"
        plural = "" if self.passes == 1 else "es"
        passes = f" ({self.passes} pass{plural})" if self.passes else ""
        self._say(
            f"{self.what}: {self.done} of {self.total} {self.unit}{passes}, "
            f"{tqdm.format_interval(so_far)} so far, {left}{self._note}"
        )
