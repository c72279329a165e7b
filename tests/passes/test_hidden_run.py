"""Hidden units of MLPs (`level=mlp-neuron`) against brute force, on every architecture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference_cases import BY_HAND, CASES, PAIRS, TRAINING, Case, clean, exact_case
from helpers.reference_hidden import (
    exact_hidden_scores,
    gated_logits,
    hidden_gate_gradient,
    hidden_outputs,
    hidden_replaced,
    hidden_replacement,
    metric,
)
from helpers.tiny_models import ARCHITECTURES, random_hf_of, tiny_model, token_batches

from harness_circuits.ablation import make_ablation
from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.gradient import even_points
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import HIDDEN_UNITS, ScoreSpace
from harness_circuits.errors import MismatchError, OptionError, UnsupportedModelError
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.pairs.batch import make_batches
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuit, run_circuits
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.passes.masked_run import run_masked
from harness_circuits.passes.memory import bytes_per_token
from harness_circuits.passes.native import outputs_of, record, zero_outputs
from harness_circuits.settings import Settings

LOGIT_DIFF = METRICS.get("logit_diff")
POST_NORM = ("gemma2", "olmo2")
IDS = torch.randint(2, 61, (3, 7), generator=torch.Generator().manual_seed(3))


# What a head's key is shared with is nothing to an MLP.
@pytest.fixture(params=CASES[: len(ARCHITECTURES)])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    with exact_case(request.param) as found:
        yield found


def scores(case: Case, method: str, ablation: str, level: Any = HIDDEN_UNITS, **how: Any) -> Any:
    made = make_ablation(ablation, case.model.at(level), make_batches(TRAINING, 2))
    return attribute(Job(case.model, [case.batch], LOGIT_DIFF, level, made), method, **how).values


def assert_same(got: np.ndarray, wanted: Any) -> None:
    wanted = np.asarray(wanted)
    assert got.shape == wanted.shape and np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


def random_circuit(model: CircuitModel, share: float, seed: int = 0) -> Circuit:
    space = ScoreSpace(model.graph, HIDDEN_UNITS)
    return Circuit(space, np.random.default_rng(seed).random(space.shape) < share)


def test_gradients_are_those_of_gates(case: Case) -> None:
    """EAP under every ablation, EAP-IG-inputs and clean-corrupted under patching."""
    for ablation in BY_HAND:
        assert_same(scores(case, "EAP", ablation), hidden_gate_gradient(case, ablation))
    points = [hidden_gate_gradient(case, "patching", alpha) for alpha in (0.0, 0.5, 1.0)]
    got = scores(case, "EAP-IG-inputs", "patching", ig_steps=2, ig_rule="left")
    assert_same(got, (points[0] + points[1]) / 2)
    assert_same(scores(case, "clean-corrupted", "patching"), (points[0] + points[2]) / 2)


def test_paths_of_shares_and_increments(case: Case) -> None:
    """EAP-IG-circuits: gates that are all open by the same amount; CEAP: increments of hidden units."""
    replacement = hidden_replacement(case.reference, "patching")
    gates = torch.full(replacement[:, 0, 0].shape, 0.5, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(metric(gated_logits(case.reference, gates, replacement)), gates)
    how = {"ig_steps": 1, "ig_rule": "midpoint"}
    assert_same(scores(case, "EAP-IG-circuits", "patching", **how), -slope)
    one = hidden_gate_gradient(case, "patching")  # one step from end to end
    assert_same(scores(case, "CEAP", "patching", ig_steps=1, ig_rule="right"), one)


@pytest.mark.parametrize("name", ["gpt2-ungrouped", "gemma2-ungrouped"])
def test_soft_masks_are_gates(name: str) -> None:
    with exact_case(name) as case:
        model, inputs = case.model.at(HIDDEN_UNITS), case.batch.clean
        replacement = hidden_replacement(case.reference, "patching")
        made = Patching().replacement(model, case.batch)
        mask = torch.rand(replacement[:, 0, 0].shape, dtype=torch.float64, requires_grad=True)
        stream = AblatedStream(model, inputs, made)
        got = run_masked(model, HIDDEN_UNITS, mask, inputs, stream)[:, 0]
        wanted = gated_logits(case.reference, 1 - mask, replacement)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)
        slopes = (torch.autograd.grad(metric(logits), mask)[0] for logits in (got, wanted))
        torch.testing.assert_close(*slopes, rtol=0, atol=1e-9)


def test_exact_is_the_run_with_one_hidden_unit_replaced(case: Case) -> None:
    ablation = BY_HAND[len(case.model.name) % len(BY_HAND)]
    assert_same(scores(case, "exact", ablation), exact_hidden_scores(case, ablation))


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in POST_NORM])
def test_hidden_units_add_up_to_their_mlp(architecture: str) -> None:
    """Where no norm lies between an MLP and the stream: the node's difference is not linearised."""
    with exact_case(f"{architecture}-ungrouped") as case:
        for method in ("EAP", "EAP-IG-inputs", "clean-corrupted", "RelP"):
            nodes = scores(case, method, "patching", "node")
            units = scores(case, method, "patching")
            assert_same(units.sum(1), nodes[case.model.graph.mlp_sources])


