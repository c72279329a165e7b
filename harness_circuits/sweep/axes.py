"""The axes of a sweep's grid, and values on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness_circuits.attribution import METHODS
from harness_circuits.errors import CircuitError, OptionError, shown
from harness_circuits.harness.model_arguments import HARNESS, MODEL
from harness_circuits.loading.default_model import DISPLAY_NAME, is_default_model
from harness_circuits.options import Option
from harness_circuits.options.kinds import FilePath
from harness_circuits.registry import unknown_name
from harness_circuits.selection import SELECTORS
from harness_circuits.settings import Settings

_TASK = Option(FilePath("a task's name"), None, "a task")
# Options of several methods or selectors that share a name share their kind too.
_DECLARED = {**Settings.known(), **MODEL, "batch_size": HARNESS["batch_size"], "task": _TASK}


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        plural: Its key in the grid.
        name: Its key in `include` and `exclude` rules, and of its value in a cell.
        key: The argument of `--model_args` that a plain value stands for.
        default: Values of an axis that is not given.
        more: Arguments that may stand beside the main one, where a value is a mapping.
    """

    plural: str
    name: str
    key: str
    default: tuple[Any, ...]
    more: tuple[str, ...] = ()

    @property
    def declared(self) -> Mapping[str, Option]:
        """The options that its values consist of, by name."""
        return {key: _DECLARED[key] for key in (self.key, *self.more)}


def _options(registry: Any) -> tuple[str, ...]:
    keys = dict.fromkeys(key for name in registry for key in registry.get(name).options)
    return tuple(key for key in keys if key != "seed")


AXES = (
    Axis("models", "model", "pretrained", ("default",), (*MODEL, "batch_size")),
    Axis("tasks", "task", "task", ()),
    Axis("methods", "method", "method", (Settings.method,), _options(METHODS)),
    Axis("levels", "level", "level", (Settings.level,)),
    Axis("ablations", "ablation", "ablation", (Settings.ablation,), ("mean_over", "retrain_steps")),
    Axis("selectors", "selector", "selection", (Settings.selection,), _options(SELECTORS)),
    Axis("sizes", "sizes", "sizes", (Settings.sizes,)),
    Axis("seeds", "seed", "seed", (Settings.seed,)),
)
BY_NAME = {axis.name: axis for axis in AXES}
AXIS_KEYS = tuple(axis.key for axis in AXES)


@dataclass(frozen=True)
class Value:
    """A value on an axis: the arguments that it stands for, sorted, each value as JSON."""

    axis: str
    items: tuple[tuple[str, str], ...]

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments, as Python values."""
        return {key: json.loads(text) for key, text in self.items}

    @property
    def label(self) -> str:
        """Short text for people: `EAP-IG-inputs(ig_steps=10)`, `ioi_circuit`, `edge`."""
        arguments = self.arguments
        main = arguments.pop(BY_NAME[self.axis].key, None)
        if self.axis == "model":
            main = model_label(main)
        elif self.axis == "sizes":
            main = ":".join(f"{size:g}" for size in main)
        elif self.axis == "seed":
            main = f"seed {main}"
        rest = ",".join(f"{key}={value}" for key, value in arguments.items())
        return f"{main}({rest})" if rest else str(main)


def model_label(pretrained: str | None) -> str:
    """What a model is called: a hub id, or the name of a folder or file."""
    if pretrained is None or is_default_model(pretrained):
        return DISPLAY_NAME
    path = Path(pretrained).expanduser()
    return path.resolve().name if path.exists() else pretrained


def read_value(axis: Axis, given: Any, where: str) -> Value:
    """Read one value of an axis.

    Args:
        axis: The axis.
        given: A plain value, or a mapping of the axis' arguments.
        where: What messages call the place.

    Raises:
        OptionError: It is neither, or names an unknown argument.
    """
    known = list(dict.fromkeys((axis.key, *axis.more)))
    if isinstance(given, Mapping):
        arguments = {str(key): item for key, item in given.items()}
        for key in arguments:
            if key not in known:
                raise OptionError(f"{where}: {unknown_name('key', key, known)}")
        if axis.name != "model" and axis.key not in arguments:
            raise OptionError(f"{where}: {axis.key} is missing in {shown(dict(given))}.")
    else:
        arguments = {axis.key: given}
    main = arguments.get(axis.key)
    if axis.name == "model" and (main is None or main == "default"):
        arguments.pop(axis.key, None)
    declared = axis.declared
    try:
        read = {key: declared[key].read(key, item) for key, item in arguments.items()}
    except CircuitError as error:
        raise OptionError(f"{where}: {error}") from None
    try:
        items = tuple(sorted((key, json.dumps(item)) for key, item in read.items()))
    except (TypeError, ValueError, RecursionError):
        raise OptionError(f"{where}: {shown(arguments)} holds what JSON cannot say.") from None
    return Value(axis.name, items)


def read_values(axis: Axis, given: Any, where: str) -> tuple[Value, ...]:
    """Read the values of an axis: a list, or one value that stands alone.

    For sizes, a list of numbers is one value; a list of lists or texts is several.

    Raises:
        OptionError: One cannot be read, there is none, or two are the same.
    """
    several = isinstance(given, list)
    if several and axis.name == "sizes":
        several = bool(given) and all(isinstance(item, (list, tuple, str)) for item in given)
    listed = given if several else [given]
    if not listed:
        raise OptionError(f"{where} is empty.")
    values = [read_value(axis, item, f"{where}[{at}]") for at, item in enumerate(listed)]
    for at, value in enumerate(values):
        if value in values[:at]:
            raise OptionError(f"{where}[{at}]: {value.label} is there twice.")
    return tuple(values)
