"""Columns of other names: EAP-IG's ids of tokens and years, and any mapping."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from helpers.built import built
from helpers.tiny_tasks import evaluate
from helpers.tiny_tokenizer import save_tiny_model, word_tokenizer

from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.task_data.columns import Columns
from harness_circuits.task_data.custom import custom, read_pairs

WORDS = ("cat", "cats", "dog", "dogs", "one", "two", "three")
ROWS = [
    {"clean": f"The {a}", "corrupted": f"The {b}", "correct": " A", "incorrect": " B"}
    for a in WORDS
    for b in WORDS
    if a != b
]


IOI = (
    ",clean,corrupted,corrupted_hard,correct_idx,incorrect_idx\n"
    '470,"When Mary and John went, John gave a drink to",'
    '"When Mary and John went, Anna gave a drink to",x,{mary},{john}\n'
    '184,"When Tom and Mary went, Mary gave a drink to",'
    '"When Tom and Mary went, Anna gave a drink to",x,{tom},{mary}\n'
)
IOI_COLUMNS = {"correct_token": "correct_idx", "incorrect_token": "incorrect_idx"}
GREATER = "clean,corrupted,label\nThe one 1352 to 13,The one 1301 to 13,{}\n"


def ids() -> dict[str, int]:
    tokenizer = word_tokenizer()
    names = ("Mary", "John", "Tom")
    return {n.lower(): tokenizer.encode(f" {n}", add_special_tokens=False)[0] for n in names}


def test_eap_igs_ids_of_tokens_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ioi_tiny.csv"
    path.write_text(IOI.format(**ids()))
    splits = built(custom, pairs=str(path), columns=IOI_COLUMNS, same_pairs=True)
    assert splits["train"]["choices"] == [[" Mary", " John"], [" Tom", " Mary"]]
    assert splits["train"]["correct"] == [[0], [0]]
    model = save_tiny_model(tmp_path / "model")
    lm = CircuitLM(pretrained=str(model), method="EAP", sizes="0.5:1", bootstrap_iters=5)
    metadata = {"pairs": str(path), "columns": IOI_COLUMNS, "same_pairs": True}
    facts = evaluate(lm, ["custom_circuit"], metadata=metadata)["config"]["circuit"]["tasks"]
    said = " ".join(facts["custom_circuit"]["warnings"])
    assert "2 of 2 evaluation pairs are also training pairs" in said


@pytest.mark.parametrize(("given", "last"), [("52", 52), ("4", 4), ("1352", 52), ("1304", 4)])
def test_eap_igs_years_are_read(tmp_path: Path, given: str, last: int) -> None:
    path = tmp_path / "greater.csv"
    path.write_text(GREATER.format(given))
    (doc,) = read_pairs(path, Columns.read({"year": "label"}))
    assert [doc["choices"][at] for at in doc["correct"]] == [
        f"{n:02}" for n in range(last + 1, 100)
    ]
    assert [doc["choices"][at] for at in doc["incorrect"]] == [f"{n:02}" for n in range(last + 1)]


def test_ids_of_another_tokenizer_and_other_mistakes_are_told_by_line(tmp_path: Path) -> None:
    path = tmp_path / "ioi.csv"
    for changes, message in (
        ({"mary": 47764}, "line 2: token 47764 is none of the"),
        ({"mary": "Mary"}, "line 2: not an id of a token, nor a list of ids: 'Mary'"),
        ({"tom": 0}, "line 3: token 0 is '<end>'"),
    ):
        path.write_text(IOI.format(**{**ids(), **changes}))
        try:
            built(custom, pairs=str(path), columns=IOI_COLUMNS, same_pairs=True)
        except TaskDataError as error:
            assert message in str(error)
        else:
            assert "tom" in changes  # a token that the prompt may be continued with
    path.write_text(GREATER.format("520"))
    with pytest.raises(TaskDataError, match="line 2: not a year, nor its last two digits: '520'"):
        built(custom, pairs=str(path), columns={"year": "label"})
    with pytest.raises(OptionError, match=r"Unknown column 'years'.*Did you mean 'year'"):
        custom.check({"pairs": str(path), "columns": {"years": "label"}})
    with pytest.raises(OptionError, match="columns maps names of ours to those in the file"):
        custom.check({"pairs": str(path), "columns": ["label"]})
    with pytest.raises(TaskDataError, match="no columns clean, corrupted, jahr"):
        built(custom, pairs=str(path), columns={"year": "jahr"})


def test_any_column_may_have_another_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    frame = pd.DataFrame(ROWS).rename(columns={"clean": "question", "correct": "right"})
    frame.to_csv(path, sep="\t")
    docs = built(custom, pairs=str(path), columns={"clean": "question", "correct": "right"})
    assert sum(map(len, docs.values())) == len(ROWS)
