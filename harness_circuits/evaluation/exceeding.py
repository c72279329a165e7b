"""At how many sizes a circuit exceeds the model: faithfulness above 1.05.

CPR is the area under faithfulness, and so rewards circuits that do more of a behaviour than the whole
model. The share of sizes at which they do is printed beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

EXCEEDS = 1.05  # faithfulness above it is more than the model's


def exceeding(
    f: Sequence[float], low: Sequence[float | None], high: Sequence[float | None]
) -> tuple[float, tuple[float, float] | None]:
    """Share of sizes at which faithfulness is above `EXCEEDS`, with its interval.

    Args:
        f: Faithfulness per size.
        low: Lower ends of its intervals; None where there are none.
        high: Upper ends.

    Returns:
        The share, and from the share of sizes whose whole interval lies above to that of sizes whose
        interval reaches above; None where a size has no interval.

    >>> exceeding([0.9, 1.1, 1.2, 1.0], [0.8, 1.0, 1.1, 1.0], [1.0, 1.2, 1.3, 1.0])
    (0.5, (0.25, 0.5))
    """
    ends = [(a, b) for a, b in zip(low, high, strict=True) if a is not None and b is not None]
    share = sum(value > EXCEEDS for value in f) / len(f)
    if len(ends) < len(f):
        return share, None
    sure, open_ = (sum(end[at] > EXCEEDS for end in ends) / len(f) for at in (0, 1))
    return share, (sure, open_)
