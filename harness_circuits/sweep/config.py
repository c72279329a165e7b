"""`sweep.yaml`: the grid of a sweep, read strictly.

    models: [default, gpt2, {pretrained: my/folder, dtype: bfloat16}]
    tasks: [ioi_circuit, greater_than_circuit]
    methods: [EAP, {method: EAP-IG-inputs, ig_steps: 10}]
    levels: [edge, node]
    seeds: [0, 1]
    options: {n_discovery: 100, null_circuits: 20}
    limit: 50
    exclude: [{method: EAP, level: node}]
    include: [{method: exact, level: node, task: ioi_circuit}]

The grid is the product of all axes, less the cells that an `exclude` rule matches; a cell matches a
rule if it has one of the rule's values on every axis that the rule names. Then every `include` rule
adds the product of its own values, with the grid's values on the axes that it does not name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness_circuits.errors import CircuitError, OptionError, shown
from harness_circuits.options.kinds import Choice, FilePath, Number, Whole
from harness_circuits.options.paths import read_path
from harness_circuits.records.strict_yaml import YamlFileError, read_yaml
from harness_circuits.registry import unknown_name
from harness_circuits.settings import Settings
from harness_circuits.sweep.axes import AXES, AXIS_KEYS, BY_NAME, Value, read_values

ARTIFACTS = ("all", "examples", "none")
LIMIT = Whole(1, 10**9)
SECONDS = Number(1, 10**9)
Rule = tuple[tuple[str, tuple[Value, ...]], ...]
SHARED_BY_AXES = {key for axis in AXES for key in (axis.key, *axis.more)}


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A sweep.

    Attributes:
        axes: Values per axis, in the order of `AXES`.
        options: Options of all cells, as sorted (key, JSON) pairs: those of `--model_args` that
            are no axis, such as `n_discovery`, `bootstrap_iters`, `null_circuits`.
        exclude: Rules: per axis name, the values that it matches.
        include: Rules: per axis name, the values that it adds.
        limit: Evaluation documents per task; None for all.
        metadata: lm-eval's `--metadata`, for the tasks.
        include_path: More folders with task files.
        results: Folder of the results.
        artifacts: What cells leave beside their results: `all` (scores, circuits, values per
            example), `examples` (values per example, which paired comparisons need), or `none`.
        cell_timeout: Seconds after which a cell is ended and counts as failed; None for no limit.
    """

    axes: tuple[tuple[Value, ...], ...]
    options: tuple[tuple[str, str], ...] = ()
    exclude: tuple[Rule, ...] = ()
    include: tuple[Rule, ...] = ()
    limit: int | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    include_path: tuple[str, ...] = ()
    results: str = "results"
    artifacts: str = "all"
    cell_timeout: float | None = None

    @classmethod
    def from_dict(cls, data: Any) -> SweepConfig:
        """Read what a YAML file holds.

        Raises:
            OptionError: A key is unknown, or a value cannot be used.
        """
        rest = {field.name for field in fields(cls)} - {"axes"}
        known = [*(axis.plural for axis in AXES), *sorted(rest)]
        if not isinstance(data, Mapping):
            raise OptionError(
                f"A sweep is a mapping with keys such as models and tasks, got {shown(data)}."
            )
        for key in data:
            if key not in known:
                raise OptionError(f"sweep: {unknown_name('key', str(key), known)}")
        if "tasks" not in data:
            raise OptionError("sweep: tasks is missing; for example tasks: [ioi_circuit].")
        axes = tuple(
            read_values(axis, data.get(axis.plural, list(axis.default)), axis.plural)
            for axis in AXES
        )
        chosen = {name: _READERS[name](data[name], name) for name in rest if name in data}
        return cls(axes=axes, **chosen)

    @property
    def task_metadata(self) -> dict[str, Any]:
        """The metadata, as Python values."""
        return {key: json.loads(text) for key, text in self.metadata}


def read_config(path: str | Path) -> SweepConfig:
    """Read a sweep's YAML file.

    Raises:
        OptionError: There is no such file, it is no YAML, has a key twice, or an unknown key, or a
            value that cannot be used.
    """
    try:
        data = read_yaml(read_path(path, "config", "a YAML file"))
    except YamlFileError as error:
        raise OptionError(str(error)) from error
    try:
        return SweepConfig.from_dict(data)
    except CircuitError as error:
        raise OptionError(f"{path}: {error}") from error


def _rules(given: Any, where: str) -> tuple[Rule, ...]:
    listed = given if isinstance(given, list) else [given]
    return tuple(_rule(item, f"{where}[{at}]") for at, item in enumerate(listed))


def _rule(given: Any, where: str) -> Rule:
    if not isinstance(given, Mapping) or not given:
        raise OptionError(
            f"{where}: a rule is a mapping such as {{method: EAP}}, got {shown(given)}."
        )
    for key in given:
        if key not in BY_NAME:
            raise OptionError(f"{where}: {unknown_name('key', str(key), BY_NAME)}")
    return tuple(
        (name, read_values(axis, given[name], f"{where}.{name}"))
        for name, axis in BY_NAME.items()
        if name in given
    )


def _options(given: Any, where: str) -> tuple[tuple[str, str], ...]:
    declared = Settings.known()
    known = [key for key in declared if key not in SHARED_BY_AXES]
    pairs = _mapping(given, where)
    for key, _ in pairs:
        if key in AXIS_KEYS:
            raise OptionError(f"{where}: {key} is an axis of the grid.")
        owner = next((axis for axis in AXES if key in axis.more), None)
        if owner is not None:
            raise OptionError(
                f"{where}: {key} stands beside its {owner.name}, in {owner.plural}: "
                f"[{{{owner.key}: ..., {key}: ...}}]."
            )
        if key not in known:
            raise OptionError(f"{where}: {unknown_name('option', key, known)}")
        declared[key].read(f"{where}.{key}", given[key])
    return pairs


def _mapping(given: Any, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(given, Mapping):
        raise OptionError(f"{where} is a mapping, got {shown(given)}.")
    try:
        return tuple(sorted((str(key), json.dumps(item)) for key, item in given.items()))
    except (TypeError, ValueError, RecursionError):
        raise OptionError(f"{where}: {shown(dict(given))} holds what JSON cannot say.") from None


def _limit(given: Any, where: str) -> int | None:
    return None if given is None else LIMIT.read(where, given)


def _seconds(given: Any, where: str) -> float | None:
    return None if given is None else float(SECONDS.read(where, given))


def _texts(given: Any, where: str) -> tuple[str, ...]:
    listed = given if isinstance(given, list) else [given]
    return tuple(_text(item, where) for item in listed)


def _text(given: Any, where: str) -> str:
    return FilePath().read(where, given)


def _artifacts(given: Any, where: str) -> str:
    return Choice(ARTIFACTS).read(where, given)


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "options": _options,
    "exclude": _rules,
    "include": _rules,
    "limit": _limit,
    "metadata": _mapping,
    "include_path": _texts,
    "results": _text,
    "artifacts": _artifacts,
    "cell_timeout": _seconds,
}
