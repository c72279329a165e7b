"""`--model circuit` inside lm-eval, on a tiny random model and a tiny task."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonlines
import numpy as np
import pytest
from helpers.tiny_tasks import TASK, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model
from lm_eval.models.huggingface import HFLM

from harness_circuits.errors import (
    CircuitError,
    OptionError,
    UnknownNameError,
)
from harness_circuits.formats import read_scores
from harness_circuits.harness.lm import CircuitLM

SIZES = "0.01:0.1:0.5:1"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture(scope="module")
def task_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"))


def circuit_lm(model_folder: Path, **arguments: Any) -> CircuitLM:
    return CircuitLM(pretrained=str(model_folder), sizes=SIZES, **arguments)


@pytest.fixture(scope="module")
def results(model_folder: Path, task_folder: Path) -> dict[str, Any]:
    return evaluate(circuit_lm(model_folder), [TASK], task_folder)


def test_every_metric_of_the_design_is_there_and_finite(results: dict[str, Any]) -> None:
    found = values(results)
    sizes = ("0.01", "0.1", "0.5", "1")
    wanted = {"acc", "loglikelihood_diff", "full_metric", "corrupted_metric"}
    for area in ("cpr", "cmd", "cmd_log"):
        wanted |= {area, f"{area}_ci95_low", f"{area}_ci95_high"}
    for name in ("acc_log", "exceeds", "acc_log_signed", "exceeds_signed"):
        wanted |= {name, f"{name}_ci95_low", f"{name}_ci95_high"}
    for size in sizes:
        for prefix in ("faithfulness", "faithfulness_signed", "edges", "edges_signed"):
            wanted.add(f"{prefix}@{size}")
    assert set(found) == wanted
    assert all(math.isfinite(value) for value in found.values())
    assert found["faithfulness@1"] == pytest.approx(1, abs=1e-6)
    assert found["faithfulness_signed@1"] == pytest.approx(1, abs=1e-6)
    assert found["edges@1"] == 110
    assert found["full_metric"] == pytest.approx(found["loglikelihood_diff"], abs=1e-5)
    for area in ("cpr", "cmd", "cmd_log"):
        assert found[f"{area}_ci95_low"] <= found[area] <= found[f"{area}_ci95_high"]


def test_the_same_run_twice_gives_the_same_results(
    model_folder: Path, task_folder: Path, results: dict[str, Any]
) -> None:
    again = evaluate(circuit_lm(model_folder), [TASK], task_folder)
    assert without_times(again) == without_times(results)


def without_times(results: dict[str, Any]) -> Any:
    """Everything but times, dates and what the machine has."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                k: strip(v)
                for k, v in value.items()
                if "seconds" not in k and "peak_bytes" not in k and k not in ("date", "checksum")
            }
        return [strip(item) for item in value] if isinstance(value, list) else value

    kept = ("results", "configs", "versions", "config", "higher_is_better", "n-samples")
    return json.loads(json.dumps(strip({key: results[key] for key in kept}), default=str))


def test_behaviour_is_that_of_the_hf_model(
    model_folder: Path, task_folder: Path, results: dict[str, Any]
) -> None:
    hf = HFLM(pretrained=str(model_folder), device="cpu")
    found = values(evaluate(hf, [TASK], task_folder))
    assert set(found) == {"acc", "loglikelihood_diff"}
    ours = values(results)
    assert found["acc"] == ours["acc"]
    assert found["loglikelihood_diff"] == pytest.approx(ours["loglikelihood_diff"], abs=1e-4)


@pytest.mark.parametrize("method", ["EAP", "random"])
@pytest.mark.parametrize("level", ["edge", "node", "neuron", "mlp-neuron"])
def test_methods_and_levels(model_folder: Path, task_folder: Path, method: str, level: str) -> None:
    lm = circuit_lm(model_folder, method=method, level=level, ranking="absolute")
    found = values(evaluate(lm, [TASK], task_folder))
    assert found["faithfulness@1"] == pytest.approx(1, abs=1e-6)
    assert "cpr" not in found
    assert math.isfinite(found["cmd"])


