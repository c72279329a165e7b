"""Tasks whose data lm-eval loads itself: what does not align is left out as in all others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.built import scorer
from helpers.tiny_tasks import TASK, documents, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from harness_circuits.commands import main
from harness_circuits.errors import TaskDataError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.task import CircuitTask

LENGTHS = "clean and corrupted differ in token length"
FIRST = "answers share their first token"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


def lm(model_folder: Path, **arguments: Any) -> CircuitLM:
    usual = {"sizes": "0.1:1", "method": "EAP", "bootstrap_iters": 20}
    return CircuitLM(pretrained=str(model_folder), **{**usual, **arguments})


def longer(doc: dict[str, Any]) -> dict[str, Any]:
    return {**doc, "corrupted": doc["corrupted"] + " is"}


def sharing(doc: dict[str, Any]) -> dict[str, Any]:
    return {**doc, "choices": [" bag book", " bag said"]}


def facts(results: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = results["config"]["circuit"]["tasks"][TASK]
    return found


@pytest.mark.case("dataset-path-misaligned")
def test_pairs_that_do_not_align_are_left_out_and_counted(
    model_folder: Path, tmp_path: Path
) -> None:
    train, test = documents(0, 6), documents(1, 5)
    folder = write_task(
        tmp_path, train=[longer(train[0]), *train[1:]], test=[*test[:-1], sharing(test[-1])]
    )
    found = facts(evaluate(lm(model_folder), [TASK], folder))
    assert (found["n_discovery"], found["n_evaluation"]) == (5, 4)
    assert found["left_out"] == {FIRST: 1, LENGTHS: 1}
    whole = folder / "whole"
    whole.mkdir()
    write_task(whole, train=train[1:], test=test[:-1])
    same = facts(evaluate(lm(model_folder), [TASK], whole))
    for name in ("discovery_pairs", "evaluation_pairs", "curves"):
        assert found[name] == same[name]
    plain = HFLM(pretrained=str(model_folder), device="cpu")
    metadata = {"pretrained": str(model_folder)}
    counts = evaluate(plain, [TASK], folder, metadata=metadata)["n-samples"][TASK]
    assert counts["original"] == 4


@pytest.mark.case("metric-prob-diff-filter")
def test_the_metric_in_force_decides_and_not_the_tasks_own(
    model_folder: Path, tmp_path: Path
) -> None:
    train, test = documents(0, 6), documents(1, 5)
    folder = write_task(tmp_path, train=[*train, sharing(train[0])], test=[*test, sharing(test[0])])
    cases = {
        ("prob_diff", None): (7, 6, {}),
        ("accuracy", "prob_diff"): (7, 6, {}),
        ("prob_diff", "logit_diff"): (6, 5, {FIRST: 2}),
        (None, "kl"): (6, 5, {FIRST: 2}),
        ("kl", None): (7, 6, {}),
        (None, None): (6, 5, {FIRST: 2}),
    }
    for (metric, attribution), (n_discovery, n_evaluation, left_out) in cases.items():
        chosen = {"metric": metric, "attribution_metric": attribution}
        built = task(folder)
        built.score_by(lm(model_folder, method="EAP-IG-inputs", **chosen).scorer)
        assert built.n_pairs == {"train": n_discovery, "test": n_evaluation}, chosen
        assert built.left_out == left_out
    found = facts(evaluate(lm(model_folder, metric="prob_diff"), [TASK], folder))
    assert (found["n_discovery"], found["n_evaluation"], found["left_out"]) == (7, 6, {})
    other = tmp_path / "prob"
    other.mkdir()
    write_task(other, metric="prob_diff", train=[*train, sharing(train[0])], test=test)
    for metric, left_out in ((None, {}), ("logit_diff", {FIRST: 1})):
        built = task(other)
        built.score_by(lm(model_folder, metric=metric).scorer)
        assert built.left_out == left_out


def test_a_pair_of_whole_answers_is_scored_by_the_metric_in_force(
    model_folder: Path, tmp_path: Path
) -> None:
    """All answers share their first token, as " New York" and " New Delhi" do."""
    docs = [{"split": split} | sharing(doc) for split in ("train", "test") for doc in
            documents(split == "test", 4)]  # fmt: skip
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    given = {"pairs": str(path)}
    found = evaluate(lm(model_folder, metric="prob_diff"), ["custom_circuit"], metadata=given)
    assert values(found, "custom_circuit")["faithfulness@1"] == pytest.approx(1, abs=1e-4)
    assert found["config"]["circuit"]["tasks"]["custom_circuit"]["left_out"] == {}
    with pytest.raises(TaskDataError, match=r"all candidates were left out \(8 answers share"):
        evaluate(lm(model_folder), ["custom_circuit"], metadata=given)


def test_a_circuit_is_discovered_on_what_the_metric_in_force_keeps(
    model_folder: Path, tmp_path: Path
) -> None:
    train = documents(0, 6)
    folder = write_task(tmp_path, train=[longer(train[0]), sharing(train[1]), *train[2:]])
    discover = f"discover:{folder / TASK}.yaml"
    for metric, n in (("prob_diff", 5), (None, 4)):
        model = lm(model_folder, circuit=discover, metric=metric)
        assert model.circuit.given is not None
        assert dict(model.circuit.given.provenance)["n_examples"] == n  # type: ignore[union-attr]


def task(folder: Path) -> CircuitTask:
    manager = TaskManager(include_defaults=False, include_path=str(folder))
    found: CircuitTask = manager.load([TASK])["tasks"][TASK]
    found.score_by(scorer())
    return found


def test_documents_are_looked_at_as_the_task_processes_them(tmp_path: Path) -> None:
    train = documents(0, 6)
    folder = write_task(tmp_path, train=[longer(train[0]), *train[1:]])
    (folder / "process.py").write_text(
        "def process(docs):\n"
        "    return docs.map(lambda doc: {'corrupted': doc['corrupted'].removesuffix(' is')})\n"
    )
    path = folder / f"{TASK}.yaml"
    assert task(folder).left_out == {LENGTHS: 1}
    path.write_text(path.read_text() + "process_docs: !function process.process\n")
    built = task(folder)
    assert (built.left_out, built.n_pairs) == ({}, {"train": 6, "test": 5})


def test_a_function_as_data_is_filtered_too(tmp_path: Path) -> None:
    folder = write_task(tmp_path)
    (folder / "data.py").write_text(
        "from datasets import load_dataset\n"
        "def make(**_):\n"
        f"    files = {{s: f'{folder}/{TASK}_{{s}}.jsonl' for s in ('train', 'test')}}\n"
        "    rows = load_dataset('json', data_files=files)\n"
        "    longer = lambda doc, at: {'clean': doc['clean'] + ' is' * (at < 2)}\n"
        "    return rows.map(longer, with_indices=True)\n"
    )
    path = folder / f"{TASK}.yaml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("dataset_")]
    path.write_text("\n".join([*lines, "custom_dataset: !function data.make\n"]))
    built = task(folder)
    assert (built.left_out, built.n_pairs) == ({LENGTHS: 4}, {"train": 4, "test": 3})


def test_a_split_with_nothing_left_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = write_task(tmp_path, train=[longer(doc) for doc in documents(0, 3)])
    with pytest.raises(TaskDataError, match=f"no training pairs .*; left out: 3 {LENGTHS}"):
        _ = task(folder).dataset
    path = folder / f"{TASK}.yaml"
    path.write_text(path.read_text().replace("test_split: test", "test_split: tests"))
    with pytest.raises(TaskDataError, match=r"test_split is 'tests', and the data have .* test"):
        task(folder)


def test_check_task_counts_by_the_metric_it_is_given(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = documents(1, 5)
    folder = write_task(tmp_path, test=[longer(test[0]), sharing(test[1]), *test[2:]])
    command = ["check-task", TASK, "--include_path", str(folder), "--pretrained", str(model_folder)]
    main.main(command)
    shown = capsys.readouterr().out
    assert f"6 train, 3 test pairs\nleft out: 2\n  1 {FIRST}\n  1 {LENGTHS}\n" in shown
    main.main([*command, "--metric", "prob_diff"])
    shown = capsys.readouterr().out
    assert f"6 train, 4 test pairs\nleft out: 1\n  1 {LENGTHS}\n" in shown
    assert "  prob_diff: " in shown
    with pytest.raises(SystemExit, match="Did you mean 'prob_diff'"):
        main.main([*command, "--metric", "prob_dif"])
