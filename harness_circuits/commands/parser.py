"""What our commands' arguments are read with: one line for each mistake, and values by their kind."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from harness_circuits.errors import CircuitError
from harness_circuits.options.kinds import FilePath, Kind
from harness_circuits.options.paths import read_path
from harness_circuits.registry import unknown_name

MOST = 600  # characters of what argparse says about a mistake
USAGE = 2  # exit code of a command line that cannot be read, as argparse has it


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one line on stderr, with exit code 2."""

    def __init__(self, **how: Any) -> None:
        """As `argparse.ArgumentParser`; an epilog keeps its lines."""
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **how)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read arguments; one that is not known is named, with the closest that is."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            known = [name for action in self._actions for name in action.option_strings]
            self.error(unknown_name("argument", rest[0], known))
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, unknown_name("value", value, action.choices))

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong."""
        text = str(CircuitError(message))
        text = text if len(text) <= MOST else f"{text[:MOST]}... ({len(text)} characters)"
        self.exit(USAGE, f"{self.prog}: error: {text} (--help lists the arguments)\n")


def of_kind(kind: Kind) -> Callable[[str], Any]:
    """An argument's `type`, from an option's kind."""

    def read(text: str) -> Any:
        try:
            return kind.read("it", text)
        except CircuitError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def path_argument(text: str) -> Path:
    """An argument's `type`: a path, with its `~` expanded."""
    try:
        return read_path(text, "it")
    except CircuitError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


text_argument = of_kind(FilePath("a name or a path"))
