"""The IOI circuit of SmolLM2 on ordinary multiple-choice tasks: the numbers of docs/any_benchmark.md.

Usage: python -m benchmarks.ioi_circuit_elsewhere [FOLDER]

Discovers the circuit (EAP-IG-inputs, 64 pairs), writes IOI and country capitals as ordinary
lm-eval tasks into FOLDER, and prints their accuracy against size as Markdown: for the circuits, for
the model without them, and for the model without as many edges at random.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from harness_circuits.circuits.sizes import size_name
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.task_lookup import find_task

SIZES = (0.05, 0.2, 0.5, 1)
SOURCES = ("ioi_circuit", "country_capital_circuit")
N_DOCUMENTS = 100
YAML = """task: plain_{name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {path}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: choices
doc_to_target: label
target_delimiter: ""
"""


def write_task(folder: Path, source: str) -> str:
    """Write a circuit task's clean prompts as a task of two choices that knows no pairs."""
    task = find_task(source, {})
    path = folder / f"{source}.jsonl"
    with path.open("w") as file:
        for doc in list(task.test_docs())[:N_DOCUMENTS]:
            choices = [doc["choices"][doc["correct"][0]], doc["choices"][doc["incorrect"][0]]]
            row = {"question": doc["clean"], "choices": choices, "label": 0}
            file.write(json.dumps(row) + "\n")
    name = source.removesuffix("_circuit")
    (folder / f"plain_{name}.yaml").write_text(YAML.format(name=name, path=path))
    return f"plain_{name}"


def curve(lm: CircuitLM, tasks: list[str], folder: Path) -> dict[str, Any]:
    """All results of one run on the grid."""
    manager = TaskManager(include_defaults=False, include_path=str(folder))
    results = simple_evaluate(
        model=lm, tasks=tasks, task_manager=manager, bootstrap_iters=0, log_samples=False
    )
    assert results is not None
    found: dict[str, Any] = results
    return found


def main() -> None:
    """Run both grids and print them."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    shared: dict[str, Any] = {"ablation": "mean", "sizes": SIZES, "batch_size": 20}
    found_here = {"circuit": "discover:ioi_circuit", "n_discovery": 64, **shared}
    lm = CircuitLM(**found_here, artifacts=str(folder))
    tasks = [write_task(folder, source) for source in SOURCES]  # for the model's tokenizer
    found = {"the circuit": curve(lm, tasks, folder)}
    scores = folder / "ioi_circuit" / "scores.safetensors"
    removed = {
        "without the circuit": {**found_here, "circuit": str(scores)},
        "without random edges": {**found_here, "method": "random"},
    }
    for name, arguments in removed.items():
        without = lm.with_arguments(**arguments, complement=True)
        found[name] = curve(without, tasks, folder)
    print("| | " + " | ".join(map(size_name, SIZES)) + " |")
    print("|---" * (len(SIZES) + 1) + "|")
    points = found["the circuit"]["config"]["circuit"]["ordinary_tasks"]["circuits"]
    print("| edges kept | " + " | ".join(f"{point['edges']:.0f}" for point in points) + " |")
    for task in tasks:
        for what, results in found.items():
            row = results["results"][task]
            cells = [f"{row[f'acc@{size_name(size)},none']:.2f}" for size in SIZES]
            print(f"| {task}, {what} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
