"""Which pairs of one length go into a batch together, so that the fewest tokens are run.

The pairs of a batch share what lies before the earliest first difference among them. Pairs with near
first differences therefore belong together; but every further batch costs a pass of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

PASS_TOKENS = 64  # what starting one more pass costs, in tokens of a forward on a CPU
LEAST_SHARE = 0.1  # of a prompt: a shorter shared prefix is not worth a pass of its own


def group_by_start(starts: Sequence[int], n_tokens: int, most: int) -> list[list[int]]:
    """Divide pairs among batches of at most `most`, at the least total cost.

    The cost of a batch is the tokens behind its earliest first difference, and `PASS_TOKENS`.

    Args:
        starts: First difference of every pair.
        n_tokens: Tokens of every pair.
        most: Largest batch.

    Returns:
        Batches as lists of pair numbers, each in ascending order, later differences first.

    >>> group_by_start([1, 9, 1, 9], 10, 4)  # four prompts are too few to be told apart
    [[0, 1, 2, 3]]
    >>> [len(batch) for batch in group_by_start([1, 9] * 50, 10, 100)]
    [50, 50]
    """
    order = sorted(range(len(starts)), key=lambda at: (-starts[at], at))
    # The earliest difference of a run of this order is its last, so that batches are runs of it.
    best, cut = [0], [0]
    for end in range(1, len(order) + 1):
        start = starts[order[end - 1]]
        costs = [
            (best[begin] + (end - begin) * (n_tokens - start) + PASS_TOKENS, begin)
            for begin in range(max(0, end - most), end)
        ]
        least, last = min((cost, -begin) for cost, begin in costs)
        best.append(least)
        cut.append(-last)
    batches, end = [], len(order)
    while end:
        batches.append(sorted(order[cut[end] : end]))
        end = cut[end]
    return batches[::-1]


def shared_tokens(start: int, n_tokens: int) -> int:
    """How many first tokens are worth being run once, where pairs differ from `start` on."""
    return start if start >= LEAST_SHARE * n_tokens else 0
