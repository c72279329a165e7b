"""Results of lm-eval as logs of Inspect: what `harness-circuits export-inspect` writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonlines
from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalMetric,
    EvalResults,
    EvalSample,
    EvalScore,
    EvalSpec,
    EvalStats,
    write_eval_log,
)
from inspect_ai.log._log import EvalScorer
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Score

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evaluation.curve import AREAS
from harness_circuits.evaluation.summary import ExampleRecord, Header
from harness_circuits.inspect.samples import sample_fields
from harness_circuits.inspect.scoring import SCORER
from harness_circuits.inspect.solving import STORED
from harness_circuits.inspect.task_names import short_name
from harness_circuits.inspect.view import CURVES, curve_texts, viewer
from harness_circuits.machine.outgoing import path_part
from harness_circuits.records import checksum
from harness_circuits.records.examples import Examples, NoExamplesError, read_examples
from harness_circuits.records.fields import read_json
from harness_circuits.records.inspect_log import SECTION
from harness_circuits.records.pair_scores import (
    POINT_COLUMNS,
    PairScore,
    explanation,
    pair_score,
    point_name,
)
from harness_circuits.records.run import Run
from harness_circuits.records.whole_model import behaviour_of

METRIC = "circuit_metrics"


def export(run: Run, folder: Path) -> tuple[Path, str]:
    """Write one circuit task of a results file as a log.

    Args:
        run: The task, as it was read.
        folder: Where logs are written.

    Returns:
        The log, and what it lacks; empty where that is nothing.
    """
    data = read_json(run.file)
    facts = data["config"]["circuit"]["tasks"][run.task]
    try:
        examples, lacks = read_examples(run), ""
    except NoExamplesError as error:
        examples, lacks = None, f"no samples: {error}"
    documents = _documents(run)
    if examples is not None and not documents:
        lacks = "no prompts: lm_eval saves them with --log_samples"
    samples = [] if examples is None else list(_samples(run, facts, examples, documents))
    name = f"{_date(run):%Y-%m-%dT%H-%M-%S}-00-00_{path_part(short_name(run.task))}_{_id(run)}.eval"
    folder.mkdir(parents=True, exist_ok=True)
    write_eval_log(_log(run, data, facts, samples), str(folder / name))
    return folder / name, lacks


def _date(run: Run) -> datetime:
    return datetime.fromtimestamp(run.date, UTC)


def _id(run: Run) -> str:
    """What tells a log from those of other runs: the same for the same results."""
    return hashlib.sha256(run.file.read_bytes() + run.task.encode()).hexdigest()[:22]


def _log(
    run: Run, data: Mapping[str, Any], facts: Mapping[str, Any], samples: list[EvalSample]
) -> EvalLog:
    date = _date(run).isoformat()
    circuit = {**data["config"]["circuit"], "tasks": {run.task: facts}}
    circuit.pop(checksum.NAME, None)  # it is of the file that this came from
    metrics = {name: value for name, value in _metrics(run, data, facts) if value is not None}
    score = EvalScore(
        name=SCORER,
        scorer=SCORER,
        scored_samples=run.n_evaluation,
        unscored_samples=0,
        metrics={
            name: EvalMetric(name=name, group=METRIC, value=float(value))
            for name, value in metrics.items()
        },
    )
    spec = EvalSpec(
        created=date,
        eval_id=_id(run),
        run_id=_id(run),
        task_id=_id(run),
        task=f"{SECTION}/{short_name(run.task)}",
        dataset=EvalDataset(name=run.task, samples=run.n_evaluation),
        model=f"circuit/{run.model}",
        config=EvalConfig(),
        scorers=[EvalScorer(name=f"{SECTION}/{SCORER}")],
        packages={name: str(version) for name, version in circuit.get("versions", {}).items()},
        metadata={
            CURVES: curve_texts(facts["curves"]),
            SECTION: {"config": {**data["config"], "circuit": circuit}},
        },
        viewer=viewer(SCORER, tuple(run.curves), next(iter(run.curves.values())).sizes),
    )
    return EvalLog(
        status="success",
        eval=spec,
        results=EvalResults(
            total_samples=run.n_evaluation, completed_samples=run.n_evaluation, scores=[score]
        ),
        stats=EvalStats(started_at=date, completed_at=date),
        samples=samples or None,
    )


def _metrics(
    run: Run, data: Mapping[str, Any], facts: Mapping[str, Any]
) -> Iterator[tuple[str, float | None]]:
    """Metrics in the order of `metrics_of`: areas first."""
    published = {
        name.removesuffix(",none"): value
        for name, value in data["results"][run.task].items()
        if name.endswith(",none") and isinstance(value, (int, float))
    }
    yield from ((name, value) for name, value in published.items() if name.startswith(tuple(AREAS)))
    yield from published.items()
    for ranking, curve in facts["curves"].items():
        for at, size in enumerate(curve["sizes"]):
            for column in POINT_COLUMNS:
                yield point_name(Ranking(ranking), size, column), curve[column][at]


def _documents(run: Run) -> dict[int, dict[str, Any]]:
    """Documents of the task by number, which lm-eval leaves beside the results if asked to."""
    found = {}
    date = run.file.stem.removeprefix("results_")
    for path in sorted(run.file.parent.glob(f"samples_*_{date}.jsonl")):
        if path.name != f"samples_{run.task}_{date}.jsonl":
            continue
        with jsonlines.open(path) as rows:
            found = {int(row["doc_id"]): row for row in rows.iter(type=dict, skip_invalid=True)}
    return found if len(found) == run.n_evaluation else {}


def _samples(
    run: Run, facts: Mapping[str, Any], examples: Examples, documents: Mapping[int, Any]
) -> Iterator[EvalSample]:
    behaviour = behaviour_of(run.metric)
    for record in _records(run, facts, examples, sorted(documents) or range(run.n_evaluation)):
        row = documents.get(record.index, {})
        plain = {name: float(row[name]) for name in ("acc", behaviour) if name in row}
        yield _sample(pair_score(record, plain), row.get("doc") or {}, record.index)


def _sample(score: PairScore, document: Mapping[str, Any], at: int) -> EvalSample:
    if {"clean", "choices", "correct"} <= set(document):
        fields = sample_fields(at, document)
    else:
        fields = {"input": f"pair {at}", "target": "", "id": at + 1, "metadata": {}}
    own = {"values": score.values, "details": score.details}
    text = explanation(score.values, score.details)
    value = Score(value=score.values, explanation=text, metadata=score.details)
    return EvalSample(
        **fields,
        epoch=1,
        scores={SCORER: value},
        store={STORED: json.loads(json.dumps(own))},
        output=ModelOutput(),
    )


def _records(
    run: Run, facts: Mapping[str, Any], examples: Examples, numbers: Sequence[int]
) -> Iterator[ExampleRecord]:
    """Values per pair as the run had them, without those of random circuits, which no run saves."""
    curves = facts["curves"]
    header = Header(
        task=run.task,
        metric=run.metric,
        sizes=next(iter(run.curves.values())).sizes,
        rankings=tuple(run.curves),
        kept={ranking: list(curves[ranking]["kept"]) for ranking in run.curves},
        edges={ranking: list(curves[ranking]["edges"]) for ranking in run.curves},
        iters=int(run.settings.get("bootstrap_iters", 0)),
        seed=int(run.settings.get("seed", 0)),
    )
    first = next(iter(examples.curves.values()))
    for at, number in enumerate(numbers):
        yield ExampleRecord(
            header,
            number,
            float(first.full[at]),
            float(first.empty[at]),
            {r: tuple(values.circuits[:, at].tolist()) for r, values in examples.curves.items()},
            {r: tuple(hits[:, at].tolist()) for r, hits in examples.accuracy.items()},
        )
