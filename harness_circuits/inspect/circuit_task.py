"""A circuit task of lm-eval as a task of Inspect: its documents as samples, its experiment as solver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import get_model

from harness_circuits.errors import OptionError, shown
from harness_circuits.inspect.loaded import Loaded
from harness_circuits.inspect.messages import readable_errors
from harness_circuits.inspect.provider import CircuitAPI
from harness_circuits.inspect.run import TaskRun
from harness_circuits.inspect.samples import sample_fields
from harness_circuits.inspect.scoring import SCORER, circuit_values
from harness_circuits.inspect.solving import discover_and_evaluate
from harness_circuits.inspect.view import CURVES, viewer
from harness_circuits.records.inspect_log import SECTION


def circuit_task(name: str, given: Mapping[str, Any]) -> Task:
    """Build a task for the model that is being evaluated.

    Args:
        name: The task's name in lm-eval, or its `.yaml` file.
        given: `-T`.

    Raises:
        PrerequisiteError: The model is none of ours, or an option cannot be used.
    """
    with readable_errors():
        run = TaskRun(_loaded(name), name, given)
        samples = [Sample(**sample_fields(*item)) for item in run.documents.items()]
    return Task(
        dataset=MemoryDataset(samples, name=run.name),
        solver=discover_and_evaluate(run),
        scorer=circuit_values(),
        early_stopping=run,  # which stops nothing, and is told which samples a run has
        version=run.version,
        metadata={CURVES: run.curves, SECTION: run.facts},
        viewer=viewer(SCORER, run.settings.rankings, run.settings.sizes),
    )


def _loaded(task: str) -> Loaded:
    try:
        model = get_model()
    except ValueError as error:
        raise OptionError(
            f"{task} is built for the model that it runs on: name it with --model circuit/NAME, and "
            'in Python as eval("harness_circuits/...", model="circuit/NAME").'
        ) from error
    if not isinstance(model.api, CircuitAPI):
        raise OptionError(
            f"{task} finds circuits in a model's weights: run it with --model circuit/NAME, not "
            f"{shown(str(model))}."
        )
    return model.api.loaded
