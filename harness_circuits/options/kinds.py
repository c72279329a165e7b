"""Kinds of values that options have: what each accepts, and what messages call it.

A kind reads a value from wherever it comes: `--model_args` (where lm-eval has made numbers of what
looks like one), YAML, a command's argument, or Python. What it does not accept is refused, and never
guessed at: only true and false are true and false.
"""

from __future__ import annotations

import math
import numbers
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from harness_circuits.circuits.sizes import check_sizes, parse_sizes
from harness_circuits.errors import OptionError, shown
from harness_circuits.options.paths import read_path
from harness_circuits.registry import unknown_name

MOST_BYTES = 2**50


class Kind(ABC):
    """A kind of values."""

    @property
    @abstractmethod
    def text(self) -> str:
        """What messages and lists call a value: "a whole number from 1 to 9"."""

    @abstractmethod
    def read(self, name: str, value: Any) -> Any:
        """The value of the option `name`, as the program uses it.

        Raises:
            OptionError: It is not of this kind.
        """


class Plain(Kind):
    """A kind of which its text is all that a message needs to say."""

    @abstractmethod
    def accept(self, value: Any) -> Any:
        """The value as the program uses it.

        Raises:
            ValueError: It is not of this kind.
        """

    def read(self, name: str, value: Any) -> Any:
        """The value, or one line about what it has to be."""
        try:
            return self.accept(value)
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise OptionError(f"{name} is {self.text}, got {shown(value)}.") from None


@dataclass(frozen=True)
class Switch(Plain):
    """True or false, as a boolean or as that word."""

    text = "true or false"

    def accept(self, value: Any) -> bool:
        """A boolean."""
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise ValueError
        return value


@dataclass(frozen=True)
class Whole(Plain):
    """A whole number in a range; texts of digits only where `texts` says so."""

    least: int
    most: int
    texts: bool = False

    @property
    def text(self) -> str:
        """What messages call it."""
        return f"a whole number from {self.least} to {self.most}"

    def accept(self, value: Any) -> int:
        """An integer."""
        if self.texts and isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,30}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise ValueError
        if not self.least <= int(value) <= self.most:
            raise ValueError
        return int(value)


SEED = Whole(0, 2**32 - 1)


@dataclass(frozen=True)
class Number(Plain):
    """A finite number in a range; `above` leaves out its lower end."""

    least: float
    most: float
    above: bool = False
    texts: bool = False

    @property
    def text(self) -> str:
        """What messages call it."""
        if self.above:
            return f"a number above {self.least:g} and at most {self.most:g}"
        return f"a number from {self.least:g} to {self.most:g}"

    def accept(self, value: Any) -> int | float:
        """An integer or a float."""
        if self.texts and isinstance(value, str) and value.isascii() and "_" not in value:
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ValueError
        number = int(value) if isinstance(value, numbers.Integral) else float(value)
        if not self.least <= number <= self.most or (self.above and number == self.least):
            raise ValueError
        return number


@dataclass(frozen=True)
class Name(Plain):
    """One line of text, such as the name of something."""

    what: str = "a name"
    most: int = 200

    @property
    def text(self) -> str:
        """What messages call it."""
        return f"{self.what} (text of 1 to {self.most} characters)"

    def accept(self, value: Any) -> str:
        """A text."""
        if not isinstance(value, str) or not 0 < len(value) <= self.most:
            raise ValueError
        if "\0" in value or value.splitlines() != [value]:
            raise ValueError
        value.encode()  # half characters (lone surrogates) are none
        return value


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few names."""

    known: Collection[str]

    @property
    def text(self) -> str:
        """What lists call it."""
        return " or ".join(self.known)

    def read(self, name: str, value: Any) -> str:
        """The name.

        Raises:
            OptionError: It is none of them.
        """
        if isinstance(value, str) and value in self.known:
            return value
        raise OptionError(unknown_name(name, value, self.known))


@dataclass(frozen=True)
class Names(Plain):
    """Names of several things: a list, or one text such as `necessity:tests`; each once."""

    what: str
    most: int = 100

    @property
    def text(self) -> str:
        """What messages call it."""
        return f"{self.what}, for example {self.what.split()[-1]}=NAME:NAME"

    def accept(self, value: Any) -> tuple[str, ...]:
        """The names."""
        parts = re.split(r"[\s:;+/]+", value.strip()) if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)) or len(parts) > self.most:
            raise ValueError
        return tuple(dict.fromkeys(Name(most=60).accept(part) for part in parts))


@dataclass(frozen=True)
class FilePath(Kind):
    """A path, or what may be one: a hub id, `FILE#NAME`, `discover:TASK`."""

    text: str = "a path"

    def read(self, name: str, value: Any) -> str:
        """The text of the path; its `~` is left to whoever opens it."""
        read_path(value, name, self.text)
        return str(value)


@dataclass(frozen=True)
class Sizes(Kind):
    """Fractions of all units, ascending."""

    text = "fractions in (0, 1], ascending: 0.01:0.1:1"

    def read(self, name: str, value: Any) -> tuple[float, ...]:
        """The fractions."""
        sizes = parse_sizes(value)
        check_sizes(sizes)
        return sizes


@dataclass(frozen=True)
class Memory(Plain):
    """An amount of memory: a number of bytes, or a text such as `4GB`."""

    text = "an amount such as 4GB or 500MB"

    def accept(self, value: Any) -> int:
        """Bytes.

        >>> Memory().accept("1.5k")
        1536
        """
        if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
            raise ValueError
        pattern = r"\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([kmgt]?)i?b?\s*"
        match = re.fullmatch(pattern, str(value).lower(), re.ASCII)
        if match is None:
            raise ValueError
        n = int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))
        if not 1 <= n <= MOST_BYTES:
            raise ValueError
        return n


@dataclass(frozen=True)
class Checked(Plain):
    """What a function accepts; it returns the value, or raises `ValueError`."""

    what: str
    check: Callable[[Any], Any]

    @property
    def text(self) -> str:
        """What messages call it."""
        return self.what

    def accept(self, value: Any) -> Any:
        """What the function returns."""
        return self.check(value)


def batch_size(value: Any) -> int | str:
    """lm-eval's batch size: a number of rows, `auto`, or `auto:N`.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, str) and re.fullmatch(r"auto(:[0-9]{1,4}(\.[0-9]{1,4})?)?", value):
        return value
    return Whole(1, 1_000_000, texts=True).accept(value)


def mapping(value: Any) -> dict[str, Any]:
    """A mapping with names as keys.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError
    return dict(value)


def finite(value: Any) -> float:
    """A finite number.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError
    if not math.isfinite(value):
        raise ValueError
    return int(value) if isinstance(value, numbers.Integral) else float(value)
