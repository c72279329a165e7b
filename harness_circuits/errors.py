"""The errors a user can cause. Each message says what, where, the value, and the way out."""

import re

MOST_OF_A_VALUE = 200  # characters of a value that a message repeats
_LONG_WORD = re.compile(rf"\S{{{MOST_OF_A_VALUE + 1},}}")


class CircuitError(Exception):
    """Base class: commands print its message as one line and exit with a non-zero code.

    Whatever the message quotes, it is one line of printable characters, and no word of it is longer
    than `MOST_OF_A_VALUE`. Values go through `shown`, which shortens those with spaces too.
    """

    def __init__(self, message: object = "") -> None:
        """Clean the message."""
        super().__init__(_LONG_WORD.sub(_cut_word, one_line(message)))


class OptionError(CircuitError):
    """An option has a value that cannot be used, or two options exclude each other."""


class UnknownNameError(CircuitError, LookupError):
    """A name (of a method, metric, task, node, ...) is not known."""


class UnsupportedModelError(CircuitError):
    """The model has no decomposition into residual-stream nodes that we can patch."""


class PairError(CircuitError):
    """A clean/corrupted pair cannot be used, for example because token lengths differ.

    Attributes:
        reason: What is counted where such pairs are left out; empty where a pair is malformed.
    """

    def __init__(self, message: object = "", reason: str = "") -> None:
        """Say what is wrong, and of which kind that is."""
        super().__init__(message)
        self.reason = reason


class TaskDataError(CircuitError):
    """A task's data is missing, malformed, or empty after filtering."""


class CircuitFileError(CircuitError):
    """A scores or circuit file is malformed, unsafe, or belongs to another model."""


class MismatchError(CircuitError):
    """Scores or a circuit do not fit the graph, the model or each other."""


class NumericalError(CircuitError):
    """A number that must be finite is not, or a ratio has a zero denominator."""


def one_line(text: object) -> str:
    r"""A text with lines joined, and what no terminal should be sent written as an escape.

    >>> one_line("a\n  b\x1b[31m")
    'a b\\x1b[31m'
    """
    joined = " ".join(part for line in str(text).splitlines() if (part := line.strip()))
    return "".join(c if c.isprintable() else escaped(c) for c in joined)


def shown(value: object, most: int = MOST_OF_A_VALUE) -> str:
    """How a message repeats a value: its `repr` on one line, shortened.

    >>> shown("x" * 300, most=30)
    "'xxxxxxxxx... (302 characters)"
    """
    try:
        text = one_line(repr(value))
    except Exception:  # an integer of too many digits, a container within itself, a broken repr
        text = f"<{type(value).__name__}>"
    if len(text) <= most:
        return text
    end = f"... ({len(text)} characters)"
    return text[: most - len(end)] + end


def escaped(character: str) -> str:
    """A character as Python writes it in ASCII."""
    return character.encode("unicode_escape").decode("ascii")


def _cut_word(word: re.Match[str]) -> str:
    return word[0][: MOST_OF_A_VALUE - 3] + "..."
