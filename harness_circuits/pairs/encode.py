"""Prompts and their continuations as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from harness_circuits.models.text_reader import TextReader

STARTS = ("\n", ".", "a")  # what answers are encoded behind: the first that does not merge with one


def encode_prompt(tokenizer: PreTrainedTokenizerBase | TextReader, text: str) -> list[int]:
    """Token ids of a prompt as lm-eval's `hf` model gets them.

    Args:
        tokenizer: A tokenizer, which adds the special tokens that it adds by itself, or a reader.
        text: The prompt.
    """
    return TextReader.of(tokenizer).encode(text)


def encode_answers(
    tokenizer: PreTrainedTokenizerBase | TextReader,
    prompt: str,
    answers: Sequence[str],
    moved: str | None = " ",
) -> list[tuple[tuple[int, ...], bool]]:
    """Token ids of continuations, and whether the prompt's own tokens stay as they are.

    An answer's tokens are those of prompt and answer after those of the prompt. Where the tokenizer
    would merge the end of the prompt with the answer (False), they are the answer's own tokens: a
    model that has read the prompt can only continue it.

    Args:
        tokenizer: A tokenizer or a reader.
        prompt: The prompt.
        answers: Its continuations.
        moved: What goes from the prompt's end to the answers: spaces, which are part of the next
            word's token. lm-eval's own models move all white space (None), also a newline, which is
            a token of its own and the last of every chat template.
    """
    reader = TextReader.of(tokenizer)
    text = prompt.rstrip(moved)
    tail = prompt[len(text) :]
    before, *whole = reader.encode_all([text, *(text + tail + answer for answer in answers)])
    encoded = []
    for answer, both in zip(answers, whole, strict=True):
        kept = both[: len(before)] == before
        own = both[len(before) :] if kept else _encode_behind(reader, tail + answer)
        encoded.append((tuple(own), kept and len(own) > 0))
    return encoded


def _encode_behind(reader: TextReader, text: str) -> list[int]:
    """Token ids of a text that goes on where another ends.

    On its own a text may get a mark in front (Llama's begin of a word), so that it is encoded
    behind something that it does not merge with.
    """
    for start in STARTS:
        before, both = reader.encode_inside(start), reader.encode_inside(start + text)
        if both[: len(before)] == before and len(both) > len(before):
            return both[len(before) :]
    return reader.encode_inside(text)


def length_message(tokenizer: Any, name: str, clean: list[int], corrupted: list[int]) -> str:
    """Why prompts of different length are no pair, with their first difference."""
    shorter = min(len(clean), len(corrupted))
    at = next((i for i in range(shorter) if clean[i] != corrupted[i]), shorter)

    def token(ids: list[int]) -> str:
        return repr(tokenizer.decode([ids[at]])) if at < len(ids) else "the end"

    return (
        f"{name}: clean has {len(clean)} tokens, corrupted has {len(corrupted)} (first difference at "
        f"token {at}: {token(clean)} / {token(corrupted)}). Position-wise patching needs equal "
        "lengths: use words with the same number of tokens, or leave the pair out."
    )
