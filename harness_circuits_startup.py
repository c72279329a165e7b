"""Connects harness_circuits to lm-eval in every Python process, lazily.

`harness_circuits_startup.pth`, beside this module, calls `install` each time Python starts, which
puts one finder on `sys.meta_path`. When one of three modules of lm-eval is imported, the finder
hands over to `harness_circuits.harness.import_hook`. Every Python process pays for this file, so it is
short, imports nothing new, and lies outside the package, whose `__init__` it does not run.
Set HARNESS_CIRCUITS_DISABLE_PLUGIN=1 to switch it off.
"""

import os
import sys

WATCHED = ("lm_eval.models", "lm_eval.tasks.manager", "lm_eval._cli.harness")


class LmEvalFinder:
    """Stands aside for all modules but those in `WATCHED`."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """Return a spec that calls our plugin once the module is loaded, or None."""
        if name not in WATCHED:
            return None
        try:
            from harness_circuits.harness.import_hook import watched_spec
        except ImportError:  # uninstalled, with this file left behind
            return None
        return watched_spec(self, name, path, target)


def install() -> None:
    """Put the finder first on `sys.meta_path`, once, unless the environment forbids it."""
    if os.environ.get("HARNESS_CIRCUITS_DISABLE_PLUGIN", "0") in ("", "0") and not any(
        isinstance(finder, LmEvalFinder) for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, LmEvalFinder())  # type: ignore[arg-type]
