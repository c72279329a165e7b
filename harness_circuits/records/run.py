"""One circuit task of one results file, as reports see it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.records.weights import Weights, shortest_names
from harness_circuits.statistics.bootstrap import Interval


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
        model: Name of the model, or one that `tell_apart` has given it.
        weights: Which model that was.
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
        discovery_pairs: Fingerprint of the training pairs; empty where the file does not say.
        discovery_seconds: Time of discovery.
        evaluation_seconds: Time of evaluation.
        peak_bytes: Peak memory of discovery and evaluation beside the model; None if not measured.
        whole_model: Published numbers of the whole model by name (`whole_model`).
        evidence: By kind of evidence, what the file has, its lines of text as `summary`.
        artifacts: Folder that scores and values per example were written to, as it was given.
        in_log: Whether the file is a log of Inspect's, which has values per example itself.
    """

    file: Path
    date: float
    task: str
    model: str
    weights: Weights
    model_details: Mapping[str, Any]
    settings: Mapping[str, Any]
    areas: Mapping[str, Interval]
    curves: Mapping[Ranking, CurveRecord]
    metric: str
    accuracy: tuple[Interval, float] | None
    n_discovery: int
    n_evaluation: int
    evaluation_pairs: str
    discovery_pairs: str
    discovery_seconds: float
    evaluation_seconds: float
    peak_bytes: float | None
    whole_model: Mapping[str, float]
    artifacts: str | None
    evidence: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    in_log: bool = False

    @property
    def seconds(self) -> float:
        """Discovery and evaluation, without loading the model."""
        return self.discovery_seconds + self.evaluation_seconds

    @property
    def at_chance(self) -> bool:
        """Whether the whole model may be guessing, so that its circuits say nothing."""
        return self.accuracy is not None and self.accuracy[0].low <= self.accuracy[1]

    @property
    def evaluated_on(self) -> tuple[int, str]:
        """How many pairs it was evaluated on, and which."""
        return self.n_evaluation, self.evaluation_pairs

    @property
    def pairs(self) -> tuple[tuple[int, str], str]:
        """Pairs it was evaluated on, and which it was trained on."""
        return self.evaluated_on, self.discovery_pairs

    @property
    def configuration(self) -> str:
        """Settings and details of the model as text: equal for repetitions of one run."""
        return json.dumps([dict(self.settings), dict(self.model_details)], sort_keys=True)

    @property
    def label(self) -> str:
        """Task, model and method for messages."""
        return f"{self.task} on {self.model} by {self.settings['method']}"


def tell_apart(runs: Sequence[Run]) -> list[Run]:
    """The runs, each `model` replaced by the shortest name that only runs of its weights have."""
    shown = shortest_names([run.weights for run in runs])
    return [replace(run, model=shown[run.weights]) for run in runs]
