"""Greater-than (Hanna et al. 2023, arXiv 2305.00586), our own sentence and nouns.

"The war began in the year 1732 and ended in the year 17" has to be continued by two digits above
32. The corrupted prompt begins in 1701, so that nearly every ending is right. The metric is
P(ending > start) - P(ending <= start) over all hundred two-digit endings, whole endings being
scored: exact for tokenizers with two digits in one token and for those that go digit by digit.

Splits share no combination of a noun with a start year.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.taskdata import TaskData

NOUNS = (
    "war siege drought trial voyage revolt strike famine reign dispute project journey campaign "
    "expedition construction negotiation occupation investigation rebellion experiment study "
    "festival truce blockade inquiry pilgrimage restoration migration partnership alliance"
).split()
CENTURIES = range(11, 20)
ENDINGS = tuple(f"{ending:02}" for ending in range(100))


def candidates(generator: random.Random) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    while True:
        noun, century = generator.choice(NOUNS), generator.choice(CENTURIES)
        start = generator.randrange(2, 99)
        yield {
            "key": f"{noun}/{century}{start:02}",
            "clean": sentence(noun, century, start),
            "corrupted": sentence(noun, century, 1),
            "choices": list(ENDINGS),
            "correct": list(range(start + 1, 100)),
            "incorrect": list(range(start + 1)),
        }


def sentence(noun: str, century: int, start: int) -> str:
    """The prompt, up to the century of the second year."""
    return f"The {noun} began in the year {century}{start:02} and ended in the year {century}"


dataset = TaskData("greater_than_circuit", candidates)
