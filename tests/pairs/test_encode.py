"""Prompts and answers as tokens: as lm-eval has them."""

from __future__ import annotations

import pytest
from helpers.tiny_tokenizer import word_tokenizer
from tokenizers.normalizers import Replace

from harness_circuits.errors import PairError
from harness_circuits.pairs.encode import encode_answers, encode_prompt
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.tokenise import tokenise_pair

TOKENIZER = word_tokenizer()


def pair(clean: str, corrupted: str, *choices: str) -> Pair:
    return Pair(clean, corrupted, choices or (" Mary", " John"), (0,), (1,))


def test_prompts_and_answers_are_encoded_as_by_lm_eval() -> None:
    given = pair("The cat said that Mary ", "The dog said that Mary ", "went", " John")
    found = tokenise_pair(TOKENIZER, given, 5)
    assert TOKENIZER.decode(found.clean) == "The cat said that Mary"
    assert TOKENIZER.decode(found.corrupted) == "The dog said that Mary"
    assert [TOKENIZER.decode(answer) for answer in found.answers] == [" went", "  John"]
    assert (found.correct, found.incorrect, found.index) == ((0,), (1,), 5)


def test_answers_may_have_several_tokens() -> None:
    ((answer, stays),) = encode_answers(TOKENIZER, "The war lasted", [" one two\nthree"])
    assert stays
    assert [TOKENIZER.decode(token) for token in answer] == [" one", " two", "\n", "three"]


def test_bos_is_added_once() -> None:
    tokenizer = word_tokenizer(bos=True)
    assert encode_prompt(tokenizer, "The cat") == [0, *TOKENIZER.encode("The cat")]
    written = encode_prompt(tokenizer, f"{tokenizer.bos_token}The cat")
    assert written == encode_prompt(tokenizer, "The cat")
    assert encode_answers(tokenizer, "The cat", [" Mary"]) == [
        (tuple(TOKENIZER.encode(" Mary")), True)
    ]


def test_an_answer_that_would_merge_with_the_prompt_keeps_its_own_tokens() -> None:
    tokenizer = word_tokenizer(["The", "cat", "cats", "dog", "s"])
    assert encode_answers(tokenizer, "The cat", ["s"]) == [(tuple(tokenizer.encode("s")), False)]
    assert encode_answers(tokenizer, "The cat ", ["s"]) == [(tuple(tokenizer.encode(" s")), True)]


def test_an_answer_without_a_token_of_its_own_is_refused() -> None:
    tokenizer = word_tokenizer()
    tokenizer.backend_tokenizer.normalizer = Replace("~", "")
    with pytest.raises(PairError) as error:
        tokenise_pair(tokenizer, pair("The cat", "The dog", "~", " John"), 1, "plural")
    assert str(error.value) == (
        "plural, pair 1: the answer '~' has no token of its own after the prompt 'The cat'; the "
        "tokenizer drops it."
    )
    assert encode_answers(tokenizer, "The cat", ["~"]) == [((), False)]


def test_answers_are_encoded_one_by_one() -> None:
    tokenizer = word_tokenizer(["The", "cat", "cats", "s", "John"], bos=True)
    answers = [" John", "s", " cat cats"]
    together = encode_answers(tokenizer, "The cat", answers)
    assert together == [encode_answers(tokenizer, "The cat", [one])[0] for one in answers]
    assert [kept for _, kept in together] == [True, False, True]
