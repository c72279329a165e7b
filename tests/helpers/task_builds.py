"""All circuit tasks built without a model, and a tokenizer that knows all their words."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import yaml
from helpers.environments import ROOT
from helpers.tiny_tokenizer import word_tokenizer
from lm_eval.tasks import TaskManager
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast

from harness_circuits.harness.task import CircuitTask

GROUP = "circuit_suite"
TASKS = tuple(sorted(yaml.safe_load((ROOT / "tasks" / f"{GROUP}.yaml").read_text())["task"]))


def manager(**metadata: Any) -> TaskManager:
    return TaskManager(
        include_defaults=False, include_path=str(ROOT / "tasks"), metadata=metadata or None
    )


def build(name: str, **metadata: Any) -> CircuitTask:
    """One task, for the model that the metadata name."""
    task: CircuitTask = manager(**metadata).load([name])["tasks"][name]
    return task


def option_cases() -> list[tuple[str, dict[str, str]]]:
    """Every task with its defaults, and with every other value of each of its options."""
    cases: list[tuple[str, dict[str, str]]] = []
    for name in TASKS:
        cases.append((name, {}))
        for option, values in build(
            name, n_test=1, n_train=1
        ).config.custom_dataset.options.items():
            cases += [(name, {option: value}) for value in values[1:]]
    return cases


def rows(task: CircuitTask) -> dict[str, list[dict[str, Any]]]:
    """Documents by split."""
    return {split: task.dataset[split].to_list() for split in task.dataset}


@cache
def tokenizer_of_all_tasks() -> PreTrainedTokenizerFast:
    """One token per word of any task, and per digit."""
    words = {*"0123456789"}
    for name, options in option_cases():
        for docs in rows(build(name, **options)).values():
            for doc in docs:
                for text in (doc["clean"], doc["corrupted"], *doc["choices"]):
                    words.update(re.findall(r"[^\W\d]+", text))
    tokenizer = word_tokenizer(sorted(words))
    tokenizer.backend_tokenizer.pre_tokenizer = Split(
        Regex(r"\d| ?[^\W\d]+|[^\w\s]|\s"), behavior="isolated"
    )
    tokenizer.model_max_length = 256
    return tokenizer
