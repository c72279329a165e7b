"""Masked runs against brute force: logits, and gradients of every mask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference_cases import BY_HAND, CASES, Case, exact_case
from helpers.tiny_models import tiny_model, token_batches
from torch import Tensor

from harness_circuits.ablation.patching import Patching
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import GRAPH_LEVELS, LEVELS, Level, ScoreSpace
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuit
from harness_circuits.passes.masked_run import run_masked
from harness_circuits.passes.native import Outputs
from harness_circuits.passes.shared_prefix import behind_shared_prefix


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    with exact_case(request.param) as found:
        yield found


def random_mask(space: ScoreSpace, seed: int = 0) -> Tensor:
    """Numbers in (0, 1); those of edges that do not exist are not to be read."""
    mask = np.random.default_rng(seed).random(space.shape)
    return torch.from_numpy(np.where(space.real, mask, np.nan))


def patched_stream(model: CircuitModel, batch: Batch) -> AblatedStream:
    return AblatedStream(model, batch.clean, Patching().replacement(model, batch))


def constants_of(model: CircuitModel) -> list[Tensor]:
    """A random constant for the input, every head and every MLP, in the order of `Outputs`."""
    graph, random = model.graph, torch.Generator().manual_seed(5)
    heads = (1, 1, graph.n_heads, model.layers[0].d_head)
    shapes = [(1, 1, graph.d_model), *[heads] * graph.n_layers]
    shapes += [(1, 1, graph.d_model)] * graph.n_layers
    made = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]
    return [x.requires_grad_() for x in made]


def outputs_by_source(model: CircuitModel, constants: list[Tensor], shape: Any) -> Tensor:
    """What each source puts out, [src, batch, pos, model], as the reference has it."""
    embedded, n = constants[0][0, 0], model.graph.n_layers
    rows = [embedded]
    for index, layer in enumerate(model.layers):
        mixed, mlp = constants[1 + index][0, 0], constants[1 + n + index][0, 0]
        rows += [*torch.einsum("hd,hdm->hm", mixed, layer.w_o), mlp]
    return torch.stack(rows)[:, None, None].expand(-1, *shape, -1)


def test_constants_that_replace_outputs_take_gradients(case: Case) -> None:
    """Edges of every architecture; nodes and neurons take turns."""
    for level in ("edge", ("node", "neuron")[CASES.index(case_name(case)) % 2]):
        compare_constants(case, level)


def compare_constants(case: Case, level: Any) -> None:
    model, inputs = case.model, case.batch.clean
    space, n = ScoreSpace(model.graph, level), model.graph.n_layers
    constants = constants_of(model)
    wide = [x.expand(1, inputs.ids.shape[1], *x.shape[2:]) for x in constants]
    stream = AblatedStream(model, inputs, Outputs(wide[0], wide[1 : n + 1], wide[n + 1 :]))
    assert stream.is_learned
    mask = random_mask(space)
    got = run_masked(model, level, mask, inputs, stream)
    direction = torch.randn(got.shape, generator=torch.Generator().manual_seed(1), dtype=got.dtype)
    found = torch.autograd.grad(got, constants, direction)
    replacement = outputs_by_source(model, constants, inputs.ids.shape)
    wanted = case.reference.run(inputs.ids, 1 - mask.nan_to_num(1), replacement)[0]
    expected = torch.autograd.grad(wanted, constants, direction[:, 0])
    torch.testing.assert_close(got[:, 0], wanted, rtol=0, atol=1e-9)
    largest = max(float(x.abs().max()) for x in expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9 * max(1.0, largest))
    assert largest > 1e-3


@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_logits_and_gradients_are_those_of_gates(case: Case, level: Level) -> None:
    """The reference gates every edge by itself, and autograd differentiates it."""
    space, inputs = ScoreSpace(case.model.graph, level), case.batch.clean
    ablation = BY_HAND[(CASES.index(case_name(case)) + LEVELS.index(level)) % len(BY_HAND)]
    replacement = case.ablation(ablation).replacement(case.model, case.batch)
    mask = random_mask(space).requires_grad_()
    got = run_masked(
        case.model, level, mask, inputs, AblatedStream(case.model, inputs, replacement)
    )
    direction = torch.randn(got.shape, generator=torch.Generator().manual_seed(1), dtype=got.dtype)
    (gradient,) = torch.autograd.grad(got, mask, direction)
    gates = (1 - mask.detach().nan_to_num(1)).requires_grad_()
    wanted = case.reference.run(inputs.ids, gates, case.replacement(ablation))[0]
    (expected,) = torch.autograd.grad(wanted, gates, -direction[:, 0])
    torch.testing.assert_close(got[:, 0], wanted, rtol=0, atol=1e-9)
    largest = float(expected.abs().max())
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-9 * max(1.0, largest))
    assert largest > 1e-3


def case_name(case: Case) -> str:
    architecture = case.model.name.removeprefix("tiny-")
    grouped = case.model.graph.n_kv_heads != case.model.graph.n_heads
    return f"{architecture}-{'grouped' if grouped else 'ungrouped'}"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("architecture", ["gpt2", "gemma2", "gpt_neox"])
def test_masks_of_zeros_and_ones_are_circuits(architecture: str, level: Level) -> None:
    model = tiny_model(architecture).at(level)
    (batch,) = token_batches(3, 6)
    stream, space = patched_stream(model, batch), ScoreSpace(model.graph, level)
    draw = np.random.default_rng(3).random(space.shape) < 0.4
    circuits = [Circuit(space, draw & space.real), Circuit.full(space), Circuit.empty(space)]
    for circuit in circuits:
        mask = torch.from_numpy(circuit.kept).double()
        got = run_masked(model, level, mask, batch.clean, stream)
        wanted = run_circuit(model, circuit, batch.clean, stream)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6)
        assert not got.requires_grad
    ones, zeros = (torch.full(space.shape, value) for value in (1.0, 0.0))
    full = run_masked(model, level, ones, batch.clean, stream)
    empty = run_masked(model, level, zeros, batch.clean, stream)
    if level == "mlp-neuron":  # what no unit stands for is kept
        torch.testing.assert_close(full, model.forward(batch.clean), rtol=0, atol=1e-6)
        return
    torch.testing.assert_close(full, model.forward(batch.clean), rtol=0, atol=1e-6)
    torch.testing.assert_close(empty, model.forward(batch.corrupted), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["llama-grouped", "olmo2-ungrouped"])
@pytest.mark.parametrize("level", ["edge", "node"])
def test_gradients_are_finite_differences(name: str, level: Level) -> None:
    with exact_case(name) as case:
        space, inputs = ScoreSpace(case.model.graph, level), case.batch.clean
        stream = patched_stream(case.model, case.batch)
        mask = random_mask(space, seed=2).nan_to_num(0)

        def value(z: Tensor) -> Tensor:
            return run_masked(case.model, level, z, inputs, stream)[..., :3].sum()

        (gradient,) = torch.autograd.grad(value(leaf := mask.clone().requires_grad_()), leaf)
        units = np.argwhere(space.real)
        for unit in units[:: max(1, len(units) // 12)]:
            step = torch.zeros_like(mask)
            step[tuple(unit)] = 1e-5
            slope = float(value(mask + step) - value(mask - step)) / 2e-5
            assert abs(slope - float(gradient[tuple(unit)])) < 1e-6 * max(1, abs(slope))
        assert not gradient[~torch.from_numpy(space.real)].any()


@pytest.mark.parametrize("architecture", ["gpt2", "gemma2"])
def test_backward_may_be_repeated(architecture: str) -> None:
    model = tiny_model(architecture)
    (batch,) = token_batches(2, 5)
    mask = random_mask(ScoreSpace(model.graph)).nan_to_num(0).requires_grad_()
    stream = patched_stream(model, batch)
    out = run_masked(model, "edge", mask, batch.clean, stream).sum()
    once, twice = (torch.autograd.grad(out, mask, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(once, twice, rtol=0, atol=0)


@pytest.mark.parametrize("level", LEVELS)
def test_behind_a_shared_prefix_nothing_changes(level: Level) -> None:
    model = tiny_model("qwen3").at(level)
    (batch,) = token_batches(3, 12, n_changed=1, seed=5)
    behind = behind_shared_prefix(model, batch)
    found = []
    for each in (batch, behind):
        mask = random_mask(ScoreSpace(model.graph, level)).nan_to_num(0).requires_grad_()
        out = run_masked(model, level, mask, each.clean, patched_stream(model, each))
        found.append((out, torch.autograd.grad(out.sum(), mask)[0]))
    assert batch.shared == 0 or behind.clean.ids.shape[1] < batch.clean.ids.shape[1]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
@pytest.mark.parametrize("level", LEVELS)
def test_half_precision_gives_about_the_same_gradients(level: Level, architecture: str) -> None:
    found = []
    for dtype in (torch.float64, torch.bfloat16):
        model = tiny_model(architecture, dtype=dtype).at(level)
        (batch,) = token_batches(3, 6)
        mask = random_mask(ScoreSpace(model.graph, level)).nan_to_num(0).requires_grad_()
        out = run_masked(model, level, mask, batch.clean, patched_stream(model, batch))
        found.append(torch.autograd.grad(out[..., :5].float().sum(), mask)[0].ravel())
    assert found[1].dtype == torch.float64
    assert np.corrcoef(*(x.numpy() for x in found))[0, 1] > 0.99
