"""What `circuit=` names, and the circuit that ordinary tasks run on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness_circuits.calibration import calibration_means
from harness_circuits.circuit import Circuit
from harness_circuits.errors import OptionError
from harness_circuits.formats import load_circuit_file
from harness_circuits.graph import Graph
from harness_circuits.harness.options import Options, circuit_path
from harness_circuits.known import NAMES, known_circuit
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.passes.native import Outputs
from harness_circuits.scores import Scores
from harness_circuits.selection import select


def resolve_circuit(name: str, graph: Graph) -> Scores | Circuit:
    """The scores or circuit that `circuit=` names: the only place that reads it."""
    return known_circuit(name, graph) if name in NAMES else load_circuit_file(name, graph)


@dataclass(frozen=True)
class Standin:
    """The circuit that ordinary tasks run on, and what the results say about it."""

    circuit: InstalledCircuit
    facts: dict[str, Any]


def make_standin(model: CircuitModel, given: Scores | Circuit | None, options: Options) -> Standin:
    """Choose the circuit of ordinary tasks and its replacements.

    Raises:
        OptionError: No circuit or size is given, or the ablation needs pairs.
    """
    run, settings = options.run, options.settings
    if given is None:
        raise OptionError(
            "--model circuit runs tasks without clean/corrupted pairs on a circuit: give "
            "circuit=FILE,size=0.05,ablation=mean, or use --model hf for the full model."
        )
    if settings.ablation not in ("zero", "mean"):
        raise OptionError(
            f"ablation={settings.ablation} cannot be used for tasks without pairs: patching needs "
            "corrupted prompts, mean-positional prompts of the training prompts' lengths. "
            "Use ablation=mean or ablation=zero."
        )
    circuit = _chosen(given, options)
    if run.get("complement"):
        circuit = circuit.complement()
    constant, calibration = _constant(model, given, options)
    facts = {
        "file": str(run["circuit"]),
        "level": circuit.space.level,
        "size": run.get("size"),
        "complement": bool(run.get("complement")),
        "kept_units": circuit.n_kept,
        "all_units": circuit.space.n_units,
        "sha256": hashlib.sha256(np.packbits(circuit.kept).tobytes()).hexdigest(),
        "ablation": settings.ablation,
        "calibration": calibration,
    }
    return Standin(InstalledCircuit(model, circuit, constant), facts)


def _chosen(given: Scores | Circuit, options: Options) -> Circuit:
    size = options.run.get("size")
    if isinstance(given, Circuit):
        if size is not None:
            raise OptionError(
                f"size={size}: {options.run['circuit']} is a circuit and has its size."
            )
        return given
    if size is None:
        raise OptionError(
            f"{options.run['circuit']} holds scores: give size=, the share of units to keep "
            "(one size per run)."
        )
    settings = options.settings
    return select(
        given,
        [given.space.n_at(size)],
        settings.selection,
        absolute=settings.ranking != "signed",
        **settings.chosen_selection_options(),
    )[0]


def _constant(
    model: CircuitModel, given: Scores | Circuit, options: Options
) -> tuple[Outputs, dict[str, Any] | None]:
    """Replacements of one position, and where means come from."""
    if options.settings.ablation == "zero":
        return _zeros(model), None
    task = dict(getattr(given, "provenance", {})).get("task")
    source = options.run.get("calibration", task)
    if source is None:
        raise OptionError(
            f"ablation=mean: {options.run['circuit']} does not say which task it was found on; "
            "give calibration=TASK, FILE.txt or FILE.jsonl."
        )
    own_file = str(options.run["circuit"]) not in NAMES  # nothing is written into this package
    folder = circuit_path(options.run["circuit"]).parent if own_file else None
    means, facts = calibration_means(
        model,
        str(source),
        folder,
        str(options.model.get("revision", "main")),
        options.settings.n_discovery,
    )
    return means, facts


def _zeros(model: CircuitModel) -> Outputs:
    graph, layer = model.graph, model.layers[0]
    like = layer.w_o.new_zeros
    return Outputs(
        like((1, 1, graph.d_model)),
        [like((1, 1, graph.n_heads, layer.d_head)) for _ in model.layers],
        [like((1, 1, graph.d_model)) for _ in model.layers],
    )
