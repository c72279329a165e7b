"""IOI with the indirect object named as often as the subject (DoubleIO, arXiv 2411.16105).

In IOI the right name is the one that occurs once. Here it occurs twice, as the subject does
(`double`), or three times, more often than the subject (`triple`). A circuit that copies the name
that was not repeated fails here, whereas models mostly do not. Sentences are our own.

Splits share no combination of a template with an unordered pair of names.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import TaskData
from harness_circuits.task_data.marks import marked, with_spans
from harness_circuits.task_data.words import NAMES

PLACES = "market library harbor station museum kitchen garden office theater bakery".split()
OBJECTS = "letter book drink ring ticket map lamp coin basket flower key blanket photo".split()

# [A] and [B] are the two names in either order, [I] the indirect object, [S] the subject.
TEMPLATES = (
    "When [A] and [B] met at the [PLACE], [I] looked tired. So [S] gave a [OBJECT] to",
    "[A] and [B] walked to the [PLACE] because [I] was bored. There [S] handed a [OBJECT] to",
    "After [A] and [B] had left the [PLACE], [I] began to sing, and [S] passed a [OBJECT] to",
    "Once [A] and [B] had come to the [PLACE], [I] sat down. Then [S] offered a [OBJECT] to",
    "While [A] and [B] waited at the [PLACE], [I] was reading. Soon [S] brought a [OBJECT] to",
    "Yesterday [A] and [B] were at the [PLACE]. When [I] waved, [S] gave a [OBJECT] to",
    "[A] and [B] worked in the same [PLACE]. As [I] was leaving, [S] handed a [OBJECT] to",
    "Last week [A] and [B] cleaned the [PLACE]. Since [I] had helped, [S] sent a [OBJECT] to",
    "It rained when [A] and [B] reached the [PLACE]. As [I] was cold, [S] lent a [OBJECT] to",
    "Everyone saw [A] and [B] at the [PLACE], where [I] slept until [S] showed a [OBJECT] to",
)
MORE = ("Later [I] came back.", "Then [I] smiled.", "But [I] said nothing.", "Now [I] stood up.")


def candidates(generator: random.Random, *, variant: str) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    while True:
        number = generator.randrange(len(TEMPLATES))
        template = TEMPLATES[number]
        if variant == "triple":
            more = generator.choice(MORE).replace("[I]", "[J]")  # a span of its own
            template = f"{more} {template}"
        for kind, words in (("[PLACE]", PLACES), ("[OBJECT]", OBJECTS)):
            template = template.replace(kind, generator.choice(words))
        io, s, other = generator.sample(NAMES, 3)
        order = generator.choice(("ABBA", "BABA"))
        both = [marked("IO1", io), marked("S1", s)]
        first, second = both if order == "ABBA" else both[::-1]
        again = marked("IO2", io)
        template = template.replace("[J]", marked("IO0", io))
        yield with_spans(
            {
                "key": f"{number}/{'/'.join(sorted((io, s)))}",
                "clean": fill(template, first, second, again, marked("S2", s)),
                "corrupted": fill(template, first, second, again, marked("S2", other)),
                "choices": [f" {io}", f" {s}"],
                "correct": [0],
                "incorrect": [1],
                "order": order,
                "template": number,
            }
        )


def fill(template: str, first: str, second: str, indirect: str, subject: str) -> str:
    """Put names into a template."""
    names = (("[A]", first), ("[B]", second), ("[I]", indirect), ("[S]", subject))
    for slot, name in names:
        template = template.replace(slot, name)
    return template


dataset = TaskData("double_ioi_circuit", candidates, options={"variant": ("double", "triple")})
