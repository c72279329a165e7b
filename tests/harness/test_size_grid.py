"""Ordinary tasks on a grid of circuit sizes in one run, and on a circuit discovered first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.ordinary_tasks import SHAPES, write_ordinary_tasks
from helpers.small_lm_eval import NO_TASKS, small_lm_eval
from helpers.tiny_tasks import TASK, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.formats import read_scores, save_circuit_file, write_scores
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.patches import tell_tasks_their_model
from harness_circuits.loading.load import load_model

TEXTS = ("When Mary and John went to the store", "one two three red", "The cat and dogs was in")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sizes")
    save_tiny_model(folder / "model", "llama")
    docs = [{"text": text, "choices": [" Mary", " red cat"], "label": 0} for text in TEXTS]
    write_ordinary_tasks(folder, docs)
    write_task(folder)
    (folder / "group.yaml").write_text(
        "group: both\ntask: [choice, generation]\n"
        "aggregate_metric_list: [{metric: acc, aggregation: mean}]\n"
    )
    space = ScoreSpace(load_model(str(folder / "model")).graph)
    numbers = np.where(space.real, np.random.default_rng(0).standard_normal(space.shape), 0)
    write_scores(folder / "scores.safetensors", Scores(space, numbers, {"level": "edge"}))
    save_circuit_file(folder / "full.safetensors", Circuit.full(space))
    return folder


def run(folder: Path, tasks: list[str], circuit: str = "scores", **arguments: Any) -> Any:
    options = {"device": "cpu", "ablation": "zero", "bootstrap_iters": 20, **arguments}
    name = circuit if ":" in circuit else str(folder / f"{circuit}.safetensors")
    lm = CircuitLM(pretrained=str(folder / "model"), circuit=name, **options)
    return evaluate(lm, tasks, folder, log_samples=True)


def test_a_grid_is_the_runs_of_its_sizes(folder: Path) -> None:
    tasks = list(SHAPES)
    grid = run(folder, tasks, sizes="0.1:0.4:1", size=0.4)
    for size in (0.1, 0.4, 1):
        alone = run(folder, tasks, size=size)
        for task in tasks:
            plain = {k: v for k, v in alone["results"][task].items() if "," in k}
            for key, value in plain.items():
                name, _, filtered = key.partition(",")
                name, stderr = name.removesuffix("_stderr"), "_stderr" * name.endswith("_stderr")
                assert grid["results"][task][f"{name}@{size}{stderr},{filtered}"] == value
                if size == 0.4:
                    assert grid["results"][task][key] == value
            for one, many in zip(alone["samples"][task], grid["samples"][task], strict=True):
                assert many[f"filtered_resps@{size}"] == one["filtered_resps"]
            assert (
                grid["higher_is_better"][task].items()
                >= {
                    f"{name}@{size}": better
                    for name, better in alone["higher_is_better"][task].items()
                }.items()
            )
    answers = [grid["samples"]["choice"][0][f"filtered_resps@{size}"] for size in (0.1, 0.4, 1)]
    assert answers[0] != answers[1] != answers[2]


def test_every_metric_of_a_grid_without_a_size_says_its_size(folder: Path) -> None:
    found = run(folder, ["both"], sizes=[0.1, 1])
    for row in (*found["results"].values(), *found["groups"].values()):
        assert all("@" in key for key in row if "," in key)
    assert set(values(found, "choice")) >= {"acc@0.1", "acc@1"}
    assert set(values(found, "both")) == {"acc@0.1", "acc@1"}
    facts = found["config"]["circuit"]["ordinary_tasks"]
    assert [point["size"] for point in facts["circuits"]] == [0.1, 1]
    first, last = facts["circuits"]
    assert first["kept_units"] < last["kept_units"] == facts["all_units"]
    assert first["sha256"] != last["sha256"]


def test_circuit_tasks_of_the_same_run_are_evaluated_once(folder: Path) -> None:
    found = run(folder, [TASK, "choice"], sizes=[0.1, 1])
    alone = run(folder, [TASK], sizes=[0.1, 1])
    assert values(found) == values(alone)
    assert {"acc@0.1", "acc@1"} <= set(values(found, "choice"))


def test_few_shot_examples_are_the_same_at_all_sizes(folder: Path) -> None:
    lm = CircuitLM(
        pretrained=str(folder / "model"),
        circuit=str(folder / "scores.safetensors"),
        **{"device": "cpu", "ablation": "zero", "sizes": [0.1, 1]},
    )
    few = evaluate(lm, ["choice"], folder, log_samples=True, num_fewshot=1)
    one = run(folder, ["choice"], size=1)
    assert few["samples"]["choice"][0]["arguments"] != one["samples"]["choice"][0]["arguments"]
    again = evaluate(
        lm.with_arguments(**arguments(folder, size=1)),
        ["choice"],
        folder,
        log_samples=True,
        num_fewshot=1,
    )
    for left, right in zip(few["samples"]["choice"], again["samples"]["choice"], strict=True):
        assert left["filtered_resps@1"] == right["filtered_resps"]


def arguments(folder: Path, **more: Any) -> dict[str, Any]:
    circuit = str(folder / "scores.safetensors")
    return {
        "pretrained": str(folder / "model"),
        "circuit": circuit,
        "device": "cpu",
        "ablation": "zero",
        **more,
    }


def test_an_evaluator_that_knows_no_sizes_is_refused(folder: Path) -> None:
    from lm_eval.evaluator import evaluate as watched
    from lm_eval.tasks import TaskManager

    tell_tasks_their_model()
    plain = getattr(watched, "__wrapped__", watched)
    manager = TaskManager(include_defaults=False, include_path=str(folder))
    lm = CircuitLM(**arguments(folder, sizes=[0.1, 1]))
    with pytest.raises(OptionError, match="runs tasks without pairs once per size"):
        plain(lm=lm, task_dict=manager.load(["choice"]))


def test_a_circuit_has_its_own_size(folder: Path) -> None:
    with pytest.raises(OptionError, match=r"sizes=: .*full\.safetensors is a circuit"):
        run(folder, ["choice"], "full", sizes=[0.1, 1])


def test_scores_need_a_size(folder: Path) -> None:
    with pytest.raises(OptionError, match="holds scores: give size="):
        run(folder, ["choice"])


def test_a_circuit_is_discovered_first(folder: Path, tmp_path: Path) -> None:
    discover = f"discover:{folder / TASK}.yaml"
    options = {"method": "EAP", "ablation": "mean", "artifacts": str(tmp_path), "n_discovery": 4}
    found = run(folder, ["choice"], discover, size=0.3, **options)
    scores = read_scores(tmp_path / TASK / "scores.safetensors")
    assert scores.provenance["method"] == "EAP" and scores.provenance["ablation"] == "patching"
    assert scores.provenance["n_examples"] == 4
    write_scores(folder / "found.safetensors", scores)
    options = {"ablation": "mean", "calibration": f"{folder / TASK}.yaml", "n_discovery": 4}
    again = run(folder, ["choice"], "found", size=0.3, **options)
    assert found["samples"]["choice"] == again["samples"]["choice"]
    facts = found["config"]["circuit"]["ordinary_tasks"]
    assert facts["file"] == discover and facts["calibration"]["n_texts"] == 4
    assert found["config"]["circuit"]["given"]["provenance"]["method"] == "EAP"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("no_such_task", "circuit=discover:no_such_task: there is no task 'no_such_task'"),
        ("no.yaml", r"circuit=discover:no\.yaml: there is no task"),
        ("", r"circuit=discover: names no task: write one behind it"),
    ],
)
def test_a_task_to_discover_is_looked_for_before_loading(
    task: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm_eval.tasks.manager.__file__", NO_TASKS)
    with pytest.raises(OptionError, match=message):
        CircuitLM(pretrained="/no/such/model", circuit=f"discover:{task}")


def test_a_circuit_cannot_be_discovered_without_pairs(folder: Path) -> None:
    with pytest.raises(OptionError, match="no clean/corrupted pairs to discover a circuit on"):
        run(folder, ["choice"], f"discover:{folder / 'choice.yaml'}", size=0.1)


def test_the_command_line_takes_sizes(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = arguments(folder, sizes="0.1:1")
    del given["device"]  # `lm_eval` passes its own
    command = ["--model", "circuit", "--model_args", ",".join(f"{k}={v}" for k, v in given.items())]
    command += ["--tasks", f"{folder / 'choice.yaml'}", "--log_samples"]
    small_lm_eval(monkeypatch, *command, "--output_path", str(tmp_path / "out"))
    assert "acc@0.1 " in capsys.readouterr().out
    (path,) = (tmp_path / "out").rglob("results_*.json")
    assert {"acc@0.1,none", "acc@1,none"} <= set(json.loads(path.read_text())["results"]["choice"])
    (path,) = (tmp_path / "out").rglob("samples_*.jsonl")
    assert "filtered_resps@0.1" in json.loads(path.read_text().splitlines()[0])
