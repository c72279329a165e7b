"""`config.circuit` of a results file: its schema, its writer and its reader.

    model              name of the model; architecture, device
    weights            {source: path or hub id, fingerprint: hash of its files or commit}
    first_token        null, or what is put before every prompt: {ids, text}
    graph              n_layers, n_heads, n_kv_heads, d_model, parallel; n_nodes, n_edges
    settings           every setting in force (`Settings.to_dict`); method is null where a file was given
    given              null, or what `circuit=` named: {file, sha256, kind, provenance,
                       note: null, or that EAP-IG's prompts had a first token and these have none,
                       beside: null, or which circuit stands beside the scores that were read}
    ordinary_tasks     null, or the circuits that stood in for the model on tasks without pairs
    versions           of this package and those that numbers depend on
    load_seconds       time to load the model
    checksum           of the results (`records.checksum`)
    artifacts          folder of scores, circuits and values per example, as it was given; or null
    tasks.TASK         one object per circuit task:
      metric             name of the metric
      n_discovery, n_evaluation, discovery_pairs, evaluation_pairs
                         numbers and fingerprints of the pairs
      pairs_per_pass, processes
      discovery_seconds, selection_seconds, evaluation_seconds
      discovery_peak_bytes, evaluation_peak_bytes
      accuracy           {value, low, high, chance, ...} of the whole model
      gap                {value, error, low, high}: mean of full model minus empty circuit, its standard
                         error and 95% interval; null but for the value where there is one pair
      left_out           {reason: number of pairs}
      warnings           what makes the numbers say less than they seem to, a line each
      data               where the pairs come from
      scores             provenance of the scores
      known_circuits     overlap with circuits of the literature
      strongest          null, or the ten units and nodes with the largest absolute scores: {level,
                         units, nodes: [{unit, score, known}], known: name of a known circuit, or null}
      evidence.KIND      what `evidence=` asked for; `summary` are the lines that are printed, `seconds`
                         what it took; absent where nothing was asked for, as is `evidence_seconds`
      evidence_found_before
                         circuits whose values a run that was stopped had kept; absent if none
      retrained          with `retrain_steps`, of every circuit that constants were learned for {kept,
                         shared, retrained}: units, and the divergence from the model on training pairs
                         with shared constants and with its own
      curves.RANKING     sizes; one number per size each: faithfulness, ci95_low, ci95_high,
                         accuracy, kept, edges; over spans `everywhere`, of circuits without spans and
                         as many contributions; with null circuits `null`, with resamples `stability`;
                         where there were any, `resamples_without_spread`, which intervals leave out.
                         Ends of intervals are null where there are none: one pair, or no resamples

Areas (`cpr`, `cmd`, `cmd_log`, each with `_ci95_low` and `_ci95_high`) stand under `results.TASK`, as
lm-eval has all metrics. Files of earlier versions have no `weights`, `accuracy`, `gap` or peaks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import check_sizes
from harness_circuits.errors import CircuitError
from harness_circuits.evaluation.curve import AREAS
from harness_circuits.options.fields import SETTINGS
from harness_circuits.records.evidence_file import read_evidence
from harness_circuits.records.fields import Fields, ResultFileError
from harness_circuits.records.run import CurveRecord, Run
from harness_circuits.records.weights import read_weights
from harness_circuits.records.whole_model import read_whole_model
from harness_circuits.statistics.bootstrap import Interval

AREA_TOLERANCE = 1e-6
# Settings that files of earlier versions have no word for, as they were then: at their defaults.
EARLIER = {
    name: list(option.default) if isinstance(option.default, tuple) else option.default
    for name, option in SETTINGS.items()
    if not isinstance(option.default, Mapping)
}
RANKINGS = tuple(ranking.value for ranking in Ranking)


def circuit_section(
    *,
    model: Mapping[str, Any],
    first_token: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    ordinary_tasks: Mapping[str, Any] | None,
    versions: Mapping[str, str],
    load_seconds: float,
    artifacts: str | None,
    tasks: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The section as it is written.

    Args:
        model: `model`, `architecture`, `device`, `weights`, `graph`.
        first_token: As above.
        settings: `settings` and `given`.
        ordinary_tasks: As above.
        versions: As above.
        load_seconds: As above.
        artifacts: As above.
        tasks: By name, what is said of each.
    """
    return {
        **model,
        "first_token": None if first_token is None else dict(first_token),
        **settings,
        "ordinary_tasks": ordinary_tasks,
        "versions": dict(versions),
        "load_seconds": load_seconds,
        "artifacts": artifacts,
        "tasks": {name: dict(task) for name, task in sorted(tasks.items())},
    }


