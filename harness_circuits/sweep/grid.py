"""From a sweep's configuration to its cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

from harness_circuits.errors import OptionError
from harness_circuits.sweep.axes import AXES, BY_NAME, Value
from harness_circuits.sweep.cell import Cell
from harness_circuits.sweep.config import Rule, SweepConfig


def make_grid(config: SweepConfig) -> tuple[Cell, ...]:
    """All cells of a sweep, without repetition; those of one model and task stand together.

    Raises:
        OptionError: An `exclude` rule matches no cell, or no cell is left.
    """
    grid = _product(config.axes, config)
    for at, rule in enumerate(config.exclude):
        if not any(matches(rule, cell) for cell in grid):
            raise OptionError(f"exclude[{at}] matches no cell: {describe(rule)}.")
    kept = [cell for cell in grid if not any(matches(rule, cell) for rule in config.exclude)]
    for rule in config.include:
        named = dict(rule)
        axes = [
            named.get(axis.name, values) for axis, values in zip(AXES, config.axes, strict=True)
        ]
        kept += _product(axes, config)
    if not kept:
        raise OptionError("No cell is left: the exclude rules match all of them.")
    distinct = {cell.key: cell for cell in reversed(kept)}
    cells = [cell for cell in kept if distinct[cell.key] is cell]
    order = {cell.value("model"): at for at, cell in reversed(list(enumerate(cells)))}
    return tuple(sorted(cells, key=lambda cell: order[cell.value("model")]))


def matches(rule: Rule, cell: Cell) -> bool:
    """Whether a cell has one of a rule's values on every axis that the rule names."""
    return all(any(_covers(value, cell.value(name)) for value in values) for name, values in rule)


def describe(rule: Rule) -> str:
    """A rule as text for people."""
    return ", ".join(f"{name}: {' or '.join(v.label for v in values)}" for name, values in rule)


def _covers(wanted: Value, value: Value) -> bool:
    """Whether a value has all arguments of the wanted one: `EAP` covers it with any options."""
    if BY_NAME[wanted.axis].name == "model" and not wanted.items:
        return "pretrained" not in value.arguments
    return set(wanted.items) <= set(value.items)


def _product(axes: Iterable[Sequence[Value]], config: SweepConfig) -> list[Cell]:
    return [Cell(values, config.options) for values in product(*axes)]
