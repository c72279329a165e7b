"""Means over calibration texts: kept, and known by how texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.ordinary_tasks import write_ordinary_tasks
from helpers.reading_models import circuit, reading_folder
from helpers.tiny_tasks import evaluate


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
