"""Executor `ray`: actors on a local or an existing Ray cluster, one cell at a time each."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from harness_circuits.errors import OptionError
from harness_circuits.machine.extras import how_to_install
from harness_circuits.sweep.job import Outcome, PlannedCell, Setup
from harness_circuits.sweep.local import NO_BARS
from harness_circuits.sweep.runner import Runner


class RayRunner:
    """A `Runner` in an actor. Paths are as they are for the sweep, if its folder is there too."""

    def __init__(self, setup: Setup, folder: str) -> None:
        """Go to the sweep's folder."""
        if os.path.isdir(folder):
            os.chdir(folder)
        self._runner = Runner(setup)

    def run(self, job: PlannedCell) -> Outcome:
        """Run a job."""
        return self._runner.run(job)

    def process(self) -> int:
        """Its process id."""
        return os.getpid()


class RayWorkers:
    """Actors, each started with its first job, and anew after a death."""

    def __init__(
        self,
        setup: Setup,
        n: int | None = None,
        *,
        address: str | None = None,
        cpus: float = 1,
        gpus: float = 0,
    ) -> None:
        """Connect to a cluster, or start one on this machine.

        Args:
            setup: What all jobs share.
            n: Actors at most; by default as many as the cluster has room for.
            address: An existing cluster, as in `ray.init`; None for a local one.
            cpus: CPUs that an actor takes.
            gpus: GPUs that an actor takes.

        Raises:
            OptionError: Ray is not installed, the cluster cannot be reached, or has no room.
        """
        self._ray = _import_ray()
        self._connect(address, n, cpus, gpus)
        room = self._room(cpus, gpus)
        if room < 1:
            self.close()
            raise OptionError(
                f"No worker with {cpus:g} CPUs and {gpus:g} GPUs fits into the Ray cluster."
            )
        self.n = room if n is None else min(n, room)
        self._setup = setup
        quiet = {"env_vars": {NO_BARS: "1"}}
        remote = self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0, runtime_env=quiet)
        self._actor = remote(RayRunner)
        self.actors: dict[int, Any] = {}
        self._running: dict[Any, tuple[int, float]] = {}

    def _connect(self, address: str | None, n: int | None, cpus: float, gpus: float) -> None:
        self._ours = not self._ray.is_initialized()
        if not self._ours:
            return
        size: dict[str, Any] = {"address": address}
        _check_that_something_listens(address)
        if address is None:
            size = {"include_dashboard": False}
            if n is not None:
                size["num_cpus"] = max(1, -(-n * cpus // 1))
        try:
            self._ray.init(log_to_driver=False, logging_level="warning", **size)
        except (Exception, SystemExit) as error:  # Ray exits where a cluster does not answer
            raise OptionError(
                f"Ray cannot be reached at {address or 'this machine'}: {error}. Clusters with "
                "token authentication need its token here too (RAY_AUTH_TOKEN_PATH)."
            ) from error

    def _room(self, cpus: float, gpus: float) -> int:
        have = self._ray.cluster_resources()
        rooms = [have.get("CPU", 0) / cpus] if cpus else []
        rooms += [have.get("GPU", 0) / gpus] if gpus else []
        return int(min(rooms)) if rooms else 1

    def submit(self, slot: int, job: PlannedCell) -> None:
        """Send a job to a slot's actor."""
        if slot not in self.actors:
            self.actors[slot] = self._actor.remote(self._setup, os.getcwd())
        reference = self.actors[slot].run.remote(job)
        self._running[reference] = (slot, time.perf_counter())

    def wait(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Answers, and deaths."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [self._outcome(reference) for reference in ready]

    def _outcome(self, reference: Any) -> tuple[int, Outcome]:
        slot, started = self._running.pop(reference)
        try:
            return slot, self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self.actors.pop(slot)
            text = " ".join(str(error).split())
            seconds = time.perf_counter() - started
            return slot, Outcome("died", seconds, f"the Ray worker ended: {text[:300]}", str(error))

    def stop(self, slot: int) -> None:
        """Kill a slot's actor; the next job starts another."""
        self._ray.kill(self.actors.pop(slot))
        self._running = {key: value for key, value in self._running.items() if value[0] != slot}

    def close(self) -> None:
        """End the actors, and a cluster that was started here."""
        for actor in getattr(self, "actors", {}).values():
            self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()


def _check_that_something_listens(address: str | None) -> None:
    """Refuse a wrong address at once, where Ray would try for two minutes.

    Raises:
        OptionError: Nothing listens at `host:port` or `ray://host:port`.
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():  # such as `auto`
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise OptionError(f"Ray cannot be reached at {address}: {error}.") from error


def _import_ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise OptionError(
            f"--executor ray needs Ray: {how_to_install('ray')} , or use --executor local."
        ) from error
    return ray
