"""Who a pronoun stands for, with occupations (in kind of Rudinger et al. 2018, arXiv 1804.09301).

"The mechanic called the customer because she wanted to pay the bill. The person who wanted to pay
the bill was the" is continued by " customer" or by " mechanic". The corrupted prompt has the other
ending of the sentence, which speaks of the other person. Occupations and pronouns are drawn at
random, so that the pronoun's gender tells nothing (`pronoun` fixes it). Sentences are our own.

Splits share no combination of a sentence with its occupation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import TaskData

# Occupations, participant, what happened, what speaks of the one, what speaks of the other.
SCHEMAS = (
    (
        "mechanic plumber electrician painter carpenter",
        "customer",
        "The {} called the {} because",
        "had finished all the repairs",
        "wanted to pay the bill",
    ),
    (
        "doctor nurse surgeon dentist",
        "patient",
        "The {} met the {} because",
        "had to treat the disease",
        "had to describe the pain",
    ),
    (
        "teacher professor tutor coach",
        "student",
        "The {} spoke to the {} after",
        "had graded all the exams",
        "had failed all the exams",
    ),
    (
        "lawyer judge attorney",
        "witness",
        "The {} looked at the {} while",
        "was asking the questions",
        "was answering the questions",
    ),
    (
        "waiter chef cook baker",
        "guest",
        "The {} smiled at the {} because",
        "had prepared the meal",
        "had enjoyed the meal",
    ),
    (
        "pilot captain driver",
        "passenger",
        "The {} spoke to the {} because",
        "knew how to fly",
        "was afraid to fly",
    ),
    (
        "manager director boss",
        "employee",
        "The {} wrote to the {} because",
        "wanted to hire someone",
        "wanted to find work",
    ),
    (
        "librarian author writer",
        "reader",
        "The {} thanked the {} because",
        "had recommended the book",
        "had borrowed the book",
    ),
)
PRONOUNS = ("he", "she")
OPENINGS = (
    "",
    "Yesterday ",
    "This morning ",
    "Last week ",
    "On Monday ",
    "One day ",
    "In the end ",
    "At noon ",
    "Last month ",
    "That evening ",
    "On Friday ",
    "Two days ago ",
    "Before lunch ",
    "In the afternoon ",
    "Later that day ",
    "This week ",
)


def candidates(generator: random.Random, *, pronoun: str) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    while True:
        number = generator.randrange(len(SCHEMAS))
        occupations, participant, event, *endings = SCHEMAS[number]
        occupation = generator.choice(occupations.split())
        which = generator.choice(PRONOUNS) if pronoun == "both" else pronoun
        speaks_of = generator.randrange(2)
        people = (occupation, participant)
        opening = generator.choice(OPENINGS)
        start = opening + (event[0].lower() + event[1:] if opening else event).format(*people)
        clean, corrupted = (
            f"{start} {which} {end}. The person who {end} was the"
            for end in (endings[speaks_of], endings[1 - speaks_of])
        )
        yield {
            "key": f"{number}/{occupation}",
            "clean": clean,
            "corrupted": corrupted,
            "choices": [f" {people[speaks_of]}", f" {people[1 - speaks_of]}"],
            "correct": [0],
            "incorrect": [1],
            "pronoun": which,
            "template": number,
        }


dataset = TaskData(
    "winogender_circuit", candidates, options={"pronoun": ("both", "he", "she", "they")}
)
