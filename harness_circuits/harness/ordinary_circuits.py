"""The circuits that tasks without pairs run on, one per size, and what the results say about them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness_circuits.ablation import ABLATIONS
from harness_circuits.ablation.calibration import calibration_means
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.known import NAMES
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.errors import OptionError
from harness_circuits.harness.calibration_texts import read_texts
from harness_circuits.harness.circuit_argument import (
    artifacts_folder,
    scorer_in_force,
    task_metadata,
)
from harness_circuits.harness.options import Options, circuit_path, task_to_discover
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.passes.native import Outputs
from harness_circuits.selection.given import Given


@dataclass(frozen=True)
class Standins:
    """Circuits that stand in for the model.

    Attributes:
        circuits: By requested size; the key is None for a circuit that was given as one.
        facts: What the results say about all of them.
        points: What they say about each, in the order of `circuits`.
    """

    circuits: Mapping[float | None, InstalledCircuit]
    facts: Mapping[str, Any]
    points: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """For the result JSON: a circuit's own facts stand beside the common ones if it is alone."""
        if len(self.points) == 1:
            return {**self.facts, **self.points[0]}
        return {**self.facts, "circuits": [dict(point) for point in self.points]}


def check_standins(given: Given | None, options: Options) -> None:
    """Make sure that tasks without pairs can be run, before anything expensive.

    Args:
        given: What `circuit=` names; None where it names nothing, or scores still to be discovered.
        options: The options.

    Raises:
        OptionError: No circuit or size is given, or the ablation needs pairs.
    """
    name, size = options.run.get("circuit"), options.run.get("size")
    if given is None and task_to_discover(name) is None:
        raise OptionError(
            "--model circuit runs tasks without clean/corrupted pairs on a circuit: give "
            "circuit=FILE,size=0.05,ablation=mean, or use --model hf for the full model."
        )
    options.check_ordinary_ablation()
    if given is not None and given.scores is None:
        if len(given.given_circuits) > 1:
            raise OptionError(
                f"circuit={name} holds circuits of several sizes; name one of its files."
            )
        if size is not None:
            raise OptionError(f"size={size}: {name} is a circuit and has its size.")
        if options.grid:
            raise OptionError(f"sizes=: {name} is a circuit and has its size.")
    elif size is None and not options.grid:
        raise OptionError(
            f"{name} holds scores: give size=, the share of units to keep, or sizes= for a curve."
        )
    if options.settings.ablation == "mean":
        _source(given, options)


def make_standins(model: CircuitModel, given: Given | None, options: Options) -> Standins:
    """Choose the circuits of tasks without pairs, and their replacements.

    Raises:
        OptionError: As `check_standins`.
        TaskDataError: There is no text to take means over.
    """
    check_standins(given, options)
    assert given is not None
    complement = bool(options.run.get("complement"))
    chosen = _chosen(given, options)
    if complement:
        chosen = {size: circuit.complement() for size, circuit in chosen.items()}
    model = model.at(given.space.level)
    constant, calibration = _constant(model, given, options)
    facts = {
        "file": str(options.run["circuit"]),
        "level": given.space.level,
        "complement": complement,
        "all_units": given.space.n_units,
        "ranking": None if given.scores is None else _ranking(options),
        "selection": None if given.scores is None else options.settings.selection,
        "ablation": options.settings.ablation,
        "calibration": calibration,
    }
    installed = {
        size: InstalledCircuit(model, circuit, constant) for size, circuit in chosen.items()
    }
    return Standins(installed, facts, tuple(_point(*item) for item in chosen.items()))


def _point(size: float | None, circuit: Circuit) -> dict[str, Any]:
    return {
        "size": size,
        "kept_units": circuit.n_kept,
        "edges": circuit.weighted_edges,
        "sha256": hashlib.sha256(np.packbits(circuit.kept).tobytes()).hexdigest(),
    }


def _ranking(options: Options) -> Ranking:
    """The one ranking of a run's circuits: by |score| unless signed ones are asked for."""
    return options.settings.rankings[0]


def _chosen(given: Given, options: Options) -> dict[float | None, Circuit]:
    if given is not None and given.scores is None:
        (circuit,) = given.fixed.values()
        return {None: circuit}
    settings, size = options.settings, options.run.get("size")
    sizes = sorted({*options.grid, *([] if size is None else [float(size)])})
    ranking, how = _ranking(options), settings.chosen_selection_options()
    way = (ranking,), settings.selection
    circuits = given.circuits(sizes, *way, published=settings.published, **how)
    return dict(zip(sizes, circuits[ranking], strict=True))


def _source(given: Given | None, options: Options) -> str:
    """Where means come from: what `calibration=` names, or the task the circuit was found on."""
    task = task_to_discover(options.run["circuit"])
    task = task or (None if given is None else given.provenance.get("task"))
    source = options.run.get("calibration", task)
    if source is None:
        raise OptionError(
            f"ablation=mean: {options.run['circuit']} does not say which task it was found on; "
            "give calibration=TASK, FILE.txt or FILE.jsonl."
        )
    return str(source)


def _constant(
    model: CircuitModel, given: Given, options: Options
) -> tuple[Outputs, dict[str, Any] | None]:
    """Replacements of one position, and where means come from."""
    constant = ABLATIONS.get(options.settings.ablation).constant
    assert constant is not None, "options.check_ordinary_ablation lets no other pass"
    facts: dict[str, Any] = {}

    def means() -> Outputs:
        found, said = _calibrated(model, given, options)
        facts.update(said)
        return found

    return constant(model, means), facts or None


def _calibrated(
    model: CircuitModel, given: Given, options: Options
) -> tuple[Outputs, dict[str, Any]]:
    """Means over calibration texts, and what the results say about them."""
    source = _source(given, options)
    scorer = scorer_in_force(model, options.discovery)
    texts = read_texts(source, options.settings.n_discovery, task_metadata(options), scorer)
    path = circuit_path(options.run["circuit"])
    if str(options.run["circuit"]) in NAMES or path is None:  # nothing goes into this package
        folder = artifacts_folder(options)
    else:
        folder = path.parent
    revision = str(options.model.get("revision", "main"))
    return calibration_means(model, texts, source, folder, revision)
