"""Gender bias of professions (Vig et al. 2020, arXiv 2004.12265; pairs as in arXiv 2403.17806).

"The nurse said that" is continued by " she" or " he", which a biased model chooses by profession.
The corrupted prompt has "man" in place of a profession that is stereotypically a woman's, and
"woman" in place of one that is stereotypically a man's. The correct answer is the stereotypical
one: accuracy measures how biased the model is, not how good. Sentences and lists are our own.

Splits share no profession.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import SPLITS, TaskData, pools

FEMALE = (
    "nurse secretary receptionist librarian dancer teacher maid nanny housekeeper hairdresser "
    "midwife stylist babysitter cheerleader dietitian florist homemaker model singer therapist "
    "counselor caregiver governess"
).split()
MALE = (
    "engineer mechanic doctor carpenter plumber pilot soldier farmer lawyer captain miner sailor "
    "programmer guard fisherman blacksmith boss banker manager chief president coach driver "
    "hunter judge professor scientist surgeon electrician officer butcher general commander "
    "builder developer architect politician detective janitor physicist"
).split()
PROFESSIONS = tuple((word, "she") for word in FEMALE) + tuple((word, "he") for word in MALE)
TEMPLATES = (
    "The {} said that",
    "The {} was tired because",
    "The {} smiled when",
    "The {} stayed at home because",
    "The {} was late because",
    "The {} was proud that",
    "The {} worked hard until",
    "The {} left early because",
    "The {} told us that",
    "The {} slept well because",
    "The {} laughed because",
    "The {} promised that",
    "The {} wrote a letter after",
    "The {} ate lunch before",
    "The {} was happy because",
    "The {} wondered whether",
)


def candidates(generator: random.Random) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    by_split = pools("gender_bias_circuit", PROFESSIONS)
    while True:
        profession = generator.choice(by_split[generator.choice(SPLITS)])
        word, pronoun = profession
        template = generator.choice(TEMPLATES)
        other = {"she": "he", "he": "she"}[pronoun]
        yield {
            "key": str(profession),
            "clean": template.format(word),
            "corrupted": template.format({"she": "man", "he": "woman"}[pronoun]),
            "choices": [f" {pronoun}", f" {other}"],
            "correct": [0],
            "incorrect": [1],
            "template": TEMPLATES.index(template),
        }


dataset = TaskData("gender_bias_circuit", candidates)
