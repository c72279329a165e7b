"""`custom_circuit`: files of pairs in three formats, checked row by row; `check-task`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.built import built
from helpers.custom_pairs import ROWS, TASK, WORDS, row, write
from helpers.environments import ROOT
from helpers.task_builds import manager
from helpers.tiny_tasks import evaluate, values
from helpers.tiny_tokenizer import save_tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval.models.huggingface import HFLM

from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.task_data.custom import custom, read_pairs

EXAMPLE = ROOT / "tasks" / TASK / "example.jsonl"


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_file_is_read_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"pairs{suffix}", ROWS)
    splits = built(custom, pairs=str(path))
    docs = [doc for split in splits.values() for doc in split.to_list()]
    assert len(docs) == len(ROWS) and not len(splits["validation"])
    key = lambda doc: (doc["clean"], doc["corrupted"])  # noqa: E731
    wanted = [
        {
            "clean": r["clean"],
            "corrupted": r["corrupted"],
            "choices": [" A", " B", " C"],
            "correct": [0],
            "incorrect": [1, 2],
        }
        for r in ROWS
    ]
    assert sorted(docs, key=key) == sorted(wanted, key=key)
    assert {d["clean"] for d in splits["train"]}.isdisjoint({d["clean"] for d in splits["test"]})


def test_splits_keys_and_limits(tmp_path: Path) -> None:
    rows = [row(a, "red", split=s) for a, s in zip(WORDS, ("train", "test") * 4, strict=False)]
    splits = built(custom, pairs=str(write(tmp_path / "a.jsonl", rows)), n_train=3)
    assert [d["clean"] for d in splits["train"]] == ["The cat", "The dog", "The one"]
    assert [d["clean"] for d in splits["test"]] == ["The cats", "The dogs", "The two"]
    rows = [row(word, "red", key="same") for word in WORDS]
    (only,) = [s for s in ("train", "test") if split_of_file(tmp_path, rows, s)]
    assert len(split_of_file(tmp_path, rows, only)) == len(WORDS)
    with pytest.raises(OptionError, match="n_test is a whole number from 0 to 1000000"):
        built(custom, pairs=str(tmp_path / "a.jsonl"), n_test=-1)


def split_of_file(tmp_path: Path, rows: list[dict[str, Any]], split: str) -> list[Any]:
    found = read_pairs(write(tmp_path / "keys.jsonl", rows))
    return [doc for doc in found if doc["split"] == split]


BROKEN = [
    (row("cat", "dog"), None),
    ({"clean": "The cat", "corrupted": "The dog", "correct": " A"}, "it lacks incorrect; it has"),
    (row("cat", "cat"), "clean and corrupted prompt are the same"),
    (row("cat", "dog", incorrect=" A"), "two choices are the same"),
    (row("cat", "dog", correct=3), "choices is not a list of text"),
    (row("cat", "dog", split="dev"), "split is train, validation, test, or left out; got 'dev'"),
    (row("cat", "dog", choices=[" A"], correct=[0], incorrect=[1]), "index 1 is not among its 1"),
    ([1], r"not an object with columns, but \[1\]"),
]


@pytest.mark.parametrize(("broken", "problem"), [*BROKEN[1:], ("{", "not JSON")])
def test_a_bad_row_is_told_by_line(tmp_path: Path, broken: Any, problem: str) -> None:
    path = tmp_path / "bad.jsonl"
    lines = [json.dumps(BROKEN[0][0]), "", broken if broken == "{" else json.dumps(broken)]
    path.write_text("\n".join(lines))
    with pytest.raises(TaskDataError) as caught:
        built(custom, pairs=str(path))
    message = str(caught.value)
    assert message.startswith(f"{path} has 1 row that is no pair: line 3: ")
    assert re.search(problem, message)


def test_every_bad_row_is_counted_and_the_first_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.jsonl", [broken for broken, _ in BROKEN])
    with pytest.raises(TaskDataError) as caught:
        built(custom, pairs=str(path))
    message = str(caught.value)
    found = re.fullmatch(r"(.*) has 7 rows that are no pairs, the first ([2-6]): .*", message)
    assert found is not None and found[1] == str(path)
    lines = re.findall(r"line (\d+): ", message)
    assert lines == [str(line) for line in range(2, 2 + int(found[2]))]


@settings(max_examples=20)
@given(st.lists(st.text(max_size=300), min_size=1, max_size=30))
def test_messages_about_rows_are_bounded(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "many.jsonl"
    write(path, [{text: text, "clean": text} for text in texts])
    with pytest.raises(TaskDataError) as caught:
        read_pairs(path)
    message = str(caught.value)
    assert len(message) <= max(400, len(str(path)) + 180) and len(message.splitlines()) == 1
    assert "line 1: it lacks corrupted, correct, incorrect" in message


def test_lines_of_a_csv_file_are_the_files_own(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(
        "clean,corrupted,correct,incorrect\n"
        '"The cat\nThe cat","The dog\nThe dog", A, B\n'
        "The cat,The dog, A,\n"
        'The cat,The dog, A,"[ B"\n'
        "The cat,The dog, A, B, C\n"
    )
    with pytest.raises(TaskDataError) as caught:
        read_pairs(path)
    assert "line 5: it lacks incorrect" in str(caught.value)
    assert "line 6: a list or mapping that is not JSON" in str(caught.value)
    assert "line 7: it has more cells than the 4 columns" in str(caught.value)
    assert "has 3 rows" in str(caught.value)


def test_one_clean_prompt_is_in_one_split_only(tmp_path: Path) -> None:
    rows = [row("cat", "dog", split="train"), row("cat", "cats", split="test")]
    with pytest.raises(
        TaskDataError, match="line 2: its clean prompt is in split train too, at line 1"
    ):
        read_pairs(write(tmp_path / "two.jsonl", rows))


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"name it with --metadata '\{\"pairs\": .*got None"):
        built(custom)
    for name, message in (
        ("pairs.txt", r"ends in \.jsonl, \.csv, \.tsv, \.parquet"),
        ("none.jsonl", "There is no file of pairs"),
    ):
        with pytest.raises(TaskDataError, match=message):
            built(custom, pairs=str(tmp_path / name))
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(TaskDataError, match="holds no pairs"):
        read_pairs(tmp_path / "empty.jsonl")
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(TaskDataError, match="is not a parquet file"):
        read_pairs(tmp_path / "no.parquet")


def test_what_does_not_align_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [*ROWS, row("red cat", "dog", split="train")]
    splits = built(custom, pairs=str(write(tmp_path / "a.jsonl", rows)))
    assert sum(map(len, splits.values())) == len(ROWS)
    assert custom.left_out == {"clean and corrupted differ in token length": 1}


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(ROWS), min_size=1, unique_by=lambda r: (r["clean"], r["corrupted"]))
)
def test_a_row_keeps_its_split_whatever_else_is_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "some.jsonl"
    alone = {doc["clean"]: doc["split"] for doc in read_pairs(write(path, ROWS))}
    assert all(alone[doc["clean"]] == doc["split"] for doc in read_pairs(write(path, rows)))


def test_the_example_is_read_and_has_both_splits() -> None:
    docs = read_pairs(EXAMPLE)
    assert len(docs) == 8 and {doc["split"] for doc in docs} == {"train", "test"}
    (lima,) = (doc for doc in docs if "Peru" in doc["clean"])
    assert [lima["choices"][at] for at in lima["correct"]] == [" Lima"]


def test_it_runs_under_lm_eval(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model")
    path = write(tmp_path / "pairs.csv", ROWS)
    lm = CircuitLM(pretrained=str(model), sizes="0.1:1", bootstrap_iters=20, method="EAP")
    metadata = {"pretrained": str(model), "pairs": str(path)}
    found = values(evaluate(lm, [TASK], metadata=metadata), TASK)
    assert found["faithfulness@1"] == pytest.approx(1, abs=1e-4)
    assert TASK in manager().all_subtasks
    plain = HFLM(pretrained=str(model), dtype="float32", device="cpu")
    behaviour = values(evaluate(plain, [TASK], metadata=metadata), TASK)
    assert behaviour["acc"] == found["acc"]
    assert behaviour["loglikelihood_diff"] == pytest.approx(found["loglikelihood_diff"], abs=1e-4)
