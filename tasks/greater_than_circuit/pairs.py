"""Greater-than (Hanna et al. 2023, arXiv 2305.00586), our own sentences and nouns.

"The war began in the year 1732 and ended in the year 17" has to be continued by two digits above
32. The corrupted prompt begins in 1701, so that nearly every ending is right. The metric is
P(ending > start) - P(ending <= start) over all hundred two-digit endings, whole endings being
scored: exact for tokenizers with two digits in one token and for those that go digit by digit.

The variants `price` and `sequence` ask the same of a higher price and of a rising row of years.
Splits share no combination of a noun with a start.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import TaskData
from harness_circuits.task_data.marks import marked, with_spans

EVENTS = (
    "war siege drought trial voyage revolt strike famine reign dispute project journey campaign "
    "expedition construction negotiation occupation investigation rebellion experiment study "
    "festival truce blockade inquiry pilgrimage restoration migration partnership alliance"
).split()
GOODS = (
    "ring watch painting vase carpet sofa camera violin statue bracelet guitar necklace boat horse "
    "telescope mirror desk clock stamp coin sculpture motorcycle wagon piano jewel"
).split()
CENTURIES = range(11, 20)
ENDINGS = tuple(f"{ending:02}" for ending in range(100))


def candidates(generator: random.Random, *, variant: str) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    while True:
        century, start = generator.choice(CENTURIES), generator.randrange(4, 99)
        if variant == "year":
            what = generator.choice(EVENTS)
            clean, corrupted = (years(what, century, n) for n in (start, 1))
        elif variant == "price":
            what = generator.choice(GOODS)
            clean, corrupted = (prices(what, century, n) for n in (start, 1))
        else:
            rising = sorted(generator.sample(range(2, start), 2)) if start > 4 else [2, 3]
            what = "-".join(map(str, rising))
            clean, corrupted = (row(century, n) for n in ([*rising, start], [1, 1, 1]))
        yield with_spans(
            {
                "key": f"{what}/{century}{start:02}",
                "clean": clean,
                "corrupted": corrupted,
                "choices": list(ENDINGS),
                "correct": list(range(start + 1, 100)),
                "incorrect": list(range(start + 1)),
            }
        )


def years(noun: str, century: int, start: int) -> str:
    """The prompt, up to the century of the second year."""
    first, last = marked("start", f"{century}{start:02}"), marked("century", str(century))
    return f"The {marked('noun', noun)} began in the year {first} and ended in the year {last}"


def prices(noun: str, century: int, start: int) -> str:
    """The prompt, up to the hundreds of the higher price."""
    first, again = (marked(name, f"{century}{start:02}") for name in ("start", "again"))
    return (
        f"She bought the {marked('noun', noun)} for {first} dollars. Later its price had risen from "
        f"{again} dollars to {marked('century', str(century))}"
    )


def row(century: int, starts: list[int]) -> str:
    """Rising years, up to the century of the last."""
    years = (marked(f"year{n}", f"{century}{start:02}") for n, start in enumerate(starts, 1))
    return f"{', '.join(years)}, {marked('century', str(century))}"


dataset = TaskData(
    "greater_than_circuit",
    candidates,
    options={"variant": ("year", "price", "sequence")},
    one_phrasing=True,
)
