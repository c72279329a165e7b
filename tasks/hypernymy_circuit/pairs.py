"""Hypernyms (as in Hanna et al. 2024, arXiv 2403.17806), our own sentences and word lists.

"Robins, and other" is continued by " birds" or " animals". The corrupted prompt has a word of
another class. The metric is the probability of the classes that the clean word belongs to, minus
that of those the corrupted word belongs to and the clean word does not. Splits share no word;
classes occur in all splits, as there are few.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import SPLITS, TaskData, pools

CLASSES = {
    "birds animals": "robins eagles crows owls ducks swans gulls sparrows geese hawks pigeons doves",
    "insects animals": "ants bees beetles moths wasps flies crickets mosquitoes butterflies",
    "fish animals": "salmon trout tuna sharks herring carp eels cod",
    "mammals animals": "wolves bears lions whales tigers foxes dogs horses cows elephants mice bats",
    "fruits foods": "apples pears peaches plums grapes oranges lemons bananas cherries mangoes",
    "vegetables foods": "carrots onions peas cabbages potatoes tomatoes beans lettuce spinach leeks",
    "tools": "hammers saws drills wrenches shovels axes screwdrivers pliers chisels rakes",
    "weapons": "guns rifles swords spears pistols knives arrows cannons daggers bombs",
    "vehicles": "cars trucks buses vans motorcycles trains tractors taxis bicycles ambulances",
    "clothes": "shirts coats socks jackets skirts dresses pants sweaters hats gloves scarves",
    "furniture": "chairs tables desks sofas beds couches shelves cabinets stools benches",
    "instruments": "violins guitars drums flutes trumpets pianos harps cellos clarinets",
    "metals": "iron copper gold silver zinc tin lead aluminum nickel steel",
    "colors": "red blue green yellow purple orange pink brown black white",
    "drinks beverages": "coffee tea juice milk wine beer soda lemonade whiskey vodka",
    "diseases": "malaria measles cancer influenza diabetes cholera polio asthma tuberculosis",
    "languages": "French German Spanish Italian Russian Chinese Arabic Japanese Greek Latin",
    "sports": "football tennis hockey baseball golf basketball cricket soccer rugby swimming",
    "buildings": "houses churches schools hospitals hotels castles museums towers temples barns",
    "flowers plants": "roses tulips lilies daisies violets orchids sunflowers daffodils",
    "trees plants": "oaks pines maples birches willows elms palms cedars firs",
}
WORDS = tuple((word, classes) for classes, words in CLASSES.items() for word in words.split())
TEMPLATES = (
    "They wrote about {} and other",
    "A book about {} and other kinds of",
    "He knows a lot about {} and many other",
    "We talked about {} and some other",
    "She likes {} and similar",
)


def candidates(generator: random.Random) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    words = pools("hypernymy_circuit", WORDS)
    while True:
        word, other = generator.sample(words[generator.choice(SPLITS)], 2)
        template = generator.choice(TEMPLATES)
        right = word[1].split()
        wrong = [name for name in other[1].split() if name not in right]
        if not wrong:
            continue
        yield {
            "key": str(word),
            "clean": template.format(word[0]),
            "corrupted": template.format(other[0]),
            "choices": [f" {name}" for name in (*right, *wrong)],
            "correct": list(range(len(right))),
            "incorrect": list(range(len(right), len(right) + len(wrong))),
            "template": TEMPLATES.index(template),
        }


dataset = TaskData("hypernymy_circuit", candidates)
