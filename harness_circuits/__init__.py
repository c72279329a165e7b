"""Benchmark mechanistic circuit discovery inside lm-evaluation-harness.

Importing this package loads neither torch nor transformers: the public names below are imported
when they are first used.
"""

from importlib import import_module

__version__ = "0.2.0"

_HOME = {  # public name: module that defines it
    "MIB_SIZES": "harness_circuits.circuits.sizes",
    "Circuit": "harness_circuits.circuits.circuit",
    "Faithfulness": "harness_circuits.api",
    "Graph": "harness_circuits.circuits.graph",
    "Pair": "harness_circuits.pairs.pair",
    "Scores": "harness_circuits.circuits.scores",
    "aligned": "harness_circuits.api",
    "convert_gguf": "harness_circuits.loading.default_model",
    "default_model_folder": "harness_circuits.loading.default_model",
    "discover": "harness_circuits.api",
    "faithfulness": "harness_circuits.api",
    "load_circuit_file": "harness_circuits.formats",
    "load_model": "harness_circuits.loading.load",
    "make_pairs": "harness_circuits.pairs.pair",
    "pairs_from_docs": "harness_circuits.pairs.pair",
    "pairs_from_frame": "harness_circuits.pairs.pair",
    "register": "harness_circuits.harness.patches",
    "save_circuit_file": "harness_circuits.formats",
    "select": "harness_circuits.api",
    "take_apart": "harness_circuits.loading.load",
    "tasks_folder": "harness_circuits.harness.plugin",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
