"""The `harness-circuits` command.

It takes the arguments of `lm_eval` and hands them to lm-eval's own parser, after registering the
`circuit` model and the circuit tasks. That makes it independent of the start-up hook through which
plain `lm_eval` finds them. Commands of our own are named in `COMMANDS`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import metadata

from harness_circuits import __version__
from harness_circuits.errors import CircuitError, shown
from harness_circuits.harness.patches import register
from harness_circuits.harness.plugin import readable_errors
from harness_circuits.machine.files import FULL
from harness_circuits.machine.interrupts import ended_by_signals
from harness_circuits.registry import unknown_name

PROGRAM = "harness-circuits"
PIPE_CLOSED = 141  # as the shell has it for what SIGPIPE ended
INTERRUPTED = 130  # the same for SIGINT

# Name of a command: the function that runs it, given the arguments after the name, and what it does.
COMMANDS = {
    "check-task": (
        "harness_circuits.commands.check_task:check_task_command",
        "a task's pairs for a model: left out and why, token by token, accuracy",
    ),
    "compare": (
        "harness_circuits.commands.compare:compare_command",
        "paired comparison of two result sets; exit code 1 for a regression",
    ),
    "draw": (
        "harness_circuits.commands.draw:draw_command",
        "a drawing of a circuit file or of a task's artifacts",
    ),
    "export-inspect": (
        "harness_circuits.commands.export_inspect:export_inspect_command",
        "logs for `inspect view` from result files",
    ),
    "export-mib": (
        "harness_circuits.commands.export_mib:export_mib",
        "a folder for the MIB leaderboard from artifacts",
    ),
    "leaderboard": (
        "harness_circuits.commands.leaderboard:leaderboard_command",
        "Markdown, CSV and one HTML page from result files",
    ),
    "options": (
        "harness_circuits.commands.options:options_command",
        "every option of --model_args, every method, selector, metric and ablation",
    ),
    "sweep": (
        "harness_circuits.commands.sweep:sweep_command",
        "a grid of models, tasks, methods and settings, resumable",
    ),
    "tasks": (
        "harness_circuits.commands.tasks:tasks_command",
        "the circuit tasks that there are, a line each",
    ),
    "transfer": (
        "harness_circuits.commands.transfer:transfer_command",
        "circuits of each of several tasks on all of them, from a sweep's file",
    ),
    "version": (
        "harness_circuits.commands.main:print_versions",
        "the versions that a bug report needs",
    ),
}
LM_EVAL_COMMANDS = ("run", "ls", "validate")
# Signals end these at once, in whatever library they are: what they leave can be gone on from.
SAFE_TO_END = ("sweep",)

Command = Callable[[Sequence[str]], int | None]


class UnknownCommandError(CircuitError):
    """The first word on the command line is neither a command of ours nor one of lm-eval's."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: Arguments without the program's name; by default those Python was started with.

    Returns:
        The exit code; 130 after Ctrl-C. A `CircuitError` becomes one line on stderr and `SystemExit`;
        output that nobody reads any more, as with `... | head`, ends the command in silence, and output
        to a full device with one line and code 1, or the code that the command ended with.
    """
    failed: object = None
    try:
        try:
            return _run(argv)
        except SystemExit as ended:
            failed = ended.code
            raise
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at the end: let it have somewhere to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        if error.errno not in FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write(f"harness-circuits: error: output cannot be written: {error.strerror}.\n")
        return failed if isinstance(failed, int) and failed else 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    with readable_errors():
        first = arguments[0] if arguments else "--help"
        if first in COMMANDS:
            with ended_by_signals("interrupted") if first in SAFE_TO_END else nullcontext():
                return load_command(first)(arguments[1:]) or 0
        if first in ("-h", "--help"):
            print(_overview())
            arguments = ["--help"]
        elif not first.startswith("-") and first not in LM_EVAL_COMMANDS:
            raise UnknownCommandError(_unknown(first))
        run_lm_eval(arguments)
    return 0


def load_command(name: str) -> Command:
    """Import the function behind one of `COMMANDS`."""
    module, _, function = COMMANDS[name][0].partition(":")
    command: Command = getattr(importlib.import_module(module), function)
    return command


def run_lm_eval(arguments: Sequence[str]) -> None:
    """Register the plugin and give the arguments to lm-eval, which reads them from `sys.argv`."""
    if not {"-h", "--help"}.intersection(arguments):  # help needs no model, hence no torch
        register()
    from lm_eval.__main__ import cli_evaluate

    before = sys.argv
    sys.argv = [PROGRAM, *arguments]
    try:
        cli_evaluate()
    finally:
        sys.argv = before


def print_versions(arguments: Sequence[str]) -> None:
    """Print the versions a bug report needs."""
    if arguments:
        raise UnknownCommandError(
            f"`{PROGRAM} version` takes no arguments, got {shown(arguments[0])}."
        )
    print(f"harness_circuits {__version__}")
    print(f"python {sys.version.split()[0]}")
    for package in ("lm_eval", "transformer_lens", "transformers", "torch", "datasets"):
        print(f"{package} {metadata.version(package)}")


def _overview() -> str:
    rows = "".join(f"  {name:<15}{about}\n" for name, (_, about) in sorted(COMMANDS.items()))
    return (
        f"usage: {PROGRAM} COMMAND ...   (COMMAND --help describes its arguments)\n"
        f"       {PROGRAM} ...           everything else goes to lm-eval\n\n"
        f"commands:\n{rows}\n"
        f"the main job:\n  {PROGRAM} --model circuit --tasks ioi_circuit\n\n"
        "what lm-eval takes:\n"
    )


def _unknown(word: str) -> str:
    known = sorted([*COMMANDS, *LM_EVAL_COMMANDS])
    return unknown_name("command", word, known)
