"""How a model reads text: its tokenizer, the first token, and how many tokens it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness_circuits.errors import OptionError

LENGTHS = ("n_positions", "max_position_embeddings", "n_ctx")
NO_LENGTH = 10**9  # of `model_max_length`, where a tokenizer knows none


@dataclass(frozen=True)
class TextReader:
    """Turns text into token ids, as lm-eval's `--model hf` does with the same options.

    Attributes:
        tokenizer: The model's tokenizer.
        add_bos_token: Whether its special tokens are added; None: as it does by itself.
        prefix_token_id: The first token, in place of the tokenizer's BOS (EOS where it has none).
        max_length: Tokens that go through the model at once; None where no limit is known.
        always: Whether every prompt gets the first token, also where the tokenizer adds none.
    """

    tokenizer: Any
    add_bos_token: bool | None = None
    prefix_token_id: int | None = None
    max_length: int | None = None
    always: bool = False

    @classmethod
    def of(cls, tokenizer: Any) -> TextReader:
        """A tokenizer as it reads by itself; a reader as it is."""
        return tokenizer if isinstance(tokenizer, TextReader) else cls(tokenizer)

    def within(self, config: Any) -> TextReader:
        """The same for a model of this configuration, whose length counts unless one was given.

        Raises:
            OptionError: The first token is none that the model has an embedding of.
        """
        words = getattr(getattr(config, "text_config", None) or config, "vocab_size", None)
        if words and self.prefix_token_id is not None and self.prefix_token_id >= words:
            raise OptionError(
                f"prefix_token_id={self.prefix_token_id}: the model has tokens 0 to {words - 1}."
            )
        if self.max_length is not None:
            return self
        return replace(self, max_length=context_length(config, self.tokenizer))

    def with_first_token(self) -> TextReader:
        """The same with a first token before every prompt, as TransformerLens, EAP-IG and MIB do.

        Raises:
            OptionError: It was asked for without, or there is no token that could be the first.
        """
        if self.add_bos_token is False:
            raise OptionError(
                "compat=mib puts a first token before every prompt, add_bos_token=false none; leave "
                "one of them out."
            )
        if self.prefix is None:
            raise OptionError(
                "compat=mib puts a first token before every prompt, and this tokenizer has neither "
                "a BOS nor an EOS token; give prefix_token_id=."
            )
        return replace(self, always=True)

    @property
    def prefix(self) -> int | None:
        """The first token: as given, else BOS, else EOS."""
        if self.prefix_token_id is not None:
            return self.prefix_token_id
        bos = self.tokenizer.bos_token_id
        found: int | None = self.tokenizer.eos_token_id if bos is None else bos
        return found

    def begins_with_first_token(self, text: str) -> bool:
        """Whether a text brings the first token along, so that it gets no second one."""
        return self._begin_with_first_token([text])[0]

    def _begin_with_first_token(self, texts: Sequence[str]) -> list[bool]:
        prefix = self.prefix
        if prefix is None:
            return [False] * len(texts)
        first = str(self.tokenizer.decode(prefix))
        return [text.startswith(first) for text in texts]

    def encode(self, text: str) -> list[int]:
        """Token ids of a text that stands at the beginning."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts that stand at the beginning, each on its own."""
        begun = self._begin_with_first_token(texts)
        if len(set(begun)) > 1:
            return [self.encode(text) for text in texts]
        special = self.add_bos_token is not False and not any(begun)
        found = self.tokenizer(list(texts), add_special_tokens=special)["input_ids"]
        put = self.always and not any(begun)
        return [self._with_first(list(ids)) if put else list(ids) for ids in found]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """For every token of `encode(text)`, its characters: start and end; none of special tokens.

        Raises:
            OptionError: The tokenizer does not know them.
        """
        if not getattr(self.tokenizer, "is_fast", False):
            raise OptionError(
                f"positions=spans needs a tokenizer that knows the characters of its tokens (a fast "
                f"one); {type(self.tokenizer).__name__} does not. Use positions=tokens."
            )
        begun = self.begins_with_first_token(text)
        special = self.add_bos_token is not False and not begun
        found = self.tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)
        places = [(int(start), int(end)) for start, end in found["offset_mapping"]]
        added = len(self.encode(text)) - len(places)
        return [(0, 0)] * added + places

    def _with_first(self, ids: list[int]) -> list[int]:
        assert self.prefix is not None, "with_first_token has made sure of it"
        return ids if ids[:1] == [self.prefix] else [self.prefix, *ids]

    def encode_inside(self, text: str) -> list[int]:
        """Token ids of a text without any special tokens around it."""
        return [int(token) for token in self.tokenizer.encode(text, add_special_tokens=False)]

    def first_token(self) -> dict[str, Any] | None:
        """What stands before a prompt, for the results; None where nothing does."""
        ids, plain = self.encode("a"), self.encode_inside("a")
        n = len(ids) - len(plain)
        if n < 1 or ids[n:] != plain:
            return None
        return {"ids": ids[:n], "text": str(self.tokenizer.decode(ids[:n]))}


def context_length(config: Any, tokenizer: Any = None) -> int | None:
    """How many tokens a model takes at once, by its configuration, else by its tokenizer.

    A model with rotary positions runs on beyond that, but was not trained for it.
    """
    text = getattr(config, "text_config", None) or config
    for name in LENGTHS:
        value = getattr(text, name, None)
        if value is not None:
            return int(value)
    value = getattr(tokenizer, "model_max_length", None)
    return None if value is None or value >= NO_LENGTH else int(value)
