"""Files that a run leaves beside its results: scores, circuits, values per example.

DIR/<task>/scores.safetensors    scores with provenance
DIR/<task>/scores.json           the same, as EAP-IG and MIB read them
DIR/<task>/circuits.safetensors  kept units per ranking and size
DIR/<task>/view.json             the strongest edges of each circuit, for pages
DIR/<task>/examples.jsonl        metric values per evaluation example, with the pair's text
DIR/<task>/evidence.json         what `evidence=` asked for, as the results file has it
DIR/<task>/SHA256SUMS            their checksums, written last, which reading them checks

EAP-IG has no grouped key/value heads: for edge scores over those there is no `scores.json`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jsonlines

from harness_circuits.circuits.sizes import size_name
from harness_circuits.errors import OptionError
from harness_circuits.evaluation.result import Result
from harness_circuits.evaluation.summary import ExampleRecord
from harness_circuits.formats import (
    CIRCUITS_FILE,
    SCORES_FILE,
    expressible,
    save_circuit_file,
    write_circuits,
    write_scores,
)
from harness_circuits.machine.files import (
    CHECKSUMS,
    check_writable,
    remove,
    sweep_up,
    write_atomically,
    write_checksums,
)
from harness_circuits.machine.outgoing import path_part
from harness_circuits.options.paths import read_path
from harness_circuits.pairs.pair import Pair
from harness_circuits.records.circuit_view import VIEW_FILE, CircuitView
from harness_circuits.records.evidence_file import EVIDENCE_FILE, evidence_bytes


def check_folder(path: str) -> Path:
    """Make sure artifacts can be written, before anything expensive runs.

    Raises:
        OptionError: They cannot.
    """
    folder = read_path(path, "artifacts", "a folder")
    try:
        check_writable(folder)
        sweep_up(folder)
    except OSError as error:
        raise OptionError(f"artifacts={folder}: {error}") from error
    return folder


def write_artifacts(
    folder: Path,
    task: str,
    result: Result,
    records: Iterable[ExampleRecord],
    pairs: Sequence[Pair],
) -> None:
    """Write everything one task found; `records` are in the order of the evaluation pairs."""
    target = folder / path_part(task)
    remove(target / CHECKSUMS)  # of an earlier run: until the new ones are there, none
    written = [CIRCUITS_FILE, VIEW_FILE, "examples.jsonl"]
    if result.scores is not None:
        written.append(write_scores(target / SCORES_FILE, result.scores).name)
        if expressible(result.scores.space):
            written.append(save_circuit_file(target / "scores.json", result.scores).name)
    circuits = {
        f"{curve.ranking}@{size_name(size)}": circuit
        for curve in result.curves
        for size, circuit in zip(curve.values.sizes, curve.circuits, strict=True)
    }
    write_circuits(target / CIRCUITS_FILE, circuits)
    by_size = {
        curve.ranking.value: dict(
            zip(map(size_name, curve.values.sizes), curve.circuits, strict=True)
        )
        for curve in result.curves
    }
    view = CircuitView.of(by_size, result.scores)
    write_atomically(target / VIEW_FILE, view.to_json().encode())
    rows = [_example(record, pair) for record, pair in zip(records, pairs, strict=True)]
    write_atomically(target / "examples.jsonl", _lines(rows))
    remove(target / EVIDENCE_FILE)
    if evidence := result.facts.get("evidence"):
        file = write_atomically(target / EVIDENCE_FILE, evidence_bytes(evidence))
        written.append(file.name)
    write_checksums(target, written)


def _example(record: ExampleRecord, pair: Pair) -> dict[str, Any]:
    return {
        "index": record.index,
        "clean": pair.clean,
        "corrupted": pair.corrupted,
        "correct": [pair.choices[at] for at in pair.correct],
        "incorrect": [pair.choices[at] for at in pair.incorrect],
        "full": record.full,
        "empty": record.empty,
        "circuits": {ranking: list(values) for ranking, values in record.circuits.items()},
        "accuracy": {ranking: list(values) for ranking, values in record.accuracy.items()},
        **({"everywhere": dict(record.everywhere)} if record.everywhere else {}),
    }


def _lines(rows: Iterable[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    with jsonlines.Writer(text) as writer:
        writer.write_all(rows)
    return text.getvalue().encode()
