"""Evaluations of Inspect AI on a tiny model and a tiny task, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_tasks import TASK

inspect_ai = pytest.importorskip("inspect_ai", reason="the extra harness_circuits[inspect]")

TASK_NAME = "harness_circuits/from_yaml"
SIZES = "0.01:0.1:0.5:1"
FLOAT64 = {"dtype": "float64"}


def circuit_model(folder: Path) -> str:
    """The name of a model for Inspect."""
    return f"circuit/{folder}"


def run(
    model_folder: Path,
    task_folder: Path,
    log_dir: Path,
    *,
    margs: dict[str, Any] | None = None,
    targs: dict[str, Any] | None = None,
    **how: Any,
) -> Any:
    """Run the tiny circuit task, and return its log."""
    task_args = {"task": str(task_folder / f"{TASK}.yaml"), "sizes": SIZES, **(targs or {})}
    (log,) = inspect_ai.eval(
        TASK_NAME,
        model=circuit_model(model_folder),
        model_args=FLOAT64 | (margs or {}),
        task_args=task_args,
        log_dir=str(log_dir),
        display="none",
        **how,
    )
    return log


def metrics(log: Any) -> dict[str, float]:
    """A log's metrics by name."""
    assert log.status == "success", log.error
    (score,) = log.results.scores
    return {name: metric.value for name, metric in score.metrics.items()}
