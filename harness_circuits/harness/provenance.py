"""What the results say about the model, the settings and the versions behind them."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any

from harness_circuits import __version__
from harness_circuits.formats.parts import what_was_read
from harness_circuits.harness.options import circuit_path
from harness_circuits.loading.arguments import is_loaded
from harness_circuits.loading.default_model import DISPLAY_NAME, converted_from, is_default_model
from harness_circuits.loading.fingerprint import (
    adapter_fingerprint,
    weights_fingerprint,
)
from harness_circuits.loading.load import resolve
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.models.fingerprint import loaded_fingerprint
from harness_circuits.selection.given import Given
from harness_circuits.settings import Settings

VERSIONED = ("torch", "transformers", "transformer_lens", "lm_eval")


def versions() -> dict[str, str]:
    """Versions of this package and of those that numbers depend on."""
    others = {package: metadata.version(package) for package in VERSIONED}
    return {"harness_circuits": __version__, **others}


def model_facts(model: CircuitModel, pretrained: Any, peft: str | None = None) -> dict[str, Any]:
    """Which model this was, and its graph.

    Args:
        model: The model.
        pretrained: What it was loaded from, or the model that was handed over.
        peft: The adapter that was merged into it.
    """
    graph = model.graph
    return {
        "model": model.name,
        "weights": _weights(model, pretrained, peft),
        "architecture": type(model.hf).__name__,
        "device": str(model.device),
        "graph": {**graph.to_dict(), "n_nodes": graph.n_src + 1, "n_edges": graph.n_edges},
    }


def _weights(model: CircuitModel, pretrained: Any, peft: str | None) -> dict[str, Any]:
    if is_loaded(pretrained):  # adapters that were asked for are merged
        return {"source": model.name, "fingerprint": loaded_fingerprint(model.hf), "gguf": None}
    folder = Path(resolve(pretrained)[0])
    commit = getattr(model.hf.config, "_commit_hash", None)
    fingerprint = weights_fingerprint(folder) if folder.is_dir() else str(commit or "")
    source = DISPLAY_NAME if is_default_model(pretrained) else str(pretrained)
    if peft is not None:
        source, fingerprint = f"{source}+{peft}", f"{fingerprint}+{adapter_fingerprint(peft)}"
    return {"source": source, "fingerprint": fingerprint, "gguf": converted_from(folder)}


def settings_in_force(
    settings: Settings, given: Given | None, circuit: str | None
) -> dict[str, Any]:
    """The settings, and what `circuit=` named, which leaves no method in force."""
    facts = settings.to_dict()
    if given is None or circuit is None:
        return {"settings": facts, "given": None}
    path = circuit_path(circuit)
    content = given.content if path is None or path.is_dir() else path.read_bytes()
    named = {
        "file": circuit,
        "sha256": hashlib.sha256(content).hexdigest(),
        "kind": given.kind,
        "note": given.note,
        "beside": what_was_read(given.scores, circuit),
        "provenance": dict(given.provenance),
    }
    facts |= {"method": None, "method_options": {}, "level": given.space.level}
    return {"settings": facts, "given": named}
