"""Which pairs go into a batch together, so that the fewest tokens are run.

What lies before the first difference of a pair's two prompts is run once, and what lies behind it in
every run of the model. So the pairs of a batch are those with nearly as many tokens *behind* their first
difference; how long their prompts are matters little, since shared parts of unequal length can be
held side by side. But every further batch costs a pass of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PASS_TOKENS = 64  # what starting one more pass costs, in tokens of a forward on a CPU
PREFIX_TOKENS = 8  # tokens of a shared prefix that cost, or hold, what one token behind it does
LEAST_SHARE = 0.1  # of a prompt: a shorter shared prefix is not worth a pass of its own


@dataclass(frozen=True)
class Extent:
    """A prompt's tokens, answers' tokens behind it left out.

    Attributes:
        n_prompt: How many there are.
        behind: How many have to be run anew: those from the first difference on.
    """

    n_prompt: int
    behind: int


def group(extents: Sequence[Extent], n_appended: int, most: int) -> list[list[int]]:
    """Divide pairs among batches of at most `most`, at the least total cost.

    A batch runs as many tokens of each pair as any of them needs, from each prompt's end; none may
    be shorter. One that shares less than `LEAST_SHARE` runs whole prompts, of one length. It costs the
    tokens of its runs, an eighth of those of its prefix (`PREFIX_TOKENS`), and `PASS_TOKENS`.

    Args:
        extents: Every pair's tokens.
        n_appended: Tokens of answers behind each prompt.
        most: Largest batch.

    Returns:
        Batches as lists of pair numbers, each in ascending order, those with the fewest tokens to run
        first. Batches are runs of the pairs ordered by `behind` and length.

    >>> few = [Extent(10, 9), Extent(12, 3)]  # two prompts are too few to be told apart
    >>> group([Extent(10, 3), Extent(12, 3), Extent(10, 4)], 0, 4)
    [[0, 1, 2]]
    >>> [len(batch) for batch in group(few * 50, 0, 100)]
    [50, 50]
    """
    order = sorted(range(len(extents)), key=lambda at: (extents[at].behind, extents[at].n_prompt))
    best, cut = [0], [0]
    for end in range(1, len(order) + 1):
        options = []
        shortest = longest = extents[order[end - 1]].n_prompt
        for begin in range(end - 1, max(0, end - most) - 1, -1):
            length = extents[order[begin]].n_prompt
            shortest, longest = min(shortest, length), max(longest, length)
            run = _run(extents[order[end - 1]].behind, shortest, longest, n_appended)
            if run is not None:
                once, again = run
                cost = (end - begin) * (once + PREFIX_TOKENS * again) + PREFIX_TOKENS * PASS_TOKENS
                options.append((best[begin] + cost, -begin))
        least, last = min(options)
        best.append(least)
        cut.append(-last)
    batches, end = [], len(order)
    while end:
        batches.append(sorted(order[cut[end] : end]))
        end = cut[end]
    return batches[::-1]


def _run(behind: int, shortest: int, longest: int, n_appended: int) -> tuple[int, int] | None:
    """Tokens of each pair of a batch that are run once, and again and again; None: they do not fit."""
    shared = shared_tokens(longest - behind, longest + n_appended)
    if shared:
        return (shared, behind + n_appended) if behind <= shortest else None
    return (0, longest + n_appended) if shortest == longest else None


def shared_tokens(start: int, n_tokens: int) -> int:
    """How many first tokens are worth being run once, where pairs differ from `start` on."""
    return start if start >= LEAST_SHARE * n_tokens else 0
