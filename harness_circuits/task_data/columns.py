"""Columns of other people's files as those of pairs: `--metadata '{"columns": {OURS: THEIRS}}'`.

Beside the columns of a pair (`FIELDS`), whose content is taken as it is:

    correct_token, incorrect_token   an answer, or a list of answers, as ids of the model's tokenizer
    year                             a year, or its last two digits: right are all later two-digit
                                     endings of the century, wrong all others

With these, EAP-IG's files are read: its `ioi` as {"correct_token": "correct_idx",
"incorrect_token": "incorrect_idx"}, its `greater_than` as {"year": "label"}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness_circuits.errors import OptionError, PairError, TaskDataError
from harness_circuits.pairs.encode import encode_answers
from harness_circuits.registry import unknown_name

FIELDS = (
    *("clean", "corrupted", "correct", "incorrect", "choices", "split", "key"),
    *("template", "spans", "corrupted_spans"),
)
TOKENS = {"correct_token": "correct", "incorrect_token": "incorrect"}
YEAR = "year"
ENDINGS = tuple(f"{ending:02}" for ending in range(100))


@dataclass(frozen=True)
class Columns:
    """Which column of a file is which of ours.

    Attributes:
        theirs: Names in the file by ours, where they differ.
        tokenizer: What token ids belong to; None where none is known.
    """

    theirs: Mapping[str, str] = field(default_factory=dict)
    tokenizer: Any = None

    @classmethod
    def read(cls, given: Any, tokenizer: Any = None) -> Columns:
        """Columns as `--metadata` gives them.

        Raises:
            OptionError: It is no mapping of our names to others.
        """
        known = [*FIELDS, *TOKENS, YEAR]
        if given is None:
            return cls({}, tokenizer)
        if not isinstance(given, Mapping) or not all(isinstance(x, str) for x in given.values()):
            raise OptionError(
                f'columns maps names of ours to those in the file, such as {{"year": "label"}}, got '
                f"{given!r:.100}."
            )
        for name in given:
            if name not in known:
                raise OptionError(unknown_name("column", str(name)[:60], known))
        return cls(dict(given), tokenizer)

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that a file of pairs has in any case, by the file's names for them."""
        more = [self.theirs[name] for name in (*TOKENS, YEAR) if name in self.theirs]
        return (*(self.theirs.get(name, name) for name in ("clean", "corrupted")), *more)

    @property
    def hold_tokens(self) -> bool:
        """Whether answers are ids of tokens, so that rows need a tokenizer."""
        return any(name in self.theirs for name in TOKENS)

    def pair_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row with our names for its columns, and answers as text.

        Raises:
            TaskDataError: A column is missing, or its content is not what it should be.
        """
        if not self.theirs:
            return dict(row)
        lacking = [name for name in self.theirs.values() if row.get(name) is None]
        if lacking:
            had = ", ".join(map(str, row))[:100]
            raise TaskDataError(f"it lacks {', '.join(lacking)[:60]}; it has {had}.")
        found = {name: value for name, value in row.items() if name not in self.theirs.values()}
        for ours, name in self.theirs.items():
            if ours == YEAR:
                found |= _answers_after(row[name])
            elif ours in TOKENS:
                found[TOKENS[ours]] = [self._text(n, row) for n in _whole_numbers(row[name])]
            else:
                found[ours] = row[name]
        return found

    def _text(self, token: int, row: Mapping[str, Any]) -> str:
        """The text of an answer's token, which has to be one token behind the prompt as well."""
        if self.tokenizer is None:
            raise TaskDataError("ids of tokens need the model's tokenizer, and none is known.")
        if token >= len(self.tokenizer):
            raise TaskDataError(
                f"token {token} is none of the {len(self.tokenizer)} of this model's tokenizer: the ids "
                "are another one's."
            )
        text: str = self.tokenizer.decode([token])
        prompt = str(row.get(self.theirs.get("clean", "clean"), ""))
        ((tokens, _),) = encode_answers(self.tokenizer, prompt, [text])
        if tokens != (token,):
            raise TaskDataError(
                f"token {token} is {text!r:.40} to this model's tokenizer, which would not continue the "
                "prompt with it: are the ids another tokenizer's?"
            )
        return text


def _whole_numbers(value: Any) -> Sequence[int]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise TaskDataError(
                f"not an id of a token, nor a list of ids: {value!r:.60}."
            ) from None
    if hasattr(value, "tolist"):
        value = value.tolist()
    items = value if isinstance(value, (list, tuple)) else [value]
    numbers = [int(x) if isinstance(x, float) and x.is_integer() else x for x in items]
    if not numbers or not all(type(x) is int and x >= 0 for x in numbers):
        raise TaskDataError(f"not an id of a token, nor a list of ids: {value!r:.60}.")
    return numbers


def _answers_after(value: Any) -> dict[str, Any]:
    (year, *more) = _whole_numbers(value)
    if more or not (year < 100 or 1000 <= year < 10000):
        raise PairError(f"not a year, nor its last two digits: {value!r:.60}.")
    last = year % 100
    return {
        "choices": list(ENDINGS),
        "correct": list(range(last + 1, 100)),
        "incorrect": list(range(last + 1)),
    }
