"""`harness-circuits options [NAME]`: every option of `--model_args`, and every name that they take."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness_circuits.commands.parser import CommandParser, text_argument
from harness_circuits.errors import OptionError
from harness_circuits.options import Option
from harness_circuits.registry import Registry, unknown_name


@dataclass(frozen=True)
class Entry:
    """A line of the list.

    Attributes:
        name: An option, or what an option may be.
        line: What is said of it.
        indent: How far it stands to the right.
    """

    name: str
    line: str
    indent: int = 1

    @property
    def key(self) -> str:
        """The name without a default."""
        return self.name.partition("=")[0]

    def __str__(self) -> str:
        return f"{'  ' * self.indent}{self.name:<{28 - 2 * self.indent}} {self.line}"


def options_command(arguments: Sequence[str]) -> None:
    """Run `harness-circuits options`.

    Raises:
        OptionError: There is nothing of the name that was asked for.
    """
    wanted = _parser().parse_args(arguments).name
    groups = groups_of_entries()
    entries = [entry for group in groups.values() for entry in group]
    if wanted is None:
        for title, group in groups.items():
            print(title, *group, "", sep="\n")
        return
    found = _found(wanted, entries) + groups.get(f"{wanted}=", [])
    if not found:
        raise OptionError(unknown_name("option or name", wanted, {e.key: None for e in entries}))
    print(*found, sep="\n")


def _found(wanted: str, entries: Sequence[Entry]) -> list[Entry]:
    """The entries of a name, each with its own options below it."""
    found: list[Entry] = []
    inside: int | None = None
    for entry in entries:
        if inside is not None and entry.indent <= inside:
            inside = None
        if entry.key == wanted:
            inside = entry.indent
        if inside is not None:
            found.append(entry)
    return found


def groups_of_entries() -> dict[str, list[Entry]]:
    """All there is to say, by group."""
    from harness_circuits.ablation import ABLATIONS
    from harness_circuits.attribution import METHODS
    from harness_circuits.harness.model_arguments import HARNESS, MODEL, RUN
    from harness_circuits.metrics import METRICS
    from harness_circuits.options.fields import SETTINGS
    from harness_circuits.selection import SELECTORS

    return {
        "the run": [*_options(RUN), *_options(SETTINGS)],
        "the model": [*_options(MODEL)],
        "as for --model hf": [*_options(HARNESS)],
        "method=": [*_names(METHODS)],
        "selection=": [*_names(SELECTORS)],
        "metric=": [Entry(name, METRICS.get(name).description) for name in METRICS],
        "ablation=": [Entry(name, ABLATIONS.get(name).description) for name in ABLATIONS],
    }


def _options(declared: Mapping[str, Option], indent: int = 1) -> Iterator[Entry]:
    for name, option in declared.items():
        default = "" if option.default in (None, {}) else _plain(option.default)
        yield Entry(f"{name}={default}", f"{option.help} [{option.kind.text}]", indent)


def _names(registry: Registry[Any]) -> Iterator[Entry]:
    """Methods or selectors, each by the first line of its file, with its own options below."""
    for name in registry:
        item = registry.get(name)
        said = (sys.modules[item.function.__module__].__doc__ or "").splitlines()[0]
        yield Entry(name, said.removeprefix(f"{name}: "))
        yield from _options(item.options, indent=2)


def _plain(value: object) -> str:
    """A default as it would be typed."""
    if isinstance(value, tuple):
        return ":".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="harness-circuits options",
        description="List what --model_args of --model circuit may hold: options with their defaults, "
        "and the methods, selectors, metrics and ablations that there are.",
    )
    parser.add_argument(
        "name", type=text_argument, nargs="?", help="one option, or method, selection, metric, ..."
    )
    return parser
