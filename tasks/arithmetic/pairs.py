"""Two-digit sums and differences (as in Stolfo et al. 2023, arXiv 2305.15054, and MIB).

Two worked examples, then "47+21=", continued by the result; the layout is our own. The corrupted
prompt has other operands, whose result is the incorrect answer. Results have two digits, and the
first digits differ, so that the metric also tells answers apart where a tokenizer goes digit by
digit. Splits share no pair of operands.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from harness_circuits.task_data.base import TaskData
from harness_circuits.task_data.marks import marked, with_spans

Operands = Callable[[random.Random], tuple[int, int]]


def for_sum(generator: random.Random) -> tuple[int, int]:
    """Two numbers of two digits whose sum has two digits."""
    first = generator.randrange(10, 90)
    return first, generator.randrange(10, 100 - first)


def for_difference(generator: random.Random) -> tuple[int, int]:
    """Two numbers of two digits whose difference has two digits."""
    first = generator.randrange(20, 100)
    return first, generator.randrange(10, first - 9)


def arithmetic(task: str, sign: str, operands: Operands, examples: str) -> TaskData:
    """The data of a task.

    Args:
        task: Its name.
        sign: `+` or `-`.
        operands: Draws two operands.
        examples: The worked examples that prompts begin with.
    """

    def candidates(generator: random.Random) -> Iterator[dict[str, Any]]:
        while True:
            (a, b), (c, d) = operands(generator), operands(generator)
            right, wrong = (a + b, c + d) if sign == "+" else (a - b, c - d)
            if right // 10 == wrong // 10:
                continue
            own, other = (
                f"{examples}{marked('first', str(x))}{sign}{marked('second', str(y))}="
                for x, y in ((a, b), (c, d))
            )
            yield with_spans(
                {
                    "key": f"{a}{sign}{b}",
                    "clean": own,
                    "corrupted": other,
                    "choices": [str(right), str(wrong)],
                    "correct": [0],
                    "incorrect": [1],
                }
            )

    return TaskData(task, candidates, one_phrasing=True)


addition = arithmetic("arithmetic_addition_circuit", "+", for_sum, "12+31=43\n54+25=79\n")
subtraction = arithmetic(
    "arithmetic_subtraction_circuit", "-", for_difference, "43-31=12\n79-25=54\n"
)
