"""Words of the hand-written models' tasks: prompts, their corruptions, and right answers."""

from __future__ import annotations

import random
from collections.abc import Sequence

LETTERS = tuple("abcdefgh")
SPECIAL = ("<bos>", "<unk>")
VOCABULARY = (*SPECIAL, *LETTERS, "R", "?", "x", "more", "less")

Words = tuple[str, ...]
Example = tuple[Words, Words, str, str]  # clean, corrupted, answer, another answer


def induction_answer(words: Sequence[str]) -> str:
    """The word after the earlier occurrence of the last word."""
    return words[list(words[:-1]).index(words[-1]) + 1]


def induction_example(generator: random.Random) -> Example:
    """The repeated word, the words it is compared with, or the words behind these are exchanged."""
    a, b, c, d = generator.sample(LETTERS, 4)
    kind = generator.choice(("query", "keys", "values"))
    corrupted = {
        "query": (a, b, c, d, c),
        "keys": (c, b, a, d, a),
        "values": (a, d, c, b, a),
    }[kind]
    return (a, b, c, d, a), corrupted, b, d


def reverse_answer(words: Sequence[str]) -> str:
    """The next word of the reversed sequence."""
    mark = list(words).index("R")
    return words[mark - 1 - (len(words) - 1 - mark)]


def reverse_example(generator: random.Random) -> Example:
    """The word to copy is exchanged, or the sequence is one shorter (which moves R)."""
    if generator.random() < 0.5:
        n = generator.choice((3, 4))
        words = generator.sample(LETTERS, n + 1)
        other = words.pop()
        done = generator.randrange(n - 1)
        clean = (*words, "R", *reversed(words[n - done :]))
        corrupted = tuple(other if word == words[n - 1 - done] else word for word in clean)
        return clean, corrupted, words[n - 1 - done], other
    a, b, c, d = generator.sample(LETTERS, 4)
    return (a, b, c, d, "R", d), (a, b, c, "R", c, b), c, a


def fraction_answer(words: Sequence[str]) -> str:
    """`more` if above half of the tokens, the beginning among them, are `x`."""
    return "more" if 2 * words.count("x") > len(words) + 1 else "less"


def fraction_example(generator: random.Random) -> Example:
    """Nine words, mostly `x` in one prompt and mostly letters in the other."""
    many, few = generator.choice((6, 7, 8)), generator.choice((1, 2, 3))
    pair = []
    for n in generator.sample((many, few), 2):
        words = ["x"] * n + generator.choices(LETTERS, k=9 - n)
        generator.shuffle(words)
        pair.append(tuple(words))
    right = fraction_answer(pair[0])
    return pair[0], pair[1], right, "less" if right == "more" else "more"


def first_word(words: Sequence[str]) -> str:
    """The first word."""
    return words[0]


def inhibition_example(generator: random.Random) -> Example:
    """Another first word."""
    a, b, c, d, e = generator.sample(LETTERS, 5)
    return (a, c, d, e), (b, c, d, e), a, b


KNOWN = LETTERS[:4]  # the letters that `backup`'s primary head copies


def backup_example(generator: random.Random) -> Example:
    """Another first word: one that the same head copies, or one that only the backup does."""
    *fill, a, b = generator.sample(LETTERS, 5)
    kind = generator.choice(("primary", "backup", "takeover"))
    if kind == "primary":
        a, b = generator.sample(KNOWN, 2)
    elif kind == "backup":
        a, b = generator.sample(LETTERS[4:], 2)
    else:
        a, b = generator.choice(KNOWN), generator.choice(LETTERS[4:])
    return (a, *fill), (b, *fill), a, b


def silent_example(generator: random.Random) -> Example:
    """For `backup`: no first word, so that neither head has anything to copy."""
    first = generator.choice(KNOWN)
    c, d, e, other = generator.sample([letter for letter in LETTERS if letter != first], 4)
    return (first, c, d, e), ("?", c, d, e), first, other