@pytest.mark.parametrize("name", ["gpt2-ungrouped", "llama-ungrouped", "gemma2-grouped"])
@pytest.mark.parametrize("sites", ["own", "all"])
def test_paths_of_activations_open_the_gates_of_one_layer(name: str, sites: str) -> None:
    with exact_case(name) as case:
        how = {"ig_steps": 2, "ig_rule": "midpoint", "sites": sites}
        got = scores(case, "EAP-IG-activations", "patching", **how)
        replacement = hidden_replacement(case.reference, "patching")
        delta = replacement - hidden_outputs(case.reference, clean(PAIRS))
        wanted = np.zeros(got.shape)
        for layer in range(len(got)):
            for point in even_points("midpoint", 2):
                # The layer is fixed; added to it, a gate's delta is what the other units are scored by.
                fixed = torch.zeros(got.shape, dtype=torch.float64)
                fixed[layer] = 1 - point.alpha
                moved = torch.zeros_like(fixed, requires_grad=True)
                logits = _half_open(case, fixed, moved, replacement, delta)
                (gradient,) = torch.autograd.grad(metric(logits), moved)
                rows = [layer] if sites == "own" else list(range(len(got)))
                share = 1.0 if sites == "own" else 1 / len(got)
                wanted[rows] -= share * point.weight * gradient[rows].numpy()
    assert_same(got, wanted)


def _half_open(
    case: Case, fixed: torch.Tensor, moved: torch.Tensor, to: torch.Tensor, delta: torch.Tensor
) -> torch.Tensor:
    """Logits where the layer with a fixed gate lies between clean and replaced, whatever is before."""
    before = hidden_outputs(case.reference, clean(PAIRS))
    target = before + fixed[:, None, None] * (to - before)
    opened = (fixed > 0).any(1).double()[:, None, None, None]

    def mix(index: int, hidden: torch.Tensor) -> torch.Tensor:
        at = opened[index] * target[index] + (1 - opened[index]) * hidden
        return at + moved[index] * delta[index]

    with hidden_replaced(case.reference, mix):
        return case.reference.run(clean(PAIRS))[0]


