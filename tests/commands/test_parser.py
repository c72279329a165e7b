"""Every argument of every command: hostile text is accepted, or refused in one line.

Arguments are taken from the parsers, so that a new one is tried too.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.hostile import check_line, texts
from hypothesis import HealthCheck, given, settings

from harness_circuits.commands.main import COMMANDS, load_command, main
from harness_circuits.commands.parser import CommandParser

WITHOUT_PARSER = {"version"}
MISSING = "/there/is/nothing.json"


class Found(Exception):
    """Carries a parser out of its command."""


def parser_of(command: str) -> CommandParser:
    """The parser that a command parses its arguments with."""

    def leave(self: CommandParser, arguments: object = None) -> None:
        raise Found(self)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Found) as caught:
        patch.setattr(CommandParser, "parse_args", leave)
        load_command(command)([])
    found: CommandParser = caught.value.args[0]
    return found


def command_lines() -> Iterator[object]:
    for command in sorted(set(COMMANDS) - WITHOUT_PARSER):
        actions = parser_of(command)._actions
        for action in actions:
            if action.nargs != 0 and not isinstance(action, argparse._HelpAction):
                yield pytest.param(command, actions, action, id=f"{command} {action.dest}")


@pytest.mark.parametrize(("command", "actions", "tried"), list(command_lines()))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=texts)
def test_an_argument_is_accepted_or_refused(
    command: str,
    actions: list[argparse.Action],
    tried: argparse.Action,
    text: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What it is about is not there, so that all ends in one line, whatever is accepted."""
    line = [command]
    for action in actions:
        if not action.option_strings:
            line.append(text if action is tried else MISSING)
    if tried.option_strings:
        line.append(f"{tried.option_strings[0]}={text}")
    if "--pretrained" in [name for action in actions for name in action.option_strings]:
        line += [] if tried.dest == "pretrained" else ["--pretrained", MISSING]
    said, code = io.StringIO(), 0
    folder: Path = tmp_path_factory.getbasetemp()
    if text.startswith("../") and (folder / text).resolve() in folder.parents:
        return  # a folder of everything that is on this machine, which would be read
    with contextlib.chdir(folder), contextlib.redirect_stderr(said):
        try:
            code = main(line)
        except SystemExit as ended:
            message = ended.code if isinstance(ended.code, str) else said.getvalue().rstrip("\n")
            if ended.code != 0:  # `--help` and the like are words too
                check_line(message, text)
            return
    assert code in (0, 2)
    if code:
        check_line(said.getvalue().rstrip("\n"), text)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - WITHOUT_PARSER))
def test_every_argument_has_a_kind(command: str) -> None:
    """Without `type=` an argument takes any text; `choices` and switches do not."""
    for action in parser_of(command)._actions:
        assert action.type or action.choices or action.nargs == 0, action.dest
        assert action.type not in (int, float, str, Path), action.dest


@settings(max_examples=60, deadline=None)
@given(text=texts)
def test_a_word_that_is_no_command_is_one_line(text: str) -> None:
    if text.startswith("-") or text in COMMANDS or text in ("run", "ls", "validate"):
        return
    with pytest.raises(SystemExit) as ended:
        main([text])
    check_line(str(ended.value.code), text)
