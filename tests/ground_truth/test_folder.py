"""Folders of models whose circuit is known: ours, and one's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.environments import ROOT
from helpers.truths import model, scores, truth

from harness_circuits.errors import TaskDataError, UnknownNameError
from harness_circuits.ground_truth import TRUTH_FILE, ground_truth_folder
from harness_circuits.ground_truth.folder import PAIRS_FILE
from harness_circuits.machine.cache import CACHE_VARIABLE

sys.path.insert(0, str(ROOT))


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield
    model.cache_clear()
    scores.cache_clear()


def test_models_without_a_known_circuit_are_refused(tmp_path: Path) -> None:
    from harness_circuits.task_data.truth import TruthData

    data = TruthData("ground_truth_circuit")
    with pytest.raises(TaskDataError, match=r"true circuit is not known.*ground-truth:NAME"):
        data(pretrained="gpt2")
    with pytest.raises(TaskDataError, match=r"truth\.json and pairs\.jsonl not found"):
        data(pretrained=str(tmp_path))
    with pytest.raises(UnknownNameError, match="Did you mean 'induction'"):
        data(pretrained="ground-truth:inductoin")


def test_a_folder_of_ones_own_is_read_and_its_lines_are_checked(tmp_path: Path) -> None:
    from harness_circuits.task_data.truth import TruthData

    folder = ground_truth_folder("fraction")
    for name in (TRUTH_FILE, PAIRS_FILE):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    data = TruthData("ground_truth_circuit")
    splits = data(pretrained=str(tmp_path), tokenizer="ground-truth:fraction", n_train=3, n_test=2)
    assert (len(splits["train"]), len(splits["test"])) == (3, 2)
    assert np.array_equal(data.circuit(model("fraction").graph).kept, truth("fraction").kept)
    for line, message in (("[1]", "line 2: not a document"), ("{", "line 2: not JSON")):
        first = (folder / PAIRS_FILE).read_text().splitlines()[0]
        (tmp_path / PAIRS_FILE).write_text(f"{first}\n{line}\n")
        with pytest.raises(TaskDataError, match=message):
            data(pretrained=str(tmp_path), tokenizer="ground-truth:fraction")
