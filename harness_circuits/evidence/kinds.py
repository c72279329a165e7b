"""The registry of kinds of evidence, and how those that are asked for are gathered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness_circuits.errors import NumericalError
from harness_circuits.evidence.subject import Subject
from harness_circuits.evidence.table import Table
from harness_circuits.machine.progress import within
from harness_circuits.registry import Registry

logger = logging.getLogger("lm_eval.circuit")


@dataclass(frozen=True)
class Plan:
    """What is known of a run before it: what costs are worked out from.

    Attributes:
        points: Circuits of all curves, the full model not counted.
        draws: Random circuits, subsets or units that a kind tries.
        variations: Changes of settings that circuits can be discovered again with.
        templates: Templates that circuits can be discovered on one by one.
    """

    points: int
    draws: int
    variations: int = 0
    templates: int = 0


@dataclass(frozen=True)
class Cost:
    """What a kind runs beside the curves.

    Attributes:
        circuits: Circuits that are run on every evaluation pair, at most.
        discoveries: Discoveries beside that of the run, in units of that of all training pairs.
        also: What else is done, in words.
    """

    circuits: int = 0
    discoveries: float = 0
    also: str = ""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of evidence.

    Attributes:
        function: From the subject to plain JSON.
        lines: From that to what people read.
        tables: From that to what pages show; the first is always open.
        cost: What it runs.
        extras: What it needs of `Subject.extras`.
        positions: Whether it is defined for circuits over spans of prompts (`positions=`).
        discovers: Whether it discovers anew, so that circuits must not be given.
        intervals: What its intervals are over; empty where it has none.
        no_interval: What of its numbers has no interval, and why; empty where all have one.
        samples: Groups of training pairs whose score sums it needs; 0 if it needs none.
        samples_if_kept: Whether intervals are over such groups, where the method keeps sums at all.
        description: One line for documentation and messages.
        source: The paper.
    """

    function: Callable[[Subject], dict[str, Any]]
    lines: Callable[[Mapping[str, Any]], list[str]]
    tables: Callable[[Mapping[str, Any]], list[Table]]
    cost: Callable[[Plan], Cost]
    extras: tuple[str, ...] = ()
    positions: bool = False
    samples: int = 0
    samples_if_kept: bool = False
    discovers: bool = False
    intervals: str
    no_interval: str = ""
    description: str
    source: str


EVIDENCE: Registry[Kind] = Registry("kind of evidence")
SHI = ("equivalence", "independence", "minimality", "sufficiency", "partial-necessity")


def groups() -> dict[str, tuple[str, ...]]:
    """Names of several kinds: `tests` (of Shi et al. 2024, arXiv 2410.13032) and `all`."""
    return {"tests": tuple(name for name in SHI if name in EVIDENCE), "all": tuple(EVIDENCE)}


def chosen_kinds(names: Sequence[str]) -> tuple[str, ...]:
    """Kinds by name, groups spelled out, each once.

    Raises:
        UnknownNameError: There is no such kind, nor group.

    >>> chosen_kinds(["necessity", "tests", "equivalence"])[:3]
    ('necessity', 'equivalence', 'independence')
    """
    known: Registry[tuple[str, ...]] = Registry(EVIDENCE.kind)
    for name in EVIDENCE:
        known.register(name)((name,))
    for name, members in groups().items():
        known.register(name)(members)
    return tuple(dict.fromkeys(kind for name in names for kind in known.get(name)))


def by_name(name: str, names: Sequence[str]) -> bool:
    """Whether a kind is asked for by its name, and not only as one of all there are.

    >>> by_name("necessity", ["necessity"]), by_name("necessity", chosen_kinds(["all"]))
    (True, False)
    """
    return name in names and set(names) != set(EVIDENCE)


def announcement(names: Sequence[str], plan: Plan) -> list[str]:
    """What the kinds will run beside the curves, a line each: said before anything is run."""
    lines = []
    for name in names:
        cost = EVIDENCE.get(name).cost(plan)
        parts = [f"{cost.circuits:,} circuits on every evaluation pair"] if cost.circuits else []
        parts += [f"{cost.discoveries:g} more discoveries"] if cost.discoveries else []
        parts += [cost.also] if cost.also else []
        what = " and ".join(parts) or "no further passes"
        lines.append(f"evidence={name}: {what} (the curves: {plan.points} circuits)")
    return lines


def summary_lines(evidence: Mapping[str, Any]) -> list[str]:
    """What people read of gathered evidence."""
    return [line for kind in evidence.values() for line in kind["summary"]]


def gather(names: Sequence[str], subject: Subject) -> dict[str, Any]:
    """Evidence of some kinds, as plain JSON by kind, each with its `summary` lines and `seconds`.

    What kinds share is run once, in the time of the first that asks for it. Of a kind that has no
    numbers here (`NumericalError`) there is `why_not`.

    Args:
        names: Kinds, in the order in which they are gathered.
        subject: What it is about.
    """
    found: dict[str, Any] = {}
    for name in names:
        kind = EVIDENCE.get(name)
        began = time.perf_counter()
        try:
            with within(f"evidence={name}"):
                data = kind.function(subject)
            lines = kind.lines(data)
            if kind.no_interval and any(table.rows for table in kind.tables(data)):
                lines = [*lines, f"{name}, without an interval: {kind.no_interval}"]
        except NumericalError as error:  # the curve and other kinds stay what they are
            data = {"why_not": str(error)}
            lines = [f"evidence={name} is not defined here: {error}"]
        seconds = time.perf_counter() - began
        logger.info("evidence=%s: %.1f s", name, seconds)
        if left_out := subject.take_without_spread():
            data = {**data, "resamples_without_spread": left_out}
            lines = [
                *lines,
                f"{name}, intervals: {left_out} resamples have no spread, and are left out",
            ]
        found[name] = {**data, "summary": lines, "seconds": seconds}
    return found
