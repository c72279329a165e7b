"""Subject-verb agreement (Linzen et al. 2016; verb sets as in Newman et al. 2021, arXiv 2104.09635).

"The keys near the cabinet" is continued by a plural verb. The corrupted prompt has the subject in
the other number. The metric is the probability of the verbs in the right number minus that of the
same verbs in the other number. A prepositional phrase, if there is one, holds a noun in a random
number, which often attracts the wrong verb. Sentences and lists are our own.

Splits share no subject.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import SPLITS, TaskData, pools
from harness_circuits.task_data.marks import marked, with_spans

NOUNS = (
    "dog cat key car book house tree boy girl doctor teacher student friend road river door window "
    "table chair ship plane train horse bird cow letter picture song story game team king queen "
    "farmer lawyer writer singer driver player worker soldier guard nurse pilot artist actor author "
    "manager officer engineer scientist customer neighbor parent brother sister son uncle machine "
    "phone computer lamp cup bottle box bag coat hat shoe boat bike bus truck garden park school "
    "church museum hotel shop store market office room wall bridge tower castle mountain lake island"
).split()
ATTRACTORS = "cabinet garden river house school road lake tower door window".split()
PHRASES = ("near", "behind", "next to", "close to", "in front of")
VERBS = (
    ("is", "are"),
    ("was", "were"),
    ("has", "have"),
    ("does", "do"),
    ("looks", "look"),
    ("seems", "seem"),
    ("makes", "make"),
    ("comes", "come"),
    ("goes", "go"),
    ("wants", "want"),
    ("needs", "need"),
    ("gives", "give"),
    ("takes", "take"),
    ("knows", "know"),
    ("likes", "like"),
    ("gets", "get"),
)
STARTS = ("The {}", "I know that the {}", "Every day the {}", "We think that the {}", "Here the {}")


def candidates(generator: random.Random) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    nouns = pools("sva_circuit", NOUNS)
    while True:
        noun = generator.choice(nouns[generator.choice(SPLITS)])
        start = generator.choice(STARTS)
        sentence = start
        if generator.random() < 0.5:
            attractor = generator.choice([word for word in ATTRACTORS if word != noun])
            number = generator.choice(("", "s"))
            other = marked("attractor", f"{attractor}{number}")
            sentence += f" {generator.choice(PHRASES)} the {other}"
        forms = [noun, plural(noun)]
        right = generator.randrange(2)
        yield with_spans(
            {
                "key": noun,
                "clean": sentence.format(marked("subject", forms[right])),
                "corrupted": sentence.format(marked("subject", forms[1 - right])),
                "choices": [f" {pair[number]}" for number in (0, 1) for pair in VERBS],
                "correct": [right * len(VERBS) + n for n in range(len(VERBS))],
                "incorrect": [(1 - right) * len(VERBS) + n for n in range(len(VERBS))],
                "template": STARTS.index(start),
            }
        )


def plural(noun: str) -> str:
    """The plural of a noun of the list."""
    if noun.endswith(("x", "s", "ch", "sh")):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeo" else f"{noun}s"


dataset = TaskData("sva_circuit", candidates)
