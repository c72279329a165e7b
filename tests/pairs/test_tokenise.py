"""Encoding, alignment, answer trees, batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.tiny_tokenizer import word_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.errors import PairError
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.tokenise import (
    TokenPair,
    check_first_tokens,
    make_batches,
    tokenise_pair,
)

TOKENIZER = word_tokenizer()
tokens = st.integers(0, 4)
answer_sets = st.lists(st.lists(tokens, min_size=1, max_size=4).map(tuple), min_size=2, max_size=5)


def pair(clean: str, corrupted: str, *choices: str) -> Pair:
    return Pair(clean, corrupted, choices or (" Mary", " John"), (0,), (1,))


def token_pair(
    n_prompt: int = 3, answers: tuple[tuple[int, ...], ...] = ((1,), (2,)), index: int = 0
) -> TokenPair:
    clean = tuple(range(n_prompt))
    return TokenPair(clean, (*clean[:-1], 9), answers, (0,), (1,), index)


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


@given(
    st.lists(st.tuples(st.integers(2, 4), answer_sets), min_size=1, max_size=9), st.integers(1, 4)
)
def test_batches_partition_the_pairs(rows: list[tuple[int, Any]], size: int) -> None:
    pairs = [token_pair(n, tuple(answers), index) for index, (n, answers) in enumerate(rows)]
    batches = make_batches(pairs, size)
    assert sorted(i for batch in batches for i in batch.indices) == list(range(len(pairs)))
    for batch in batches:
        assert 1 <= len(batch) <= size
        for row, index in enumerate(batch.indices):
            one = pairs[index]
            assert batch.n_prompt == len(one.clean)
            assert tuple(batch.clean.ids[row, : batch.n_prompt].tolist()) == one.clean
            assert tuple(batch.corrupted.ids[row, : batch.n_prompt].tolist()) == one.corrupted
            real = batch.answers.real[row]
            found = [
                tuple(ids[there].tolist())
                for ids, there in zip(batch.answers.tokens[row], real, strict=True)
                if there.any()
            ]
            assert tuple(found) == one.answers
            assert batch.answers.correct[row].nonzero().flatten().tolist() == list(one.correct)
            assert batch.answers.incorrect[row].nonzero().flatten().tolist() == list(one.incorrect)
            assert torch.equal(
                batch.clean.ids[row, batch.n_prompt :], batch.corrupted.ids[row, batch.n_prompt :]
            )


def test_batches_are_as_few_as_their_lengths_allow() -> None:
    pairs = [token_pair(n, index=index) for index, n in enumerate([3, 4, 3, 3, 4, 3])]
    found = [(batch.n_prompt, batch.indices) for batch in make_batches(pairs, 3)]
    assert found == [(3, (0, 2, 3)), (3, (5,)), (4, (1, 4))]
