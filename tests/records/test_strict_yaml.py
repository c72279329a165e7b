"""Our YAML files: nothing in them is taken in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.records.strict_yaml import MOST_BYTES, YamlFileError, read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdef", "bcdefg", strict=True)
)


def read(folder: Path, text: str | bytes) -> Any:
    file = folder / "file.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("cmd: 1e-3", {"cmd": 0.001}),
        (
            "a: 1.5e+2\nb: -3\nc: .5\nd: 2.\ne: +0",
            {"a": 150.0, "b": -3, "c": 0.5, "d": 2.0, "e": 0},
        ),
        ("a: 2024-13-45", {"a": "2024-13-45"}),
        ("a: 2024-01-01 10:00:00", {"a": "2024-01-01 10:00:00"}),
        (
            "a: [010, 1:30, 0x10, 1_000, .inf, .nan]",
            {"a": ["010", "1:30", "0x10", "1_000", ".inf", ".nan"]},
        ),
        ("a: true\nb: null\nc: 'x'", {"a": True, "b": None, "c": "x"}),
        ("a: &x {k: 1}\nb: *x\nc: {<<: *x, k: 2}", {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 2}}),
        ("", None),
    ],
)
def test_what_is_read(tmp_path: Path, text: str, value: object) -> None:
    found = read(tmp_path, text)
    assert found == value
    if isinstance(found, dict):
        assert [type(v) for v in found.values()] == [type(v) for v in value.values()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cmd: 0.01\ncmd: 100", "the key 'cmd' is there twice"),
        ("a: {b: 1, 'b': 2}", "the key 'b' is there twice"),
        ("1: a\n1: b", "the key '1' is there twice"),
        ("? [a]\n: 1", "a key is one value"),
        (BOMB, "more than 100000 values, aliases written out"),
        ("a: &a [*a]", "a value contains itself"),
        ("[" * 40 + "]" * 40, "nested more than 32 deep"),
        ("[" * 20000, "nested more than 32 deep"),
        ("- " * 5000 + "x", "nested more than 32 deep"),
        ("a: " + "9" * 25, "is too large"),
        ("a: -" + "9" * 5000, "is too large"),
        ("a: 1e999", "is not finite"),
        ("a: !!timestamp 2024-13-45", "is not YAML that can be used"),
        ("a: !!int x", "is not YAML that can be used"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML that can be used"),
        ("a: [", "is not YAML that can be used"),
        ("a: 1\n---\nb: 2", "is not YAML that can be used"),
        (b"a: \xff", "cannot be read"),
        ("a: \x00", "is not YAML that can be used"),
        (b"#" * (MOST_BYTES + 1), "has more than 1048576 bytes"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(YamlFileError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert len(str(error.value)) < 600
    assert "\n" not in str(error.value)


@given(st.text(alphabet="ab:{}[]-&*?!|>'\"#, \n\t0123456789.~<%@", max_size=40))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        read(folder, text)
    except YamlFileError as error:
        assert "\n" not in str(error)
