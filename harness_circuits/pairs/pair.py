"""Clean/corrupted prompt pairs with their answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from harness_circuits.errors import PairError, TaskDataError, shown
from harness_circuits.machine.notebook import table_html
from harness_circuits.pairs.spans import Span, read_spans

if TYPE_CHECKING:
    import pandas as pd

TEXT = ("clean", "corrupted", "choices", "correct", "incorrect")  # what makes a pair the pair it is
SPANS = ("spans", "corrupted_spans")
MOST_OF_A_TEMPLATE = 200  # characters
SHOWN = 5  # pairs in a notebook's table


@dataclass(frozen=True)
class Pair:
    """One clean prompt, its corrupted counterpart, and the answers to score.

    Attributes:
        clean: The prompt for which the correct answers are correct.
        corrupted: A prompt of the same number of tokens in which they are not.
        choices: Continuations of the prompt, with their leading space where they have one.
        correct: Indices of the choices that are right on the clean prompt.
        incorrect: Indices of the choices they are compared with.
        spans: Named spans of the clean prompt's characters, in their order; given as a mapping of
            names to [start, end] they become that. Circuits over positions need them.
        corrupted_spans: Those of the corrupted prompt; none: at the same tokens.
        template: What phrasing the pair is of, if that is known; says nothing of its content.
    """

    clean: str
    corrupted: str
    choices: tuple[str, ...]
    correct: tuple[int, ...]
    incorrect: tuple[int, ...]
    spans: tuple[Span, ...] = ()
    corrupted_spans: tuple[Span, ...] = ()
    template: str | None = None

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise PairError(f"A pair cannot be used: {problem} (clean prompt {shown(self.clean)}).")
        for name, text in zip(SPANS, (self.clean, self.corrupted), strict=True):
            object.__setattr__(self, name, read_spans(getattr(self, name), text, name))
        if self.corrupted_spans and {s.name for s in self.spans} != {
            s.name for s in self.corrupted_spans
        }:
            raise PairError(
                "A pair cannot be used: spans and corrupted_spans have different names (clean prompt "
                f"{shown(self.clean)})."
            )

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Pair:
        """Make a pair from a harness document.

        Raises:
            PairError: A field is missing or does not fit the others.
        """
        missing = [name for name in TEXT if name not in doc]
        if missing:
            raise PairError(f"A pair lacks the fields {missing}; it has {sorted(doc)}.")
        spans, corrupted_spans = (() if doc.get(name) is None else doc[name] for name in SPANS)
        return cls(
            doc["clean"],
            doc["corrupted"],
            _items(doc["choices"]),
            _items(doc["correct"]),
            _items(doc["incorrect"]),
            spans,
            corrupted_spans,
            _template(doc.get("template")),
        )

    def _problem(self) -> str:
        no_text = self._wrong_type() or self._half_character()
        if no_text:
            return no_text
        n = len(self.choices)
        for name, text in (("clean", self.clean), ("corrupted", self.corrupted)):
            if not text.strip():
                return f"the {name} prompt is empty"
        if not self.correct or not self.incorrect:
            return "it needs at least one correct and one incorrect answer"
        if any(not choice for choice in self.choices):
            return "a choice is empty"
        if len(set(self.choices)) < n:
            return f"two choices are the same: {list(self.choices)}"
        outside = [index for index in (*self.correct, *self.incorrect) if not 0 <= index < n]
        if outside:
            return f"answer index {outside[0]} is not among its {n} choices"
        both = set(self.correct) & set(self.incorrect)
        if both:
            return f"choice {shown(self.choices[min(both)])} is both correct and incorrect"
        return ""

    def _half_character(self) -> str:
        for text in (self.clean, self.corrupted, *self.choices):
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                return f"{text!r:.60} has half a character in it"
        return ""

    def _wrong_type(self) -> str:
        for name, kind, what in (
            ("choices", str, "text"),
            ("correct", int, "whole numbers"),
            ("incorrect", int, "whole numbers"),
        ):
            values = getattr(self, name)
            if not isinstance(values, tuple) or not all(isinstance(x, kind) for x in values):
                given = list(values) if isinstance(values, tuple) else values
                return f"{name} is not a list of {what}: {shown(given)}"
        for name in ("clean", "corrupted"):
            if not isinstance(getattr(self, name), str):
                return f"{name} is not text: {shown(getattr(self, name))}"
        return ""


def _template(value: Any) -> str | None:
    """A word or number as text.

    Raises:
        PairError: It is something else.
    """
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and value != value):  # an empty cell of a table
        return None
    text = str(value).strip() if isinstance(value, (str, int, float)) else ""
    if not 0 < len(text) <= MOST_OF_A_TEMPLATE:
        raise PairError(f"A pair's template is a word or number, got {shown(value, 80)}.")
    return text


def _items(values: Any) -> Any:
    """A list, tuple or array as a tuple of Python values; anything else as it is."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if not isinstance(values, (list, tuple)):
        return values
    return tuple(value.item() if hasattr(value, "item") else value for value in values)


