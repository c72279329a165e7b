"""Indirect object identification (Wang et al. 2022, arXiv 2211.00593), our own sentences.

Two names are introduced, the subject is repeated, and the sentence ends before the indirect object:
"... Mary and John ... John gave a drink to" is continued by " Mary". Every template comes in both
orders (ABBA: indirect object first, BABA: subject first).

Splits share no combination of a template with an unordered pair of names.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import TaskData
from harness_circuits.task_data.marks import marked, with_spans
from harness_circuits.task_data.words import NAMES

PLACES = (
    "market library harbor station museum kitchen garden office theater bakery stadium workshop "
    "hospital school park river"
).split()

OBJECTS = (
    "letter book drink ring ticket map lamp coin basket flower key blanket necklace photo".split()
)

# [A] and [B] are the two names in either order, [S] the one that is repeated.
TEMPLATES = (
    "After the long meeting at the [PLACE], [A] and [B] stayed behind. [S] handed a [OBJECT] to",
    "When [A] and [B] met at the [PLACE], [S] gave a [OBJECT] to",
    "Yesterday [A] and [B] walked to the [PLACE] together, and [S] passed a [OBJECT] to",
    "While [A] and [B] were waiting near the [PLACE], [S] offered a [OBJECT] to",
    "Once [A] and [B] had arrived at the [PLACE], [S] brought a [OBJECT] to",
    "Last summer [A] and [B] worked in the same [PLACE]. One evening [S] sold a [OBJECT] to",
    "Because it was raining, [A] and [B] hid inside the [PLACE], where [S] showed a [OBJECT] to",
    "[A] and [B] had a long talk by the [PLACE]. In the end, [S] gave a [OBJECT] to",
    "[A] and [B] got lost on the way to the [PLACE], so [S] handed a [OBJECT] to",
    "Everyone saw [A] and [B] at the [PLACE] on Sunday, when [S] threw a [OBJECT] to",
    "As soon as [A] and [B] left the [PLACE], [S] lent a [OBJECT] to",
    "Before the show, [A] and [B] met outside the [PLACE], and [S] sent a [OBJECT] to",
    "Tired from the trip, [A] and [B] sat down in the [PLACE]. Then [S] poured a drink and gave it to",
    "The two friends [A] and [B] cleaned the [PLACE]. Afterwards [S] promised a [OBJECT] to",
    "During the party at the [PLACE], [A] and [B] started to argue, but [S] gave a [OBJECT] to",
    "In the morning [A] and [B] opened the [PLACE], and at noon [S] mailed a [OBJECT] to",
    "On the train to the [PLACE], [A] and [B] shared a seat, and [S] passed a [OBJECT] to",
    "Since [A] and [B] both loved the [PLACE], [S] bought a [OBJECT] there and gave it to",
    "At the [PLACE], [A] and [B] found a wooden box. [S] opened it and gave the [OBJECT] to",
    "For years [A] and [B] lived beside the [PLACE], and every spring [S] brought a [OBJECT] to",
    "Friends of mine, [A] and [B], went to the [PLACE], where [S] decided to give a [OBJECT] to",
    "Just as [A] and [B] reached the [PLACE], [S] dropped the bags and handed a [OBJECT] to",
    "When the lights went out in the [PLACE], [A] and [B] laughed, and [S] gave a [OBJECT] to",
    "With the [PLACE] almost empty, [A] and [B] began to pack. [S] carried a [OBJECT] over to",
    "Though [A] and [B] had never liked the [PLACE], [S] went there to deliver a [OBJECT] to",
    "It was late when [A] and [B] came back from the [PLACE], and [S] offered a [OBJECT] to",
    "The teacher asked [A] and [B] to wait in the [PLACE]. Meanwhile [S] lent a [OBJECT] to",
    "Next to the old [PLACE], [A] and [B] were building a fence when [S] tossed a [OBJECT] to",
    "After lunch, [A] and [B] went back to the [PLACE]. There [S] gave a small [OBJECT] to",
    "Somewhere behind the [PLACE], [A] and [B] were hiding, and [S] quietly gave a [OBJECT] to",
)


def candidates(generator: random.Random, *, corruption: str) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    while True:
        number = generator.randrange(len(TEMPLATES))
        template = TEMPLATES[number]
        for kind, words in (("[PLACE]", PLACES), ("[OBJECT]", OBJECTS)):
            template = template.replace(kind, generator.choice(words))
        io, s, *others = generator.sample(NAMES, 5)
        order = generator.choice(("ABBA", "BABA"))
        names, roles = ((io, s), ("IO", "S1")) if order == "ABBA" else ((s, io), ("S1", "IO"))
        if corruption == "third-name":
            changed = (*names, others[0])
        elif corruption == "s2-io-flip":
            changed = (*names, io)
        else:
            changed = (others[0], others[1], others[2])
        yield with_spans(
            {
                "key": f"{number}/{'/'.join(sorted((io, s)))}",
                "clean": fill(template, (*roles, "S2"), (*names, s)),
                "corrupted": fill(template, (*roles, "S2"), changed),
                "choices": [f" {io}", f" {s}"],
                "correct": [0],
                "incorrect": [1],
                "order": order,
                "template": number,
            }
        )


def fill(template: str, roles: tuple[str, str, str], names: tuple[str, str, str]) -> str:
    """Put names into a template: two in either order and the one that is repeated, as spans."""
    for slot, role, name in zip(("[A]", "[B]", "[S]"), roles, names, strict=True):
        template = template.replace(slot, marked(role, name))
    return template


dataset = TaskData(
    "ioi_circuit",
    candidates,
    options={"corruption": ("third-name", "s2-io-flip", "random-names")},
)
