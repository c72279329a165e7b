"""Sweeps that are interrupted, hang, or cannot write."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.small_devices import on_a_device
from helpers.sweep_files import result_files, start_sweep, sweep_data, write_sweep
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.commands.sweep import sweep_command
from harness_circuits.errors import OptionError
from harness_circuits.formats import load_circuit_file
from harness_circuits.records.results_file import read_results
from harness_circuits.sweep.config import SweepConfig
from harness_circuits.sweep.identity import cell_identity, unplanned_identity
from harness_circuits.sweep.job import Outcome
from harness_circuits.sweep.local import LocalWorkers
from harness_circuits.sweep.plan import make_plan
from harness_circuits.sweep.runner import Runner
from harness_circuits.sweep.schedule import Schedule
from harness_circuits.sweep.state import State
from harness_circuits.sweep.view import View


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        yield


@pytest.mark.parametrize("seconds", [0.7, 2.5])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_planning_records_nothing(
    tmp_path: Path, seconds: float, number: int, code: int
) -> None:
    process = start_sweep(write_sweep(tmp_path, seeds=list(range(9))))
    while not _handles_signals(process.pid):
        time.sleep(0.02)
    time.sleep(seconds)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert output.count("interrupted") == 1
    assert "Traceback" not in output
    assert result_files(tmp_path) == []
    assert State(tmp_path / "results").failures() == {}


def _handles_signals(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM, as /proc tells."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (caught,) = (line.split()[1] for line in lines if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_records_of_refused_cells_go_when_they_can_be_run(tmp_path: Path) -> None:
    other = tmp_path / "other"
    path = write_sweep(tmp_path, models=[str(other)], methods="EAP")
    assert sweep_command([str(path), "--processes", "0"]) == 1
    assert len(State(tmp_path / "results").failures()) == 1
    save_tiny_model(other, "llama")
    assert sweep_command([str(path), "--processes", "0"]) == 0
    assert State(tmp_path / "results").failures() == {}


def test_leftovers_of_killed_writes_go_at_the_next_start(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, methods="random")
    leftover = tmp_path / "results" / "gone" / ".cell.json.0123.partial"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    assert sweep_command([str(path), "--processes", "0"]) == 0
    assert not leftover.exists()


def test_a_cell_that_hangs_is_ended_and_the_slot_goes_on(tmp_path: Path) -> None:
    """Where the first cell's result would be is a pipe that nobody writes to.

    The limit is over when the worker waits at the pipe: no clock is asked, which a busy machine bends.
    """
    data = sweep_data(tmp_path, methods=["random"], seeds=[0, 1])
    plan = make_plan(SweepConfig.from_dict(data))
    first, second = plan.jobs
    assert Runner(plan.setup).run(second).status == "done"
    pipe = tmp_path / "results" / first.file
    os.mkfifo(pipe)  # where its result would be, which a worker looks at first
    state = State(tmp_path / "results")

    writers: list[int] = []

    class Watched(LocalWorkers):
        def wait(self, seconds: float) -> list[tuple[int, Outcome]]:
            answers = super().wait(0.1)
            try:  # who opens it to write, without waiting, is refused while nobody reads
                writers.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                run.longest = None
            else:
                run.longest = 0.0
            return answers

    workers = Watched(plan.setup, 1)
    try:
        run = Schedule(state, workers, View(2, 0.0, 1), [first, second])
        assert run.run() == {"failed": 1, "present": 1}
    finally:
        workers.close()
        for writer in writers:
            os.close(writer)
    (failure,) = state.failures().values()
    assert failure.error == "ended after cell_timeout=0 seconds"
    assert result_files(tmp_path) == sorted([pipe, tmp_path / "results" / second.file])


def test_a_time_limit_needs_processes(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, cell_timeout=10)
    with pytest.raises(OptionError, match="cell_timeout=10: --processes 0"):
        sweep_command([str(path), "--processes", "0"])
    with pytest.raises(OptionError, match="cell_timeout"):
        SweepConfig.from_dict(sweep_data(tmp_path, cell_timeout="soon"))


def test_results_that_cannot_be_written_are_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = write_sweep(tmp_path, results=str(tmp_path / "file"))
    with pytest.raises(
        OptionError, match=r"results=.*file: .*file/.sweep cannot be written: Not a directory"
    ):
        sweep_command([str(path), "--processes", "0"])


def test_what_cannot_be_written_stops_no_other_cell_and_is_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file where the locks, then where the failures and results belong."""
    path = write_sweep(tmp_path, methods=["random"], seeds=[0, 1])
    state = tmp_path / "results" / ".sweep"
    state.mkdir(parents=True)
    for name in ("locks", "failures"):
        (state / name).touch()
    assert sweep_command([str(path), "--processes", "0"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("not recorded: ") == 2
    assert "0 cells done, 0 present, 2 failed" in captured.out
    assert "Traceback" not in captured.err + captured.out
    for name in ("locks", "failures"):
        (state / name).unlink()
    assert sweep_command([str(path), "--processes", "0"]) == 0
    assert len(result_files(tmp_path)) == 2


def test_a_result_that_was_changed_is_refused_and_made_again(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, methods="random")
    assert sweep_command([str(path), "--processes", "0"]) == 0
    (file,) = result_files(tmp_path)
    data = json.loads(file.read_text())
    assert len(read_results([file]).runs) == 1
    scores = file.with_suffix("") / "tiny_ioi" / "scores.json"
    load_circuit_file(scores)
    scores.write_text(scores.read_text() + " ")
    with pytest.raises(Exception, match=r"scores\.json is damaged or was changed"):
        load_circuit_file(scores)
    data["config"]["circuit"]["load_seconds"] = 1e6
    file.write_text(json.dumps(data))
    assert "config.circuit.checksum" in read_results([file]).skipped[0][1]
    assert sweep_command([str(path), "--processes", "0"]) == 0
    assert len(read_results([file]).runs) == 1
    del data["config"]["circuit"]["checksum"]
    file.write_text(json.dumps(data))
    assert len(read_results([file]).runs) == 1


def test_a_record_of_a_refused_cell_has_one_name_in_all_versions(tmp_path: Path) -> None:
    """A result belongs to a version; a refusal is cleared by whichever version can run the cell."""
    (job, *_) = make_plan(SweepConfig.from_dict(sweep_data(tmp_path))).jobs
    names = []
    for version in ("1.0", "2.0"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("harness_circuits.sweep.identity.__version__", version)
            names.append((unplanned_identity(job.cell), cell_identity(job.cell, "m", "p", None)))
    (old_record, old_result), (new_record, new_result) = names
    assert old_record == new_record
    assert old_result != new_result


ON_A_DEVICE = """
import json
folder, sweep = sys.argv[1:]
for options in ("size=32k", "remount,size=96k", "remount,size=64m"):
    mount(options, folder)
    print(json.dumps(run("sweep", sweep, "--processes", "0")))
"""


def test_a_device_that_fills_up_ends_with_exit_1_and_is_mended_by_the_next_start(
    tmp_path: Path,
) -> None:
    """Nothing fits; then one cell does; then both do."""
    path = write_sweep(tmp_path, methods=["random"], seeds=[0, 1])
    printed = on_a_device(ON_A_DEVICE, tmp_path / "results", str(path))
    full, small, large = (json.loads(line) for line in printed.splitlines() if line[0] == "[")
    assert full[0] == small[0] == 1
    assert "cannot be written: No space left on device. Free some space" in full[1]
    assert "[2/2] failed: " in small[1]
    assert "No space left on device. Free some space" in small[1]
    assert large[0] == 0
    assert "Traceback" not in full[1] + small[1] + large[1]
