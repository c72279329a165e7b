"""Names and what they stand for, with a helpful error for a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from harness_circuits.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Named items of one kind, in the order of registration."""

    def __init__(self, kind: str) -> None:
        """Make an empty registry; `kind` is what error messages call an item."""
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that adds an item under a name not taken yet."""

        def add(item: T) -> T:
            if name in self._items:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._items[name] = item
            return item

        return add

    def get(self, name: str) -> T:
        """Return the item with this name.

        Raises:
            UnknownNameError: There is none; the message names the closest known one.
        """
        if name in self._items:
            return self._items[name]
        raise UnknownNameError(unknown_name(self.kind, name, self._items))

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is not among the known ones."""
    known = list(known)
    folded = {item.lower(): item for item in known}
    close = difflib.get_close_matches(str(name).lower(), folded, n=1)
    hint = f" Did you mean {folded[close[0]]!r}?" if close else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known)}."
