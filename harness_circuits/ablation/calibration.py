"""Mean outputs of all nodes over calibration texts, stored beside the circuit and reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from harness_circuits.ablation.means import MeanSums
from harness_circuits.ablation.stored import stored
from harness_circuits.errors import TaskDataError
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.models.fingerprint import loaded_fingerprint
from harness_circuits.models.text_reader import TextReader
from harness_circuits.passes.native import HIDDEN, Outputs, source_outputs

MAX_TOKENS = 1024


def calibration_means(
    model: CircuitModel, texts: Sequence[str], source: str, folder: Path | None, revision: str
) -> tuple[Outputs, dict[str, Any]]:
    """Means over all positions of the calibration texts, of batch and position size 1.

    Args:
        model: The model; one at level `mlp-neuron` has means of hidden units as well.
        texts: The texts.
        source: What they were read from, for the results.
        folder: Where means are kept, as `means-HASH.safetensors`; None to keep none.
        revision: The model's revision, part of the hash.

    Returns:
        The means, and what the results say about them.

    Raises:
        CircuitFileError: A file of kept means is damaged.
        TaskDataError: There is no text.
    """
    if not any(texts):
        raise TaskDataError(f"calibration={source} holds no text.")
    assert model.reader is not None
    reader = model.reader
    how = [reader.first_token(), reader.add_bos_token, reader.prefix, _room(reader)]
    weights = loaded_fingerprint(model.hf)
    weights_of = [model.name, revision, str(model.dtype), model.graph.to_dict(), weights]
    identity = [*weights_of, list(texts), *how, *([HIDDEN] if model.keeps_hidden else [])]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    path = None if folder is None else folder / f"means-{digest}.safetensors"
    name = None if path is None else path.name
    facts = {"source": source, "n_texts": len(texts), "hash": digest, "file": name}
    return stored(path, model.device, lambda: _record(model, texts)), facts


def _room(reader: TextReader) -> int:
    """Tokens of a text that go through the model at once."""
    return min(reader.max_length or MAX_TOKENS, MAX_TOKENS)


def _record(model: CircuitModel, texts: Sequence[str]) -> Outputs:
    sums = MeanSums(model)
    assert model.reader is not None
    room = _room(model.reader)
    for ids in model.reader.encode_all(texts):
        for first in range(0, len(ids), room):
            part = ids[first : first + room]
            inputs = Inputs(torch.tensor([part]), torch.tensor([len(part) - 1]))
            sums.add_tokens(source_outputs(model, inputs), len(part))
    (means,) = sums.means().values()
    return means
