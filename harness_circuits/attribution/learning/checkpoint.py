"""What is kept of a run that learns masks, so that the same run can go on after it was stopped.

Two files in the folder that `checkpoint=` names, known by everything that the numbers depend on: method
and options, level, ablation, metric, model and its weights, training pairs, version of this package.

    METHOD-HASH.pt             parameters, the optimiser's state, losses
    METHOD-HASH.safetensors    the scores so far, for `circuit=`
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from harness_circuits.ablation import ABLATIONS
from harness_circuits.attribution.job import Job
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import CircuitFileError, OptionError
from harness_circuits.formats import write_scores
from harness_circuits.machine.files import check_writable, write_atomically
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.passes.run_identity import run_identity


class Checkpoint:
    """The files of one run.

    Attributes:
        state: What goes on.
        scores: The scores so far.
    """

    def __init__(self, folder: Path, job: Job, method: str, options: Mapping[str, Any]) -> None:
        """Name the files, and make sure that they can be written.

        Args:
            folder: Where they are.
            job: The run's model, pairs, metric, level and ablation.
            method: The method's name.
            options: Its options.

        Raises:
            OptionError: The folder cannot be written.
        """
        try:
            check_writable(folder)
        except OSError as error:
            raise OptionError(f"checkpoint={folder}: {error}") from error
        name = f"{method}-{_identity(job, method, options)}"
        self.state, self.scores = folder / f"{name}.pt", folder / f"{name}.safetensors"

    def read(self) -> dict[str, Any] | None:
        """What was kept; None where nothing was.

        Raises:
            CircuitFileError: It cannot be read.
        """
        if not self.state.is_file():
            return None
        try:
            kept: dict[str, Any] = torch.load(self.state, weights_only=True)
            return {name: kept[name] for name in ("optimiser", "parameters", "losses")}
        except Exception as error:  # torch raises whatever its reader stumbles over
            raise CircuitFileError(
                f"{self.state} is damaged and cannot be gone on from: remove it to start anew."
            ) from error

    def write(self, state: Mapping[str, Any], scores: Scores) -> None:
        """Keep a state, and the scores so far.

        Raises:
            WriteError: They cannot be written.
        """
        data = io.BytesIO()
        torch.save(dict(state), data)
        write_scores(self.scores, scores)
        write_atomically(self.state, data.getvalue())


def _identity(job: Job, method: str, options: Mapping[str, Any]) -> str:
    """A hash of everything that the numbers depend on."""
    facts = {
        "method": method,
        "options": {k: v for k, v in options.items() if k != "checkpoint"},
        "level": job.level,
        "ablation": job.ablation.name,
        "metric": next((n for n in METRICS if METRICS.get(n) is job.metric), "its own"),
        "ranks": job.ranks.size,
    }
    replaced = b""
    if not ABLATIONS.get(job.ablation.name).follows_corrupted:  # means, and of which side
        last = job.ablation.replacement(job.model, job.batches[0]).mlp[-1]
        replaced = last.detach().float().cpu().numpy().tobytes()
    return run_identity(job.model, job.batches, facts, replaced)
