"""Gendered pronouns, our own sentences.

After Mathwin et al. 2023, "Identifying a preliminary circuit for predicting gendered pronouns in
GPT-2 small".

"So Anna is a very good driver, isn't" is continued by " she". The corrupted prompt has a name of
the other gender. Splits share no name.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import SPLITS, TaskData, pools
from harness_circuits.task_data.marks import marked, with_spans
from harness_circuits.task_data.words import FEMALE_NAMES, MALE_NAMES

GENDERS = {"she": FEMALE_NAMES, "he": MALE_NAMES}
TEMPLATES = (
    "So {} is a very good {}, isn't",
    "{} is the best {} in town, isn't",
    "I heard {} was a famous {}, wasn't",
    "After all, {} is a {} now, isn't",
    "Well, {} was the first {} here, wasn't",
    "{} works as a {} these days, doesn't",
    "{} wants to become a {} because",
    "{} became a {} although",
)
ROLES = "friend driver cook writer singer teacher dancer neighbor student artist doctor".split()


def candidates(generator: random.Random) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    names = {p: pools("gendered_pronoun_circuit", GENDERS[p]) for p in GENDERS}
    while True:
        split = generator.choice(SPLITS)
        pronoun, other = generator.sample(("she", "he"), 2)
        name, changed = (generator.choice(names[p][split]) for p in (pronoun, other))
        template, role = generator.choice(TEMPLATES), generator.choice(ROLES)
        yield with_spans(
            {
                "key": name,
                "clean": template.format(marked("name", name), marked("role", role)),
                "corrupted": template.format(marked("name", changed), marked("role", role)),
                "choices": [f" {pronoun}", f" {other}"],
                "correct": [0],
                "incorrect": [1],
                "template": TEMPLATES.index(template),
            }
        )


dataset = TaskData("gendered_pronoun_circuit", candidates)
