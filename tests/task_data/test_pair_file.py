"""Files of pairs as programs really write them: encodings, separators, columns without a name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.built import built
from helpers.tiny_tokenizer import save_tiny_model
from hypothesis import given
from hypothesis import strategies as st

import harness_circuits as hc
from harness_circuits.commands import main
from harness_circuits.errors import CircuitError, OptionError, PairError, TaskDataError
from harness_circuits.task_data.custom import custom, read_pairs
from harness_circuits.task_data.pair_file import read_text

FILES = Path(__file__).parents[1] / "helpers" / "pair_files"  # of people with Excel and pandas
WORDS = ("cat", "cats", "dog", "dogs", "one", "two", "three")
ROWS = [
    {"clean": f"The {a}", "corrupted": f"The {b}", "correct": " A", "incorrect": " B"}
    for a in WORDS
    for b in WORDS
    if a != b
]


def table(separator: str, **how: Any) -> str:
    text: str = pd.DataFrame(ROWS).to_csv(sep=separator, **how)
    return text


def plain(path: Path) -> list[dict[str, Any]]:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return read_pairs(path)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("first", ["", "sep={}\n"])
def test_tables_of_every_kind_are_the_same_pairs(
    tmp_path: Path, separator: str, encoding: str, index: bool, first: str
) -> None:
    path = tmp_path / "table.csv"
    text = first.format(separator) + table(separator, index=index)
    path.write_bytes(text.encode(encoding))
    assert read_pairs(path) == plain(tmp_path / "plain.jsonl")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_lines_of_json_may_have_a_mark(tmp_path: Path, encoding: str) -> None:
    wanted = plain(tmp_path / "plain.jsonl")
    path = tmp_path / "marked.JSONL"
    path.write_bytes((tmp_path / "plain.jsonl").read_text().encode(encoding))
    assert read_pairs(path) == wanted


@pytest.mark.case("excel-csv", "pandas-index-csv")
@pytest.mark.parametrize("name", ["bom.csv", "pandas_index.csv"])
def test_what_excel_and_pandas_write_is_read(name: str) -> None:
    docs = read_pairs(FILES / name)
    assert len(docs) == 6 and {doc["split"] for doc in docs} == {"train", "test"}
    assert docs[0]["clean"] == "The capital of France is"
    assert docs[0]["choices"] == [" Paris", " Rome"]


@pytest.mark.case("excel-csv")
def test_another_encoding_is_named_and_not_guessed(tmp_path: Path) -> None:
    path = FILES / "ansi.csv"
    with pytest.raises(TaskDataError) as caught:
        read_pairs(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not UTF-8: line 2 has a byte 0xe9 ")
    assert "\n" not in message and '"encoding": "cp1252"' in message and "caf" in message
    docs = read_pairs(path, encoding="cp1252")
    assert docs[0]["clean"].startswith("At the café they said")
    with pytest.raises(OptionError, match="one that Python knows, got 'cp1253x'"):
        read_pairs(path, encoding="cp1253x")
    with pytest.raises(OptionError, match="encoding is the name of one"):
        custom.check({"pairs": str(path), "encoding": 3})
    bare = tmp_path / "bare.csv"
    bare.write_bytes(table(",").encode("utf-16-le"))
    with pytest.raises(TaskDataError, match=r"zero bytes .* UTF-16 without .*utf-16-le"):
        read_pairs(bare)
    assert len(read_pairs(bare, encoding="utf-16-le")) == len(ROWS)


def test_a_table_without_the_columns_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("prompt,answer\nThe cat, A\n")
    with pytest.raises(
        TaskDataError, match=r"no columns clean, corrupted.* it reads 'prompt,answer'"
    ):
        read_pairs(path)
    path.write_text("clean,corrupted,correct,correct,incorrect\na,b,c,d,e\n")
    with pytest.raises(TaskDataError, match="two columns are called 'correct'"):
        read_pairs(path)
    path.write_text("clean,corrupted,correct,incorrect\na,b,c," + "x" * 200_000 + "\n")
    with pytest.raises(TaskDataError, match="line 2: not a row of a table: field larger"):
        read_pairs(path)


@given(st.binary(max_size=200), st.sampled_from([".csv", ".jsonl", ".tsv", ".parquet"]))
def test_whatever_a_file_holds_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{kind}"
    path.write_bytes(data)
    try:
        assert read_pairs(path)
    except CircuitError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) <= len(str(path)) + 400


def test_half_a_character_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(PairError, match="has half a character in it"):
        hc.make_pairs(["a \ud800"], ["b"], ["c"], ["d"])
    path = tmp_path / "half.jsonl"
    path.write_text(json.dumps({**ROWS[0], "correct": " \udc00"}))
    with pytest.raises(TaskDataError, match=r"line 1: .*half a character"):
        read_pairs(path)


def test_a_key_given_twice_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "twice.jsonl"
    path.write_text(json.dumps(ROWS[0])[:-1] + ', "clean": "The two"}')
    with pytest.raises(TaskDataError, match=r"has 1 row .*the key 'clean' is there twice"):
        read_pairs(path)


@pytest.mark.parametrize("encoding", ["", "a\0b", "\ud800", "no-such", ["cp1252"], 7])
def test_an_encoding_is_the_name_of_one(encoding: Any) -> None:
    with pytest.raises(OptionError, match="encoding is the name of one that Python knows"):
        custom.check({"pairs": "any.csv", "encoding": encoding})


def test_a_file_is_read_before_a_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match=r"There is no file of pairs .*nowhere\.jsonl"):
        custom.check({"pairs": str(tmp_path / "nowhere.jsonl")})
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**ROWS[0], "correct": ROWS[0]["incorrect"]}))
    with pytest.raises(TaskDataError, match="has 1 row that is no pair: line 1: "):
        custom.check({"pairs": str(path)})
    path.write_text(json.dumps({**ROWS[0], "correct": 5, "incorrect": 7}))
    columns = {"correct_token": "correct", "incorrect_token": "incorrect"}
    custom.check({"pairs": str(path), "columns": columns})
    path.write_bytes(b"\xff\xfea")
    with pytest.raises(TaskDataError, match=r"is not UTF-16"):
        custom.check({"pairs": str(path), "columns": columns})


def test_one_pair_or_one_split_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({**ROWS[0], "split": "test"}))
    with pytest.raises(
        TaskDataError, match=r"has 1 pair \(1 test\) and none for train: .*same_pairs"
    ):
        built(custom, pairs=str(path))
    both = built(custom, pairs=str(path), same_pairs=True)
    assert both["train"].to_list() == both["test"].to_list() and len(both["test"]) == 1
    path.write_text("".join(json.dumps({**row, "split": "validation"}) + "\n" for row in ROWS[:3]))
    with pytest.raises(TaskDataError, match=r"\(3 validation\) and none for train and test"):
        built(custom, pairs=str(path))
    with pytest.raises(OptionError, match="same_pairs is true or false, got 'yes'"):
        custom.check({"pairs": str(path), "same_pairs": "yes"})


def test_check_task_takes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(save_tiny_model(tmp_path / "model"))
    path = tmp_path / "pairs.csv"
    path.write_text(table(";"))
    main.main(["check-task", str(path), "--pretrained", model])
    assert "custom_circuit for model: " in capsys.readouterr().out


def test_a_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffa".encode("utf-16-le"))
    assert read_text(path) == "a" == read_text(path, "utf-16-le")
