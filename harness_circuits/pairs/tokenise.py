"""From pairs to batches: token ids, answer tokens, and the answer tree behind each prompt.

Prompts of equal token length are batched together, so that nothing is ever padded.

Answers of several tokens (years digit by digit, rare names) are scored exactly in the same pass:
their tokens but the last are appended to the prompt as a tree (`answer_tree`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import PairError, shown
from harness_circuits.models.circuit_model import Inputs
from harness_circuits.models.text_reader import TextReader
from harness_circuits.pairs.answer_tree import AnswerTree, answer_tree, tree_layout
from harness_circuits.pairs.encode import encode_answers, length_message
from harness_circuits.pairs.grouping import group_by_start, shared_tokens
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.spans import NO_POSITIONS, Positions, numbered

# Why a pair cannot be used with a tokenizer: what is counted where such pairs are left out.
UNEQUAL_LENGTHS = "clean and corrupted differ in token length"
NOT_CORRUPTED = "clean and corrupted are the same"
NO_ANSWER_TOKEN = "an answer has no token of its own"
SHARED_FIRST_TOKEN = "answers share their first token"
TOO_LONG = "longer than what the model takes at once"

PREFIX_TOKENS = 8  # tokens of a shared prefix that take the memory of one token that is run


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


@dataclass(frozen=True)
class Answers:
    """Where the answers of a batch are in its logits.

    Attributes:
        reads: [batch, choice, step] read of every answer token, 0 where there is none.
        tokens: [batch, choice, step] the token.
        real: [batch, choice, step] False where an answer (or a choice) has ended.
        correct: [batch, choice].
        incorrect: [batch, choice].
    """

    reads: Int[Tensor, "batch choice step"]
    tokens: Int[Tensor, "batch choice step"]
    real: Bool[Tensor, "batch choice step"]
    correct: Bool[Tensor, "batch choice"]
    incorrect: Bool[Tensor, "batch choice"]


@dataclass(frozen=True)
class Batch:
    """Pairs of one token length.

    Attributes:
        clean: Inputs of the clean run.
        corrupted: Inputs of the corrupted run, same shapes.
        answers: Where the answers are.
        indices: Number of each pair in its split.
        n_prompt: Tokens of the prompt; appended answer tokens follow.
        shared: How many first tokens every pair's clean and corrupted prompt share, as far as it
            is worth using.
        room: Tokens that one pass has memory for; 0 for no more than the batch's own.
    """

    clean: Inputs
    corrupted: Inputs
    answers: Answers
    indices: tuple[int, ...]
    n_prompt: int
    shared: int = 0
    room: int = 0

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def at_once(self) -> int:
        """How many runs of these pairs fit into one pass, side by side."""
        n_rows, n_tokens = self.clean.ids.shape
        prefix = self.clean.prefix
        if prefix is not None:  # of whose tokens a run holds keys and values alone
            n_tokens += prefix.n_tokens // PREFIX_TOKENS
        return max(1, self.room // (n_rows * n_tokens))


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


def make_batches(
    pairs: Iterable[TokenPair],
    batch_size: int,
    *,
    whole_answers: bool = True,
    share_prefix: bool = True,
    room: int = 0,
    spans: Spans | None = None,
) -> list[Batch]:
    """Group pairs by token length (and answer tree) into batches of at most `batch_size`.

    Args:
        pairs: Encoded pairs.
        batch_size: Largest number of pairs per batch.
        whole_answers: Score all tokens of an answer; False: only the first.
        share_prefix: Group pairs by their first difference too, and note what a batch's pairs share
            before it; False: in the order they come, nothing shared.
        room: Pairs that one pass has memory for, where that is more than `batch_size`.
        spans: The spans that tokens are numbered by, of pairs that have them.

    Raises:
        MismatchError: A pair has a span that is none of these.
    """
    groups: dict[tuple[Any, ...], list[tuple[TokenPair, AnswerTree]]] = defaultdict(list)
    for pair in pairs:
        if not whole_answers:
            pair = replace(pair, answers=tuple(answer[:1] for answer in pair.answers))
        tree = answer_tree(pair.answers)
        groups[len(pair.clean), tree.parents].append((pair, tree))
    batches = []
    for (n_prompt, parents), members in groups.items():
        n_tokens = n_prompt + len(parents)
        # The prompt's last token is read, so that it is always run.
        starts = [min(p.first_difference, n_prompt - 1) * share_prefix for p, _ in members]
        for numbers in group_by_start(starts, n_tokens, batch_size):
            shared = shared_tokens(min(starts[at] for at in numbers), n_tokens)
            batch = _batch([members[at] for at in numbers], n_prompt, shared, spans)
            batches.append(replace(batch, room=max(room, batch_size) * n_tokens))
    return batches


def _batch(
    members: list[tuple[TokenPair, AnswerTree]], n_prompt: int, shared: int, spans: Spans | None
) -> Batch:
    pairs = [pair for pair, _ in members]
    trees = [tree for _, tree in members]
    parents = trees[0].parents
    reads = torch.tensor([n_prompt - 1, *range(n_prompt, n_prompt + len(parents))])
    positions, mask = None, None
    if parents:
        positions, mask = tree_layout(parents, n_prompt, len(pairs))
    appended = torch.tensor([tree.tokens for tree in trees], dtype=torch.long)
    numbers = None if spans is None else numbered([p.spans for p in pairs], len(parents), spans)

    def inputs(prompts: list[tuple[int, ...]]) -> Inputs:
        ids = torch.cat([torch.tensor(prompts, dtype=torch.long), appended], dim=1)
        return Inputs(ids, reads, positions, mask, spans=numbers)

    return Batch(
        inputs([pair.clean for pair in pairs]),
        inputs([pair.corrupted for pair in pairs]),
        _answers(members),
        tuple(pair.index for pair in pairs),
        n_prompt,
        shared,
    )


def _answers(members: list[tuple[TokenPair, AnswerTree]]) -> Answers:
    n_choices = max(len(pair.answers) for pair, _ in members)
    n_steps = max(len(path) for _, tree in members for path in tree.paths)
    shape = (len(members), n_choices, n_steps)
    reads, tokens = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    real = torch.zeros(shape, dtype=torch.bool)
    correct = torch.zeros(shape[:2], dtype=torch.bool)
    incorrect = torch.zeros(shape[:2], dtype=torch.bool)
    for row, (pair, tree) in enumerate(members):
        for choice, path in enumerate(tree.paths):
            n = len(path)
            reads[row, choice, :n] = torch.tensor([read for read, _ in path])
            tokens[row, choice, :n] = torch.tensor([token for _, token in path])
            real[row, choice, :n] = True
        correct[row, list(pair.correct)] = True
        incorrect[row, list(pair.incorrect)] = True
    return Answers(reads, tokens, real, correct, incorrect)
