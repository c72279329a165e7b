"""Values that nobody should give, and what may become of them: acceptance, or one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from harness_circuits.errors import MOST_OF_A_VALUE, CircuitError

TEXTS = (
    *("", " ", "\n", "a\nb", "a\0b", "\x1b[31mred", "\u202eabc", "\ud800", "a\udfffb", "\ufeff"),
    *("no", "off", "n", "f", "null", "never", "disabled", "yes", "1", "TRUE", "False", "none"),
    *(
        "0x10",
        "1e-320",
        "1e309",
        "nan",
        "inf",
        "-1",
        "1_000",
        "\u0663",
        "\u0661:1",
        "\xb2",
        "9" * 5000,
    ),
    *(
        "~nosuchuser",
        "~nosuchuser/x",
        "x" * 300,
        "y " * 300,
        "d/" * 3000,
        "../" * 50,
        "/\0",
        "{}[]",
    ),
    *(
        "auto",
        "auto:x",
        "cuda:99",
        "cpu:9",
        "meta",
        "EAP",
        "eap-ig",
        "edge",
        "all",
        "discover:",
        "#",
    ),
    *("discover:~nosuchuser", "discover:" + "x" * 300, "x.json#\0", "x.gguf", "$(id)", "%s%n", "-"),
)
NUMBERS = (
    0,
    1,
    -1,
    2,
    99,
    2**31,
    2**63,
    2**64,
    -(2**70),
    10**400,
    10**5000,
    0.5,
    -0.0,
    1e-320,
    1e308,
)
NOT_FINITE = (float("nan"), float("inf"), -float("inf"))


class Awkward:
    """An object that does not even say what it is."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def endless() -> list[Any]:
    """A list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


ODD = (
    True,
    False,
    b"bytes",
    b"\xff",
    (),
    [],
    {},
    set(),
    [None],
    [[1]],
    {"a": 1},
    {1: 2},
    1j,
    object(),
)
ODDER = (
    Awkward(),
    endless(),
    len,
    Path("a\0b"),
    Path("x"),
    ["EAP", "EAP"],
    {"a": {"b": []}},
    range(3),
)

texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=30))
values = st.one_of(
    texts,
    st.sampled_from([*NUMBERS, *NOT_FINITE]),
    st.integers(),
    st.floats(),
    st.sampled_from([*ODD, *ODDER]),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=5)), max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


def accepted(act: Callable[[], Any], value: Any) -> bool:
    """Whether something is done with a value; else it is refused as everything has to be refused.

    Any exception but a `CircuitError` passes through, and fails the test.
    """
    try:
        act()
    except CircuitError as error:
        check_line(str(error), value)
        return False
    return True


def check_line(message: str, value: Any) -> None:
    """Make sure that a message is one line, and does not repeat all of a long value."""
    assert message
    assert message.isprintable(), ascii(message)
    if isinstance(value, str) and len(value) > MOST_OF_A_VALUE:
        assert value[: MOST_OF_A_VALUE + 1] not in message
    assert max(map(len, message.split())) <= MOST_OF_A_VALUE
