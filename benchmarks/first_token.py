"""What a first token before every prompt does to the default model's IOI, as a Markdown table.

    python -m benchmarks.first_token [--pairs 24]

EAP-IG and MIB put one before every prompt (BOS, else EOS), this package only where the tokenizer does
so by itself. Circuits are found by EAP on training pairs and evaluated by patching on test pairs, each
with and without the token, so that the rows that mix both say what reading a file of theirs without it
costs. Everything else is the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from scipy.stats import spearmanr

import harness_circuits as hc
from benchmarks.task_accuracy import load
from harness_circuits.loading.load import take_apart
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair, pairs_from_docs
from harness_circuits.report.markdown import markdown_table
from harness_circuits.task_data.scorer import Scorer

TASK, SIZE = "ioi_circuit", 0.01
HEAD = ("circuit found", "evaluated", "logit difference", f"faithfulness@{SIZE}")


def with_and_without(model: CircuitModel) -> dict[str, CircuitModel]:
    """The same weights, read without and with a first token."""
    assert model.reader is not None
    assert model.reader.first_token() is None, "this tokenizer puts one by itself"
    first = take_apart(model.hf, model.reader.with_first_token(), name=model.name)
    return {"without": model, "with": first}


def table(models: dict[str, CircuitModel], train: list[Pair], test: list[Pair]) -> Iterator[str]:
    """The table, and how the scores agree."""
    scores = {name: hc.discover(model, train, method="EAP") for name, model in models.items()}
    rows = []
    for found, own in scores.items():
        circuits = hc.select(own, sizes=(SIZE,), ranking="absolute")
        for evaluated, model in models.items():
            result = hc.faithfulness(model, test, circuits, bootstrap_iters=100).metrics
            numbers = (result["full_metric"], result[f"faithfulness@{SIZE}"])
            rows.append((found, evaluated, *(f"{number:.3f}" for number in numbers)))
    yield markdown_table(HEAD, rows, 2)
    real = scores["with"].space.real
    values = [np.abs(own.values[real]) for own in scores.values()]
    yield f"Spearman of the scores with and without: {spearmanr(*values).statistic:.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=24, help="training and test pairs (24)")
    n_pairs = parser.parse_args().pairs
    model = hc.load_model(device="cpu")
    task = load(TASK)
    assert model.reader is not None
    task.score_by(Scorer(model.reader))
    train, test = (
        pairs_from_docs(list(docs)[:n_pairs], TASK)
        for docs in (task.training_docs(), task.test_docs())
    )
    for line in table(with_and_without(model), train, test):
        print(line)


if __name__ == "__main__":
    main()
