"""Files that a run leaves beside its results: scores, circuits, values per example.

DIR/<task>/scores.safetensors    scores with provenance
DIR/<task>/scores.json           the same, as EAP-IG and MIB read them
DIR/<task>/circuits.safetensors  kept units per ranking and size
DIR/<task>/examples.jsonl        metric values per evaluation example
DIR/<task>/SHA256SUMS            their checksums, written last, which reading them checks

EAP-IG has no grouped key/value heads: for edge scores over those there is no `scores.json`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
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
    folder: Path, task: str, result: Result, records: Iterable[ExampleRecord]
) -> None:
    """Write everything one task found."""
    target = folder / path_part(task)
    remove(target / CHECKSUMS)  # of an earlier run: until the new ones are there, none
    written = [CIRCUITS_FILE, "examples.jsonl"]
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
    write_atomically(target / "examples.jsonl", _lines(_example(record) for record in records))
    write_checksums(target, written)


def _example(record: ExampleRecord) -> dict[str, Any]:
    return {
        "index": record.index,
        "full": record.full,
        "empty": record.empty,
        "circuits": {ranking: list(values) for ranking, values in record.circuits.items()},
        "accuracy": {ranking: list(values) for ranking, values in record.accuracy.items()},
    }


def _lines(rows: Iterable[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    with jsonlines.Writer(text) as writer:
        writer.write_all(rows)
    return text.getvalue().encode()
