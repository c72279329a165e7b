"""Which old and new runs belong together."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from harness_circuits.options.fields import SETTINGS
from harness_circuits.records.run import Run

Sides = tuple[list[Run], list[Run]]
Key = Callable[[Run], Hashable]

OF_A_REPETITION = frozenset(name for name, option in SETTINGS.items() if option.of_a_repetition)


@dataclass(frozen=True)
class Matching:
    """Old runs and their new counterparts.

    Attributes:
        same: Pairs of one configuration, up to what a repetition may change.
        changed: Pairs of one task and model, whose configurations differ.
        missing: Old runs without a new counterpart.
        added: New runs without an old counterpart.
    """

    same: tuple[tuple[Run, Run], ...]
    changed: tuple[tuple[Run, Run], ...]
    missing: tuple[Run, ...]
    added: tuple[Run, ...]


def newest(runs: Sequence[Run], notes: list[str]) -> list[Run]:
    """The newest of repetitions, which are over the same pairs; a note names the others.

    Models have to be told apart by their names (`tell_apart`).
    """
    groups: dict[tuple[object, ...], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.model, run.task, run.configuration, run.pairs].append(run)
    kept = []
    for group in groups.values():
        *older, last = sorted(group, key=lambda run: run.date)
        kept.append(last)
        notes += [f"{run.file}: {run.label} was repeated by {last.file}" for run in older]
    return kept


def match(old: Sequence[Run], new: Sequence[Run]) -> Matching:
    """Match runs of a task on a model by their settings and pairs, then those of which one is left.

    Of what is left over then, single runs of models that have only their name in common are matched
    as changed ones.
    """
    left = (list(old), list(new))
    same: list[tuple[Run, Run]] = []
    keys: tuple[Key, ...] = (
        lambda run: (run.model, run.configuration, run.pairs),
        lambda run: (run.model, run.configuration, run.evaluated_on),
        lambda run: (run.model, run.configuration),
        lambda run: (run.model, _setup(run)),
    )
    for key in keys:
        pairs, left = _only_ones(left, key)
        same += pairs
    changed, left = _only_ones(left, lambda run: run.model)
    others, left = _only_ones(left, lambda run: run.weights.name)
    changed += others
    return Matching(tuple(same), tuple(changed), tuple(left[0]), tuple(left[1]))


def changes(old: Run, new: Run) -> str:
    """Settings and details of the model that differ, as text; empty if none does."""
    before, after = _facts(old), _facts(new)
    if old.model != new.model:
        before["weights"], after["weights"] = str(old.weights), str(new.weights)
    names = sorted(before.keys() | after.keys())
    return ", ".join(
        f"{name} ({before.get(name)!r:.90} -> {after.get(name)!r:.90})"
        for name in names
        if before.get(name) != after.get(name)
    )


def _facts(run: Run) -> dict[str, Any]:
    return {**run.model_details, **run.settings}


def _setup(run: Run) -> str:
    facts = {name: value for name, value in _facts(run).items() if name not in OF_A_REPETITION}
    return json.dumps(facts, sort_keys=True)


def _only_ones(runs: Sides, key: Key) -> tuple[list[tuple[Run, Run]], Sides]:
    """Pairs of runs that are the only ones of their key on either side, and what is left."""
    groups: dict[tuple[Hashable, Hashable], Sides] = defaultdict(lambda: ([], []))
    for side in (0, 1):
        for run in runs[side]:
            groups[run.task, key(run)][side].append(run)
    pairs = [(a[0], b[0]) for a, b in groups.values() if len(a) == len(b) == 1]
    taken = {id(run) for pair in pairs for run in pair}
    old, new = ([run for run in side if id(run) not in taken] for side in runs)
    return pairs, (old, new)
