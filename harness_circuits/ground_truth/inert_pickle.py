"""Pickles read as data: nothing is imported, called, or run.

A pickle is a program for a small stack machine, and unpickling runs whatever it names. Here
`pickletools` only splits the file into its opcodes, and the table below says what each does to a
stack of plain values. A class or function that a pickle names becomes a `Named`, and an object that
it would make a `Made`: records of what the file says. Opcodes that are not in the table are refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness_circuits.errors import CircuitFileError
from harness_circuits.formats.checks import NOTE_BYTES, check_file

_MARK = object()


@dataclass(frozen=True)
class Named:
    """A class, function or constant that a pickle names; it was not looked up."""

    name: str


@dataclass
class Made:
    """An object that a pickle would have made: what it calls, on what, and the state it sets.

    `call` is empty where it calls what another call would have made.
    """

    call: str
    arguments: Any
    state: Any = None


def read_inert(path: Path) -> Any:
    """The values in a pickle file.

    Returns:
        Numbers, strings, lists, tuples, sets and dictionaries, and `Named` and `Made` for the rest.

    Raises:
        CircuitFileError: It is missing, too large, no pickle, or does what cannot be read as data.
    """
    check_file(path, NOTE_BYTES)
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(path.read_bytes()):
            if opcode.name not in OPCODES:
                raise CircuitFileError(
                    f"{path} cannot be read as data: its opcode {opcode.name} is none of those that "
                    "describe plain values. It was not unpickled."
                )
            OPCODES[opcode.name](machine, argument)
        value = machine.pop()
        if machine.stack:
            raise ValueError("more than one value")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise CircuitFileError(
            f"{path} is not a pickle that can be read as data ({type(error).__name__}: "
            f"{str(error)[:80]}). It was not unpickled."
        ) from error
    return value


class _Machine:
    """A stack and a memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if self.stack[-1] is _MARK:
            raise ValueError("a mark where a value should be")
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """Take everything above the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise IndexError("no mark")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def take(self, n: int) -> list[Any]:
        """Take the last n values."""
        return [self.pop() for _ in range(n)][::-1]

    def remember(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        """Add to the list on top."""
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError("items for what is no list")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        """Add to the dictionary on top."""
        target = self.stack[-1]
        if type(target) is not dict:
            raise TypeError("keys for what is no dictionary")
        target.update(zip(items[::2], items[1::2], strict=True))

    def dictionary(self) -> None:
        """Replace marked keys and values by a dictionary of them."""
        items = self.marked()
        self.push({})
        self.update(items)

    def add(self, items: list[Any]) -> None:
        """Add to the set on top."""
        target = self.stack[-1]
        if type(target) is not set:
            raise TypeError("members for what is no set")
        target.update(items)

    def make(self) -> None:
        """Note a call."""
        called, arguments = self.take(2)
        if not isinstance(called, (Named, Made)):
            raise TypeError("a call of what is no function")
        self.push(Made(called.name if isinstance(called, Named) else "", arguments))

    def build(self) -> None:
        """Note the state that an object would have been given."""
        state = self.pop()
        target = self.stack[-1]
        if type(target) is not Made:
            raise TypeError("a state for what is no object")
        target.state = state

    def named(self, parts: list[Any]) -> None:
        self.push(Named(".".join(str(part) for part in parts)))


_Step = Callable[[_Machine, Any], object]

_VALUES = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE SHORT_BINUNICODE BINUNICODE "
    "BINUNICODE8 STRING BINSTRING SHORT_BINSTRING"
).split()
OPCODES: dict[str, _Step] = {
    **{name: lambda m, value: m.push(value) for name in _VALUES},
    **{name: lambda m, _: None for name in ("PROTO", "FRAME", "STOP")},
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "MARK": lambda m, _: m.push(_MARK),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_SET": lambda m, _: m.push(set()),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "LIST": lambda m, _: m.push(m.marked()),
    "TUPLE": lambda m, _: m.push(tuple(m.marked())),
    "TUPLE1": lambda m, _: m.push(tuple(m.take(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.take(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.take(3))),
    "DICT": lambda m, _: m.dictionary(),
    "APPEND": lambda m, _: m.extend(m.take(1)),
    "APPENDS": lambda m, _: m.extend(m.marked()),
    "SETITEM": lambda m, _: m.update(m.take(2)),
    "SETITEMS": lambda m, _: m.update(m.marked()),
    "ADDITEMS": lambda m, _: m.add(m.marked()),
    "PUT": lambda m, place: m.remember(place),
    "BINPUT": lambda m, place: m.remember(place),
    "LONG_BINPUT": lambda m, place: m.remember(place),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "GET": lambda m, place: m.push(m.memo[place]),
    "BINGET": lambda m, place: m.push(m.memo[place]),
    "LONG_BINGET": lambda m, place: m.push(m.memo[place]),
    "GLOBAL": lambda m, text: m.named(text.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.named(m.take(2)),
    "REDUCE": lambda m, _: m.make(),
    "NEWOBJ": lambda m, _: m.make(),
    "BUILD": lambda m, _: m.build(),
}
