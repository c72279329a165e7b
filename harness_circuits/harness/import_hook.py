"""Calls a patch when a module of lm-eval has been loaded, for the start-up hook.

`harness_circuits_startup` puts a finder on `sys.meta_path` and comes here when lm-eval imports one
of the modules in `PATCHES`. The other finders say where the module is; its loader is
wrapped, so that after the module has run, the function of `harness_circuits.harness.patches` that
belongs to it runs too. Whatever goes wrong in our code, lm-eval loads.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

DISABLE_VARIABLE = "HARNESS_CIRCUITS_DISABLE_PLUGIN"
PATCHES = {
    "lm_eval.models": "register_model",
    "lm_eval.tasks.manager": "add_task_folder",
    "lm_eval._cli.harness": "read_command_line",
    "lm_eval.evaluator": "tell_tasks_their_model",
}


class WatchedLoader:
    """Runs a module with its own loader, puts that loader back, then calls our patch."""

    def __init__(self, loader: Any, function: str) -> None:
        """Wrap a loader; `function` is the patch to call."""
        self._loader = loader
        self._function = function

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then our function."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _call_patch(self._function)


def watched_spec(asking: object, name: str, path: Any, target: Any) -> ModuleSpec | None:
    """Return the spec that the finders other than `asking` give, with its loader wrapped."""
    for finder in list(sys.meta_path):
        if finder is not asking and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
    else:
        return None
    if spec.loader is not None:
        loader: Any = WatchedLoader(spec.loader, PATCHES[name])
        spec.loader = loader
    return spec


def _call_patch(function: str) -> None:
    try:
        getattr(import_module("harness_circuits.harness.patches"), function)()
    except Exception as error:  # printed, as a warning may be made an error (-W error)
        text = " ".join(str(error).split())
        sys.stderr.write(
            f"harness_circuits could not connect to lm-eval ({type(error).__name__}: {text}). "
            f"lm-eval works without it; set {DISABLE_VARIABLE}=1 to silence this.\n"
        )
