"""`device_map`: transformers places the model, and what it spreads out is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_tokenizer import save_tiny_model

from harness_circuits.errors import OptionError
from harness_circuits.models.circuit_model import Inputs
from harness_circuits.models.load import load_model

INPUTS = Inputs(torch.arange(2, 10)[None], torch.tensor([7]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


@pytest.mark.parametrize("device_map", ["cpu", {"": "cpu"}])
def test_a_map_to_one_device_changes_nothing(folder: Path, device_map: Any) -> None:
    plain = load_model(str(folder), device="cpu").forward(INPUTS)
    placed = load_model(str(folder), device="cpu", device_map=device_map)
    torch.testing.assert_close(placed.forward(INPUTS), plain, rtol=0, atol=0)


def test_offloaded_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    parts = ("model.embed_tokens", "model.rotary_emb", "model.norm", "model.layers.0", "lm_head")
    where = {**dict.fromkeys(parts, "cpu"), "model.layers.1": "disk"}
    with pytest.raises(OptionError, match=r"device_map put .* on cpu, meta .*one device"):
        load_model(str(folder), device_map=where, offload_folder=str(tmp_path / "offload"))
