"""From pairs to token ids: prompts that align, and answers that can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from harness_circuits.errors import PairError, shown
from harness_circuits.models.text_reader import TextReader
from harness_circuits.pairs.encode import encode_answers, length_message
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.spans import NO_POSITIONS, Positions

# Why a pair cannot be used with a tokenizer: what is counted where such pairs are left out.
UNEQUAL_LENGTHS = "clean and corrupted differ in token length"
NOT_CORRUPTED = "clean and corrupted are the same"
NO_ANSWER_TOKEN = "an answer has no token of its own"
SHARED_FIRST_TOKEN = "answers share their first token"
TOO_LONG = "longer than what the model takes at once"


@dataclass(frozen=True)
class TokenPair:
    """One pair as token ids.

    Attributes:
        clean: Clean prompt.
        corrupted: Corrupted prompt, of the same length.
        answers: One token sequence per choice.
        correct: Indices of correct choices.
        incorrect: Indices of incorrect choices.
        index: The pair's number among all pairs of its split.
        spans: The span of every token of the prompts, by name; none where positions play no part.
    """

    clean: tuple[int, ...]
    corrupted: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    correct: tuple[int, ...]
    incorrect: tuple[int, ...]
    index: int = 0
    spans: tuple[str, ...] = ()

    @property
    def first_difference(self) -> int:
        """The first token at which clean and corrupted prompt differ; their length if none does."""
        both = zip(self.clean, self.corrupted, strict=True)
        return next((at for at, (a, b) in enumerate(both) if a != b), len(self.clean))


def tokenise_pair(
    tokenizer: PreTrainedTokenizerBase | TextReader,
    pair: Pair,
    index: int,
    where: str = "pairs",
    positions: Positions = NO_POSITIONS,
) -> TokenPair:
    """Encode one pair and check its alignment.

    Args:
        tokenizer: A tokenizer or a reader.
        pair: The pair.
        index: Its number.
        where: What messages call the pairs.
        positions: How its prompts are divided into spans.

    Raises:
        PairError: Prompts differ in token length or not at all, an answer has no token of its own, or
            a prompt with an answer is longer than what the model takes at once; or its spans are
            not the same tokens in both.
        OptionError: The tokenizer does not know the characters of its tokens, and spans need them.
    """
    name = f"{where}, pair {index}"
    reader = TextReader.of(tokenizer)
    prompts = pair.clean.rstrip(" "), pair.corrupted.rstrip(" ")
    clean, corrupted = (reader.encode(prompt) for prompt in prompts)
    if len(clean) != len(corrupted):
        message = length_message(reader.tokenizer, name, clean, corrupted)
        raise PairError(message, UNEQUAL_LENGTHS)
    if clean == corrupted:
        message = f"{name}: clean and corrupted prompt are the same: {shown(pair.clean)}."
        raise PairError(message, NOT_CORRUPTED)
    answers = tuple(own for own, _ in encode_answers(reader, pair.clean, pair.choices))
    for choice, tokens in zip(pair.choices, answers, strict=True):
        if not tokens:
            raise PairError(
                f"{name}: the answer {shown(choice)} has no token of its own after the prompt "
                f"{shown(pair.clean[-30:])}; the tokenizer drops it.",
                NO_ANSWER_TOKEN,
            )
    _check_length(reader, name, len(clean), answers)
    spans = positions.of(reader, prompts, (pair.spans, pair.corrupted_spans), name)
    ids = tuple(clean), tuple(corrupted)
    return TokenPair(*ids, answers, pair.correct, pair.incorrect, index, spans)


def _check_length(
    reader: TextReader, name: str, n_prompt: int, answers: Sequence[Sequence[int]]
) -> None:
    """Refuse a pair that does not go through the model; an answer's last token is never read."""
    longest = max(map(len, answers))
    n_tokens = n_prompt + longest - 1
    if reader.max_length is None or n_tokens <= reader.max_length:
        return
    with_answer = f" ({n_prompt} of the prompt, the rest of an answer)" if longest > 1 else ""
    raise PairError(
        f"{name} has {n_tokens} tokens{with_answer}, and the model takes {reader.max_length} at once. "
        "Shorten it, or leave it out.",
        TOO_LONG,
    )


def check_first_tokens(tokenizer: Any, pair: TokenPair, where: str) -> None:
    """Refuse a pair whose correct and incorrect answers begin with the same token.

    Raises:
        PairError: They do, so that a metric of first-token logits is zero by construction.
    """
    right = {pair.answers[index][0] for index in pair.correct}
    wrong = {pair.answers[index][0] for index in pair.incorrect}
    if right & wrong:
        token = min(right & wrong)
        told = repr(tokenizer.decode([token])) if tokenizer is not None else f"token {token}"
        raise PairError(
            f"{where}, pair {pair.index}: a correct and an incorrect answer share their first token "
            f"{told}, so their logit difference says nothing. Use answers that differ in their "
            "first token, or a metric over whole answers (metric: prob_diff).",
            SHARED_FIRST_TOKEN,
        )
