"""`harness-circuits export-inspect`: results of lm-eval as logs for `inspect view`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from harness_circuits.commands.parser import CommandParser, path_argument
from harness_circuits.errors import OptionError
from harness_circuits.machine.extras import how_to_install
from harness_circuits.machine.outgoing import clean
from harness_circuits.records.results_file import read_runs

_EPILOG = """\
examples:
  harness-circuits export-inspect out/ --output logs
  inspect view --log-dir logs
"""


def export_inspect_command(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        OptionError: Inspect AI is not installed.
        ResultFileError: A path does not exist, or holds no usable results.
    """
    options = _parser().parse_args(arguments)
    if importlib.util.find_spec("inspect_ai") is None:
        raise OptionError(
            f"export-inspect writes logs of Inspect AI, the extra `inspect`: {how_to_install('inspect')}"
        )
    from harness_circuits.inspect.export import export

    reading = read_runs(options.results)
    for line in reading.left_out:
        print(clean(line), file=sys.stderr)
    for run in reading.runs:
        if run.in_log:
            print(clean(f"{run.file} is a log already"), file=sys.stderr)
            continue
        path, lacks = export(run, options.output)
        print(clean(f"{path}{f' ({lacks})' if lacks else ''}"))


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="harness-circuits export-inspect",
        description="Write results of lm_eval --model circuit as logs of Inspect AI, one per task.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "results", type=path_argument, nargs="+", help="results files, or folders of them"
    )
    parser.add_argument(
        "--output", type=path_argument, default=Path("logs"), help="folder to write to (logs)"
    )
    return parser
