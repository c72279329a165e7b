"""From token ids to batches, with the answer tree behind each prompt.

The pairs of a batch have one number of tokens to run. Where what their prompts share is run once, these
are the tokens behind it, and prompts may be longer or shorter by what they share; else they are of one
length. So nothing is ever padded that is run.

Answers of several tokens (years digit by digit, rare names) are scored exactly in the same pass:
their tokens but the last are appended to the prompt as a tree (`answer_tree`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from harness_circuits.circuits.spans import Spans
from harness_circuits.models.circuit_model import Inputs
from harness_circuits.pairs.answer_tree import AnswerTree, answer_tree, tree_layout
from harness_circuits.pairs.grouping import PREFIX_TOKENS, Extent, group, shared_tokens
from harness_circuits.pairs.spans import numbered
from harness_circuits.pairs.tokenise import TokenPair


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
    """Pairs with one number of tokens to run.

    Attributes:
        clean: Inputs of the clean run.
        corrupted: Inputs of the corrupted run, same shapes.
        answers: Where the answers are.
        indices: Number of each pair in its split.
        n_prompt: Tokens of the longest prompt; appended answer tokens follow.
        shared: How many first tokens every pair's clean and corrupted prompt share, as far as it
            is worth using.
        room: Tokens that one pass has memory for; 0 for no more than the batch's own.
        pads: How many of the shared first tokens of each pair are no tokens of its prompt, where prompts
            have different lengths; None where they have one. Such a batch is run behind its
            shared prefix (`behind_shared_prefix`), or divided (`whole_batches`).
    """

    clean: Inputs
    corrupted: Inputs
    answers: Answers
    indices: tuple[int, ...]
    n_prompt: int
    shared: int = 0
    room: int = 0
    pads: Int[Tensor, "batch"] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def rows(self, rows: Int[Tensor, "row"]) -> Batch:
        """Some of the pairs."""
        return replace(
            self,
            clean=self.clean.rows(rows),
            corrupted=self.corrupted.rows(rows),
            answers=Answers(*(getattr(self.answers, f.name)[rows] for f in fields(Answers))),
            indices=tuple(self.indices[row] for row in rows.tolist()),
            pads=None if self.pads is None else self.pads[rows],
        )

    @property
    def at_once(self) -> int:
        """How many runs of these pairs fit into one pass, side by side."""
        n_rows, n_tokens = self.clean.ids.shape
        prefix = self.clean.prefix
        if prefix is not None:  # of whose tokens a run holds keys and values alone
            n_tokens += prefix.n_tokens // PREFIX_TOKENS
        return max(1, self.room // (n_rows * n_tokens))


def make_batches(
    pairs: Iterable[TokenPair],
    batch_size: int,
    *,
    whole_answers: bool = True,
    share_prefix: bool = True,
    one_length: bool = False,
    room: int = 0,
    spans: Spans | None = None,
) -> list[Batch]:
    """Group pairs by their numbers of tokens (and answer trees) into batches of at most `batch_size`.

    Args:
        pairs: Encoded pairs.
        batch_size: Largest number of pairs per batch.
        whole_answers: Score all tokens of an answer; False: only the first.
        share_prefix: Group pairs by what lies behind their first difference, and note what a batch's
            pairs share before it; False: by length, in the order they come, nothing shared.
        one_length: The prompts of a batch have one length, so that it can be run whole as it is.
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
        length = len(pair.clean) if one_length or not share_prefix else None
        groups[tree.parents, length].append((pair, tree))
    batches = []
    for (parents, _), members in groups.items():
        extents = [_extent(pair, share_prefix) for pair, _ in members]
        for numbers in group(extents, len(parents), batch_size):
            n_prompt = max(extents[at].n_prompt for at in numbers)
            n_tokens = n_prompt + len(parents)
            start = n_prompt - max(extents[at].behind for at in numbers)
            chosen = [members[at] for at in numbers]
            batch = _batch(chosen, n_prompt, shared_tokens(start, n_tokens), spans)
            batches.append(replace(batch, room=max(room, batch_size) * n_tokens))
    return batches


def _extent(pair: TokenPair, share_prefix: bool) -> Extent:
    """A pair's tokens; the prompt's last one is read, so that it is always run."""
    n = len(pair.clean)
    return Extent(n, n - min(pair.first_difference, n - 1) if share_prefix else n)


def _batch(
    members: list[tuple[TokenPair, AnswerTree]], n_prompt: int, shared: int, spans: Spans | None
) -> Batch:
    pairs = [pair for pair, _ in members]
    trees = [tree for _, tree in members]
    parents = trees[0].parents
    pads = torch.tensor([n_prompt - len(pair.clean) for pair in pairs])
    padded = bool(pads.any())
    assert not padded or shared > 0
    reads = torch.tensor([n_prompt - 1, *range(n_prompt, n_prompt + len(parents))])
    positions, mask = None, None
    if parents:
        positions, mask = tree_layout(parents, n_prompt, len(pairs))
    appended = torch.tensor([tree.tokens for tree in trees], dtype=torch.long)
    numbers = None
    if spans is not None:
        numbers = numbered([pair.spans for pair in pairs], len(parents), spans)

    def inputs(prompts: list[tuple[int, ...]]) -> Inputs:
        rows = [(0,) * (n_prompt - len(prompt)) + prompt for prompt in prompts]
        ids = torch.cat([torch.tensor(rows, dtype=torch.long), appended], dim=1)
        return Inputs(ids, reads, positions, mask, spans=numbers, padded=padded)

    return Batch(
        inputs([pair.clean for pair in pairs]),
        inputs([pair.corrupted for pair in pairs]),
        _answers(members),
        tuple(pair.index for pair in pairs),
        n_prompt,
        shared,
        pads=pads if padded else None,
    )


def whole_batches(batches: Iterable[Batch]) -> list[Batch]:
    """The same pairs in batches whose prompts have one length, so that all tokens can be run.

    Args:
        batches: Batches; those whose prompts have one length stay as they are.
    """
    return [part for batch in batches for part in _of_one_length(batch)]


def _of_one_length(batch: Batch) -> Iterator[Batch]:
    if batch.pads is None:
        yield batch
        return
    for pad in batch.pads.unique().tolist():
        some = batch.rows((batch.pads == pad).nonzero().flatten())
        yield replace(
            some,
            clean=_unpadded(some.clean, pad),
            corrupted=_unpadded(some.corrupted, pad),
            n_prompt=batch.n_prompt - pad,
            shared=batch.shared - pad,
            pads=None,
        )


def _unpadded(inputs: Inputs, pad: int) -> Inputs:
    """Rows without their first tokens; positions and mask go on as if they had not been there."""
    return replace(
        inputs,
        ids=inputs.ids[:, pad:],
        reads=inputs.reads - pad,
        positions=None if inputs.positions is None else inputs.positions[:, pad:] - pad,
        mask=None if inputs.mask is None else inputs.mask[:, :, pad:, pad:],
        spans=None if inputs.spans is None else inputs.spans[:, pad:],
        padded=False,
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
