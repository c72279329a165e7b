"""The kind of value that is a list of words: `span_words=went:gave:to`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from harness_circuits.options.kinds import Plain

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Words(Plain):
    """Words of letters and digits, as a list or with colons between them."""

    most: int

    @property
    def text(self) -> str:
        """What messages call it."""
        return f"1 to {self.most} words of letters with colons between them, such as went:gave:to"

    def accept(self, value: Any) -> tuple[str, ...]:
        """The words.

        >>> Words(3).accept("went:gave")
        ('went', 'gave')
        """
        words = value.split(":") if isinstance(value, str) else value
        if not isinstance(words, (list, tuple)) or not 0 < len(words) <= self.most:
            raise ValueError
        if not all(isinstance(word, str) and _WORD.fullmatch(word) for word in words):
            raise ValueError
        return tuple(words)
