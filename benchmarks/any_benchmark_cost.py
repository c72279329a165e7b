"""CPU time of an edge circuit against `--model hf`, on SmolLM2, in one process and in turns.

Usage: OMP_NUM_THREADS=1 python -m benchmarks.any_benchmark_cost

Both are lm-eval's HuggingFace model and answer the same calls: scoring (a batch of 4 texts of 64
tokens), and generation (8 tokens after each, one by one with the key/value cache). The circuits are
random ones, which leave no head or MLP out, and one found by EAP on 20 pairs of IOI. Prints the
ratio of the smallest times of several rounds, as a Markdown table.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from lm_eval.models.huggingface import HFLM

from benchmarks.measure import interleaved
from harness_circuits.api import discover, select
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.harness.task import CircuitTask
from harness_circuits.harness.task_lookup import find_task
from harness_circuits.loading.load import load_model
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.passes.native import zero_outputs
from harness_circuits.task_data.scorer import Scorer

BATCH, LENGTH, NEW, ROUNDS = 4, 64, 8, 3


def circuits(model: CircuitModel) -> dict[str, Circuit]:
    """The circuits to measure, by name."""
    space = ScoreSpace(model.graph)
    order = np.random.default_rng(0).random(space.shape)
    found = {
        f"random, {size:.0%}": Circuit(space, space.real & (order < size))
        for size in (0.05, 0.2, 0.5)
    }
    task = find_task("ioi_circuit", {})
    assert isinstance(task, CircuitTask)
    task.score_by(Scorer(model.reader))
    pairs = pairs_from_docs(task.training_docs(), "ioi_circuit")
    scores = discover(model, pairs[:20], method="EAP")
    chosen = select(scores, sizes=(0.05,))
    return found | {f"IOI (EAP), {size:.0%}": c for size, c in chosen.items()}


def calls(model: CircuitModel, circuit: InstalledCircuit | None) -> dict[str, partial[None]]:
    """Scoring and generation, by lm-eval's own methods."""
    lm = HFLM(pretrained=model.hf, tokenizer=model.tokenizer)
    ids = torch.randint(1000, 20000, (BATCH, LENGTH), generator=torch.Generator().manual_seed(0))

    def run(generate: bool) -> None:
        if generate:
            # `eos_token_id` keeps every run at the same number of tokens.
            lm._model_generate(ids, LENGTH + NEW, [], eos_token_id=None)
        else:
            lm._model_call(ids)

    def installed(generate: bool) -> None:
        assert circuit is not None
        with circuit.installed():
            run(generate)

    function = run if circuit is None else installed
    return {"scoring": partial(function, False), "generation": partial(function, True)}


def main() -> None:
    """Print the ratios."""
    model = load_model()
    plain = calls(model, None)
    stages = {("full", kind): call for kind, call in plain.items()}
    for name, circuit in circuits(model).items():
        own = calls(model, InstalledCircuit(model, circuit, zero_outputs(model, 1)))
        stages |= {(name, kind): call for kind, call in own.items()}
    times = interleaved({"|".join(key): call for key, call in stages.items()}, ROUNDS)
    print("| circuit | scoring | generation |\n|---|---|---|")
    for name in dict.fromkeys(name for name, _ in stages):
        cells = []
        for kind, tokens in (("scoring", BATCH * LENGTH), ("generation", BATCH * NEW)):
            seconds, full = times[f"{name}|{kind}"]["cpu"], times[f"full|{kind}"]["cpu"]
            cells.append(f"{seconds / full:.2f} ({seconds / tokens * 1e3:.1f} ms per token)")
        print(f"| {name} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
