"""Does a model do a task at all? Its accuracy against that of guessing among the choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness_circuits.pairs.pair import Pair
from harness_circuits.statistics.binomial import wilson


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of the full model on a task.

    Attributes:
        value: Share of pairs whose most probable choice is a correct one.
        low: Lower end of its 95% interval.
        high: Upper end.
        chance: Expected share when one of a pair's choices is drawn at random.
    """

    value: float
    low: float
    high: float
    chance: float

    @property
    def near_chance(self) -> bool:
        """Whether the model is not clearly better than guessing."""
        return self.low <= self.chance


def accuracy_and_chance(hits: Sequence[float], pairs: Sequence[Pair]) -> Accuracy:
    """Compare a model's hits with guessing.

    Args:
        hits: Per pair, 1 if the model's most probable choice is correct, else 0.
        pairs: The pairs, at least one.

    Returns:
        Wilson's score interval (1927), which holds for few pairs and for shares near 0 and 1.
    """
    n = len(pairs)
    value = sum(hits) / n
    chance = sum(len(pair.correct) / len(pair.choices) for pair in pairs) / n
    return Accuracy(value, *wilson(value, n), chance)


def near_chance_warning(found: Accuracy, task: str, model: str) -> str:
    """What to tell users of a curve of a model that does not do the task."""
    return (
        f"{task}: {model} has an accuracy of {found.value:.2f} (95% interval {found.low:.2f} to "
        f"{found.high:.2f}), and guessing has {found.chance:.2f}. A model that does not do a task has "
        "no circuit for it: its faithfulness curve says nothing. Take a larger model or another task."
    )
