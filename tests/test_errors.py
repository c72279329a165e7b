"""Messages are one line of what a terminal may be sent, whatever they quote."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness_circuits import errors
from harness_circuits.errors import MOST_OF_A_VALUE, CircuitError, one_line, shown

VALUES = st.recursive(st.text() | st.integers() | st.floats() | st.binary(), st.lists)


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no repr")


@given(st.text())
def test_a_message_is_one_printable_line_of_short_words(text: str) -> None:
    message = str(CircuitError(text))
    assert message.isprintable()
    assert all(len(word) <= MOST_OF_A_VALUE for word in message.split(" "))
    assert str(CircuitError(message)) == message, "clean twice is clean once"


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=MOST_OF_A_VALUE))
def test_a_plain_message_stays_as_it_is(text: str) -> None:
    assert str(CircuitError(text)) == text == one_line(text)


@given(VALUES, st.integers(40, 300))
def test_a_value_is_shown_in_a_line_of_bounded_length(value: object, most: int) -> None:
    text = shown(value, most)
    assert text.isprintable() and len(text) <= most
    if len(one_line(repr(value))) <= most:
        assert text == one_line(repr(value))


def test_a_value_that_has_no_text_is_shown_by_its_type() -> None:
    assert shown(Broken()) == "<Broken>"
    assert shown(10**5000) == "<int>"


def test_every_error_is_a_circuit_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in kinds if issubclass(kind, Exception)]
    assert len(kinds) >= 9
    for kind in kinds:
        assert issubclass(kind, CircuitError)
        assert str(kind("a\nb\x1b")) == r"a b\x1b"
