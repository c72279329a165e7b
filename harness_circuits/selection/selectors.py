"""The registry of selectors: from scores to circuits of growing size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import LEVELS, Level, Scores, ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.options import Option, defaults_of, read_options
from harness_circuits.options.kinds import Whole
from harness_circuits.registry import Registry

logger = logging.getLogger("lm_eval.circuit")

# Faithfulness of pruned circuits on the first so many training pairs.
Measure = Callable[[Sequence[Circuit], int], Float[np.ndarray, "circuit"]]

FIT_PAIRS = Option(Whole(1, 1_000_000), 64, "training pairs that circuits are tried on")


def _no_check(space: ScoreSpace | None, **options: Any) -> None:
    """Every value will do."""


@dataclass(frozen=True, kw_only=True)
class Selector:
    """One way to turn scores into circuits.

    Attributes:
        function: (scores, counts, ranking, **options) to one circuit per count, before pruning.
        options: Its options by name.
        levels: Levels it is defined at.
        nested: Whether every circuit contains the smaller ones.
        check: (space or None, **options): raises `OptionError` for values that cannot be used, or
            a graph (where it is known yet) that it cannot work with.
        samples: Groups of discovery examples whose score sums it needs; 0 if it needs none.
        rankings: Rankings it knows.
        positions: Whether it takes edges at spans of the prompts for units (`positions=`).
        trials: (options): circuits per size that it runs on training pairs, at most; None for a
            selector that sees scores alone. Its function is then given `measure=` and has `fit_pairs`
            among its options.
        source: The paper or code.
    """

    function: Callable[..., list[Circuit]]
    options: Mapping[str, Option] = field(default_factory=dict)
    levels: tuple[Level, ...] = LEVELS
    nested: bool = True
    check: Callable[..., None] = _no_check
    samples: int = 0
    rankings: tuple[Ranking, ...] = tuple(Ranking)
    positions: bool = False
    trials: Callable[[Mapping[str, Any]], int] | None = None
    source: str

    @property
    def defaults(self) -> dict[str, Any]:
        """Its options at their defaults."""
        return defaults_of(self.options)


SELECTORS: Registry[Selector] = Registry("selector")


def select(
    scores: Scores,
    counts: Sequence[int],
    name: str = "top-n",
    *,
    ranking: Ranking,
    measure: Measure | None = None,
    **options: Any,
) -> list[Circuit]:
    """Select one circuit per size and prune it.

    Args:
        scores: Scores of all units.
        counts: Sizes, as numbers of units.
        name: A selector's name.
        ranking: What units are ranked by.
        measure: Runs circuits on training pairs, for selectors that try some.
        **options: The selector's own options.

    Returns:
        Pruned circuits; their `n_kept` may be below the requested count.

    Raises:
        UnknownNameError: There is no such selector.
        OptionError: The selector cannot work with the level, ranking, scores, or an option, or there
            is nothing to try circuits on.

    >>> from harness_circuits.circuits import Graph
    >>> space = ScoreSpace(Graph(n_layers=1, n_heads=2, n_kv_heads=2, d_model=8), "node")
    >>> scores = Scores(space, np.array([0.1, 0.9, 0.0, -0.4]))  # input, a0.h0, a0.h1, m0
    >>> two, three = select(scores, [2, 3], ranking=Ranking.SIGNED)
    >>> two.kept.tolist(), three.n_kept
    ([True, True, False, False], 3)
    """
    selector = check_selection(name, scores.space.level, (ranking,), options, scores.space)
    if selector.samples and (scores.samples is None or len(scores.samples) < 2):
        kept = 0 if scores.samples is None else len(scores.samples)
        raise OptionError(
            f"selection={name} resamples groups of discovery examples; these scores hold {kept} "
            f"groups. Discover again with keep_samples={selector.samples} and at least 2 pairs."
        )
    chosen = {**selector.defaults, **read_options(selector.options, options, f"selection={name}")}
    if selector.trials is not None:
        chosen["measure"] = _pruned_first(name, measure)
    some = [n for n in counts if n]  # of no units there is one circuit, whatever the selector
    found = iter(selector.function(scores, some, ranking, **chosen) if some else ())
    return [next(found).prune() if n else Circuit.empty(scores.space) for n in counts]


def _pruned_first(name: str, measure: Measure | None) -> Measure:
    """A measure of circuits as they will be used.

    Raises:
        OptionError: There is none.
    """
    if measure is None:
        raise OptionError(
            f"selection={name} tries circuits on training pairs, and there are none here: use it on a "
            "task with pairs, with circuit=discover:TASK, or as hc.select(..., model=MODEL, "
            "training=PAIRS)."
        )
    return lambda circuits, n: measure([circuit.prune() for circuit in circuits], n)


def check_selection(
    name: str,
    level: str,
    rankings: Sequence[Ranking],
    options: Mapping[str, Any],
    space: ScoreSpace | None = None,
) -> Selector:
    """Return a selector, if it can work with a level, rankings, options, and a graph.

    Args:
        name: A selector's name.
        level: One of `LEVELS`.
        rankings: Rankings that circuits will be selected by.
        options: The selector's own options.
        space: Graph and level; None where no model is loaded yet.

    Raises:
        UnknownNameError: There is no such selector.
        OptionError: It cannot; the message says why.
    """
    selector = SELECTORS.get(name)
    if level not in selector.levels:
        raise OptionError(
            f"selection={name} is not defined at level={level}; it is at "
            f"{', '.join(selector.levels)}."
        )
    for ranking in rankings:
        if ranking not in selector.rankings:
            raise OptionError(f"selection={name} has no {ranking} ranking.")
    if space is not None and space.spans is not None:
        check_selects_positions(name)
    given = read_options(selector.options, options, f"selection={name}")
    selector.check(space, **{**selector.defaults, **given})
    return selector


def check_selects_positions(name: str) -> None:
    """Make sure that a selector takes edges at spans of the prompts for units.

    Raises:
        OptionError: It does not.
    """
    if not SELECTORS.get(name).positions:
        able = ", ".join(other for other in SELECTORS if SELECTORS.get(other).positions)
        raise OptionError(
            f"selection={name} is not defined over positions; with positions= there are {able}."
        )


def ranked(scores: Scores, ranking: Ranking) -> Int[np.ndarray, "unit"]:
    """Flat indices of all units, best first; ties keep the order of the indices.

    >>> from harness_circuits.circuits import Graph
    >>> space = ScoreSpace(Graph(n_layers=1, n_heads=2, n_kv_heads=2, d_model=8), "node")
    >>> scores = Scores(space, np.array([0.1, 0.9, 0.0, -0.4]))  # input, a0.h0, a0.h1, m0
    >>> ranked(scores, Ranking.SIGNED).tolist(), ranked(scores, Ranking.ABSOLUTE).tolist()
    ([1, 0, 2, 3], [1, 3, 0, 2])
    """
    return scores.space.ranked(ranking.of(scores.values))


def circuit_of(scores: Scores, units: Int[np.ndarray, "kept"]) -> Circuit:
    """The circuit that keeps units given by flat index."""
    kept = np.zeros(scores.space.shape, dtype=bool)
    kept.ravel()[units] = True
    return Circuit(scores.space, kept)
