"""What should be said about sets of pairs: repetitions, pairs in two sets, sets of a single pair."""

from __future__ import annotations

from collections.abc import Sequence

from harness_circuits.pairs.pair import Pair

Content = tuple[str, str, frozenset[str], frozenset[str]]


def content(pair: Pair) -> Content:
    """What makes a pair the same pair, however its answers are ordered."""
    right, wrong = (
        frozenset(pair.choices[at] for at in which) for which in (pair.correct, pair.incorrect)
    )
    return pair.clean, pair.corrupted, right, wrong


def set_warnings(pairs: Sequence[Pair], which: str, task: str) -> list[str]:
    """Warnings about one set of pairs.

    Repeated pairs are not taken out: how often a row of a file or of a published data set counts is
    its author's choice, and estimates must be those of the whole file.

    Args:
        pairs: All pairs of the set.
        which: `training` or `evaluation`.
        task: What messages call the pairs.
    """
    found, distinct = [], len({content(pair) for pair in pairs})
    if len(pairs) == 1:
        why = {
            "training": "scores are those of one prompt, not of a task",
            "evaluation": "nothing is known of the error of any number, and there are no intervals",
        }
        found.append(f"{task}: there is a single {which} pair: {why[which]}.")
    elif distinct < len(pairs):
        narrow = "; standard errors and intervals are narrower than they may be"
        found.append(
            f"{task}: {len(pairs) - distinct} of {len(pairs)} {which} pairs repeat another one "
            f"({distinct} are different), and count as often as they occur"
            f"{narrow if which == 'evaluation' else ''}."
        )
    return found


def overlap_warnings(training: Sequence[Pair], evaluation: Sequence[Pair], task: str) -> list[str]:
    """A warning where pairs to evaluate on are training pairs too."""
    known = {content(pair) for pair in training}
    shared = sum(content(pair) in known for pair in evaluation)
    if not shared:
        return []
    return [
        f"{task}: {shared} of {len(evaluation)} evaluation pairs are also training pairs: circuits "
        "are evaluated on what they were found on."
    ]
