"""Which phrasing a pair is of: in the documents of every offline task, and in files of pairs."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from helpers.built import built
from helpers.custom_pairs import ROWS, write
from helpers.environments import ROOT
from helpers.task_builds import TASKS, build, option_cases

from harness_circuits.errors import PairError
from harness_circuits.pairs.pair import Pair
from harness_circuits.task_data.custom import custom

FEW = {"n_train": 1, "n_validation": 0, "n_test": 1}
PAIRS = 60
# Hashes of the first 60 documents of each task as they were without a `template`.
BEFORE = json.loads((Path(__file__).parent / "documents.json").read_text())


def candidates(name: str, options: dict[str, str]) -> list[dict[str, Any]]:
    data = build(name, **FEW).config.custom_dataset
    chosen = {option: values[0] for option, values in data.options.items()} | options
    return list(islice(data.candidates(random.Random(f"{name}/0"), **chosen), PAIRS))


@pytest.mark.parametrize(("name", "options"), option_cases(), ids=str)
def test_a_template_changes_nothing_else_of_a_document(name: str, options: dict[str, str]) -> None:
    docs = candidates(name, options)
    bare = [{key: doc[key] for key in doc if key != "template"} for doc in docs]
    digest = hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()[:16]
    label = " ".join([name, *(f"{key}={value}" for key, value in options.items())])
    assert digest == BEFORE[label]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_several_phrasings_or_says_that_it_has_one(name: str) -> None:
    single = build(name, **FEW).config.custom_dataset.one_phrasing
    counts = Counter(Pair.from_doc(doc).template for doc in candidates(name, {}))
    if single:
        assert counts == {None: PAIRS}
    else:
        assert None not in counts and sum(n > 1 for n in counts.values()) > 3
    _, _, section = (ROOT / "docs" / "evidence.md").read_text().partition("\n## Phrasings")
    several, _, others = section.partition("\n## ")[0].partition("One phrasing each")
    assert f"`{name}`" in (others if single else several)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_templates_and_spans_of_a_file(tmp_path: Path, suffix: str) -> None:
    rows = [
        {**row, "template": at % 3, "spans": json.dumps({"first": [0, 3]})}
        for at, row in enumerate(ROWS)
    ]
    if suffix != ".csv":
        rows = [{**row, "spans": json.loads(row["spans"])} for row in rows]
    splits = built(custom, pairs=str(write(tmp_path / f"pairs{suffix}", rows)))
    pairs = [Pair.from_doc(doc) for split in splits.values() for doc in split.to_list()]
    assert Counter(pair.template for pair in pairs) == Counter(str(r["template"]) for r in rows)
    assert {tuple(pair.spans) for pair in pairs} == {(("first", 0, 3),)}


def test_rows_without_a_template_beside_others(tmp_path: Path) -> None:
    rows = [{**row, **({} if at % 2 else {"template": "a"})} for at, row in enumerate(ROWS)]
    splits = built(custom, pairs=str(write(tmp_path / "pairs.jsonl", rows)))
    found = Counter(doc["template"] for split in splits.values() for doc in split.to_list())
    assert found == Counter("a" if at % 2 == 0 else None for at in range(len(ROWS)))


@pytest.mark.parametrize("value", [[], {"a": 1}, " ", "x" * 201])
def test_a_template_is_a_word_or_a_number(value: Any) -> None:
    doc = {**ROWS[0], "choices": [" A", " B"], "correct": [0], "incorrect": [1]}
    with pytest.raises(PairError, match=r"^A pair's template is a word or number, got"):
        Pair.from_doc({**doc, "template": value})
