"""What a sweep shows while it is running: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TextIO

from tqdm import tqdm

from harness_circuits.errors import CircuitError
from harness_circuits.machine.outgoing import clean
from harness_circuits.machine.terminal import OwnTerminal
from harness_circuits.sweep.job import Outcome, PlannedCell

WORDS = {
    "done": "done",
    "failed": "failed",
    "present": "done by another sweep",
    "busy": "being run by another sweep",
}


class View:
    """Cells done, failed and running, and the time left."""

    def __init__(self, total: int, cost: float, slots: int, stream: TextIO | None = None) -> None:
        """Begin.

        Args:
            total: Number of jobs.
            cost: Their estimated cost altogether, in any unit.
            slots: How many run at a time.
            stream: Where to write; by default stderr.
        """
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._own = OwnTerminal(self.note) if self._terminal and stream is None else None
        self._stream = self._stream if self._own is None else self._own.stream
        self._total, self._cost, self._slots = total, cost, slots
        self._ended: Counter[str] = Counter()
        self._done_cost, self._busy_seconds = 0.0, 0.0
        self._started = time.perf_counter()
        form = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
        self._bar = tqdm(
            total=total,
            desc="cells",
            file=self._stream,
            disable=not self._terminal,
            dynamic_ncols=True,
            bar_format=form,
        )
        if self._own is not None:
            self._own.take()

    def show(self, running: Iterable[PlannedCell]) -> None:
        """Bring the bar up to date."""
        if not self._terminal:
            return
        labels = [f"{job.cell.task} {job.cell.value('method').label}" for job in running]
        shown = f"{self._ended['failed']} failed, {len(labels)} running"
        shown += f": {'; '.join(labels[:2])}" if labels else ""
        self._bar.set_postfix_str(f"{shown}, {self._left()}", refresh=True)

    def ended(self, job: PlannedCell, outcome: Outcome) -> None:
        """Tell that a job ended for good."""
        self._ended[outcome.status] += 1
        if outcome.status in ("done", "failed"):
            self._done_cost += self._weight(job)
            self._busy_seconds += outcome.seconds
        else:
            self._cost -= job.cost
        self._bar.update(1)
        text = f"{WORDS[outcome.status]}: {job.cell.label}"
        if outcome.status in ("done", "failed"):
            text += f", {duration(outcome.seconds)}"
        text += f": {outcome.error}" if outcome.error else ""
        self.note(f"[{sum(self._ended.values())}/{self._total}] {text} ({self._left()})")

    def note(self, text: str) -> None:
        """Write a line; in a terminal, above the bar."""
        if self._terminal:
            self._bar.write(clean(text), file=self._stream)
        else:
            self._stream.write(f"{clean(text)}\n")
            self._stream.flush()

    def try_to_record(self, write: Callable[[], None]) -> None:
        """Write a record; say so if that is not possible, and go on."""
        try_to_record(write, self.note)

    def close(self) -> None:
        """Leave the bar as it is, after what the workers wrote last."""
        if self._own is not None:
            self._own.give_back()
        self._bar.close()
        if self._own is not None:
            self._own.stream.close()

    def _weight(self, job: PlannedCell) -> float:
        return job.cost or self._cost / max(1, self._total)

    def _left(self) -> str:
        """Time left, from the speed so far, in proportion to the estimated costs."""
        left = self._total - sum(self._ended.values())
        if not left:
            return f"finished after {duration(time.perf_counter() - self._started)}"
        if not self._busy_seconds:
            return "time left unknown"
        finished = self._ended["done"] + self._ended["failed"]
        if self._done_cost and self._cost > self._done_cost:
            busy = self._busy_seconds * (self._cost - self._done_cost) / self._done_cost
        else:
            busy = self._busy_seconds / finished * left
        return f"{duration(busy / min(self._slots, left))} left"


def try_to_record(write: Callable[[], None], say: Callable[[str], None]) -> None:
    """Write a record; say so if that is not possible, and go on."""
    try:
        write()
    except CircuitError as error:
        say(f"not recorded: {error}")


def duration(seconds: float) -> str:
    """Time for people: `4.2 s`, `3:07 min`, `2:05 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"