def test_limit_samples_and_batch_size_keep_their_meaning(
    model_folder: Path, task_folder: Path
) -> None:
    wide = {"dtype": "float64"}  # rounding in float32 moves interval ends of five pairs by tenths
    one, all_at_once = (
        evaluate(circuit_lm(model_folder, **wide, **how), [TASK], task_folder)
        for how in ({"batch_size": 2}, {})
    )
    assert values(one) == pytest.approx(values(all_at_once), abs=1e-9, rel=1e-9)
    lm = circuit_lm(model_folder)
    limited = evaluate(lm, [TASK], task_folder, limit=2, log_samples=True)
    assert limited["config"]["circuit"]["tasks"][TASK]["n_evaluation"] == 2
    assert len(limited["samples"][TASK]) == 2
    chosen = evaluate(lm, [TASK], task_folder, samples={TASK: [1, 3]})
    assert chosen["config"]["circuit"]["tasks"][TASK]["n_evaluation"] == 2


def test_artifacts_hold_scores_circuits_and_examples(
    model_folder: Path, task_folder: Path, tmp_path: Path, results: dict[str, Any]
) -> None:
    evaluate(circuit_lm(model_folder, artifacts=str(tmp_path / "made")), [TASK], task_folder)
    folder = tmp_path / "made" / TASK
    scores = read_scores(folder / "scores.safetensors")
    assert scores.provenance["method"] == "EAP-IG-inputs"
    with jsonlines.open(folder / "examples.jsonl") as reader:
        rows = list(reader)
    assert [row["index"] for row in rows] == list(range(5))
    full = np.array([row["full"] for row in rows])
    empty = np.array([row["empty"] for row in rows])
    kept = np.array([row["circuits"]["absolute"] for row in rows])
    f = (kept.mean(0) - empty.mean()) / (full.mean() - empty.mean())
    curve = results["config"]["circuit"]["tasks"][TASK]["curves"]["absolute"]
    assert f == pytest.approx(np.array(curve["faithfulness"]), abs=1e-9)
    assert not list(folder.glob(".*"))


def test_a_saved_file_is_evaluated_instead_of_discovering(
    model_folder: Path, task_folder: Path, tmp_path: Path, results: dict[str, Any]
) -> None:
    evaluate(circuit_lm(model_folder, artifacts=str(tmp_path)), [TASK], task_folder)
    for name in ("scores.safetensors", "scores.json"):
        lm = circuit_lm(model_folder, circuit=str(tmp_path / TASK / name))
        again = evaluate(lm, [TASK], task_folder)
        assert values(again) == pytest.approx(values(results), abs=1e-5)
        config = again["config"]["circuit"]
        assert config["given"]["file"].endswith(name)
        assert config["settings"]["method"] is None
        assert config["tasks"][TASK]["n_discovery"] == 0


ARGUMENTS = [
    ({"methd": "EAP"}, OptionError, "Unknown argument 'methd'. Did you mean 'method'?"),
    ({"method": "EAP-IG-input"}, UnknownNameError, "Did you mean 'EAP-IG-inputs'?"),
    ({"level": "edges"}, OptionError, "Did you mean 'edge'?"),
    ({"ablation": "means"}, UnknownNameError, "Unknown ablation 'means'"),
    ({"ablation": "zero"}, OptionError, "EAP-IG-inputs is not defined for ablation=zero"),
    ({"method": "EAP", "ig_steps": 3}, OptionError, "ig_steps has no effect with method=EAP"),
    ({"sizes": "0.1:2"}, OptionError, "sizes are fractions in (0, 1], got 2.0"),
    ({"sizes": "0.5:0.1"}, OptionError, "sizes have to ascend"),
    ({"batch_size": "many"}, OptionError, "batch_size is a whole number from 1 to 1000000, auto"),
    ({"artifacts": "/proc/nowhere"}, OptionError, "/proc/nowhere cannot be written"),
    ({"circuit": "missing.json"}, CircuitError, "missing.json"),
    ({"dtype": "float31"}, OptionError, "dtype is one of auto"),
    ({"kv_heads": "some"}, OptionError, "Unknown kv_heads"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), ARGUMENTS)
def test_a_bad_argument_is_refused_before_anything_runs(
    model_folder: Path, task_folder: Path, arguments: dict[str, Any], error: Any, message: str
) -> None:
    with pytest.raises(error) as caught:
        lm = CircuitLM(**{"pretrained": str(model_folder), **arguments})
        evaluate(lm, [TASK], task_folder)
    assert message in str(caught.value)


def test_the_response_cache_is_refused(
    model_folder: Path, task_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="--use_cache cannot be used with --model circuit"):
        evaluate(circuit_lm(model_folder), [TASK], task_folder, use_cache=str(tmp_path / "cache"))


def test_what_changes_the_prompts_is_refused(model_folder: Path, task_folder: Path) -> None:
    with pytest.raises(OptionError, match="the harness changed the prompt"):
        evaluate(circuit_lm(model_folder), [TASK], task_folder, system_instruction="Answer:")