class Pairs(list[Pair]):
    """A list of pairs; slices of it are too."""

    @overload
    def __getitem__(self, at: SupportsIndex) -> Pair: ...

    @overload
    def __getitem__(self, at: slice) -> Pairs: ...

    def __getitem__(self, at: SupportsIndex | slice) -> Pair | Pairs:
        """A pair, or some of them."""
        found = super().__getitem__(at)
        return found if isinstance(found, Pair) else Pairs(found)

    def __repr__(self) -> str:
        return f"Pairs({len(self)})" if len(self) > 1 else f"Pairs({list(self)!r})"

    def _repr_html_(self) -> str:
        rows = [_row(pair) for pair in self[:SHOWN]]
        left = f", the first {SHOWN}" if len(self) > SHOWN else ""
        heads = ["clean", "corrupted", "correct", "incorrect"]
        return table_html(f"{len(self)} pairs{left}", heads, rows, len(heads))

    def to_frame(self) -> pd.DataFrame:
        """A pandas DataFrame with the columns that `pairs_from_frame` reads: no spans."""
        import pandas as pd

        columns: dict[str, list[Any]] = {
            "clean": [pair.clean for pair in self],
            "corrupted": [pair.corrupted for pair in self],
        }
        for name in ("correct", "incorrect"):
            columns[name] = [[pair.choices[at] for at in getattr(pair, name)] for pair in self]
        return pd.DataFrame(columns)


def _row(pair: Pair) -> list[str]:
    answers = ([pair.choices[at] for at in places] for places in (pair.correct, pair.incorrect))
    return [pair.clean, pair.corrupted, *(_some(texts) for texts in answers)]


def _some(texts: list[str], most: int = 3) -> str:
    more = f", ... ({len(texts)})" if len(texts) > most else ""
    return ", ".join(map(repr, texts[:most])) + more


def make_pairs(
    clean: Sequence[str],
    corrupted: Sequence[str],
    correct: Sequence[str | Sequence[str]],
    incorrect: Sequence[str | Sequence[str]],
) -> Pairs:
    """Make pairs from parallel lists.

    Args:
        clean: Clean prompts.
        corrupted: Corrupted prompts.
        correct: For each pair, the right continuation or several, leading space included.
        incorrect: For each pair, the wrong continuation or several.

    Raises:
        PairError: The lists differ in length, or a pair does not hold together.

    >>> (pair,) = make_pairs(
    ...     ["Anna and Tom met. Tom waved to"], ["Anna and Tom met. Ben waved to"], [" Anna"], [" Tom"]
    ... )
    >>> pair.choices, pair.correct, pair.incorrect
    ((' Anna', ' Tom'), (0,), (1,))
    """
    lengths = {len(clean), len(corrupted), len(correct), len(incorrect)}
    if len(lengths) != 1:
        raise PairError(
            f"Expected lists of one length, got {len(clean)} clean, {len(corrupted)} corrupted, "
            f"{len(correct)} correct and {len(incorrect)} incorrect."
        )
    pairs = Pairs()
    for a, b, right, wrong in zip(clean, corrupted, correct, incorrect, strict=True):
        good, bad = _answers(right), _answers(wrong)
        indices = tuple(range(len(good) + len(bad)))
        pairs.append(Pair(a, b, good + bad, indices[: len(good)], indices[len(good) :]))
    return pairs


def _answers(value: Any) -> tuple[Any, ...]:
    """One or several answers as a tuple; `Pair` checks that they are text."""
    items = _items(value)
    return items if isinstance(items, tuple) else (items,)


def pairs_from_frame(frame: Any) -> Pairs:
    """Make pairs from a pandas DataFrame with columns clean, corrupted, correct, incorrect.

    `correct` and `incorrect` hold a string or a list of strings.

    Raises:
        TaskDataError: A column is missing.
        PairError: A pair does not hold together.
    """
    columns = ("clean", "corrupted", "correct", "incorrect")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise TaskDataError(f"The table lacks {missing}; it has {list(frame.columns)}.")
    return make_pairs(*(list(frame[column]) for column in columns))


def pairs_from_docs(docs: Iterable[Mapping[str, Any]], where: str) -> Pairs:
    """Make pairs from harness documents.

    Raises:
        TaskDataError: There are none.
        PairError: One does not hold together; the message names it.
    """
    pairs = Pairs()
    for index, doc in enumerate(docs):
        try:
            pairs.append(Pair.from_doc(doc))
        except PairError as error:
            raise PairError(f"{where}, pair {index}: {error}") from None
    if not pairs:
        raise TaskDataError(f"{where} has no pairs.")
    return pairs


def fingerprint(pairs: Sequence[Pair]) -> str:
    """A short hash of pairs, the same for the same pairs in the same order, whatever their spans."""
    rows = [{name: getattr(pair, name) for name in TEXT} for pair in pairs]
    text = json.dumps(rows, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
