"""Executor `local`: processes of this machine, so that a killed cell does not take the sweep along."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from harness_circuits.machine.interrupts import Interrupted
from harness_circuits.sweep.job import Outcome, PlannedCell, Setup
from harness_circuits.sweep.runner import Runner

NO_BARS = "TQDM_DISABLE"  # read by tqdm when it is imported
_PARENT_CHECK = 1.0  # seconds
_PATIENCE = 10.0  # seconds


class LocalWorkers:
    """Processes, each started with its first job."""

    def __init__(self, setup: Setup, n: int) -> None:
        """Make n slots."""
        self.n = n
        self._setup = setup
        self._context = multiprocessing.get_context("spawn")
        self._slots: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._busy: dict[int, float] = {}

    def submit(self, slot: int, job: PlannedCell) -> None:
        """Send a job to a slot's process."""
        if slot not in self._slots:
            ours, theirs = self._context.Pipe()
            arguments = (theirs, self._setup, os.getpid())
            process = self._context.Process(target=work, args=arguments, daemon=True)
            with quiet_bars():
                process.start()
            theirs.close()
            self._slots[slot] = (process, ours)
        self._busy[slot] = time.perf_counter()
        with suppress(OSError):  # of a process that has ended, which `wait` reports
            self._slots[slot][1].send(job)

    def wait(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Answers, and deaths."""
        busy = {slot: self._slots[slot] for slot in self._busy}
        channels = {channel: slot for slot, (_, channel) in busy.items()}
        sentinels = {process.sentinel: slot for slot, (process, _) in busy.items()}
        ready = wait([*channels, *sentinels], timeout=seconds)
        slots = {channels[x] if isinstance(x, Connection) else sentinels[x] for x in ready}  # type: ignore[index]
        return [(slot, self._outcome(slot)) for slot in sorted(slots)]

    def _outcome(self, slot: int) -> Outcome:
        process, channel = self._slots[slot]
        started = self._busy.pop(slot)
        try:
            outcome: Outcome = channel.recv()
        except (EOFError, OSError):
            process.join()
            del self._slots[slot]
            channel.close()
            return Outcome("died", time.perf_counter() - started, how_it_ended(process.exitcode))
        return outcome

    def stop(self, slot: int) -> None:
        """Kill a slot's process; the next job starts another."""
        process, channel = self._slots.pop(slot)
        del self._busy[slot]
        process.kill()
        process.join()
        channel.close()

    def close(self) -> None:
        """End the processes: idle ones by themselves, the others at once."""
        for slot, (process, channel) in self._slots.items():
            channel.close()
            if slot in self._busy:
                process.terminate()
        for process, _ in self._slots.values():
            process.join(_PATIENCE)
            process.kill()
            process.join()
        self._slots.clear()
        self._busy.clear()


@contextmanager
def quiet_bars() -> Iterator[None]:
    """Processes started meanwhile show no bars of their own: the sweep has one."""
    before = os.environ.get(NO_BARS)
    os.environ[NO_BARS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[NO_BARS]
        else:
            os.environ[NO_BARS] = before


def work(channel: Connection, setup: Setup, parent: int) -> None:
    """Run jobs until the other end closes; what a process of `LocalWorkers` does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    runner = Runner(setup)
    while True:
        try:
            job = channel.recv()
        except (EOFError, OSError):
            return
        try:
            outcome = runner.run(job)
        except Interrupted as signalled:  # learned masks are kept; the parent is ending
            sys.exit(signalled.code)
        channel.send(outcome)


def _end_with(parent: int) -> None:
    """End this process soon after its parent, even in the middle of a cell."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK)
    os._exit(1)


def how_it_ended(code: int | None) -> str:
    """An exit code as text."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; the system kills what takes too much memory" if name == "SIGKILL" else ""
        return f"the worker process was ended by {name}{hint}"
    return f"the worker process ended with exit code {code}"