def test_a_circuits_run_is_the_gated_run(case: Case) -> None:
    """All of them: the model to rounding; none: every MLP ablated, everything else kept."""
    model, inputs = case.model.at(HIDDEN_UNITS), case.batch.clean
    space = ScoreSpace(model.graph, HIDDEN_UNITS)
    some = [random_circuit(model, share, 1) for share in (0.1, 0.7)]
    circuits = [*some, Circuit.empty(space), Circuit.full(space)]
    for ablation in BY_HAND:
        made = make_ablation(ablation, model, make_batches(TRAINING, 2))
        stream = AblatedStream(model, inputs, made.replacement(model, case.batch))
        got = run_circuits(model, circuits, inputs, stream)[:, :, 0]
        replacement = hidden_replacement(case.reference, ablation)
        with torch.no_grad():
            for row, circuit in zip(got, circuits, strict=True):
                gates = torch.from_numpy(~circuit.kept).double()
                wanted = gated_logits(case.reference, gates, replacement)
                torch.testing.assert_close(row, wanted, rtol=0, atol=1e-9)
    torch.testing.assert_close(got[-1], model.forward(inputs)[:, 0], rtol=0, atol=1e-12)
    assert (got[:-1] - got[-1]).abs().amax((1, 2)).min() > 1e-3


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gpt_neox"])
def test_no_hidden_unit_is_no_mlp(architecture: str) -> None:
    """Where no norm lies between, the empty circuit is the node circuit without MLPs."""
    model, batches = tiny_model(architecture), token_batches()
    nodes = Circuit.full(ScoreSpace(model.graph, "node")).kept
    nodes[model.graph.mlp_sources] = False
    without = [Circuit(ScoreSpace(model.graph, "node"), nodes)]
    empty = Circuit.empty(ScoreSpace(model.graph, HIDDEN_UNITS))
    for ablation in ("patching", "mean"):
        made = make_ablation(ablation, model, batches)  # means are of hidden units in any case
        of_nodes = evaluate_circuits(model, batches, without, LOGIT_DIFF, made)
        found = evaluate_circuits(model, batches, [empty], LOGIT_DIFF, made)
        np.testing.assert_allclose(found.empty, of_nodes.circuits[0], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(found.empty, found.circuits[0])


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2", "falcon", "opt"])
def test_an_installed_circuit_is_its_run_also_with_a_cache(architecture: str) -> None:
    model = tiny_model(architecture).at(HIDDEN_UNITS)
    circuit = random_circuit(model, 0.4)
    inputs, constant = Inputs(IDS, torch.arange(7)), zero_outputs(model, 1)
    how = {"do_sample": False, "max_new_tokens": 4, "eos_token_id": None, "pad_token_id": 0}
    expected = run_circuit(model, circuit, inputs, AblatedStream(model, inputs, constant))
    with InstalledCircuit(model, circuit, constant).installed():
        found = model.hf(input_ids=IDS).logits
        cached = model.hf.generate(IDS, use_cache=True, **how)
        plain = model.hf.generate(IDS, use_cache=False, **how)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert torch.equal(cached, plain)
    assert not torch.equal(found, model.hf(input_ids=IDS).logits)


def test_only_this_level_looks_into_mlps() -> None:
    model, (batch,) = tiny_model("llama"), token_batches()
    inside = model.at(HIDDEN_UNITS)
    assert inside.at(HIDDEN_UNITS) is inside and model.at("node") is model
    assert inside.counts is model.counts and inside.hf is model.hf
    for one, kept in ((model, False), (inside, True), (inside.at("edge"), False)):
        seen, _ = record(one, batch.clean)
        outputs = outputs_of(one, batch.clean, seen)
        assert (outputs.hidden is not None) == kept
    assert bytes_per_token(inside, 6) > bytes_per_token(model, 6)
    assert not [m for m in model.hf.modules() if m._forward_pre_hooks]


def test_replacements_without_hidden_units_are_refused() -> None:
    class Nodes(Patching):
        def replacement(self, model: CircuitModel, batch: Any) -> Any:
            return super().replacement(model.at("node"), batch)

    job = Job(tiny_model("gpt2"), token_batches(), LOGIT_DIFF, HIDDEN_UNITS, Nodes())
    with pytest.raises(OptionError, match="level=mlp-neuron: the ablation has nothing for hidden"):
        attribute(job, "EAP")


def test_experts_have_no_hidden_units_and_other_levels_do_not_mind() -> None:
    hf = random_hf_of(
        "mixtral",
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=2,
        num_experts_per_tok=2,
        max_position_embeddings=64,
    )
    model = take_apart(hf, name="experts")
    assert model.graph.d_mlp is None and model.finest is model
    attribute(Job(model, token_batches(2), LOGIT_DIFF), "EAP")
    with pytest.raises(UnsupportedModelError, match="level=mlp-neuron cannot be used with experts"):
        Job(model, token_batches(2), LOGIT_DIFF, HIDDEN_UNITS)


def test_a_circuit_of_wider_mlps_is_refused() -> None:
    """Graphs are equal whatever their MLPs' widths: no node and no edge depends on them."""
    model, other = tiny_model("gpt_neox"), tiny_model("gptj")
    wider = random_circuit(other, 0.5)
    with pytest.raises(MismatchError):
        evaluate_circuits(model, token_batches(), [wider], LOGIT_DIFF, Patching())


def test_an_ablation_of_nodes_alone_is_refused_before_anything_is_run() -> None:
    with pytest.raises(OptionError, match="ablation=optimal says nothing of hidden units of MLPs"):
        Settings(level=HIDDEN_UNITS, ablation="optimal").check_discovery()
