"""One hash of what a run on some pairs depends on: what it keeps for another one is known by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness_circuits import __version__
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.models.fingerprint import loaded_fingerprint
from harness_circuits.pairs.batch import Batch


def run_identity(
    model: CircuitModel, batches: Sequence[Batch], facts: Mapping[str, Any], *more: bytes
) -> str:
    """A short hash of a model, its weights, pairs, this package's version, and what else there is.

    Args:
        model: The model.
        batches: The pairs.
        facts: Options and the like, as JSON.
        *more: Further content.
    """
    said = {
        **facts,
        "model": [model.name, str(model.dtype), model.graph.to_dict()],
        "weights": loaded_fingerprint(model.hf),
        "version": __version__,
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    for batch in batches:
        answers = batch.answers.tokens, batch.answers.correct, batch.answers.incorrect
        for tensor in (batch.clean.ids, batch.corrupted.ids, *answers):
            digest.update(tensor.numpy().tobytes())
    for content in more:
        digest.update(content)
    return digest.hexdigest()[:16]
