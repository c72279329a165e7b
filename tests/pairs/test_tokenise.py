"""Encoding, alignment, answer trees, batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.tiny_models import ARCHITECTURES, VOCABULARY, tiny_model, token_pairs
from helpers.tiny_tokenizer import word_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.normalizers import Replace

from harness_circuits.errors import PairError
from harness_circuits.models.circuit_model import Inputs
from harness_circuits.pairs.encode import encode_answers, encode_prompt
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.tokenise import (
    TokenPair,
    answer_tree,
    check_first_tokens,
    make_batches,
    tokenise_pair,
)

TOKENIZER = word_tokenizer()
tokens = st.integers(0, 4)
answer_sets = st.lists(st.lists(tokens, min_size=1, max_size=4).map(tuple), min_size=2, max_size=5)


def encode_answer(tokenizer: Any, prompt: str, answer: str) -> tuple[int, ...]:
    ((own, _),) = encode_answers(tokenizer, prompt, [answer])
    return own


def keeps_prompt(tokenizer: Any, prompt: str, answer: str) -> bool:
    ((_, kept),) = encode_answers(tokenizer, prompt, [answer])
    return kept


def pair(clean: str, corrupted: str, *choices: str) -> Pair:
    return Pair(clean, corrupted, choices or (" Mary", " John"), (0,), (1,))


def token_pair(
    n_prompt: int = 3, answers: tuple[tuple[int, ...], ...] = ((1,), (2,)), index: int = 0
) -> TokenPair:
    clean = tuple(range(n_prompt))
    return TokenPair(clean, (*clean[:-1], 9), answers, (0,), (1,), index)


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


def test_answers_are_encoded_one_by_one() -> None:
    tokenizer = word_tokenizer(["The", "cat", "cats", "s", "John"], bos=True)
    answers = [" John", "s", " cat cats"]
    together = encode_answers(tokenizer, "The cat", answers)
    assert together == [encode_answers(tokenizer, "The cat", [one])[0] for one in answers]
    assert [kept for _, kept in together] == [True, False, True]


@given(answer_sets)
def test_a_tree_holds_every_proper_prefix_once(answers: list[tuple[int, ...]]) -> None:
    tree = answer_tree(answers)
    prefixes = {answer[:end] for answer in answers for end in range(1, len(answer))}

    def spelled(node: int) -> tuple[int, ...]:
        above = tree.parents[node]
        return (*(spelled(above) if above >= 0 else ()), tree.tokens[node])

    assert sorted(spelled(node) for node in range(len(tree.tokens))) == sorted(prefixes)
    assert all(parent < node for node, parent in enumerate(tree.parents))
    for answer, path in zip(answers, tree.paths, strict=True):
        assert tuple(token for _, token in path) == answer
        read = [() if at == 0 else spelled(at - 1) for at, _ in path]
        assert read == [answer[:end] for end in range(len(answer))]


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


def test_first_tokens_only_need_nothing_behind_the_prompt() -> None:
    pairs = [token_pair(3, ((1, 2), (2, 3, 4))), token_pair(3, ((3,), (4, 4)), 1)]
    (batch,) = make_batches(pairs, 8, whole_answers=False)
    assert batch.clean.ids.shape == (2, 3)
    assert batch.clean.positions is None and batch.clean.mask is None
    assert batch.answers.tokens.squeeze(-1).tolist() == [[1, 2], [3, 4]]
    assert len(make_batches(pairs, 8)) == 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("length", [2, 6])
def test_tree_reads_equal_separate_runs(architecture: str, length: int) -> None:
    """Prompts of 6 tokens are longer than the sliding windows of the tiny models."""
    model = tiny_model(architecture)
    answers = ((5, 6, 7), (5, 8, 4), (9, 3), (2,), (5, 6, 4, 3))  # branches at two depths
    pairs = [replace(one, answers=answers) for one in token_pairs(2, length)]
    (batch,) = make_batches(pairs, 8)
    logits = model.forward(batch.clean)
    assert logits.shape == (2, 1 + len(answer_tree(answers).tokens), VOCABULARY)
    for row, one in enumerate(pairs):
        for choice, answer in enumerate(answers):
            ids = torch.tensor([[*one.clean, *answer[:-1]]])
            reads = torch.arange(length - 1, length - 1 + len(answer))
            alone = model.forward(Inputs(ids, reads))[0]
            found = logits[row, batch.answers.reads[row, choice, : len(answer)]]
            torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
