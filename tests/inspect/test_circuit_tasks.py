"""Circuit tasks under Inspect: the numbers of lm-eval, and what Inspect's own options mean for them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from helpers.inspect_runs import FLOAT64, SIZES, circuit_model, inspect_ai, metrics, run
from helpers.tiny_tasks import TASK, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import read_eval_log, write_eval_log

from harness_circuits.harness.lm import CircuitLM
from harness_circuits.inspect.scoring import circuit_values

WITH_CONTROLS = {"null_circuits": 2, "stability_resamples": 3, "keep_samples": 3}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def log(model: Path, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(model, task, tmp_path_factory.mktemp("logs"), targs=WITH_CONTROLS, max_samples=3)


def of_lm_eval(model: Path, task: Path, how: dict[str, Any], **run: Any) -> dict[str, float]:
    lm = CircuitLM(pretrained=str(model), sizes=SIZES, **FLOAT64, **how)
    return values(evaluate(lm, [TASK], task, **run))


def test_every_metric_is_that_of_lm_eval(log: Any, model: Path, task: Path) -> None:
    found, expected = metrics(log), of_lm_eval(model, task, WITH_CONTROLS)
    assert set(expected) < set(found)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_points_have_intervals_and_the_first_metric_is_an_area(log: Any) -> None:
    found = metrics(log)
    assert next(iter(found)) == "cmd"
    for at in ("@0.1", "@0.5", "_signed@0.1", "_signed@0.5"):
        low, high = (found[f"faithfulness{at}_ci95_{end}"] for end in ("low", "high"))
        assert low <= found[f"faithfulness{at}"] <= high
        assert 0 <= found[f"accuracy{at}"] <= 1


def test_a_sample_is_a_pair_with_its_values(log: Any) -> None:
    sample = log.samples[1]
    assert sample.metadata["corrupted"] != sample.input
    assert sample.target == [sample.choices[0]]
    value = sample.scores["circuit_values"].value
    assert value["circuit@1"] == pytest.approx(value["full"], abs=1e-12)
    assert {"full", "empty", "acc", "loglikelihood_diff", "circuit_signed@0.1"} <= set(value)
    assert all(math.isfinite(number) for number in value.values())
    assert "| 0.1 |" in sample.scores["circuit_values"].explanation
    assert sample.output.completion in sample.choices


def test_the_log_says_what_was_done(log: Any, model: Path) -> None:
    section = read_eval_log(log.location).eval.metadata["harness_circuits"]["config"]["circuit"]
    assert section["settings"]["method"] == "EAP-IG-inputs"
    assert section["model"] == model.name
    facts = section["tasks"][TASK]
    assert (facts["n_discovery"], facts["n_evaluation"]) == (6, 5)
    assert facts["curves"]["absolute"]["faithfulness"][-1] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("how", "of_lm"),
    [
        ({"limit": 3}, {"limit": 3}),
        ({"sample_id": [2, 4]}, {"samples": {TASK: [1, 3]}}),
        ({"limit": 3, "epochs": 2}, {"limit": 3}),
    ],
)
def test_limit_sample_ids_and_epochs_act_on_evaluation_pairs(
    model: Path, task: Path, tmp_path: Path, how: dict[str, Any], of_lm: dict[str, Any]
) -> None:
    log = run(model, task, tmp_path, **how)
    found = metrics(log)
    for name, value in of_lm_eval(model, task, {}, **of_lm).items():
        assert found[name] == pytest.approx(value, abs=1e-9), name
    section = log.eval.metadata["harness_circuits"]["config"]["circuit"]
    n = 2 if "sample_id" in how else 3
    assert section["tasks"][TASK]["n_evaluation"] == n
    assert section["tasks"][TASK]["n_discovery"] == 6


def test_scoring_again_gives_the_same(log: Any) -> None:
    again = inspect_ai.score(log, circuit_values(), action="overwrite", display="none")
    assert metrics(again) == metrics(log)


@pytest.mark.parametrize("left", [0, 3, 5])
def test_a_run_that_was_broken_off_is_retried(
    log: Any, tmp_path: Path, left: int, model: Path
) -> None:
    broken = log.model_copy(deep=True)
    broken.status, broken.samples = "error", broken.samples[:left]
    broken.eval.metadata["harness_circuits"].clear()  # as if it had not come to its end
    path = tmp_path / "broken.eval"
    write_eval_log(broken, str(path))
    (retried,) = inspect_ai.eval_retry(str(path), log_dir=str(tmp_path), display="none")
    assert metrics(retried) == metrics(log)
    assert len(retried.samples) == 5
    section = retried.eval.metadata["harness_circuits"]["config"]["circuit"]
    assert section["tasks"][TASK]["n_evaluation"] == 5


def test_two_tasks_at_once(model: Path, tmp_path: Path) -> None:
    names = ["harness_circuits/ioi", "harness_circuits/double_ioi"]
    done, logs = inspect_ai.eval_set(
        names,
        log_dir=str(tmp_path),
        model=circuit_model(model),
        task_args={"sizes": "0.1:1", "n_train": 6, "n_test": 6, "bootstrap_iters": 10},
        max_samples=4,
        max_tasks=2,
        display="none",
    )
    assert done
    assert sorted(log.eval.task for log in logs) == sorted(names)
    for log in logs:
        assert metrics(log)["faithfulness@1"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("margs", "targs", "message"),
    [
        ({}, {"metod": "EAP"}, "Unknown option of tiny_ioi 'metod'. Did you mean 'method'?"),
        ({}, {"method": "EAQ"}, "Unknown attribution method 'EAQ'. Did you mean 'EAP'?"),
        ({"method": "EAP"}, {"method": "RelP"}, "method is 'EAP' in -M and 'RelP' in -T; give one"),
        ({}, {"dtype": "float16"}, "-T dtype='float16' is an option of the model"),
        ({"truncation": True}, {}, "truncation=True is for lm-eval's requests"),
        ({"pretrained": "other"}, {}, "names a model and pretrained='other' another"),
        ({"sise": 1}, {}, "Unknown argument 'sise'. Did you mean 'size'?"),
        ({}, {"task": "nothing.yaml"}, "there is no task 'nothing.yaml'"),
        ({}, {"task": "circuit_suite"}, "is not one task with clean/corrupted pairs"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    model: Path,
    task: Path,
    tmp_path: Path,
    margs: dict[str, Any],
    targs: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        run(model, task, tmp_path, margs=margs, targs=targs)
    assert message in str(caught.value.message)
    assert "\n" not in str(caught.value.message)


def test_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        inspect_ai.eval(
            "harness_circuits/ioi", model="mockllm/x", log_dir=str(tmp_path), display="none"
        )
    assert "run it with --model circuit/NAME, not 'mockllm/x'" in str(caught.value.message)


def test_a_file_of_scores_is_evaluated(model: Path, task: Path, tmp_path: Path) -> None:
    first = run(model, task, tmp_path, targs={"artifacts": str(tmp_path / "out")})
    file = str(tmp_path / "out" / TASK / "scores.safetensors")
    log = run(model, task, tmp_path, targs={"circuit": file})
    assert metrics(log) == pytest.approx(metrics(first), abs=1e-12)
    section = log.eval.metadata["harness_circuits"]["config"]["circuit"]
    assert section["given"]["file"] == file
