"""Two processes share a run, and find what one process finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import rank_runs
from helpers.environments import ROOT
from helpers.ordinary_tasks import write_ordinary_tasks
from helpers.tiny_tasks import TASK, documents, write_task
from helpers.tiny_tokenizer import save_tiny_model
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.machine import ranks
from harness_circuits.machine.ranks import ALONE, Ranks, join_processes


def launched(
    processes: int, *command: str | Path, seconds: int = 300, accelerate: bool = False
) -> Any:
    """Run a program under torchrun or accelerate, or plainly for one process."""
    launcher = [sys.executable]
    if accelerate:
        launcher += ["-m", "accelerate.commands.launch", "--multi_gpu"]
        launcher += ["--num_processes", str(processes), "--main_process_port", "0"]
    elif processes > 1:
        launcher += ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
        launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
    return subprocess.run(
        [*launcher, *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, model: Path) -> dict[int, Path]:
    """Folders with the results of one and of two processes."""
    folders = {}
    for processes in (1, 2):
        folders[processes] = tmp_path_factory.mktemp(f"runs{processes}")
        done = launched(processes, rank_runs.__file__, folders[processes], model)
        assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.parametrize("name", rank_runs.RUNS)
def test_two_processes_find_what_one_finds(found: dict[int, Path], name: str) -> None:
    alone, first, second = (
        np.load(found[processes] / f"{name}.{rank}.npz")
        for processes, rank in ((1, 0), (2, 0), (2, 1))
    )
    assert set(alone) == set(first) == set(second)
    assert np.abs(alone["scores"]).max() > 0
    for key in alone:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)
        if alone[key].dtype.kind == "f":
            np.testing.assert_allclose(first[key], alone[key], rtol=1e-5, atol=1e-7, err_msg=key)
        else:
            np.testing.assert_array_equal(first[key], alone[key], err_msg=key)


def test_a_process_that_fails_takes_the_others_along(tmp_path: Path, model: Path) -> None:
    done = launched(2, rank_runs.__file__, tmp_path, model, "fail", seconds=100)
    assert done.returncode != 0
    assert (
        "RankError: Stopped because of process 1: ValueError: this process has had" in done.stderr
    )


def test_a_process_that_is_killed_ends_the_run(tmp_path: Path, model: Path) -> None:
    done = launched(2, rank_runs.__file__, tmp_path, model, "die", seconds=100)
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert not list(tmp_path.iterdir())


def lm_eval(
    processes: int,
    arguments: str,
    tasks: Path,
    out: Path,
    *,
    names: str = TASK,
    accelerate: bool = False,
) -> dict[str, Any]:
    """The results that lm-eval writes."""
    out.mkdir(parents=True)
    done = launched(
        processes,
        *("-m", "helpers.small_lm_eval"),
        *("--model", "circuit", "--model_args", f"{arguments},artifacts={out / 'artifacts'}"),
        *("--tasks", names, "--device", "cpu", "--batch_size", "2"),
        *("--include_path", str(tasks), "--output_path", str(out), "--log_samples"),
        accelerate=accelerate,
    )
    assert done.returncode == 0, done.stderr
    (path,) = out.rglob("results_*.json")
    assert len(list(out.rglob("samples_*.jsonl"))) == names.count(",") + 1
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def assert_same(alone: dict[str, Any], shared: dict[str, Any]) -> None:
    """Equal results, to 1e-5."""
    assert shared["n-samples"] == alone["n-samples"]
    assert set(shared["results"]) == set(alone["results"])
    for task, metrics in alone["results"].items():
        assert set(shared["results"][task]) == set(metrics)
        for name, value in metrics.items():
            expected = value if isinstance(value, str) else pytest.approx(value, rel=1e-5, abs=1e-5)
            assert shared["results"][task][name] == expected, (task, name)


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "n_documents", "accelerate"), [(3, 2, False), (2, 5, True)])
def test_lm_eval_reports_the_same(
    tmp_path: Path, model: Path, processes: int, n_documents: int, accelerate: bool
) -> None:
    (tmp_path / "task").mkdir()
    tasks = write_task(tmp_path / "task", test=documents(1, n_documents))
    arguments = f"pretrained={model},sizes={rank_runs.SIZES}"
    alone = lm_eval(1, arguments, tasks, tmp_path / "alone")
    shared = lm_eval(processes, arguments, tasks, tmp_path / "shared", accelerate=accelerate)
    assert_same(alone, shared)
    one, other = (run["config"]["circuit"]["tasks"][TASK] for run in (alone, shared))
    assert (one["processes"], other["processes"]) == (1, processes)
    for key in ("n_discovery", "n_evaluation", "evaluation_pairs", "discovery_pairs", "accuracy"):
        assert other[key] == one[key], key
    rows = (tmp_path / "shared" / "artifacts" / TASK / "examples.jsonl").read_text().splitlines()
    assert [json.loads(row)["index"] for row in rows] == list(range(n_documents))


@pytest.mark.slow
def test_ordinary_tasks_at_several_sizes_are_the_same(tmp_path: Path, model: Path) -> None:
    (tmp_path / "task").mkdir()
    tasks = write_task(tmp_path / "task")
    texts = [
        {"text": f"{d['clean']}", "choices": d["choices"], "label": 0} for d in documents(1, 5)
    ]
    write_ordinary_tasks(tasks, texts)
    arguments = (
        f"pretrained={model},sizes={rank_runs.SIZES},ablation=mean,method=EAP,"
        f"circuit=discover:{tasks / (TASK + '.yaml')}"
    )
    names = "choice,rolling,generation"
    alone, shared = (
        lm_eval(processes, arguments, tasks, tmp_path / str(processes), names=names)
        for processes in (1, 2)
    )
    assert "acc@0.3,none" in alone["results"]["choice"]
    assert_same(alone, shared)


@given(st.lists(st.integers(1, 50)), st.integers(1, 4))
def test_every_item_has_one_rank_and_loads_are_even(costs: list[int], size: int) -> None:
    shares = [Ranks(rank, size).share(costs) for rank in range(size)]
    assert sorted(item for share in shares for item in share) == list(range(len(costs)))
    assert all(share == sorted(share) for share in shares)
    loads = [sum(costs[item] for item in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs, default=0)


def test_alone_nothing_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_processes() == (ALONE, None)
    assert ALONE.gather("x") == ["x"]
    with pytest.raises(ValueError, match="own error"), ALONE.together():
        raise ValueError("own error")


def test_accelerate_that_starts_one_process_of_two_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with caplog.at_level("WARNING", logger=ranks.logger.name):
        assert join_processes() == (ALONE, None)
    assert "torchrun --nproc_per_node 2 -m lm_eval" in caplog.text
