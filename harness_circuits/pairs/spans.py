"""Named spans of prompts: of characters in pairs, of tokens under a tokenizer.

A pair names what plays a role in its prompts (`IO`, `S1`, `S2`) by characters, in clean and corrupted
prompt each. Under a tokenizer these become tokens: a token belongs to the span that has a character of
it, white space apart. Every token belongs to exactly one span in the end: the prompt's last token, where
no span has it, is `END`, and what else is in no span is `rest0` before the first span, `rest1` behind it,
and so on. Both prompts must have the same spans at the same tokens, as circuits are run token by token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import PairError, shown

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

    from harness_circuits.models.text_reader import TextReader

END, REST = "END", "rest"
NAME = re.compile(r"(?!rest[0-9])[A-Za-z][A-Za-z0-9_-]{0,39}")
WHOLE_WORD = r"(?<!\w){}(?!\w)"

# Why a pair cannot be used over positions: what is counted where such pairs are left out.
NO_SPANS = "no spans"
NO_SUCH_WORD = "a word between spans is missing"
NO_TOKEN = "a span has no token of its own"
TWO_SPANS = "a token lies in two spans"
UNLIKE_SPANS = "clean and corrupted have their spans at different tokens"

Mode = Literal["none", "spans", "tokens"]
MODES: tuple[Mode, ...] = get_args(Mode)


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a prompt, under a name."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Positions:
    """How prompts are divided into spans.

    Attributes:
        mode: `none`; `spans`, those that pairs name; `tokens`, every token by itself.
        words: Spans begin at these words, whatever the pairs name.
        crossing: Whether crossing edges between spans are units too.
    """

    mode: Mode = "none"
    words: tuple[str, ...] = ()
    crossing: bool = False

    def of(
        self,
        reader: TextReader,
        prompts: Sequence[str],
        spans: Sequence[Sequence[Span]],
        where: str,
    ) -> tuple[str, ...]:
        """The span of every token of both prompts; none where positions play no part.

        Args:
            reader: How prompts are read.
            prompts: Clean and corrupted prompt, as they are encoded; of one number of tokens.
            spans: Those of each; the corrupted prompt may have none, and has the clean one's then.
            where: What messages call the pair.

        Raises:
            PairError: A span has no token, two have one token, or the prompts' spans differ.
        """
        if self.mode == "none":
            return ()
        if self.mode == "tokens":
            return tuple(f"t{at}" for at in range(len(reader.encode(prompts[0]))))
        if self.words:
            spans = [between(prompt, self.words, where) for prompt in prompts]
        if not spans[0]:
            message = (
                f"{where}: this pair names no spans. Give it some (spans), say at which words spans "
                "begin (span_words=), or use positions=tokens."
            )
            raise PairError(message, NO_SPANS)
        both = [
            span_of_tokens(reader, prompt, own, where)
            for prompt, own in zip(prompts, spans, strict=True)
            if own
        ]
        if both[0] != both[-1]:
            at = next(at for at, (a, b) in enumerate(zip(*both, strict=True)) if a != b)
            message = (
                f"{where}: clean and corrupted prompt have different spans at token {at}: "
                f"{both[0][at] or 'none'} and {both[1][at] or 'none'}. Circuits over positions need "
                "both at the same tokens: use words with the same number of tokens."
            )
            raise PairError(message, UNLIKE_SPANS)
        return whole(both[0])


NO_POSITIONS = Positions()


def read_spans(given: Any, text: str, which: str) -> tuple[Span, ...]:
    """Spans as a pair has them: a mapping of names to [start, end], in the order of the text.

    Raises:
        PairError: They are none, overlap, or lie outside of the text.
    """
    if isinstance(given, tuple) and all(isinstance(item, Span) for item in given):
        given = {span.name: span[1:] for span in given}
    if not isinstance(given, Mapping):
        raise PairError(f"{which} maps names to [start, end], got {shown(given, 80)}.")
    found = []
    for name, ends in given.items():
        if ends is None:  # a table has a column for the spans of other rows
            continue
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PairError(
                f"{which} has the name {shown(name, 60)}: names are letters, digits, _ and - (and not "
                "rest with a number)."
            )
        if hasattr(ends, "tolist"):
            ends = ends.tolist()
        whole_numbers = isinstance(ends, (list, tuple)) and [type(x) for x in ends] == [int, int]
        if not whole_numbers or not 0 <= ends[0] < ends[1] <= len(text):
            raise PairError(
                f"{which} has {name} at {shown(ends, 60)}: a span is [start, end] within the prompt's "
                f"{len(text)} characters."
            )
        found.append(Span(name, *ends))
    found.sort(key=lambda span: span.start)
    for one, other in pairwise(found):
        if one.end > other.start:
            raise PairError(f"{which} has {one.name} and {other.name} overlap.")
    return tuple(found)


def between(text: str, words: Sequence[str], where: str) -> tuple[Span, ...]:
    """Spans that begin at words, in their order, and end where the next one begins.

    Raises:
        PairError: The text has not all of them in this order.

    >>> [text[1:] for text in between("He went to the big shop to", ("went", "to"), "pair 0")]
    [(3, 8), (8, 26)]
    """
    starts: list[int] = []
    after = 0
    for word in words:
        match = re.compile(WHOLE_WORD.format(re.escape(word))).search(text, after)
        if match is None:
            told = f" behind {shown(words[len(starts) - 1])}" if starts else ""
            message = f"{where}: no word {shown(word)}{told} for span_words in {shown(text)}."
            raise PairError(message, NO_SUCH_WORD)
        starts.append(match.start())
        after = match.end()
    names = [
        word if word not in words[:at] else f"{word}_{words[:at].count(word) + 1}"
        for at, word in enumerate(words)
    ]
    return tuple(map(Span, names, starts, [*starts[1:], len(text)]))


def span_of_tokens(
    reader: TextReader, text: str, spans: Sequence[Span], where: str
) -> list[str | None]:
    """The named span of every token of a prompt, None where it lies in none.

    Raises:
        PairError: A span has no token, or two spans have one token.
    """
    found: list[str | None] = []
    for at, (start, end) in enumerate(reader.offsets(text)):
        dark = [place for place in range(start, end) if not text[place].isspace()]
        places = dark or range(start, end)
        names = [s.name for s in spans if any(s.start <= place < s.end for place in places)]
        if len(names) > 1:
            message = (
                f"{where}: token {at}, {shown(text[start:end])}, lies in {' and '.join(names)}."
            )
            raise PairError(message, TWO_SPANS)
        found.append(names[0] if names else None)
    for span in spans:
        if span.name not in found:
            raise PairError(
                f"{where}: the span {span.name} ({shown(text[span.start : span.end])}) has no token "
                "under this tokenizer.",
                NO_TOKEN,
            )
    return found


def whole(named: Sequence[str | None]) -> tuple[str, ...]:
    """The span of every token, where named spans leave some out.

    >>> whole([None, "IO", None, "S1", None, None])
    ('rest0', 'IO', 'rest1', 'S1', 'rest2', 'END')
    """
    labels, runs, before = list(named), 0, None
    if labels[-1] is None:
        labels[-1] = END
    for at, name in enumerate(labels):
        runs += name is not None and name != before
        before = name
        labels[at] = f"{REST}{runs}" if name is None else name
    return tuple(label for label in labels if label is not None)


def numbered(
    labels: Sequence[Sequence[str]], n_appended: int, spans: Spans
) -> Int[Tensor, "batch pos"]:
    """The number of the span of every token; tokens of answers are read like the prompt's last one.

    Args:
        labels: For each prompt, the span of every token by name.
        n_appended: Tokens of answers behind each prompt, which go with its last token.
        spans: The spans, in their order.

    Raises:
        MismatchError: One is not among them.
    """
    import torch  # not with this file: pairs as text need none

    rows = [[spans.index(name) for name in prompt] for prompt in labels]

    return torch.tensor([[*row, *row[-1:] * n_appended] for row in rows], dtype=torch.long)
