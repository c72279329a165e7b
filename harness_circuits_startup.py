"""Connects harness_circuits to lm-eval in every Python process, lazily.

`harness_circuits_startup.pth`, installed beside this module, calls `install` each time Python
starts. All that happens then is that one finder goes on `sys.meta_path`. It answers for three
modules of lm-eval only; when one of them has been executed, the function of
`harness_circuits.harness.plugin` that belongs to it runs.

Every Python process pays for this file, so it imports nothing (`typing` alone would cost more
than all of it), and it lies outside the package so that starting Python does not import
`harness_circuits`. Set HARNESS_CIRCUITS_DISABLE_PLUGIN=1 to switch it off.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

DISABLE_VARIABLE = "HARNESS_CIRCUITS_DISABLE_PLUGIN"
PLUGIN_FUNCTIONS = {
    "lm_eval.models": "register_model",
    "lm_eval.tasks.manager": "add_task_folder",
    "lm_eval._cli.harness": "shorten_errors",
}


class LmEvalFinder:
    """Finds the modules in `PLUGIN_FUNCTIONS` as the other finders do, and watches them load."""

    def __init__(self) -> None:
        """Start with no search under way."""
        self._searching: set[str] = set()

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Return the other finders' spec with its loader wrapped, or None to stand aside."""
        if name not in PLUGIN_FUNCTIONS or name in self._searching:
            return None
        self._searching.add(name)
        try:
            spec = _ask_other_finders(self, name, path, target)
        finally:
            self._searching.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _WatchedLoader(spec.loader, PLUGIN_FUNCTIONS[name])  # type: ignore[assignment]
        return spec


class _WatchedLoader:
    """Runs a module with its own loader, puts that loader back, then calls the plugin."""

    def __init__(self, loader: "Any", function: str) -> None:
        self._loader = loader
        self._function = function

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def exec_module(self, module: "ModuleType") -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _call_plugin(self._function)


def _ask_other_finders(
    finder: LmEvalFinder, name: str, path: "Sequence[str] | None", target: "ModuleType | None"
) -> "ModuleSpec | None":
    for other in list(sys.meta_path):
        if other is not finder and hasattr(other, "find_spec"):
            spec = other.find_spec(name, path, target)
            if spec is not None:
                return spec
    return None


def _call_plugin(function: str) -> None:
    """Call one plugin function; lm-eval must load whatever happens to this package."""
    try:
        from harness_circuits.harness import plugin

        getattr(plugin, function)()
    except Exception as error:
        missing = error.name if isinstance(error, ImportError) else None
        if missing in ("harness_circuits", "harness_circuits.harness"):
            return  # uninstalled, with this file left behind
        import warnings

        warnings.warn(
            f"harness_circuits could not connect to lm-eval ({type(error).__name__}: {error}). "
            f"lm-eval works without it; set {DISABLE_VARIABLE}=1 to silence this.",
            RuntimeWarning,
            stacklevel=2,
        )


def install() -> None:
    """Put the finder first on `sys.meta_path`, once, unless the environment forbids it."""
    if os.environ.get(DISABLE_VARIABLE, "0") not in ("", "0"):
        return
    if not any(isinstance(finder, LmEvalFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, LmEvalFinder())
