"""Spans of prompts as places of units: which there are, which sees which, and where logits are read.

A span is a set of token positions under a name, in every prompt other ones: `IO`, `S1`, `END`. In a space
with spans an edge is one unit per span: what it delivers at the tokens of that span (as in position-aware
circuits, Haklay et al. 2025, arXiv 2502.04577).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from harness_circuits.errors import CircuitFileError, MismatchError, shown

MOST_SPANS = 1024
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")


@dataclass(frozen=True)
class Spans:
    """The spans of some prompts, in their order.

    Attributes:
        names: Their names, by their mean place in the prompts.
        sees: For each, which spans its tokens attend to in some prompt: those with a token before
            one of its own, and itself.
        read: For each, whether logits are read in it: it has some prompt's last token.
        crossing: Whether what a head's query, key or value does between two spans is a unit too:
            a crossing edge (Haklay et al. 2025, arXiv 2502.04577).
    """

    names: tuple[str, ...]
    sees: tuple[tuple[bool, ...], ...]
    read: tuple[bool, ...]
    crossing: bool = False

    @classmethod
    def of(cls, labels: Iterable[Sequence[str]]) -> Spans:
        """The spans of prompts, given as the name of the span of every token.

        >>> spans = Spans.of([["rest0", "IO", "S1", "END"], ["S1", "IO", "END"]])
        >>> spans.names, spans.read
        (('rest0', 'S1', 'IO', 'END'), (False, False, False, True))
        """
        distinct = sorted({tuple(each) for each in labels})
        places: dict[str, list[float]] = {}
        for each in distinct:
            for at, name in enumerate(each):
                places.setdefault(name, []).append(at / len(each))
        names = sorted(places, key=lambda name: (sum(places[name]) / len(places[name]), name))
        number = {name: at for at, name in enumerate(names)}
        sees = np.zeros((len(names), len(names)), dtype=bool)
        read = np.zeros(len(names), dtype=bool)
        for each in distinct:
            seen: set[int] = set()
            for name in each:
                seen.add(number[name])
                sees[number[name], list(seen)] = True
            read[number[each[-1]]] = True
        rows = tuple(tuple(map(bool, row)) for row in sees)
        return cls(tuple(names), rows, tuple(map(bool, read)))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def seen(self) -> Bool[np.ndarray, "span span"]:
        """`sees` as an array: [looking, looked at]."""
        return np.array(self.sees, dtype=bool)

    def index(self, name: str) -> int:
        """Number of a span.

        Raises:
            MismatchError: There is none of this name.
        """
        if name not in self.names:
            raise MismatchError(f"There is no span {shown(name)} among {', '.join(self.names)}.")
        return self.names.index(name)

    def check_holds(self, other: Spans) -> None:
        """Make sure that prompts with some spans are prompts of these.

        Raises:
            MismatchError: A span is not among these, or is seen or read where it never is here.
        """
        places = [self.index(name) for name in other.names]
        own = self.seen[np.ix_(places, places)]
        more = np.argwhere(other.seen & ~own)
        if len(more):
            looking, at = (other.names[i] for i in more[0])
            raise MismatchError(
                f"In these prompts {at} comes before {looking}, in those that the circuit was found on "
                "never: the circuit says nothing of that."
            )
        for name, read in zip(other.names, other.read, strict=True):
            if read and not self.read[self.index(name)]:
                raise MismatchError(
                    f"Some of these prompts end in {name}, none of those that the circuit was found on."
                )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "names": list(self.names),
            "sees": [list(row) for row in self.sees],
            "read": list(self.read),
            **({"crossing": True} if self.crossing else {}),
        }

    @classmethod
    def from_dict(cls, data: object) -> Spans:
        """Rebuild spans from `to_dict`.

        Raises:
            CircuitFileError: They are no spans.
        """
        parts = {"names", "sees", "read"}
        if not isinstance(data, dict) or set(data) - {"crossing"} != parts:
            raise CircuitFileError(
                f"Expected spans with names, sees and read, got {shown(data, 80)}."
            )
        names, sees, read = (data[key] for key in ("names", "sees", "read"))
        if type(data.get("crossing", False)) is not bool:
            raise CircuitFileError(f"The spans' crossing is no boolean: {shown(data['crossing'])}.")
        n = len(names) if isinstance(names, list) else 0
        named = 0 < n <= MOST_SPANS and all(
            isinstance(name, str) and _NAME.fullmatch(name) for name in names
        )
        if not named or len(set(names)) < n:
            raise CircuitFileError(f"The names of spans cannot be used: {shown(names, 80)}.")
        if not _flags(read, n) or not isinstance(sees, list) or len(sees) != n:
            raise CircuitFileError("The spans' sees and read do not fit their names.")
        if not all(_flags(row, n) for row in sees):
            raise CircuitFileError("The spans' sees does not fit their names.")
        rows = tuple(map(tuple, sees))
        return cls(tuple(names), rows, tuple(read), bool(data.get("crossing", False)))


def _flags(values: object, n: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == n
        and all(type(value) is bool for value in values)
    )
