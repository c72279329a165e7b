"""Means over calibration texts: kept, and known by how texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.ordinary_tasks import write_ordinary_tasks
from helpers.reading_models import circuit, reading_folder
from helpers.tiny_tasks import evaluate

from harness_circuits.ablation.calibration import calibration_means
from harness_circuits.loading.load import load_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading_folder(tmp_path_factory.mktemp("reading"))


@pytest.mark.parametrize(
    "options", [{}, {"add_bos_token": True}, {"prefix_token_id": 5}, {"max_length": 9}]
)
def test_calibration_is_known_by_how_it_reads(
    folder: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Means of other tokens are never taken from the folder that they are kept in."""
    texts = tmp_path / "texts.txt"
    texts.write_text("The dog went to the shop and the cat went to the tree and the house\n")
    write_ordinary_tasks(folder, [{"text": "The cat", "choices": [" red", " blue"], "label": 0}])
    seen = {}
    for asked in ({}, options):
        lm = circuit(
            folder,
            "gpt2",
            circuit=f"discover:{folder / 'animals.yaml'}",
            ablation="mean",
            calibration=str(texts),
            artifacts=str(tmp_path / "kept"),
            **asked,
        )
        found = evaluate(lm, ["choice"], folder)["config"]["circuit"]["ordinary_tasks"]
        seen[str(asked)] = found["calibration"]["hash"]
    assert len(set(seen.values())) == len(list((tmp_path / "kept").glob("means-*"))) == len(seen)


def test_calibration_is_known_by_all_weights(folder: Path, tmp_path: Path) -> None:
    """A model that was trained further keeps its name, and often its embeddings."""
    model = load_model(str(folder / "gpt2"), device="cpu")
    hashes = []
    for _ in range(2):
        how = {"source": "texts", "revision": "", "folder": tmp_path}
        _, facts = calibration_means(model, ["The dog went to the shop"], **how)
        hashes.append(facts["hash"])
        with torch.no_grad():
            model.hf.transformer.h[1].mlp.c_fc.weight.mul_(1.5)
    assert len(set(hashes)) == len(list(tmp_path.glob("means-*"))) == 2
