"""Two-digit addition (as in Stolfo et al. 2023, arXiv 2305.15054, and MIB), our own layout.

Two worked examples, then "47 + 21 =", continued by the result. The corrupted prompt has other
operands, whose result is the incorrect answer. Results have two digits, and the first digits
differ, so that the metric also tells answers apart where a tokenizer goes digit by digit.

Splits share no pair of operands.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.taskdata import TaskData

EXAMPLES = "12+31=43\n54+25=79\n"


def candidates(generator: random.Random) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    while True:
        (a, b), (c, d) = operands(generator), operands(generator)
        if (a + b) // 10 == (c + d) // 10:
            continue
        yield {
            "key": f"{a}+{b}",
            "clean": f"{EXAMPLES}{a}+{b}=",
            "corrupted": f"{EXAMPLES}{c}+{d}=",
            "choices": [str(a + b), str(c + d)],
            "correct": [0],
            "incorrect": [1],
        }


def operands(generator: random.Random) -> tuple[int, int]:
    """Two numbers of two digits whose sum has two digits."""
    first = generator.randrange(10, 90)
    return first, generator.randrange(10, 100 - first)


dataset = TaskData("arithmetic_addition_circuit", candidates)
