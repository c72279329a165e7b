"""One declaration per option: its kind, default, and what else the program has to know of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness_circuits.errors import OptionError
from harness_circuits.options.kinds import Kind
from harness_circuits.registry import unknown_name

_KEY = "option"


@dataclass(frozen=True)
class Option:
    """An option.

    Attributes:
        kind: The values that it takes.
        default: Its value where none is given; itself accepted, whatever the kind says.
        help: A line about it.
        none: Whether None is a value.
        of_a_repetition: Whether a repetition of a run may choose it anew: it changes noise, time or
            memory, and not what is measured.
        names_the_run: Whether reports name the value beside the method where it is not the default.
    """

    kind: Kind
    default: Any
    help: str
    none: bool = False
    of_a_repetition: bool = False
    names_the_run: bool = False

    def read(self, name: str, value: Any) -> Any:
        """A given value as the program uses it.

        Raises:
            OptionError: It cannot be used.
        """
        return None if value is None and self.none else self.kind.read(name, value)


def setting(kind: Kind, default: Any, help: str, **facts: bool) -> Any:
    """A dataclass field that is an option."""
    metadata = {_KEY: Option(kind, default, help, **facts)}
    if isinstance(default, Mapping):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def options_of(declared: type) -> dict[str, Option]:
    """The options among a dataclass's fields, by name."""
    fields = dataclasses.fields(declared)
    return {field.name: field.metadata[_KEY] for field in fields if _KEY in field.metadata}


def defaults_of(declared: Mapping[str, Option]) -> dict[str, Any]:
    """The options' defaults."""
    return {name: option.default for name, option in declared.items()}


def read_options(
    declared: Mapping[str, Option], given: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Given values as the program uses them.

    Args:
        declared: The options that there are.
        given: Values by name.
        where: What messages call the place: `method=EAP`.

    Raises:
        OptionError: A name is unknown, or a value cannot be used.
    """
    for key in given:
        if key not in declared:
            raise OptionError(f"{where}: " + unknown_name("option", key, declared))
    return {key: declared[key].read(key, value) for key, value in given.items()}