def read_run(path: Path, top: Fields, task: str) -> Run:
    """Read one circuit task of a results file.

    Raises:
        ResultFileError: Something is missing or malformed.
    """
    config = top.child("config")
    circuit = config.child("circuit")
    facts, weights = circuit.child("tasks").child(task), read_weights(config)
    curves = facts.child("curves")
    read = {Ranking(name): _curve(curves.child(name)) for name in curves.keys(RANKINGS)}
    areas = _areas(top.child("results").child(task))
    _check_areas(f"results.{task}", areas, read)
    return Run(
        file=path,
        date=top.number("date"),
        task=task,
        model=weights.name,
        weights=weights,
        model_details={
            "revision": config.text("model_revision"),
            "dtype": config.text("model_dtype"),
            # Graphs are equal without the hidden units, which earlier versions do not write.
            "graph": {k: v for k, v in circuit.child("graph").data.items() if k != "d_mlp"},
        },
        settings=_settings(circuit),
        areas=areas,
        curves=read,
        metric=facts.text("metric"),
        accuracy=_accuracy(facts),
        n_discovery=int(facts.number("n_discovery")),
        n_evaluation=int(facts.number("n_evaluation")),
        evaluation_pairs=facts.text("evaluation_pairs"),
        discovery_pairs=facts.text("discovery_pairs") if "discovery_pairs" in facts.data else "",
        discovery_seconds=facts.number("discovery_seconds"),
        evaluation_seconds=facts.number("evaluation_seconds"),
        peak_bytes=_peak(facts),
        whole_model=read_whole_model(top.child("results").child(task)),
        artifacts=circuit.text("artifacts") if circuit.data.get("artifacts") else None,
        evidence=read_evidence(facts.child("evidence")) if "evidence" in facts.data else {},
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
    result = EARLIER | settings.data
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


def _check_areas(
    where: str, areas: Mapping[str, Interval], curves: Mapping[Ranking, CurveRecord]
) -> None:
    """Refuse a published area that is not the one under the published curve."""
    for name, published in areas.items():
        curve = curves.get(AREAS[name].ranking)
        if curve is None:
            continue
        f = np.array([point.value for point in curve.points])
        found = float(AREAS[name].function(curve.sizes, f))
        if not math.isclose(found, published.value, rel_tol=AREA_TOLERANCE, abs_tol=AREA_TOLERANCE):
            raise ResultFileError(
                f"{where}: {name!r} is {published.value:g}, and its curve (curves."
                f"{AREAS[name].ranking.value}.faithfulness) has {found:g}"
            )


def _curve(fields: Fields) -> CurveRecord:
    sizes = fields.numbers("sizes")
    try:
        check_sizes(sizes)
    except CircuitError as error:
        raise ResultFileError(f"{fields.where}: {error}") from error
    columns = {
        name: fields.numbers(name, len(sizes))
        for name in ("faithfulness", "accuracy", "kept", "edges")
    }
    low, high = _ends(fields, columns["faithfulness"])
    points = zip(columns["faithfulness"], low, high, strict=True)
    return CurveRecord(
        sizes,
        tuple(fields.ordered(*point, "faithfulness") for point in points),
        columns["accuracy"],
        columns["kept"],
        columns["edges"],
    )


def _ends(fields: Fields, values: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Lower and upper ends of a curve's intervals: the values where all are null, as there are none."""
    names = ("ci95_low", "ci95_high")
    if all(fields.data.get(name) == [None] * len(values) for name in names):
        return values, values
    low, high = (fields.numbers(name, len(values)) for name in names)
    return low, high
