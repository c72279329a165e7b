"""Runs cells in the process it is made in: one lm-eval evaluation each, one loaded model."""

from __future__ import annotations

import gc
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_circuits.errors import CircuitError
from harness_circuits.harness.task_lookup import task_manager
from harness_circuits.machine.files import remove, write_checksums
from harness_circuits.records.results_file import EXAMPLES_FILE
from harness_circuits.sweep.job import Outcome, PlannedCell, Setup
from harness_circuits.sweep.state import State

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

    from harness_circuits.harness.lm import CircuitLM

BOOTSTRAP_ITERS = 100  # of lm-eval's standard errors, where other tasks' metrics need resamples


class Runner:
    """Runs jobs one after the other, and keeps the model of the last one."""

    def __init__(self, setup: Setup) -> None:
        """Nothing is loaded before the first job."""
        self.setup = setup
        self.state = State(Path(setup.results))
        self._manager: TaskManager | None = None
        self._lm: CircuitLM | None = None
        self._loaded: dict[str, Any] | None = None

    def run(self, job: PlannedCell) -> Outcome:
        """Run a job, unless it has a result or is being run elsewhere. Errors become outcomes."""
        started = time.perf_counter()
        try:
            with self.state.claim(job.identity) as ours:
                if not ours:
                    return Outcome("busy")
                if self.state.has_result(job.file, job.identity):
                    return Outcome("present")
                self._evaluate(job)
        except Exception as error:
            self._forget_model_if_memory_ran_out(error)
            seconds = time.perf_counter() - started
            return Outcome("failed", seconds, one_line(error), traceback.format_exc())
        return Outcome("done", time.perf_counter() - started)

    def _evaluate(self, job: PlannedCell) -> None:
        from lm_eval import simple_evaluate

        arguments = {**job.cell.model, **job.cell.options}
        folder = (self.state.root / job.file).with_suffix("")
        if self.setup.artifacts != "none":
            arguments["artifacts"] = str(folder)
        lm = self._model(job, arguments)
        if self._manager is None:
            setup = self.setup
            metadata = setup.task_metadata(job.cell.model)
            self._manager = task_manager(setup.tasks, setup.include_path, metadata)
        results = simple_evaluate(
            model=lm,
            model_args=arguments,
            tasks=[job.cell.task],
            task_manager=self._manager,
            limit=self.setup.limit,
            batch_size=job.cell.model.get("batch_size"),
            device=job.cell.model.get("device"),
            bootstrap_iters=BOOTSTRAP_ITERS,
            log_samples=False,
        )
        assert results is not None, "one process gets the results"
        if self.setup.artifacts == "examples":
            _keep_only(folder, EXAMPLES_FILE)
        results["config"]["model"] = "circuit"
        results["config"]["sweep"] = {"identity": job.identity, **job.facts}
        self.state.write_result(job.file, results)

    def _model(self, job: PlannedCell, arguments: dict[str, Any]) -> CircuitLM:
        from harness_circuits.harness.lm import CircuitLM

        if self._lm is None or self._loaded != job.cell.model:
            self._forget_model()
            self._lm, self._loaded = CircuitLM(**arguments), job.cell.model
            return self._lm
        return self._lm.with_arguments(**arguments)

    def _forget_model(self) -> None:
        self._lm = self._loaded = self._manager = None
        gc.collect()

    def _forget_model_if_memory_ran_out(self, error: Exception) -> None:
        import torch

        if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            self._forget_model()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _keep_only(folder: Path, name: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.name != name:
            remove(path)
    for path in folder.rglob(name):
        write_checksums(path.parent, [name])


def one_line(error: BaseException) -> str:
    """An error as one line; errors of ours speak for themselves."""
    text = " ".join(str(error).split())
    if isinstance(error, CircuitError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
