"""How well every method finds the circuits that are known, as Markdown tables.

Run it from the repository:

    python -m benchmarks.ground_truth [--level node] [--n-pairs 200] [--methods EAP MAttr]

Methods that learn masks have the options `LEARNING`, and `shapley` has `ORDERS`: fewer than by default.
The tables of edges stand in `docs/ground_truth.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from harness_circuits.attribution import METHODS
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.discovery import Discovery, Setup
from harness_circuits.evaluation.agreement import agreement
from harness_circuits.formats import load_circuit_file
from harness_circuits.ground_truth import GROUND_TRUTH, PREFIX, TRUTH_FILE, ground_truth_folder
from harness_circuits.loading.load import load_model
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.settings import Settings

MEASURES = {
    "auroc": "AUROC (equal scores count one half)",
    "auprc": "AUPRC (average precision)",
    "recall@true_size": "Recall among as many of the highest scores as there are true ones",
}
FIRST = "exact"
LEARNING = {"objective": "match", "steps": 300, "pairs_per_step": 16, "mask_samples": 2}
SMALL_GRAPH = {"learning_rate": 0.1, "sparsity": 0.85, "log_alpha": 3}  # of edge-pruning: 46 edges
ORDERS = {"permutations": 2}


def main() -> None:
    """Print a table per measure: methods in rows, models in columns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--level", choices=("edge", "node"), default="edge")
    parser.add_argument("--methods", nargs="+", help="only these; by default all")
    parser.add_argument("--n-pairs", type=int, default=200, help="pairs that scores are taken from")
    arguments = parser.parse_args()
    methods = arguments.methods or methods_at(arguments.level)
    print("\n".join(tables(arguments.level, arguments.n_pairs, methods)))


def tables(level: str, n_pairs: int, methods: list[str]) -> Iterator[str]:
    """Lines of the tables."""
    found = {name: measures(name, level, methods, n_pairs) for name in GROUND_TRUTH}
    for measure, title in MEASURES.items():
        yield f"{title}, {level}s, {n_pairs} pairs:\n"
        yield f"| method | {' | '.join(f'`{name}`' for name in found)} |"
        yield "|---" * (len(found) + 1) + "|"
        for method in methods:
            cells = (f"{found[name][method][measure]:.3f}" for name in found)
            yield f"| {method} | {' | '.join(cells)} |"
        yield ""


def methods_at(level: str) -> list[str]:
    """All methods that are defined at a level, exact patching first."""
    names = [name for name in METHODS if level in METHODS.get(name).levels]
    return sorted(names, key=lambda name: name != FIRST)


def learning(method: str) -> dict[str, Any]:
    """Options that learn for fewer steps, with one loss for all, or walk fewer orders than by default."""
    chosen = LEARNING | (SMALL_GRAPH if method == "edge-pruning" else {})
    chosen = chosen if METHODS.get(method).learned else ORDERS
    return {name: value for name, value in chosen.items() if name in METHODS.get(method).options}


def measures(
    name: str, level: str, methods: list[str], n_pairs: int
) -> dict[str, dict[str, float]]:
    """Agreement of every method's scores with a model's true circuit, in float32."""
    model = load_model(f"{PREFIX}{name}", device="cpu")
    truth = load_circuit_file(ground_truth_folder(name) / TRUTH_FILE, model.graph)
    assert isinstance(truth, Circuit)
    pairs = pairs_from_docs(GROUND_TRUTH[name].documents(n_pairs), name)
    found = {}
    for method in methods:
        settings = Settings.from_arguments(
            {"method": method, "level": level, "sizes": 1.0, "bootstrap_iters": 0}
            | learning(method)
        )
        scores = Discovery.on(Setup(model, settings), pairs).scores()
        found[method] = agreement(scores, truth)
    return found


if __name__ == "__main__":
    main()
