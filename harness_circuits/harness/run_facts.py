"""What a run's results say about it: the part of `config` that is ours, under any harness."""

from __future__ import annotations

from typing import Any

from harness_circuits.discovery import reader_in_force
from harness_circuits.harness.circuit_argument import NamedCircuit
from harness_circuits.harness.options import Options
from harness_circuits.harness.ordinary import OrdinaryTasks
from harness_circuits.harness.paired import PairedTasks
from harness_circuits.harness.provenance import model_facts, settings_in_force, versions
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.records.circuit_section import circuit_section


def run_facts(
    model: CircuitModel,
    options: Options,
    circuit: NamedCircuit,
    paired: PairedTasks,
    ordinary: OrdinaryTasks,
    *,
    load_seconds: float,
) -> dict[str, Any]:
    """Provenance of the model, and `circuit` (see `records.circuit_section`).

    Args:
        model: The model.
        options: What to do.
        circuit: What `circuit=` named.
        paired: What ran circuit tasks.
        ordinary: What ran all other tasks.
        load_seconds: Time to load the model.
    """
    artifacts = None if paired.artifacts is None else str(options.run["artifacts"])
    return {
        "model_num_parameters": sum(p.numel() for p in model.hf.parameters()),
        "model_dtype": str(model.dtype),
        "model_revision": options.model.get("revision", "main"),
        "model_sha": str(getattr(model.hf.config, "_commit_hash", None) or ""),
        "circuit": circuit_section(
            model=model_facts(model, options.model.get("pretrained"), options.model.get("peft")),
            first_token=reader_in_force(model, options.settings).first_token(),
            settings=settings_in_force(options.settings, circuit.given, circuit.name),
            ordinary_tasks=ordinary.facts(),
            versions=versions(),
            load_seconds=load_seconds,
            artifacts=artifacts,
            tasks=paired.facts(),
        ),
    }
