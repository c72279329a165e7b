"""Runs of circuits against the brute-force reference, and what must not change them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from helpers.circuit_samples import assert_untouched, failing, random_circuits
from helpers.reference_cases import BY_HAND, CASES, PAIRS, Case, clean, corrupted, exact_case
from helpers.tiny_models import tiny_model, token_batches
from torch import Tensor

from harness_circuits.ablation import make_ablation
from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import GRAPH_LEVELS, LEVELS, ScoreSpace
from harness_circuits.errors import MismatchError, TaskDataError
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuit

LOGIT_DIFF = METRICS.get("logit_diff")


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    with exact_case(request.param) as found:
        yield found


def assert_close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("ablation", BY_HAND)
@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_a_circuits_run_is_the_gated_run(case: Case, level: str, ablation: str) -> None:
    inputs = case.batch.clean
    replacement = case.replacement(ablation)
    stream = AblatedStream(
        case.model, inputs, case.ablation(ablation).replacement(case.model, case.batch)
    )
    full = case.reference.run(inputs.ids)[0]
    for circuit in random_circuits(case.model, level):
        got = run_circuit(case.model, circuit, inputs, stream)[:, 0]
        gates = torch.from_numpy(~circuit.kept).double()
        with torch.no_grad():
            wanted = case.reference.run(inputs.ids, gates, replacement)[0]
        assert_close(got, wanted)
        assert (wanted - full).abs().max() > 1e-3, "the circuit removes nothing that matters"


@pytest.mark.parametrize("ablation", BY_HAND)
def test_full_circuit_is_the_model_and_empty_circuit_the_ablated_run(
    case: Case, ablation: str
) -> None:
    model, inputs = case.model, case.batch.clean
    stream = AblatedStream(model, inputs, case.ablation(ablation).replacement(model, case.batch))
    replacement = case.replacement(ablation)
    with torch.no_grad():
        full = model.hf(inputs.ids, use_cache=False).logits[:, -1]
        empty = case.reference.run(inputs.ids, case.reference.gates("node") + 1, replacement)[0]
        if ablation == "patching":
            other = model.hf(case.batch.corrupted.ids, use_cache=False).logits[:, -1]
            assert_close(empty, other)
    for level in GRAPH_LEVELS:
        space = ScoreSpace(model.graph, level)
        assert_close(run_circuit(model, Circuit.full(space), inputs, stream)[:, 0], full)
        got = run_circuit(model, Circuit.empty(space), inputs, stream)[:, 0]
        assert_close(got.expand_as(empty), empty)


@pytest.mark.parametrize("name", ["llama-ungrouped", "gemma2-ungrouped", "gpt_neox-ungrouped"])
def test_a_node_circuit_is_the_edge_and_the_neuron_circuit_of_its_nodes(name: str) -> None:
    with exact_case(name) as case:
        model, inputs = case.model, case.batch.clean
        stream = AblatedStream(model, inputs, Patching().replacement(model, case.batch))
        for node in random_circuits(model, "node", seed=3):
            wanted = run_circuit(model, node, inputs, stream)
            edge = Circuit(ScoreSpace(model.graph, "edge"), node.edges)
            every = np.repeat(node.kept[:, None], model.graph.d_model, axis=1)
            neuron = Circuit(ScoreSpace(model.graph, "neuron"), every)
            assert_close(run_circuit(model, edge, inputs, stream), wanted)
            assert_close(run_circuit(model, neuron, inputs, stream), wanted)


def test_a_failing_block_leaves_no_trace() -> None:
    """The blocks come back also when the run itself fails half way."""
    model, (batch,) = tiny_model("gpt2"), token_batches()
    blocks = model.hf.get_submodule("transformer.h")
    members = list(blocks)
    with pytest.raises(RuntimeError, match="the metric fails"):
        model.forward(batch.clean, failing)
    assert_untouched(model, blocks, members)


def test_attribution_and_evaluation_leave_no_gradients_and_change_no_weights() -> None:
    model, batches = tiny_model("gemma2"), token_batches()
    blocks = model.hf.get_submodule("model.layers")
    weights = {name: weight.clone() for name, weight in model.hf.named_parameters()}
    for level in LEVELS:
        attribute(Job(model, batches, LOGIT_DIFF, level), "EAP-IG-inputs")
        evaluate_circuits(model, batches, random_circuits(model, level), LOGIT_DIFF, Patching())
    assert_untouched(model, blocks, list(blocks))
    for name, weight in model.hf.named_parameters():
        assert torch.equal(weight, weights[name]), name


def test_a_circuit_of_another_model_is_refused() -> None:
    other = ScoreSpace(tiny_model("llama", kv_heads="grouped").graph)
    with pytest.raises(MismatchError, match="The circuit or scores belong to another model"):
        evaluate_circuits(
            tiny_model("llama"), token_batches(), [Circuit.empty(other)], LOGIT_DIFF, Patching()
        )


def test_a_length_without_a_positional_mean_is_refused() -> None:
    model = tiny_model("gpt2")
    how = make_ablation("mean-positional", model, token_batches(3, 6))
    with pytest.raises(
        TaskDataError, match=r"a prompt has 7 tokens, the training prompts have \[6\]"
    ):
        evaluate_circuits(model, token_batches(2, 7), [], LOGIT_DIFF, how)


def test_means_can_be_taken_over_the_corrupted_prompts() -> None:
    with exact_case("gpt2-ungrouped") as case:
        how = make_ablation("mean", case.model, make_batches(PAIRS, 2), "corrupted")
        wanted = case.reference.outputs(corrupted(PAIRS)).mean((1, 2))
        got = how.replacement(case.model, case.batch)
        assert_close(got.embedded[0, 0], wanted[0])
        assert_close(got.mlp[1][0, 0], wanted[-1])
        assert not torch.allclose(
            wanted[0], case.reference.outputs(clean(PAIRS)).mean((1, 2))[0], atol=1e-3
        )
