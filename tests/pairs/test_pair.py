"""Pairs: what makes one, and why one is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.errors import PairError, TaskDataError
from harness_circuits.pairs.pair import Pair, make_pairs, pairs_from_docs, pairs_from_frame

DOC: dict[str, Any] = {
    "clean": "Mary and John went; John gave a drink to",
    "corrupted": "Mary and John went; Mary gave a drink to",
    "choices": [" Mary", " John"],
    "correct": [0],
    "incorrect": [1],
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"clean": "  \n"}, "the clean prompt is empty"),
        ({"corrupted": ""}, "the corrupted prompt is empty"),
        ({"correct": []}, "it needs at least one correct and one incorrect answer"),
        ({"incorrect": []}, "it needs at least one correct and one incorrect answer"),
        ({"choices": [" Mary", ""]}, "a choice is empty"),
        ({"choices": [" Mary", " Mary"]}, "two choices are the same: [' Mary', ' Mary']"),
        ({"correct": [2]}, "answer index 2 is not among its 2 choices"),
        ({"incorrect": [-1]}, "answer index -1 is not among its 2 choices"),
        ({"incorrect": [0]}, "choice ' Mary' is both correct and incorrect"),
        ({"clean": None}, "clean is not text: None"),
        ({"corrupted": 3}, "corrupted is not text: 3"),
        ({"choices": " Mary"}, "choices is not a list of text: ' Mary'"),
        ({"choices": [" Mary", 1]}, "choices is not a list of text: [' Mary', 1]"),
        ({"choices": None}, "choices is not a list of text: None"),
        ({"correct": 0}, "correct is not a list of whole numbers: 0"),
        ({"correct": "0"}, "correct is not a list of whole numbers: '0'"),
        ({"incorrect": ["x"]}, "incorrect is not a list of whole numbers: ['x']"),
        ({"incorrect": [0.5]}, "incorrect is not a list of whole numbers: [0.5]"),
    ],
)
def test_unusable_documents_are_refused(change: dict[str, Any], problem: str) -> None:
    doc = {**DOC, **change}
    with pytest.raises(PairError) as error:
        Pair.from_doc(doc)
    assert str(error.value) == (
        f"A pair cannot be used: {problem} (clean prompt {doc['clean']!r})."
    )


@pytest.mark.parametrize("field", list(DOC))
def test_missing_fields_are_named(field: str) -> None:
    doc = {name: value for name, value in DOC.items() if name != field}
    with pytest.raises(PairError) as error:
        Pair.from_doc(doc)
    assert str(error.value) == f"A pair lacks the fields {[field]}; it has {sorted(doc)}."


def test_documents_may_hold_numpy_values_and_more_fields() -> None:
    doc = {**DOC, "correct": np.array([0]), "choices": np.array(DOC["choices"]), "more": 1}
    doc["incorrect"] = [np.int64(1)]
    pair = Pair.from_doc(doc)
    assert pair == Pair.from_doc(DOC)
    assert [type(index) for index in pair.correct] == [int]
    assert hash(pair) == hash(Pair.from_doc(DOC))


def test_the_failing_document_is_numbered() -> None:
    with pytest.raises(PairError) as error:
        pairs_from_docs([DOC, {**DOC, "correct": [7]}], "ioi (training split)")
    assert str(error.value) == (
        "ioi (training split), pair 1: A pair cannot be used: answer index 7 is not among its "
        f"2 choices (clean prompt {DOC['clean']!r})."
    )


def test_no_documents_are_refused() -> None:
    with pytest.raises(TaskDataError, match=r"^ioi \(training split\) has no pairs\.$"):
        pairs_from_docs([], "ioi (training split)")


words = st.text("abc ", min_size=1).map(lambda text: f" {text}x")
answers = st.lists(words, min_size=2, max_size=6, unique=True)


@given(st.lists(st.tuples(words, words, answers, st.integers(1, 5)), min_size=1, max_size=4))
def test_lists_become_pairs(rows: list[tuple[str, str, list[str], int]]) -> None:
    split = [min(n, len(choices) - 1) for _, _, choices, n in rows]
    right = [choices[:n] for (_, _, choices, _), n in zip(rows, split, strict=True)]
    wrong = [choices[n:] for (_, _, choices, _), n in zip(rows, split, strict=True)]
    clean, corrupted = [row[0] for row in rows], [row[1] for row in rows]
    pairs = make_pairs(clean, corrupted, right, wrong)
    assert [pair.clean for pair in pairs] == clean
    assert [pair.corrupted for pair in pairs] == corrupted
    for pair, good, bad in zip(pairs, right, wrong, strict=True):
        assert [pair.choices[index] for index in pair.correct] == good
        assert [pair.choices[index] for index in pair.incorrect] == bad
    frame = pd.DataFrame(
        {"clean": clean, "corrupted": corrupted, "correct": right, "incorrect": wrong}
    )
    assert pairs_from_frame(frame) == pairs


def test_one_answer_may_stand_without_a_list() -> None:
    assert make_pairs(["a b"], ["a c"], [" x"], [[" y"]]) == make_pairs(
        ["a b"], ["a c"], [[" x"]], [" y"]
    )


def test_lists_have_one_length() -> None:
    with pytest.raises(PairError) as error:
        make_pairs(["a", "b"], ["c"], [" x"], [" y"])
    assert str(error.value) == (
        "Expected lists of one length, got 2 clean, 1 corrupted, 1 correct and 1 incorrect."
    )


@pytest.mark.parametrize("value", [float("nan"), None, 3, [1]])
@pytest.mark.parametrize("column", ["clean", "correct", "incorrect"])
def test_cells_that_are_not_text_are_refused(column: str, value: Any) -> None:
    columns = {"clean": "a b", "corrupted": "a c", "correct": " x", "incorrect": " y"}
    frame = pd.DataFrame({name: [text] for name, text in columns.items()}, dtype=object)
    frame.at[0, column] = value
    with pytest.raises(PairError, match=r"is not (a list of )?text: "):
        pairs_from_frame(frame)


def test_missing_columns_are_named() -> None:
    with pytest.raises(TaskDataError) as error:
        pairs_from_frame(pd.DataFrame({"clean": ["a"], "answer": [" x"]}))
    assert str(error.value) == (
        "The table lacks ['corrupted', 'correct', 'incorrect']; it has ['clean', 'answer']."
    )
