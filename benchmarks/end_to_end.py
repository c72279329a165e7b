"""Where the time of the default `lm_eval --model circuit --tasks ioi_circuit` goes."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import psutil
import torch

from harness_circuits.attribution import gradient
from harness_circuits.harness.patches import register
from harness_circuits.models.circuit_model import CircuitModel


def end_to_end() -> dict[str, float]:
    """Wall seconds from the start of the process: in all, and inside the model's passes."""
    born = psutil.Process().create_time()
    spent = {"forward": 0.0, "backward": 0.0, "contraction": 0.0}

    def timed(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[kind] += time.perf_counter() - started

        return call

    CircuitModel.forward = timed("forward", CircuitModel.forward)  # type: ignore[method-assign]
    torch.autograd.grad = timed("backward", torch.autograd.grad)  # type: ignore[assignment]
    gradient.contract_edges = timed("contraction", gradient.contract_edges)
    register()
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = ["lm_eval", "--model", "circuit", "--tasks", "ioi_circuit"]
        sys.argv += ["--device", "cpu", "--output_path", folder]
        from lm_eval.__main__ import cli_evaluate  # imported here: it counts

        cli_evaluate()
    total = time.time() - born
    inside = (spent["forward"] + spent["backward"]) / total
    return {"total": total, **spent, "inside": inside}
