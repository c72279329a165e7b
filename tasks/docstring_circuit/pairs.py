'''Docstring arguments (Heimersheim and Janiak 2023, "A circuit for Python docstrings").

The docstring of a function lists the first two of its arguments, and the third has to come next:

    def port(self, load, size, file, last):
        """bird river stone

        :param load: table cloud
        :param size: green paper
        :param

The corrupted prompt has other arguments in the definition and in the docstring (`random-random`),
in the definition only (`random-def`), or in the docstring only (`random-doc`). Incorrect are the
other arguments of the clean definition. Words are our own; splits share no pair of the right
argument with the function's name.
'''

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import TaskData
from harness_circuits.task_data.marks import marked, with_spans

ARGUMENTS = (
    "load size file last name path data key value mode index count limit start end text line word "
    "table color width height image order first second state level type option source target "
    "result error message user group page image event token model title query table node root code"
).split()
WORDS = (
    "bird river stone cloud green paper water house light music table chair garden window summer "
    "winter bread market bridge forest silver golden letter island family village mountain"
).split()
FUNCTIONS = "port send make read write find open close check build move copy show print".split()


def candidates(generator: random.Random, *, corruption: str) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    while True:
        function = generator.choice(FUNCTIONS)
        chosen = generator.sample(sorted(set(ARGUMENTS)), 10)
        own, other = chosen[:5], chosen[5:]
        words = [generator.choice(WORDS) for _ in range(7)]
        defined = own if corruption == "random-doc" else other
        documented = own if corruption == "random-def" else [other[3], other[0]]
        yield with_spans(
            {
                "key": f"{function}/{own[2]}",
                "clean": prompt(function, own, own, words),
                "corrupted": prompt(function, defined, documented, words),
                "choices": [f" {own[n]}" for n in (2, 0, 1, 3, 4)],
                "correct": [0],
                "incorrect": [1, 2, 3, 4],
            }
        )


def prompt(function: str, defined: list[str], documented: list[str], words: list[str]) -> str:
    """A function with five arguments, two of them documented."""
    arguments = ", ".join(marked(f"def{n}", name) for n, name in enumerate(defined, 1))
    first, second = (marked(f"doc{n}", name) for n, name in enumerate(documented[:2], 1))
    return (
        f"def {function}(self, {arguments}):\n"
        f'    """{" ".join(words[:3])}\n\n'
        f"    :param {first}: {words[3]} {words[4]}\n"
        f"    :param {second}: {words[5]} {words[6]}\n"
        "    :param"
    )


dataset = TaskData(
    "docstring_circuit",
    candidates,
    options={"corruption": ("random-random", "random-def", "random-doc")},
    one_phrasing=True,
)
