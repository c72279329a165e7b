"""The solver of circuit tasks: discovery and evaluation, once per task, for all of its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspect_ai.model import ModelOutput
from inspect_ai.solver import Generate, Solver, TaskState, solver

if TYPE_CHECKING:
    from harness_circuits.inspect.run import TaskRun

STORED = "circuits"  # under this name a sample's store has its values


@solver
def discover_and_evaluate(run: TaskRun) -> Solver:
    """Find circuits on the training pairs and measure them on the samples' pairs.

    Args:
        run: The task with its documents and its model. The log names it by its task.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        found = await run.sample(int(state.sample_id))
        state.store.set(STORED, {"values": found.values, "details": found.details})
        state.output = ModelOutput.from_content(str(state.model), found.answer)
        state.messages.append(state.output.message)
        state.completed = True
        return state

    return solve
