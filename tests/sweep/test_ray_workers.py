"""A sweep on a real local Ray with two workers, one of which dies."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.environments import ROOT
from helpers.sweep_files import result_files, sweep_data, write_sweep

from harness_circuits.commands.sweep import sweep_command
from harness_circuits.errors import OptionError
from harness_circuits.sweep import ray_workers
from harness_circuits.sweep.config import SweepConfig
from harness_circuits.sweep.job import Outcome, Setup
from harness_circuits.sweep.plan import make_plan
from harness_circuits.sweep.ray_workers import RayWorkers
from harness_circuits.sweep.schedule import Schedule
from harness_circuits.sweep.state import State
from harness_circuits.sweep.view import View


@pytest.fixture
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray starts its workers with niceness 15: on a machine with other work, they get nowhere."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


def test_without_ray_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(OptionError, match=r'pip install -e ".*\[ray\]"'):
        sweep_command([str(write_sweep(tmp_path)), "--executor", "ray"])


@pytest.mark.slow
def test_two_ray_workers_share_a_sweep_and_a_dead_one_is_replaced(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    busy_machine: None,
) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    plan = make_plan(SweepConfig.from_dict(sweep_data(tmp_path, seeds=[0, 1, 2])))
    workers = RayWorkers(plan.setup, 2)
    killed: list[int] = []

    class Killing:
        """The same workers, whose first one is killed as soon as it is there."""

        n = workers.n
        wait, close = workers.wait, workers.close

        def submit(self, slot: int, job: object) -> None:
            if not killed:
                workers.actors[slot] = workers._actor.remote(workers._setup, os.getcwd())
                killed.append(workers._ray.get(workers.actors[slot].process.remote()))
                os.kill(killed[0], signal.SIGKILL)
            workers.submit(slot, job)  # type: ignore[arg-type]

    try:
        assert workers.n == 2
        view = View(len(plan.jobs), 0.0, 2)
        state = State(tmp_path / "results")
        counts = Schedule(state, Killing(), view, list(plan.jobs)).run()
    finally:
        workers.close()
    assert killed
    assert counts == {"done": 6}
    assert "the Ray worker ended" in capsys.readouterr().err
    assert len(result_files(tmp_path)) == 6
    assert all(json.loads(file.read_text())["results"] for file in result_files(tmp_path))
    assert not ray_workers._import_ray().is_initialized()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One Ray for the tests that need none of their own."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_worker_niceness", "0")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    yield made
    made.shutdown()


@pytest.mark.slow  # starts Ray
def test_a_worker_that_hangs_is_stopped_and_its_slot_serves_again(
    monkeypatch: pytest.MonkeyPatch, cluster: Any
) -> None:
    """What `cell_timeout` does with Ray: the actor's process ends, and the next job starts another."""

    class Sleeper:  # within a function, so that it is sent to the actor as it is
        def __init__(self, setup: Any, folder: str) -> None:
            pass

        def run(self, seconds: Any) -> Outcome:
            time.sleep(seconds)
            return Outcome("done", seconds)

        def process(self) -> int:
            return os.getpid()

    monkeypatch.setattr(ray_workers, "RayRunner", Sleeper)
    workers: Any = RayWorkers(Setup("x", (), (), {}, None), 1, address=cluster.address)
    try:
        workers.submit(0, 0.0)
        assert [(slot, out.status) for slot, out in workers.wait(60)] == [(0, "done")]
        process = workers._ray.get(workers.actors[0].process.remote())
        workers.submit(0, 600.0)
        assert workers.wait(0.2) == []
        workers.stop(0)
        assert workers.wait(0) == []
        workers.submit(0, 0.0)
        assert [(slot, out.status) for slot, out in workers.wait(60)] == [(0, "done")]
        assert workers._ray.get(workers.actors[0].process.remote()) != process
        assert not Path(f"/proc/{process}").exists() or "Z" in state_of(process)
    finally:
        workers.close()


def state_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.slow  # starts Ray
def test_the_command_runs_on_a_cluster_that_is_there_and_leaves_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cluster: Any
) -> None:
    path, address = write_sweep(tmp_path), cluster.address
    on_it = ["--executor", "ray", "--ray-address", address]
    assert sweep_command([str(path), *on_it, "--processes", "2"]) == 0
    assert "2 cells done, 0 present, 0 failed" in capsys.readouterr().out
    setup = make_plan(SweepConfig.from_dict(sweep_data(tmp_path))).setup
    with pytest.raises(OptionError, match="No worker with 999 CPUs and 0 GPUs fits"):
        RayWorkers(setup, address=address, cpus=999)
    assert cluster.list_all_nodes()
    cluster.shutdown()
    with pytest.raises(OptionError, match=f"Ray cannot be reached at {address}: .*refused"):
        RayWorkers(setup, address=address)
