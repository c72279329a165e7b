"""Every circuit task: its YAML, its pairs, its splits, and its values under two harness models."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.built import scorer
from helpers.environments import ROOT
from helpers.task_builds import (
    GROUP,
    TASKS,
    build,
    manager,
    option_cases,
    rows,
    tokenizer_of_all_tasks,
)
from helpers.tiny_tasks import TASK, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from harness_circuits.errors import OptionError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.task import CircuitTask
from harness_circuits.loading.load import load_tokenizer
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.tokenise import check_first_tokens, tokenise_pair
from harness_circuits.task_data import base
from harness_circuits.task_data.base import PAIRS_PER_SPLIT, SPLITS

CASES = option_cases()
SMALL = {"n_train": 4, "n_validation": 0, "n_test": 4}
FILES = sorted((ROOT / "tasks").glob("*/*.yaml"))
TASK_CLASS = "harness_circuits.harness.task.CircuitTask"
README = (ROOT / "tasks" / "README.md").read_text()


def label(case: Any) -> str:
    return "-".join(case.values()) or "default" if isinstance(case, dict) else str(case)


every_case = pytest.mark.parametrize(("name", "options"), CASES, ids=label)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = tokenizer_of_all_tasks()
    return save_tiny_model(folder, "llama", tokenizer, max_position_embeddings=256)


def test_every_yaml_file_is_known_to_lm_eval() -> None:
    """lm-eval skips a broken file without a word."""
    found = manager()
    files = {path.stem for path in (ROOT / "tasks").rglob("*.yaml")}
    assert {*found.all_subtasks, *found.all_groups} == files
    assert set(found.all_groups) == {GROUP, "mib_circuit"}
    assert set(TASKS) < set(found.all_subtasks)


def test_offline_tasks_are_all_in_the_group() -> None:
    names = {path.stem for path in FILES if path.parent.name != "mib"}
    assert names - {"ground_truth_circuit", "custom_circuit"} == set(TASKS)


def test_a_task_lies_in_a_folder_of_its_name_or_of_its_family() -> None:
    for path in FILES:
        family = len(list(path.parent.glob("*.yaml"))) > 1
        assert path.stem == path.parent.name or (family and path.parent.name in path.stem)


def test_tasks_agree_in_what_each_says_for_itself() -> None:
    """A task folder holds all its task needs, so that it can be copied: the repetition agrees."""
    texts = [load_yaml(path, resolve_func=False) for path in FILES]
    tasks = [text for text in texts if "group" not in text]
    assert {str(text["class"]).rpartition("/")[2] for text in tasks} == {TASK_CLASS}
    assert {text["metadata"]["version"] for text in tasks} == {1.0}
    assert {text["metadata"]["task_metric"] for text in tasks} <= set(METRICS)


@pytest.mark.parametrize("family", ["arithmetic", "mib"])
def test_a_family_of_tasks_can_be_copied_with_its_folder(family: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tasks" / family, tmp_path / family)
    found = TaskManager(include_defaults=False, include_path=str(tmp_path))
    copied = {path.stem for path in (tmp_path / family).glob("*.yaml")}
    assert {*found.all_subtasks, *found.all_groups} == copied
    if family == "arithmetic":  # MIB's data are on the hub
        small = TaskManager(include_defaults=False, include_path=str(tmp_path), metadata=SMALL)
        for name, task in small.load(sorted(copied))["tasks"].items():
            assert type(task) is CircuitTask
            assert rows(task) == rows(build(name, **SMALL))


def test_the_group_has_every_task() -> None:
    loaded = manager(n_train=1, n_validation=0, n_test=1).load([GROUP])
    assert sorted(loaded["tasks"]) == list(TASKS)
    assert all(isinstance(task, CircuitTask) for task in loaded["tasks"].values())


@every_case
def test_pairs_are_sound_disjoint_and_as_many_as_documented(
    name: str, options: dict[str, str]
) -> None:
    task = build(name, **options)
    splits = rows(task)
    assert {split: len(docs) for split, docs in splits.items()} == dict.fromkeys(
        SPLITS, PAIRS_PER_SPLIT
    )
    texts = [(doc["clean"], doc["corrupted"]) for docs in splits.values() for doc in docs]
    assert len(set(texts)) == len(texts)
    for docs in splits.values():
        for doc in docs:
            pair = Pair.from_doc(doc)
            assert pair.clean != pair.corrupted
            assert pair.clean == pair.clean.rstrip(), "lm-eval would move the space to the answer"
            assert "{" not in pair.clean + pair.corrupted
            assert "[" not in pair.clean + pair.corrupted


@every_case
def test_splits_share_no_key_and_no_clean_prompt(name: str, options: dict[str, str]) -> None:
    data = build(name, **options, **SMALL).config.custom_dataset

    def with_key(generator: random.Random, **chosen: str) -> Iterator[dict[str, Any]]:
        for doc in data.candidates(generator, **chosen):
            yield {**doc, "its_key": doc["key"]}

    splits = base.TaskData(name, with_key, data.options)(**options)
    for field in ("its_key", "clean"):
        sets = [set(splits[split][field]) for split in SPLITS]
        assert sum(map(len, sets)) == len(set.union(*sets)), field


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("country_capital_circuit", "FACTS"),
        ("fact_completion_circuit", "FACTS"),
        ("hypernymy_circuit", "WORDS"),
        ("gender_bias_circuit", "PROFESSIONS"),
        ("sva_circuit", "NOUNS"),
    ],
)
def test_every_split_has_a_fair_share_of_a_finite_source(name: str, words: str) -> None:
    data = build(name, **SMALL).config.custom_dataset
    items = data.candidates.__globals__[words]
    assert len(set(items)) == len(items)
    pools = base.pools(name, items)
    assert min(map(len, pools.values())) >= len(items) / 5
    for split, pool in pools.items():
        assert all(base.split_of(name, str(item)) == split for item in pool)


@pytest.mark.parametrize("name", TASKS)
def test_unknown_option_values_are_refused(name: str) -> None:
    for option, known in build(name, **SMALL).config.custom_dataset.options.items():
        with pytest.raises(OptionError, match=f"Unknown {option} of task {name} .* Did you mean"):
            rows(build(name, **{option: f"{known[-1]}x"}))


def digest(seed: int) -> str:
    """A hash of all tasks' documents, with all options, made in a process with its own hashes."""
    script = (
        "import json, hashlib\n"
        "from helpers.task_builds import build, option_cases, rows\n"
        "few = {'n_train': 9, 'n_validation': 9, 'n_test': 9}\n"
        "docs = [rows(build(name, **few, **options)) for name, options in option_cases()]\n"
        "print(hashlib.sha256(json.dumps(docs).encode()).hexdigest())\n"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": path}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    return run.stdout.split()[-1]


def test_documents_are_the_same_in_every_process() -> None:
    few = {"n_train": 9, "n_validation": 9, "n_test": 9}
    docs = [rows(build(name, **few, **options)) for name, options in CASES]
    here = hashlib.sha256(json.dumps(docs).encode()).hexdigest()
    assert digest(7) == here


def aligned(tokenizer: Any, name: str, options: dict[str, str]) -> None:
    task = build(name, **options)
    task.score_by(scorer(tokenizer))
    metric = METRICS.get(task.metric)
    for split, docs in rows(task).items():
        assert len(docs) == PAIRS_PER_SPLIT, f"{split}: {task.left_out}"
        for index, doc in enumerate(docs[::5]):  # the task has done the same to each
            pair = tokenise_pair(tokenizer, Pair.from_doc(doc), index)
            if not metric.whole_answers:
                check_first_tokens(tokenizer, pair, split)


@every_case
def test_two_hundred_pairs_align_for_a_word_tokenizer(name: str, options: dict[str, str]) -> None:
    aligned(tokenizer_of_all_tasks(), name, options)


@pytest.mark.slow
@every_case
def test_two_hundred_pairs_align_for_the_default_model(
    name: str, options: dict[str, str], default_tokenizer: Any
) -> None:
    aligned(default_tokenizer, name, options)


@pytest.fixture(scope="module")
def default_tokenizer() -> Any:
    return load_tokenizer()


@pytest.fixture(scope="module")
def both(model_folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Results of the whole group, under `--model hf` and `--model circuit`."""
    how: dict[str, Any] = {"limit": 3, "metadata": {**SMALL, "pretrained": str(model_folder)}}
    plain = evaluate(
        HFLM(pretrained=str(model_folder), dtype="float32", device="cpu"), [GROUP], **how
    )
    circuit = CircuitLM(pretrained=str(model_folder), sizes="0.1:1", method="random")
    yield plain, evaluate(circuit, [GROUP], **how)


@pytest.mark.parametrize("name", TASKS)
def test_both_harness_models_agree(name: str, both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    plain, circuit = (values(results, name) for results in both)
    behaviour = "prob_diff" if "prob_diff" in plain else "loglikelihood_diff"
    assert set(plain) == {"acc", behaviour}
    assert plain["acc"] == circuit["acc"]
    assert plain[behaviour] == pytest.approx(circuit[behaviour], abs=1e-4)
    if "arithmetic" not in name:  # whose answers are several tokens here
        assert circuit["full_metric"] == pytest.approx(circuit[behaviour], abs=1e-4)


@pytest.mark.parametrize("right", [True, False])
def test_a_model_that_does_not_do_the_task_is_warned_about(
    right: bool, model_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same pairs, the model's own preference once called correct and once incorrect."""
    model = CircuitLM(pretrained=str(model_folder), sizes="0.1:1", method="random")
    plain = HFLM(pretrained=str(model_folder), device="cpu")
    docs = rows(build("ioi_circuit", n_train=4, n_validation=0, n_test=8))
    include = write_task(tmp_path, train=docs["train"], test=prefer(plain, docs["test"], right))
    with caplog.at_level(logging.WARNING, logger="lm_eval.circuit"):
        results = evaluate(model, [TASK], include)
    accuracy = results["config"]["circuit"]["tasks"][TASK]["accuracy"]
    assert (accuracy["value"], accuracy["chance"]) == (float(right), 0.5)
    assert ("faithfulness curve says nothing" in caplog.text) is not right


def prefer(model: HFLM, docs: list[dict[str, Any]], right: bool) -> list[dict[str, Any]]:
    """Documents whose correct answer is (or is not) the one that the model prefers."""
    made = []
    for doc in docs:
        scores = [
            model.loglikelihood(
                [Instance("loglikelihood", doc, (doc["clean"], choice), 0, ("none", 0, 1))],
                disable_tqdm=True,
            )[0][0]
            for choice in doc["choices"]
        ]
        best = scores.index(max(scores))
        correct = best if right else 1 - best
        made.append(doc | {"correct": [correct], "incorrect": [1 - correct]})
    return made


@pytest.mark.parametrize("name", TASKS)
def test_the_readme_has_a_section_for_every_task(name: str) -> None:
    assert f"\n## `{name}`\n" in README
    assert f"| `{name}` | default |" in README


def test_answers_of_several_tokens_have_two_differences(
    both: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """The metric compares first tokens, the behaviour whole answers: two numbers, two names."""
    found = values(both[1], "arithmetic_addition_circuit")
    assert "logit_diff" not in found
    assert found["full_metric"] != pytest.approx(found["loglikelihood_diff"], abs=1e-3)
