"""Connects harness_circuits to lm-eval, lazily: see harness_circuits/harness/import_hook.py.

Python runs this out of harness_circuits_startup.pth, which holds a copy without the documentation: to
find a module costs every process more than to compile this. A test compares the two, and prints what
the copy is to be.
"""

import os
import sys

WATCHED = (
    "lm_eval.models",
    "lm_eval.tasks.manager",
    "lm_eval._cli.harness",
    "lm_eval.evaluator",
)


class LmEvalFinder:
    """Stands aside for all modules but those in `WATCHED`."""

    def find_spec(self, name, path=None, target=None):
        """Return a spec that calls our plugin once the module is loaded, or None."""
        if name in WATCHED:
            try:
                from harness_circuits.harness.import_hook import watched_spec

                return watched_spec(self, name, path, target)
            except ModuleNotFoundError:  # uninstalled, with this file left behind
                pass
            except Exception as error:
                text = "harness_circuits could not connect to lm-eval (%s: %s)\n"
                sys.stderr.write(text % (type(error).__name__, error))


def install():
    """Put the finder first on `sys.meta_path`, once, unless the environment forbids it."""
    off = os.environ.get("HARNESS_CIRCUITS_DISABLE_PLUGIN", "0") not in ("", "0")
    there = [type(finder).__name__ for finder in sys.meta_path]
    if not off and "LmEvalFinder" not in there:
        sys.meta_path.insert(0, LmEvalFinder())


install()
