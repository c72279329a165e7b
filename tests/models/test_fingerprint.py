"""The fingerprint of loaded weights: equal for a copy, another for any other weight."""

from __future__ import annotations

import copy

import torch
from helpers.tiny_models import tiny_model

from harness_circuits.models.fingerprint import loaded_fingerprint


def test_fingerprints_tell_weights_apart() -> None:
    hf = copy.deepcopy(tiny_model("llama").hf)
    before = loaded_fingerprint(hf)
    assert loaded_fingerprint(copy.deepcopy(hf)) == before
    with torch.no_grad():
        hf.model.layers[0].mlp.up_proj.weight[0, 0] += 1e-3
    assert loaded_fingerprint(hf) != before
