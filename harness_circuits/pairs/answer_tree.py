"""Answers of several tokens as a tree of tokens behind the prompt.

The tokens of all answers but each one's last are appended to the prompt. Every appended token sees
the prompt and its own ancestors only (a 4D attention mask) and has the position it would have in its
own continuation, so that the logits at each tree node are those of that continuation alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

UNSEEN = torch.finfo(torch.bfloat16).min  # added to attention scores, whatever the model's dtype


@dataclass(frozen=True)
class AnswerTree:
    """Proper prefixes of the answers, as appended tokens.

    Attributes:
        tokens: The appended tokens.
        parents: For each, the index of its parent among them, or -1 for the prompt.
        paths: For each answer, the (read, token) steps; read 0 is the prompt's last token,
            read i + 1 is appended token i.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    paths: tuple[tuple[tuple[int, int], ...], ...]


def answer_tree(answers: Sequence[Sequence[int]]) -> AnswerTree:
    """Arrange the answers' proper prefixes as a tree."""
    nodes: dict[tuple[int, ...], int] = {}
    tokens: list[int] = []
    parents: list[int] = []
    for answer in answers:
        for end in range(1, len(answer)):
            prefix = tuple(answer[:end])
            if prefix not in nodes:
                nodes[prefix] = len(tokens)
                tokens.append(prefix[-1])
                parents.append(nodes[prefix[:-1]] if end > 1 else -1)
    paths = tuple(
        tuple(
            (nodes[tuple(answer[:step])] + 1 if step else 0, token)
            for step, token in enumerate(answer)
        )
        for answer in answers
    )
    return AnswerTree(tuple(tokens), tuple(parents), paths)


def tree_layout(
    parents: tuple[int, ...], n_prompt: int, n_batch: int
) -> tuple[Int[Tensor, "batch pos"], Float[Tensor, "batch 1 pos pos"]]:
    """Positions and attention mask of a prompt with an answer tree behind it."""
    size = n_prompt + len(parents)
    seen = torch.zeros(size, size, dtype=torch.bool)
    seen[:n_prompt, :n_prompt] = torch.ones(n_prompt, n_prompt, dtype=torch.bool).tril()
    depth = list(range(n_prompt))
    for node, parent in enumerate(parents):
        above = n_prompt - 1 if parent < 0 else n_prompt + parent
        seen[n_prompt + node] = seen[above]
        seen[n_prompt + node, n_prompt + node] = True
        depth.append(depth[above] + 1)
    mask = torch.zeros(size, size).masked_fill(~seen, UNSEEN)
    positions = torch.tensor(depth)[None].expand(n_batch, -1)
    return positions, mask[None, None].expand(n_batch, 1, -1, -1)
