"""Denoising against gated runs: the corrupted prompt, with clean outputs on the circuit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.random_circuits import random_circuit
from helpers.reference import Reference, gated_metric
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.ablation.patching import Patching
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.evaluation.direction import DENOISING, DIRECTIONS
from harness_circuits.evaluation.evaluate import evaluate_by_metrics, evaluate_circuits
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.settings import Settings

LOGIT_DIFF = METRICS.get("logit_diff")


@pytest.mark.parametrize("level", ["edge", "node", "neuron"])
@pytest.mark.parametrize("architecture", ["gpt2", "gemma2"])
def test_denoising_is_the_gated_run_of_the_corrupted_prompt(architecture: str, level: str) -> None:
    model, (batch,) = tiny_model(architecture), token_batches(4)
    circuit, reference = random_circuit(model, level), Reference(model.hf)
    clean, corrupted = batch.clean.ids, batch.corrupted.ids
    answers = torch.stack([batch.answers.tokens[:, 0, 0], batch.answers.tokens[:, 1, 0]], 1)
    gates = torch.from_numpy(circuit.kept).double()  # 1: what is replaced, by the clean run's
    with torch.no_grad():
        how = {"replacement": reference.outputs(clean)}
        wanted = gated_metric(reference, corrupted, clean, gates, answers, **how)
    found = evaluate_circuits(
        model, [batch], [circuit], LOGIT_DIFF, Patching(), direction=DENOISING
    )
    assert found.circuits[0] == pytest.approx(wanted.numpy(), abs=1e-5)


def test_whole_model_and_empty_circuit_are_the_same_in_both_directions() -> None:
    """Denoising with everything is the clean run, with nothing the corrupted one."""
    model = tiny_model("llama")
    space = ScoreSpace(model.graph, "edge")
    circuits = [Circuit.full(space), Circuit.empty(space)]
    by_way = [
        evaluate_circuits(
            model, token_batches(5, size=2), circuits, LOGIT_DIFF, Patching(), direction=d
        )
        for d in DIRECTIONS
    ]
    for name in ("full", "empty", "circuits", "full_accuracy", "empty_accuracy"):
        noising, denoising = (getattr(found, name) for found in by_way)
        assert denoising == pytest.approx(noising, abs=1e-9)
    assert np.allclose(by_way[1].circuits[0], by_way[1].full)
    assert by_way[0].log_probs == by_way[1].log_probs


def test_metrics_side_by_side_are_those_of_runs_apart() -> None:
    model, batches = tiny_model("gpt2"), token_batches(5, size=2)
    metrics = [METRICS.get(name) for name in ("logit_diff", "kl", "prob_diff")]
    circuits = [random_circuit(model)]
    together = evaluate_by_metrics(model, batches, circuits, metrics, Patching())
    for metric, found in zip(metrics, together, strict=True):
        apart = evaluate_circuits(model, batches, circuits, metric, Patching())
        for name in ("full", "empty", "circuits", "rounding"):
            assert np.array_equal(getattr(found, name), getattr(apart, name))


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_denoising_is_defined_for_patching_alone(ablation: str) -> None:
    with pytest.raises(OptionError, match=r"^direction=denoising runs corrupted prompts"):
        Settings.from_arguments({"method": "EAP", "direction": "denoising", "ablation": ablation})
    with pytest.raises(OptionError, match=r"^compat=mib reproduces MIB's published protocol"):
        Settings.from_arguments({"direction": "denoising", "compat": "mib"})
    assert Settings.from_arguments({"direction": "denoising"}).to_dict()["direction"] == "denoising"
