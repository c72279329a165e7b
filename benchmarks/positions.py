"""What spans are worth: circuits over spans against circuits without, of as many kept contributions.

    python -m benchmarks.positions [--pairs 24] [--tasks ioi_circuit] [--artifacts out] [--crossing]

Circuits are found on training pairs and evaluated by patching on as many test pairs of the default model;
both kinds come from the same scores, summed over spans for the second. Areas are over the sizes shown, by
|score|; p-values are those of exchanging the two kinds' values of pairs, adjusted for a task's two areas.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import harness_circuits as hc
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.commands.check_task import build_task, find_task
from harness_circuits.evaluation.curve import area_statistics, columns, curve_statistics
from harness_circuits.evaluation.result import Curve, Result, example_records
from harness_circuits.evaluation.summary import summarise, table
from harness_circuits.experiment import Experiment
from harness_circuits.harness.circuit_argument import scorer_in_force
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair, pairs_from_docs
from harness_circuits.records.artifacts import write_artifacts
from harness_circuits.report.markdown import markdown_table
from harness_circuits.settings import Settings
from harness_circuits.statistics.differences import paired_differences

TASKS = ("ioi_circuit", "greater_than_circuit", "sva_circuit", "docstring_circuit")
SIZES = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0)
HEAD = ("task", "spans", "area", "over spans", "without", "difference (95% interval)", "p")


def run(
    model: CircuitModel, name: str, n_pairs: int, options: dict[str, Any]
) -> tuple[Result, list[Pair]]:
    """Discover and evaluate one task over spans: what was found, and the evaluation pairs."""
    arguments = {"positions": "spans", "ranking": "absolute", "sizes": list(SIZES), **options}
    settings = Settings.from_arguments(arguments)
    counts = {"n_train": n_pairs, "n_validation": 0, "n_test": n_pairs}
    metadata = {**counts, **({"corruption": "random-names"} if name == "ioi_circuit" else {})}
    task = build_task(name, find_task(name, (), metadata))
    task.score_by(scorer_in_force(model, settings))
    train = pairs_from_docs(task.training_docs(), name)
    test = pairs_from_docs(task.eval_docs, name)
    found = Experiment(model, settings, train, test, task_metric=task.metric, task=name).run()
    return found, test


def rows(result: Result) -> Iterator[tuple[str, ...]]:
    """A row per area."""
    (curve,) = result.curves
    assert curve.plain is not None and result.scores is not None
    assert result.scores.space.spans is not None
    spans, plain = curve.values, _without(curve)
    own = list(area_statistics(Ranking.ABSOLUTE, spans.sizes).items())
    statistics = curve_statistics([spans.sizes], [(0, statistic) for _, statistic in own])
    found = paired_differences(columns([plain]), columns([spans]), statistics)
    values = [statistics(columns([each]).mean(1)[None])[0] for each in (spans, plain)]
    for at, (name, _) in enumerate(own):
        one = found[at].estimate
        yield (
            result.task.removesuffix("_circuit"),
            str(len(result.scores.space.spans)),
            name,
            f"{values[0][at]:.3f}",
            f"{values[1][at]:.3f}",
            f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})",
            f"{found[at].adjusted_p:.2g}",
        )


def _without(curve: Curve) -> Any:
    return replace(curve.values, circuits=np.asarray(curve.plain))


def main() -> None:
    """Print what was found of each task, and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=24, help="training and test pairs (24)")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--method", default="EAP-IG-inputs")
    parser.add_argument("--crossing", action="store_true", help="crossing edges as units too")
    parser.add_argument("--artifacts", type=Path, help="folder for scores and circuits")
    options = parser.parse_args()
    model, lines = hc.load_model(device="cpu"), list[tuple[str, ...]]()
    for name in options.tasks:
        chosen = {"method": options.method, "crossing": options.crossing}
        result, pairs = run(model, name, options.pairs, chosen)
        records = example_records(result, range(len(result.examples.indices)), iters=1000, seed=0)
        print(name, table(summarise(list(records.values()))), "", sep="\n", flush=True)
        if options.artifacts is not None:
            write_artifacts(options.artifacts, name, result, records.values(), pairs)
        lines += rows(result)
        print(markdown_table(HEAD, lines, 1), flush=True)


if __name__ == "__main__":
    main()
