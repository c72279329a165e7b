"""Benchmark mechanistic circuit discovery inside lm-evaluation-harness.

Importing this package loads neither torch nor transformers: the public names below are imported
when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors
    from harness_circuits.api import aligned, discover, faithfulness, select, transfer
    from harness_circuits.circuits.circuit import Circuit
    from harness_circuits.circuits.graph import Graph
    from harness_circuits.circuits.scores import Scores
    from harness_circuits.circuits.sizes import MIB_SIZES
    from harness_circuits.formats import load_circuit_file, save_circuit_file
    from harness_circuits.harness.patches import register
    from harness_circuits.harness.plugin import tasks_folder
    from harness_circuits.loading.default_model import convert_gguf, default_model_folder
    from harness_circuits.loading.load import load_model, take_apart
    from harness_circuits.pairs.pair import Pair, make_pairs, pairs_from_docs, pairs_from_frame
    from harness_circuits.report.findings import Faithfulness

__version__ = "0.2.0"

_HOME = {  # public name: module that defines it
    "MIB_SIZES": "harness_circuits.circuits.sizes",
    "Circuit": "harness_circuits.circuits.circuit",
    "Faithfulness": "harness_circuits.report.findings",
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
    "transfer": "harness_circuits.api",
}

__all__ = [
    "MIB_SIZES",
    "Circuit",
    "Faithfulness",
    "Graph",
    "Pair",
    "Scores",
    "__version__",
    "aligned",
    "convert_gguf",
    "default_model_folder",
    "discover",
    "faithfulness",
    "load_circuit_file",
    "load_model",
    "make_pairs",
    "pairs_from_docs",
    "pairs_from_frame",
    "register",
    "save_circuit_file",
    "select",
    "take_apart",
    "tasks_folder",
    "transfer",
]


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
