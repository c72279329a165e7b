"""Logs of Inspect AI (`.eval` or `.json`) in the form of lm-eval's results, read without Inspect.

eval.metadata.harness_circuits    `config`: as in results of lm-eval (`circuit_section`)
results.scores                    metrics by lm-eval's names
samples                           a score per pair (`pair_scores`), once per epoch
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from harness_circuits.evaluation.curve import AREAS
from harness_circuits.records.eval_archive import Archive
from harness_circuits.records.fields import Fields, ResultFileError, read_json
from harness_circuits.records.pair_scores import is_pair_score, record_of

SECTION = "harness_circuits"  # of a log's metadata
SUFFIX = ".eval"
HEADER, SAMPLES = "header.json", "samples"
LOG_KEYS = {"version", "status", "eval"}


class OtherLogError(ResultFileError):
    """A log of Inspect's, but of no circuit task."""


def is_log(data: Any) -> bool:
    """Whether a JSON file is a log of Inspect's."""
    return isinstance(data, Mapping) and set(data) >= LOG_KEYS


def read_log(path: Path) -> Any:
    """A log without its samples, as JSON; what is in any other JSON file, as it is.

    Raises:
        ResultFileError: It cannot be read.
    """
    if path.suffix != SUFFIX:
        return read_json(path)
    archive = Archive(path)
    if HEADER not in archive:
        raise ResultFileError("the log has no header: its run did not come to an end")
    return archive.json(HEADER)


def as_results(data: Mapping[str, Any]) -> dict[str, Any]:
    """A log as lm-eval's results have it.

    Raises:
        OtherLogError: No circuit task was run.
        ResultFileError: The run did not come to its end, or something is malformed.
    """
    log = Fields(data, "the log")
    spec = log.child("eval")
    section = (spec.data.get("metadata") or {}).get(SECTION)
    if section is None:
        raise OtherLogError("a log of Inspect's, but of no circuit task")
    config = Fields(section, f"metadata.{SECTION}").child("config")
    tasks = config.child("circuit").child("tasks")
    status = log.text("status")
    if status != "success" or log.data.get("invalidated"):
        why = "was invalidated" if status == "success" else f"ended with status {status!r}"
        raise ResultFileError(f"the run {why}: its numbers are not those of all its pairs")
    if len(tasks.data) != 1:
        raise ResultFileError(f"{tasks.where}: a log has one task, got {len(tasks.data)}")
    (task,) = tasks.data
    score = _score(log.child("results"))
    n, expected = score.number("scored_samples"), tasks.child(task).number("n_evaluation")
    if n != expected:
        raise ResultFileError(f"the log scores {n:g} of {expected:g} pairs")
    metrics = score.child("metrics")
    values = {f"{name},none": metrics.child(name).number("value") for name in metrics.data}
    return {
        "date": _seconds(spec.text("created")),
        "config": config.data,
        "results": {task: _with_empty_ends(values)},
    }


def _score(results: Fields) -> Fields:
    """The last score with the metrics of circuits: scoring again may have added one."""
    scores = results.data.get("scores")
    found = [
        score
        for score in (scores if isinstance(scores, list) else [])
        if isinstance(score, dict) and "full_metric" in (score.get("metrics") or {})
    ]
    if not found:
        raise ResultFileError("results.scores: no score has the metrics of circuits")
    return Fields(found[-1], "results.scores")


def _with_empty_ends(values: dict[str, float]) -> dict[str, float | None]:
    """Intervals that a log leaves out, because there are none, are null in results."""
    ends = [f"{name}_ci95_{end},none" for name in AREAS for end in ("low", "high")]
    return {**dict.fromkeys(ends), **values}


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ResultFileError(f"eval: 'created' is no date: {error}") from error


def pair_rows(path: Path) -> list[dict[str, Any]]:
    """Values per pair of a log, in the form of `examples.jsonl`; empty where it has no samples.

    Raises:
        ResultFileError: A sample is malformed.
    """
    rows: dict[int, dict[str, Any]] = {}
    for where, sample in _samples(path):
        scores = sample.get("scores") if isinstance(sample, dict) else None
        for score in (scores if isinstance(scores, dict) else {}).values():
            if not is_pair_score(score):
                continue
            try:
                record = record_of(score["value"], score["metadata"])
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ResultFileError(f"{where} has no pair's score: {error!r}") from error
            rows[record.index] = {
                "index": record.index,
                "full": record.full,
                "empty": record.empty,
                "circuits": {r.value: list(values) for r, values in record.circuits.items()},
                "accuracy": {r.value: list(values) for r, values in record.accuracy.items()},
            }
    return [rows[index] for index in sorted(rows)]


def _samples(path: Path) -> Iterator[tuple[str, Any]]:
    if path.suffix != SUFFIX:
        samples = read_json(path).get("samples") or []
        yield from ((f"samples[{at}]", sample) for at, sample in enumerate(samples))
        return
    archive = Archive(path)
    for name in archive.names(SAMPLES):
        yield name, archive.json(name)
