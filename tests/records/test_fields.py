"""Getters of JSON objects: the value, or one line with the place, the name and what was there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.records.fields import Fields, ResultFileError, read_json
from harness_circuits.statistics.bootstrap import Interval

TOP = Fields({"a": {"n": 1, "t": "x", "list": [1, 2.5], "low": 0, "high": 2}}, "the file")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9), st.lists, max_leaves=4
)


def test_values_are_read() -> None:
    a = TOP.child("a")
    assert (a.where, a.number("n"), a.text("t"), a.numbers("list", 2)) == ("a", 1.0, "x", (1, 2.5))
    assert a.interval("n", "low", "high") == Interval(1, 0, 2)
    assert Fields({"b": {}, "a": {}}, "x").keys(("a", "b", "c")) == ["a", "b"]
    assert Fields({"texts": ["a"]}, "x").texts("texts") == ("a",)


@pytest.mark.parametrize(
    ("get", "message"),
    [
        (lambda: TOP.child("b"), "the file has no 'b'"),
        (lambda: TOP.child("a").text("n"), "a: 'n' is not text but 1"),
        (lambda: TOP.child("a").number("t"), "a: 't' is not a finite number but 'x'"),
        (
            lambda: TOP.child("a").numbers("list", 3),
            "a: 'list' is not one number for each of 3 sizes",
        ),
        (lambda: TOP.child("a").ordered(1, 3, 2, "n"), "a: 'n' has an interval from 3 to 2"),
        (
            lambda: TOP.child("a").ordered(9, 1, 2, "n"),
            "a: 'n' is 9, outside its own interval from 1",
        ),
        (lambda: TOP.keys(("b",)), "the file: expected some of ('b',), got ['a']"),
    ],
)
def test_what_is_wrong_is_named(get: Any, message: str) -> None:
    with pytest.raises(ResultFileError) as caught:
        get()
    assert str(caught.value).startswith(message)


@given(PLAIN)
def test_any_value_is_of_a_type_or_refused_in_one_line(value: Any) -> None:
    fields = Fields({"x": value}, "here")
    for read in (fields.text, fields.number, fields.numbers, fields.texts, fields.child):
        try:
            read("x")
        except ResultFileError as error:
            assert str(error).startswith("here: 'x' is not") and len(str(error)) < 200


def test_a_file_is_one_object_without_repeated_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": {"b": 1, "b": 2}}')
    with pytest.raises(ResultFileError, match="'b'"):
        read_json(path)
    path.write_text('{"a": [1]}')
    assert read_json(path) == {"a": [1]}
