"""`lm_eval` that knows our tasks and those of files: `python -m helpers.small_lm_eval ARGUMENTS`.

lm-eval needs a quarter of a minute to read the 14,000 tasks it brings.
"""

from __future__ import annotations

import sys

import lm_eval.tasks.manager as manager
import pytest

from harness_circuits import register

NO_TASKS = "/nowhere/manager.py"  # the file beside which lm-eval looks for its own tasks


def small_lm_eval(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """The same within a test."""
    from lm_eval._cli.harness import HarnessCLI

    monkeypatch.setattr(manager, "__file__", NO_TASKS)
    monkeypatch.setattr("sys.argv", ["lm_eval", *arguments])
    cli = HarnessCLI()
    cli.execute(cli.parse_args())


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    manager.__file__ = NO_TASKS
    register()
    sys.exit(cli_evaluate())  # type: ignore[func-returns-value]
