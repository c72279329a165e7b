"""Sweeps in several processes: killed, side by side, and with workers that die."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.sweep_files import result_files, start_sweep, write_sweep
from helpers.sweep_workers import plan_of, scheduled

from harness_circuits.commands.sweep import sweep_command
from harness_circuits.sweep import schedule
from harness_circuits.sweep.job import Outcome
from harness_circuits.sweep.local import LocalWorkers, how_it_ended
from harness_circuits.sweep.state import State


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        patch.setattr(schedule, "BUSY_PAUSE", 0.0)
        yield


def wait_for(what: str, seconds: float, ready: object) -> None:
    end = time.monotonic() + seconds
    while not ready():  # type: ignore[operator]
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.02)


def test_a_killed_sweep_loses_one_cell_and_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_sweep(tmp_path, seeds=[0, 1], methods=["EAP", "random", "EAP-IG-inputs"])
    process = start_sweep(path, "--processes", "0")
    wait_for("result", 120, lambda: len(result_files(tmp_path)) >= 2 or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output
    before = {file: file.stat().st_mtime_ns for file in result_files(tmp_path)}
    assert 2 <= len(before) < 6
    assert all(json.loads(file.read_text())["results"] for file in before)
    assert sweep_command([str(path), "--processes", "0"]) == 0
    printed = capsys.readouterr().out
    assert f"{6 - len(before)} cells done, {len(before)} present, 0 failed" in printed
    assert len(result_files(tmp_path)) == 6
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert not [path for path in (tmp_path / "results").rglob(".*.json.*")]


def test_two_sweeps_on_one_folder_share_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_sweep(tmp_path, seeds=[0, 1, 2, 3, 4], ablations=["patching", "zero"])
    other = start_sweep(path, "--processes", "0")
    wait_for("result", 120, lambda: result_files(tmp_path) or other.poll() is not None)
    ours = sweep_command([str(path), "--processes", "0"])
    printed = capsys.readouterr().out
    output, _ = other.communicate(timeout=120)
    assert (ours, other.returncode) == (0, 0), output
    done = [
        int(line.split()[0]) for line in (printed + output).splitlines() if " cells done" in line
    ]
    assert len(done) == 2
    assert sum(done) == len(result_files(tmp_path)) == 20
    assert min(done) >= 1
    for file in result_files(tmp_path):
        assert json.loads(file.read_text())["results"]


def test_a_cell_that_another_process_holds_is_left_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_sweep(tmp_path, methods="EAP")
    (job,) = plan_of(tmp_path, methods="EAP").jobs
    with State(tmp_path / "results").claim(job.identity) as ours:
        assert ours
        with State(tmp_path / "results").claim(job.identity) as again:
            assert not again
        assert sweep_command([str(path), "--processes", "0"]) == 0
    assert "0 cells done, 0 present, 0 failed, 1 being run by another" in capsys.readouterr().out
    assert result_files(tmp_path) == []
    assert sweep_command([str(path), "--processes", "0"]) == 0
    assert len(result_files(tmp_path)) == 1


def test_a_worker_that_dies_is_retried_once_and_then_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    died, done = (
        Outcome("died", 1.0, "the worker process was ended by SIGKILL"),
        Outcome("done", 1.0),
    )
    run, workers = scheduled(tmp_path, {"EAP": [died, died], "random": [died, done]})
    assert run.run() == {"failed": 1, "done": 1}
    assert [method for _, method in workers.started] == ["EAP", "EAP", "random", "random"]
    printed = capsys.readouterr().err
    assert printed.count("ended by SIGKILL; trying it again") == 2
    assert "failed: tiny · tiny_ioi · EAP" in printed
    (failure,) = State(tmp_path / "results").failures().values()
    assert (failure.error, failure.attempts) == ("the worker process was ended by SIGKILL", 2)


def test_a_killed_process_is_noticed_and_its_slot_serves_again(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, methods="EAP")
    workers = LocalWorkers(plan.setup, 1)
    try:
        workers.submit(0, plan.jobs[0])
        process, _ = workers._slots[0]
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        ((slot, outcome),) = workers.wait(60)
        assert (slot, outcome.status) == (0, "died")
        assert outcome.error.startswith("the worker process was ended by SIGKILL; the system kills")
        workers.submit(0, plan.jobs[0])
        ((_, outcome),) = workers.wait(120)
        assert outcome.status == "done", outcome
    finally:
        workers.close()
    assert len(result_files(tmp_path)) == 1
    assert not process.is_alive()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_workers_end_with_a_killed_sweep(tmp_path: Path) -> None:
    process = start_sweep(write_sweep(tmp_path, seeds=[0, 1, 2, 3, 4, 5]))
    children: list[int] = []

    def has_worker() -> bool:
        lock = list((tmp_path / "results").glob(".sweep/locks/*.lock"))
        tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
        children[:] = [int(word) for task in tasks for word in task.read_text().split()]
        return bool(lock and children) or process.poll() is not None

    wait_for("worker", 120, has_worker)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert children
    wait_for("end of the workers", 20, lambda: not any(map(is_alive, children)))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_exit_codes_are_told_as_words() -> None:
    assert how_it_ended(3) == "the worker process ended with exit code 3"
    assert how_it_ended(-signal.SIGSEGV) == "the worker process was ended by SIGSEGV"
