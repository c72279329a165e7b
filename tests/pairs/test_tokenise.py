"""Encoding and alignment."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.tiny_tokenizer import word_tokenizer

from harness_circuits.errors import PairError
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.tokenise import check_first_tokens, tokenise_pair

TOKENIZER = word_tokenizer()


def pair(clean: str, corrupted: str, *choices: str) -> Pair:
    return Pair(clean, corrupted, choices or (" Mary", " John"), (0,), (1,))


def test_lengths_that_differ_are_refused_with_the_first_difference() -> None:
    with pytest.raises(PairError) as error:
        tokenise_pair(TOKENIZER, pair("Mary and John went", "Mary to the store went"), 3, "ioi")
    assert str(error.value) == (
        "ioi, pair 3: clean has 4 tokens, corrupted has 5 (first difference at token 1: "
        "' and' / ' to'). Position-wise patching needs equal lengths: use words with the same "
        "number of tokens, or leave the pair out."
    )


def test_a_prompt_that_only_ends_earlier_is_refused() -> None:
    with pytest.raises(PairError, match=r"first difference at token 1: the end / ' and'\)"):
        tokenise_pair(TOKENIZER, pair("Mary", "Mary and"), 0)
    with pytest.raises(PairError, match=r"first difference at token 1: ' and' / the end\)"):
        tokenise_pair(TOKENIZER, pair("Mary and", "Mary"), 0)


def test_identical_prompts_are_refused() -> None:
    with pytest.raises(PairError) as error:
        tokenise_pair(TOKENIZER, pair("Mary and ", "Mary and"), 2, "ioi")
    assert str(error.value) == (
        "ioi, pair 2: clean and corrupted prompt are the same: 'Mary and '."
    )


def test_answers_with_the_same_first_token_are_refused() -> None:
    found = tokenise_pair(TOKENIZER, pair("The cat", "The dog", " one two", " one three"), 4)
    with pytest.raises(PairError) as error:
        check_first_tokens(TOKENIZER, found, "years")
    assert str(error.value) == (
        "years, pair 4: a correct and an incorrect answer share their first token ' one', so their "
        "logit difference says nothing. Use answers that differ in their first token, or a metric "
        "over whole answers (metric: prob_diff)."
    )
    with pytest.raises(PairError, match=r"share their first token token \d+,"):
        check_first_tokens(None, found, "years")
    check_first_tokens(TOKENIZER, replace(found, answers=((1, 2), (2, 2))), "years")
