"""Completion of facts (the prompts of Meng et al. 2022, arXiv 2202.05262, in kind), our own list.

"The language that people speak in Brazil is" is continued by " Portuguese". The corrupted prompt
names another subject of the same relation, whose answer is the incorrect one. Splits share no
subject of a relation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import SPLITS, TaskData, pools
from harness_circuits.task_data.marks import marked, with_spans

# Relation: templates, then answer: subjects.
RELATIONS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "language": (
        ("The language that people speak in {} is", "In {}, nearly everyone speaks"),
        {
            "Portuguese": "Brazil, Portugal, Lisbon",
            "Spanish": "Spain, Mexico, Argentina, Chile, Peru, Madrid, Cuba, Colombia",
            "French": "France, Paris, Lyon, Marseille",
            "German": "Germany, Austria, Berlin, Hamburg, Munich",
            "Italian": "Italy, Rome, Milan, Venice",
            "Russian": "Russia, Moscow",
            "Chinese": "China, Beijing, Shanghai",
            "Japanese": "Japan, Tokyo, Osaka",
            "Arabic": "Egypt, Iraq, Syria, Morocco",
            "Greek": "Greece, Athens",
            "Polish": "Poland, Warsaw",
            "Dutch": "Amsterdam, Rotterdam",
            "English": "England, Australia, London, Chicago, Boston",
            "Turkish": "Turkey, Istanbul",
            "Swedish": "Sweden, Stockholm",
            "Korean": "Korea, Seoul",
        },
    ),
    "country": (
        ("The city of {} is located in the country of", "{} is a large city in"),
        {
            "France": "Paris, Lyon, Marseille, Bordeaux, Nice",
            "Germany": "Berlin, Munich, Hamburg, Frankfurt, Cologne, Stuttgart",
            "Italy": "Rome, Milan, Venice, Naples, Florence, Turin",
            "Spain": "Madrid, Barcelona, Valencia, Seville",
            "Japan": "Tokyo, Osaka, Kyoto, Hiroshima",
            "China": "Beijing, Shanghai, Nanjing",
            "India": "Delhi, Mumbai, Kolkata, Chennai",
            "Canada": "Toronto, Montreal, Vancouver, Ottawa, Calgary",
            "Australia": "Sydney, Melbourne, Perth, Brisbane",
            "Egypt": "Cairo, Alexandria",
            "Russia": "Moscow",
            "Brazil": "Rio de Janeiro, Sao Paulo",
            "Poland": "Warsaw, Krakow",
            "Turkey": "Istanbul, Ankara",
            "Iran": "Tehran",
            "England": "London, Manchester, Liverpool",
        },
    ),
    "continent": (
        ("{} is a country on the continent of", "The country {} lies in"),
        {
            "Europe": "France, Germany, Italy, Spain, Poland, Sweden, Norway, Greece, Austria, Finland",
            "Africa": "Egypt, Kenya, Nigeria, Ghana, Morocco, Ethiopia, Uganda, Zambia, Senegal, Mali",
            "Asia": "China, Japan, India, Vietnam, Thailand, Nepal, Pakistan, Korea, Mongolia",
            "South": "Brazil, Chile, Peru, Bolivia, Argentina, Ecuador, Uruguay",
        },
    ),
    "young": (
        ("The young of a {} is called a", "A baby {} is known as a"),
        {
            "puppy": "dog",
            "kitten": "cat",
            "calf": "cow, whale, elephant",
            "lamb": "sheep",
            "cub": "lion, bear, tiger",
            "chick": "hen",
        },
    ),
    "opposite": (
        ("The opposite of {} is", "The word that means the opposite of {} is"),
        {
            "cold": "hot",
            "hot": "cold",
            "small": "big, large",
            "big": "small",
            "slow": "fast",
            "fast": "slow",
            "short": "tall, long",
            "dark": "light, bright",
            "old": "young, new",
            "weak": "strong",
            "strong": "weak",
            "poor": "rich",
            "rich": "poor",
            "sad": "happy",
            "happy": "sad",
            "dry": "wet",
            "wet": "dry",
            "bad": "good",
            "good": "bad",
            "early": "late",
            "late": "early",
            "down": "up",
            "up": "down",
            "left": "right",
            "right": "left",
        },
    ),
}
FACTS = tuple(
    (relation, subject, answer)
    for relation, (_, answers) in RELATIONS.items()
    for answer, subjects in answers.items()
    for subject in subjects.split(", ")
)


def candidates(generator: random.Random) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    facts = pools("fact_completion_circuit", FACTS)
    while True:
        own = facts[generator.choice(SPLITS)]
        fact = generator.choice(own)
        relation, subject, answer = fact
        others = [other for other in own if other[0] == relation and other[2] != answer]
        if not others:
            continue
        other = generator.choice(others)
        templates = RELATIONS[relation][0]
        template = generator.choice(templates)
        yield with_spans(
            {
                "key": str(fact),
                "clean": template.format(marked("subject", subject)),
                "corrupted": template.format(marked("subject", other[1])),
                "choices": [f" {answer}", f" {other[2]}"],
                "correct": [0],
                "incorrect": [1],
                "relation": relation,
                "template": f"{relation}-{templates.index(template)}",
            }
        )


dataset = TaskData("fact_completion_circuit", candidates)
