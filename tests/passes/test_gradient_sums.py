"""Runs with gradients, summed into scores: by weight, at any level, of some sources."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.circuits.scores import Level, ScoreSpace
from harness_circuits.passes.contract import delta_between
from harness_circuits.passes.gradient_sums import GradientSums, Weighted
from harness_circuits.passes.gradients import run_with_gradients
from harness_circuits.passes.native import outputs_of, record


def summed(
    architecture: str, level: Level, weights: list[float], sources: slice | None = None
) -> torch.Tensor:
    model, (batch,) = tiny_model(architecture), token_batches()
    sums = GradientSums(model, level)
    clean = outputs_of(model, batch.clean, record(model, batch.clean)[0])
    new = outputs_of(model, batch.corrupted, record(model, batch.corrupted)[0])
    delta = delta_between(clean, new, model.sum_dtype)
    total = torch.zeros(ScoreSpace(model.graph, level).shape, dtype=torch.float64)
    run = run_with_gradients(model, batch.clean, lambda x: x[:, -1, 3], sums.points)
    sums.add((Weighted(run, weight) for weight in weights), lambda: delta, total, sources)
    return total


@pytest.mark.parametrize("level", ["edge", "node", "neuron"])
@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_weights_of_runs_add_up(architecture: str, level: Level) -> None:
    """Also where a post-norm has every run contracted on its own."""
    once = summed(architecture, level, [1.0])
    torch.testing.assert_close(summed(architecture, level, [0.25, 0.75]), once)
    torch.testing.assert_close(summed(architecture, level, [2.0]), 2 * once)
    assert (summed(architecture, level, []) == 0).all()
    some = slice(1, 5)
    found = summed(architecture, level, [1.0], some)
    torch.testing.assert_close(found[some], once[some])
    assert float(found.abs().sum()) < float(once.abs().sum())


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_a_nodes_score_is_that_of_its_neurons_and_of_its_edges(architecture: str) -> None:
    edges, nodes, neurons = (
        summed(architecture, level, [1.0]) for level in ("edge", "node", "neuron")
    )  # type: ignore[arg-type]
    torch.testing.assert_close(neurons.sum(1), nodes)
    torch.testing.assert_close(edges.sum(1), nodes, rtol=0, atol=1e-5)
