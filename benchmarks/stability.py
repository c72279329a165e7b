"""How much of a ranking is found again on other pairs, method by method, as a Markdown table.

    python -m benchmarks.stability [--pairs 100] [--model NAME] [--methods EAP CEAP,ig_rule=midpoint]

Scores of a task's training pairs are kept in groups, groups are drawn again with replacement, and the
top-n units of all draws are compared: the mean Jaccard index of two draws, corrected for what random
sets of n of N units have in common, (J - J0) / (1 - J0) with J0 = n / (2 N - n). Nothing is evaluated.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import harness_circuits as hc
from benchmarks.task_accuracy import load
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.evaluation.stability import stability
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair, pairs_from_docs
from harness_circuits.report.markdown import markdown_table
from harness_circuits.task_data.scorer import Scorer

SIZES = (0.001, 0.01, 0.05, 0.1)
RESAMPLES, GROUPS = 100, 50
METHODS = (
    "EAP",
    "EAP-IG-inputs",
    "CEAP",
    "EAP-IG-inputs,ig_rule=midpoint",
    "CEAP,ig_rule=midpoint",
)


def corrected(scores: Scores, ranking: Ranking) -> list[float]:
    """The index of every size."""
    n_units = scores.space.n_units
    counts = [scores.space.n_at(size) for size in SIZES]
    chance = [n / (2 * n_units - n) for n in counts]
    found = stability(scores, counts, RESAMPLES, 0, ranking=ranking)
    return [(j - j0) / (1 - j0) for j, j0 in zip(found, chance, strict=True)]


def rows(model: CircuitModel, pairs: list[Pair], methods: list[str]) -> Iterator[tuple[str, ...]]:
    """A row per method and ranking."""
    for text in methods:
        name, *options = text.split(",")
        given = dict(option.split("=") for option in options)
        started = time.perf_counter()
        scores = hc.discover(model, pairs, method=name, keep_samples=GROUPS, **given)
        seconds = time.perf_counter() - started
        for ranking in Ranking:
            numbers = [f"{x:.3f}" for x in corrected(scores, ranking)]
            yield text, str(ranking), *numbers, f"{seconds:.0f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100, help="training pairs (100)")
    parser.add_argument("--task", default="ioi_circuit", help="a task with pairs (ioi_circuit)")
    parser.add_argument("--model", help="a folder or hub id; by default the default model")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="NAME[,option=value]")
    given = parser.parse_args()
    model = hc.load_model(given.model, device="cpu") if given.model else hc.load_model(device="cpu")
    task = load(given.task)
    assert model.reader is not None
    task.score_by(Scorer(model.reader))
    pairs = pairs_from_docs(list(task.training_docs())[: given.pairs], given.task)
    head = ("method", "ranking", *map(str, SIZES), "seconds")
    print(markdown_table(head, list(rows(model, pairs, given.methods)), 2))


if __name__ == "__main__":
    main()
