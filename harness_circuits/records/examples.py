"""Metric values per example that a run left in its artifacts, found again and checked.

`artifacts` in a results file is the folder as it was given to the run. It is looked for from the
current folder and from every folder above the results file, and under its last name beside the
file. Values are used only if the published curves follow from them: a later run may have written to
the same folder. A log of Inspect's has them in its samples.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonlines
import numpy as np
from jaxtyping import Float

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.errors import CircuitError, shown
from harness_circuits.evaluation.curve import CurveValues
from harness_circuits.machine.files import ChecksumError
from harness_circuits.machine.outgoing import path_part
from harness_circuits.machine.packed import read_stored
from harness_circuits.records.fields import ResultFileError
from harness_circuits.records.inspect_log import pair_rows
from harness_circuits.records.results_file import EXAMPLES_FILE
from harness_circuits.records.run import Run

TOLERANCE = 1e-6


class NoExamplesError(CircuitError):
    """A run's values per example are not there, or not this run's."""


@dataclass(frozen=True)
class Examples:
    """Values of one run per evaluation example.

    Attributes:
        folder: Where they were, with scores and circuits beside them.
        curves: Metric values by ranking.
        accuracy: By ranking, 1 where the circuit of a size chose right: [size, example].
    """

    folder: Path
    curves: dict[Ranking, CurveValues]
    accuracy: dict[Ranking, Float[np.ndarray, "size example"]]


def artifact_folders(run: Run) -> Iterator[Path]:
    """Existing folders that may hold the artifacts of a run's task, the likeliest first."""
    if run.artifacts is None:
        return
    name = path_part(run.task)  # a task's name is no way out of its folder
    given = Path(run.artifacts).expanduser()
    above = run.file.resolve().parents
    candidates = [given, *(folder / given for folder in above), above[0] / given.name]
    for folder in dict.fromkeys(candidates):
        if (folder / name).is_dir():
            yield folder / name


def read_examples(run: Run) -> Examples:
    """Find a run's values per example.

    Raises:
        NoExamplesError: There are none, or they are not those behind the published curves.
    """
    if not run.in_log:
        return _of_artifacts(run)
    try:
        return _of_artifacts(run)  # which have circuits beside the values, to be drawn
    except NoExamplesError:
        return _checked(run.file, _log_rows(run), run)


def _of_artifacts(run: Run) -> Examples:
    if run.artifacts is None:
        raise NoExamplesError("the run saved no artifacts (artifacts=FOLDER in --model_args)")
    reason = f"its artifacts folder {run.artifacts} is not there"
    try:
        folders = list(artifact_folders(run))
    except (OSError, RuntimeError) as error:  # a name too long, or of an unknown user's home
        raise NoExamplesError(f"its artifacts folder cannot be looked for: {error}") from error
    for folder in folders:
        try:
            return _read(folder / EXAMPLES_FILE, run)
        except NoExamplesError as error:
            reason = str(error)
    raise NoExamplesError(reason)


def example_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of values per example, as it is or gzipped, by the number of the example.

    Raises:
        ChecksumError: It was changed.
        OSError: It cannot be read.
        ValueError: It is no text, or a line is no JSON object (`jsonlines.Error`).
        KeyError: A row has no number.
    """
    with jsonlines.Reader(io.StringIO(read_stored(path))) as reader:
        rows = list(reader.iter(type=dict))
    return sorted(rows, key=lambda row: int(row["index"]))


def _read(path: Path, run: Run) -> Examples:
    try:
        rows = example_rows(path)
    except ChecksumError as error:
        raise NoExamplesError(str(error)) from error
    except OSError as error:
        raise NoExamplesError(f"{path} is not readable: {error.strerror}") from error
    except (jsonlines.Error, ValueError, KeyError, TypeError) as error:
        raise NoExamplesError(f"{path} is malformed: {shown(error)}") from error
    return _checked(path, rows, run)


def _log_rows(run: Run) -> list[dict[str, Any]]:
    try:
        rows = pair_rows(run.file)
    except ResultFileError as error:
        raise NoExamplesError(f"{run.file}: {error}") from error
    if not rows:
        raise NoExamplesError(f"{run.file} was written without its samples")
    return rows


def _checked(path: Path, rows: list[dict[str, Any]], run: Run) -> Examples:
    """The examples of some rows, if they are those behind the published curves."""
    try:
        examples = _examples(path.parent, rows, run)
    except (ValueError, KeyError, TypeError) as error:
        raise NoExamplesError(f"{path} is malformed: {shown(error)}") from error
    uniform = np.full(len(rows), 1 / len(rows))
    for ranking, values in examples.curves.items():
        published = [point.value for point in run.curves[ranking].points]
        if not np.allclose(values.faithfulness(uniform), published, rtol=TOLERANCE, atol=TOLERANCE):
            raise NoExamplesError(f"{path} holds the values of another run")
    return examples


def _examples(folder: Path, rows: list[dict[str, Any]], run: Run) -> Examples:
    n = len(rows)
    full, empty = (np.array([row[name] for row in rows], dtype=float) for name in ("full", "empty"))
    curves, accuracy = {}, {}
    for ranking, curve in run.curves.items():
        shape = (len(curve.sizes), n)
        values, hits = (
            np.array([row[name][ranking] for row in rows], dtype=float).T
            for name in ("circuits", "accuracy")
        )
        if n != run.n_evaluation or values.shape != shape or hits.shape != shape:
            raise ValueError(
                f"{n} rows of {len(values)} values, not {run.n_evaluation} of {shape[0]}"
            )
        curves[ranking] = CurveValues(curve.sizes, full, empty, values)
        accuracy[ranking] = hits
    return Examples(folder, curves, accuracy)
