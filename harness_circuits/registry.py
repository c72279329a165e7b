"""Names and what they stand for, with a helpful error for a name that is not there."""

from __future__ import annotations

import difflib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Generic, TypeVar

from harness_circuits.errors import UnknownNameError, shown

T = TypeVar("T")


class Registry(Generic[T]):
    """Named items of one kind, in the order of registration.

    >>> colours = Registry("colour")
    >>> colours.register("red")("#f00")
    '#f00'
    >>> colours.get("red"), list(colours)
    ('#f00', ['red'])
    """

    def __init__(self, kind: str) -> None:
        """Make an empty registry; `kind` is what error messages call an item."""
        self.kind = kind
        self._items: dict[str, T] = {}
        self._also: dict[str, str] = {}

    def register(self, name: str, also: Sequence[str] = ()) -> Callable[[T], T]:
        """Return a decorator that adds an item under a name not taken yet.

        Args:
            name: The name.
            also: What people call it elsewhere: messages lead from there to the name.
        """

        def add(item: T) -> T:
            if name in self._items:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._items[name] = item
            self._also |= dict.fromkeys(also, name)
            return item

        return add

    def get(self, name: str) -> T:
        """Return the item with this name.

        Raises:
            UnknownNameError: There is none; the message names the closest known one.
        """
        if name in self:
            return self._items[name]
        raise UnknownNameError(unknown_name(self.kind, name, self._items, self._also))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)


def import_all(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, so that each registers what it holds.

    Args:
        package: The package's name.
        path: Its `__path__`.
    """
    for module in sorted(info.name for info in pkgutil.iter_modules(path)):
        import_module(f"{package}.{module}")


def on_first_use(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Make a package's `__getattr__`, which imports a public name when it is first asked for.

    Args:
        package: The package's name.
        homes: Public names, and the module of the package that each is in.
    """

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return get


def unknown_name(
    kind: str, name: object, known: Iterable[str], also: Mapping[str, str] | None = None
) -> str:
    """Return the message for a name that is not among the known ones.

    Args:
        kind: What the name is a name of.
        name: The name, or whatever stands in its place.
        known: The names that there are.
        also: Other names of some of them.

    >>> unknown_name("method", "eap_ig", ["EAP", "EAP-IG"])
    "Unknown method 'eap_ig'. Did you mean 'EAP-IG'? Known: EAP, EAP-IG."
    """
    known = list(known)
    close = closest(name, known, also or {}) if isinstance(name, str) else None
    hint = f" Did you mean {close!r}?" if close else ""
    listed = f"Known: {', '.join(known)}." if known else "There are none."
    return f"Unknown {kind} {shown(name)}.{hint} {listed}"


def closest(name: str, known: Sequence[str], also: Mapping[str, str] | None = None) -> str | None:
    """The known name that somebody may have meant, by letters only: `eap_ig` is `EAP-IG`.

    >>> closest("gree", ["red", "green-blue", "Green"])
    'Green'
    """
    folded = {_folded(other): real for other, real in (also or {}).items() if real in known}
    folded |= {_folded(item): item for item in known}
    wanted = _folded(name[:100])
    if wanted in folded:
        return folded[wanted]
    close = difflib.get_close_matches(wanted, folded, n=1)
    if close:
        return folded[close[0]]
    longer = [real for item, real in folded.items() if len(wanted) > 2 and item.startswith(wanted)]
    return longer[0] if longer else None


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.replace("*", "star")).lower()
