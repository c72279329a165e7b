"""On a GPU: the numbers are those of the CPU, and half precision runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from helpers.tiny_models import random_hf, token_pairs

from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import LEVELS, Level, Scores
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.evaluation.result import ExampleValues
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import make_batches
from harness_circuits.selection import select

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
ARCHITECTURES = ("gpt2", "llama", "gemma2", "gpt_neox")
BATCHES = make_batches(token_pairs(6, 12), 6, room=12)
METRIC = METRICS.get("logit_diff")


def model_on(device: str, architecture: str, dtype: torch.dtype = torch.float32) -> CircuitModel:
    hf = random_hf(architecture).to(device=device, dtype=dtype)
    return take_apart(hf, name=f"{architecture} on {device}")


def scores_of(model: CircuitModel, method: str, level: Level) -> Scores:
    return attribute(Job(model, BATCHES, METRIC, level), method)


def curve_of(model: CircuitModel, scores: Scores) -> ExampleValues:
    counts = [scores.space.n_at(size) for size in (0.05, 0.3, 0.8, 1.0)]
    circuits = select(scores, counts, "top-n", ranking=Ranking.ABSOLUTE)
    return evaluate_circuits(model, BATCHES, circuits, METRIC, Patching())


@pytest.fixture(autouse=True)
def full_float32() -> Iterator[None]:
    """TF32 products have ten bits."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_and_curves_are_those_of_the_cpu(architecture: str, level: Level) -> None:
    cpu, cuda = (model_on(device, architecture) for device in ("cpu", "cuda"))
    for method in ("EAP", "EAP-IG-inputs", "EAP-IG-activations"):
        expected = scores_of(cpu, method, level)
        found = scores_of(cuda, method, level)
        atol = 1e-4 * float(np.abs(expected.values).max())
        np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=atol)
    ours, theirs = curve_of(cuda, expected), curve_of(cpu, expected)  # the same circuits
    scale = float(np.abs(theirs.full).max())
    for name in ("full", "empty", "circuits"):
        pair = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(*pair, rtol=0, atol=1e-4 * max(1.0, scale))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_half_precision_runs(architecture: str, level: Level) -> None:
    model = model_on("cuda", architecture, torch.bfloat16)
    scores = scores_of(model, "EAP-IG-inputs", level)
    found = curve_of(model, scores)
    assert np.isfinite(found.circuits).all() and found.circuits.shape == (4, 6)
