"""Results files of lm-eval as typed records: one `Run` per circuit task of a file.

Reading is strict. A file that is broken, or not of a `--model circuit` run, is refused with a message
that names file, field and value; `read_results` collects these refusals and goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import check_sizes
from harness_circuits.errors import CircuitError
from harness_circuits.evaluation.curve import AREAS
from harness_circuits.records.fields import Fields, ResultFileError, read_json
from harness_circuits.statistics.bootstrap import Interval

RANKINGS = tuple(ranking.value for ranking in Ranking)
EXAMPLES_FILE = "examples.jsonl"


@dataclass(frozen=True)
class CurveRecord:
    """A published faithfulness curve; all tuples have one entry per size.

    Attributes:
        sizes: Requested sizes, fractions of all units, ascending.
        points: Faithfulness with its 95% interval.
        accuracy: Accuracy of each circuit.
        kept: Units kept after pruning.
        edges: Edges kept, weighted by kept neurons.
    """

    sizes: tuple[float, ...]
    points: tuple[Interval, ...]
    accuracy: tuple[float, ...]
    kept: tuple[float, ...]
    edges: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """One task of one results file.

    Attributes:
        file: The file.
        date: When the run started, seconds since 1970.
        task: Name of the task.
        model: Name of the model.
        model_details: Revision, dtype and graph: with the name, which model this was.
        settings: Method, level, ablation, selection and all other options of the run. Where a
            given file was evaluated, the method names it.
        areas: CPR, CMD and log-axis CMD, as far as the run has them.
        curves: By ranking.
        metric: Name of the task metric.
        accuracy: How often the whole model answers right, and how often guessing would; None in
            files of earlier versions.
        n_discovery: Training pairs used.
        n_evaluation: Evaluation pairs.
        evaluation_pairs: Fingerprint of the evaluation pairs.
        discovery_seconds: Time of discovery.
        evaluation_seconds: Time of evaluation.
        peak_bytes: Peak memory of discovery and evaluation beside the model; None if not measured.
        artifacts: Folder that scores and values per example were written to, as it was given.
    """

    file: Path
    date: float
    task: str
    model: str
    model_details: Mapping[str, Any]
    settings: Mapping[str, Any]
    areas: Mapping[str, Interval]
    curves: Mapping[Ranking, CurveRecord]
    metric: str
    accuracy: tuple[Interval, float] | None
    n_discovery: int
    n_evaluation: int
    evaluation_pairs: str
    discovery_seconds: float
    evaluation_seconds: float
    peak_bytes: float | None
    artifacts: str | None

    @property
    def seconds(self) -> float:
        """Discovery and evaluation, without loading the model."""
        return self.discovery_seconds + self.evaluation_seconds

    @property
    def configuration(self) -> str:
        """Settings and details of the model as text: equal for repetitions of one run."""
        return json.dumps([dict(self.settings), dict(self.model_details)], sort_keys=True)

    @property
    def label(self) -> str:
        """Task, model and method for messages."""
        return f"{self.task} on {self.model} by {self.settings['method']}"


class ForeignFileError(ResultFileError):
    """A file is JSON, but no results file of `--model circuit`."""


@dataclass(frozen=True)
class Reading:
    """What a set of files held.

    Attributes:
        runs: In the order of files and tasks.
        skipped: Files that were refused, with the reason.
        damaged: Those of them that are not just something else, such as results of other models.
    """

    runs: tuple[Run, ...]
    skipped: tuple[tuple[Path, str], ...]
    damaged: tuple[Path, ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """A line for each file that was refused, and one with counts; nothing if none was."""
        if not self.skipped:
            return ()
        used = len({run.file for run in self.runs})
        lines = (f"skipped {path}: {reason}" for path, reason in self.skipped)
        return (*lines, f"{len(self.skipped)} files skipped, {used} used")


def read_results(paths: Iterable[str | Path]) -> Reading:
    """Read files, and all `.json` files below folders, other than those of artifacts.

    Args:
        paths: Files and folders.

    Raises:
        ResultFileError: A path does not exist.
    """
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise ResultFileError(f"There is no file or folder {path}.")
        files |= dict.fromkeys(_below(path) if path.is_dir() else [path])
    runs: list[Run] = []
    skipped: list[tuple[Path, str]] = []
    damaged: list[Path] = []
    for file in files:
        try:
            runs += read_results_file(file)
        except ResultFileError as error:
            skipped.append((file, str(error)))
            damaged += [] if isinstance(error, ForeignFileError) else [file]
    return Reading(tuple(runs), tuple(skipped), tuple(damaged))


def read_runs(paths: Sequence[str | Path]) -> Reading:
    """Read results, of which there must be some.

    Raises:
        ResultFileError: A path does not exist, or no file is usable.
    """
    reading = read_results(paths)
    if not reading.runs:
        raise ResultFileError(
            f"No results of --model circuit in {', '.join(map(str, paths))}"
            f"{'; '.join(['', *reading.left_out])}. Write some with lm_eval --model circuit "
            "--output_path FOLDER."
        )
    return reading


def _below(folder: Path) -> list[Path]:
    """JSON files, without the scores and circuits that runs leave beside `examples.jsonl`."""
    files = sorted(folder.rglob("*.json"))
    return [file for file in files if not (file.parent / EXAMPLES_FILE).exists()]


def read_results_file(path: Path) -> tuple[Run, ...]:
    """Read one file.

    Raises:
        ForeignFileError: It is not a results file of `--model circuit`.
        ResultFileError: It is damaged.
    """
    data = read_json(path)
    top = Fields(data, "the file")
    if not isinstance(data, dict) or "results" not in data or "config" not in data:
        raise ForeignFileError("not a results file of lm-eval: no `results` and `config` in it")
    config = top.child("config")
    if "circuit" not in config.data:
        raise ForeignFileError("a results file of lm-eval, but not of --model circuit")
    tasks = config.child("circuit").child("tasks")
    if not tasks.data:
        raise ForeignFileError("no circuit task was run")
    return tuple(_run(path, top, task) for task in tasks.data)


def _run(path: Path, top: Fields, task: str) -> Run:
    config = top.child("config")
    circuit = config.child("circuit")
    facts = circuit.child("tasks").child(task)
    curves = facts.child("curves")
    return Run(
        file=path,
        date=top.number("date"),
        task=task,
        model=circuit.text("model"),
        model_details={
            "revision": config.text("model_revision"),
            "dtype": config.text("model_dtype"),
            "graph": dict(circuit.child("graph").data),
        },
        settings=_settings(circuit),
        areas=_areas(top.child("results").child(task)),
        curves={Ranking(name): _curve(curves.child(name)) for name in curves.keys(RANKINGS)},
        metric=facts.text("metric"),
        accuracy=_accuracy(facts),
        n_discovery=int(facts.number("n_discovery")),
        n_evaluation=int(facts.number("n_evaluation")),
        evaluation_pairs=facts.text("evaluation_pairs"),
        discovery_seconds=facts.number("discovery_seconds"),
        evaluation_seconds=facts.number("evaluation_seconds"),
        peak_bytes=_peak(facts),
        artifacts=circuit.text("artifacts") if circuit.data.get("artifacts") else None,
    )


def _accuracy(facts: Fields) -> tuple[Interval, float] | None:
    if "accuracy" not in facts.data:
        return None
    found = facts.child("accuracy")
    return found.interval("value", "low", "high"), found.number("chance")


def _peak(facts: Fields) -> float | None:
    """The larger peak of the two stages; files of earlier versions have none."""
    names = [f"{stage}_peak_bytes" for stage in ("discovery", "evaluation")]
    if any(facts.data.get(name) is None for name in names):
        return None
    return max(map(facts.number, names))


def _settings(circuit: Fields) -> dict[str, Any]:
    """Settings; where a file was evaluated, the method says so and its hash is among them."""
    settings = circuit.child("settings")
    result = dict(settings.data)
    if circuit.data.get("given") is not None:
        given = circuit.child("given")
        file, sha256 = Path(given.text("file")).name, given.text("sha256")
        result |= {"method": f"{given.text('kind')} from {file}", "given_sha256": sha256}
    else:
        settings.text("method")
    for name in ("level", "ablation", "selection"):
        settings.text(name)
    return result


def _areas(results: Fields) -> dict[str, Interval]:
    """CPR, CMD and log-axis CMD; a run at a single size has none, one ranking alone has its own."""
    return {
        name: results.interval(f"{name},none", f"{name}_ci95_low,none", f"{name}_ci95_high,none")
        for name in AREAS
        if f"{name},none" in results.data
    }


def _curve(fields: Fields) -> CurveRecord:
    sizes = fields.numbers("sizes")
    try:
        check_sizes(sizes)
    except CircuitError as error:
        raise ResultFileError(f"{fields.where}: {error}") from error
    columns = {
        name: fields.numbers(name, len(sizes))
        for name in ("faithfulness", "ci95_low", "ci95_high", "accuracy", "kept", "edges")
    }
    low, high = columns["ci95_low"], columns["ci95_high"]
    points = zip(columns["faithfulness"], low, high, strict=True)
    return CurveRecord(
        sizes,
        tuple(fields.ordered(*point) for point in points),
        columns["accuracy"],
        columns["kept"],
        columns["edges"],
    )
