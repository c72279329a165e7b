"""What a cell is: another name for everything that changes its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.sweep_files import sweep_data
from helpers.tiny_tasks import TASK, write_task
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.sweep.config import SweepConfig
from harness_circuits.sweep.plan import make_plan


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Without the description of the environment, which takes more than a second per cell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        yield


def identities(folder: Path, **changes: Any) -> set[str]:
    plan = make_plan(SweepConfig.from_dict(sweep_data(folder, **changes)))
    assert plan.refused == ()
    return {job.identity for job in (*plan.jobs, *plan.present)}


def test_a_cell_is_its_configuration_version_weights_and_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = identities(tmp_path)
    assert identities(tmp_path, results="elsewhere", artifacts="none") == start
    assert (
        identities(tmp_path, models={"pretrained": str(tmp_path / "tiny"), "device": "cpu"})
        == start
    )
    found = [start]
    for changes in (
        {"limit": 2},
        {"seeds": [1]},
        {"options": {"bootstrap_iters": 21}},
        {"models": {"pretrained": str(tmp_path / "tiny"), "dtype": "float64"}},
    ):
        found.append(identities(tmp_path, **changes))
    save_tiny_model(tmp_path / "tiny", "llama", seed=1)
    found.append(identities(tmp_path))
    (tmp_path / "shorter").mkdir()
    task = write_task(tmp_path / "shorter", test=None, metric="prob_diff")
    lines = (task / f"{TASK}_train.jsonl").read_text().splitlines(keepends=True)
    (task / f"{TASK}_train.jsonl").write_text("".join(lines[1:]))
    found.append(identities(tmp_path, include_path=str(task)))
    with monkeypatch.context() as patch:
        patch.setattr("harness_circuits.sweep.identity.__version__", "99")
        found.append(identities(tmp_path))
    assert len(set.union(*found)) == 2 * len(found)
