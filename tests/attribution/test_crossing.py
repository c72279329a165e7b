"""Crossing edges between spans: scores and runs, against an independent reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.reference import Reference, exact_float64, logit_diff
from helpers.reference_cases import CASES, PAIRS, TRAINING, answers, clean, corrupted
from helpers.spanned import LOGIT_DIFF, SPANNED, random_circuits, spanned_case, without_one
from helpers.spanned import SPANS as WITHOUT
from helpers.spanned import one_batch as batch_of
from helpers.tiny_models import ARCHITECTURES, GROUPED, random_hf_of, tiny_model

from harness_circuits.ablation import make_ablation
from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution import METHODS, Job, attribute
from harness_circuits.attribution.gradient import run_side_by_side
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import OptionError, UnsupportedModelError
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.loading.load import take_apart
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.passes import crossing_scores
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.attention_weights import softmax
from harness_circuits.passes.block_arguments import block_arguments
from harness_circuits.passes.circuit_run import run_circuits
from harness_circuits.settings import Settings

SPANS = replace(WITHOUT, crossing=True)
METHODS_THAT_CROSS = [name for name in METHODS if METHODS.get(name).crossing]
MIDPOINT = {"ig_steps": 1, "ig_rule": "midpoint"}


def one_batch(spans: Spans = SPANS) -> Batch:
    pairs = SPANNED if len(spans) > 1 else [replace(p, spans=("END",) * 6) for p in SPANNED]
    return batch_of(pairs, spans)


def scores(model: CircuitModel, method: str, spans: Spans = SPANS, **options: object) -> Scores:
    return attribute(Job(model, [one_batch(spans)], LOGIT_DIFF, spans=spans), method, **options)


def output_gradients(reference: Reference, alpha: float) -> torch.Tensor:
    """Gradient of the mean metric at every source's output, part of the way along the path."""
    outputs = reference.outputs(clean(PAIRS))
    start = reference.embed(corrupted(PAIRS)).lerp(reference.embed(clean(PAIRS)), alpha)
    added = torch.zeros_like(outputs).requires_grad_(True)
    ones = torch.ones(reference.n_src, dtype=torch.float64)
    logits, _ = reference.run(clean(PAIRS), ones, delta=added, embedded=start)
    return torch.autograd.grad(logit_diff(answers(PAIRS))(logits).mean(), added)[0]


def changed_outputs(reference: Reference, crossings: torch.Tensor) -> torch.Tensor:
    """Change of every source's output in clean runs with some crossing edges replaced."""
    replacement, kept = reference.replacement("patching", corrupted(PAIRS)), reference.gates("edge")

    def outputs(own: torch.Tensor) -> torch.Tensor:
        return reference.run(clean(PAIRS), kept, replacement, crossings=own)[1]

    with torch.no_grad():
        return torch.func.vmap(outputs)(crossings) - reference.outputs(clean(PAIRS))


@pytest.mark.parametrize("name", CASES)
def test_a_score_is_what_the_changed_output_does_to_first_order(name: str) -> None:
    """Of EAP and one point of EAP-IG-inputs; and all values of a head, in one query span, together."""
    with spanned_case(name) as (model, reference):
        graph, n = model.graph, len(SPANS)
        space = ScoreSpace(graph, "edge", SPANS)
        real = np.argwhere(space.real[:, graph.n_src :])
        drawn = np.random.default_rng(0).permutation(len(real))[:12]
        crossings = torch.zeros(len(drawn) + 1, n, n, graph.n_dst, dtype=torch.float64)
        for gates, at in zip(crossings, real[drawn], strict=False):
            gates[tuple(at)] = 1
        value = graph.head_destination(0, "v", 1)
        crossings[-1, SPANS.index("END"), :, value] = 1
        changes = changed_outputs(reference, crossings)
        layers = [*(real[drawn, 2] // graph.destinations_per_layer), 0]
        for method, alpha, options in (("EAP", 1.0, {}), ("EAP-IG-inputs", 0.5, MIDPOINT)):
            effects = (changes * output_gradients(reference, alpha)).sum((2, 3, 4))
            heads = [graph.head_slice(int(layer)) for layer in layers]
            wanted = [-own[at].sum().item() for own, at in zip(effects, heads, strict=True)]
            found = scores(model, method, **options).values[:, graph.n_src :]
            got = [*found[tuple(real[drawn].T)], found[SPANS.index("END"), :, value].sum()]
            assert np.abs(found).max() > 1e-3
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-10 * np.abs(found).max())


def logits(model: CircuitModel, circuits: list[Circuit]) -> torch.Tensor:
    batch = one_batch()
    stream = AblatedStream(model, batch.clean, Patching().replacement(model, batch))
    return run_circuits(model, circuits, batch.clean, stream)[:, :, 0]


@pytest.mark.parametrize("name", CASES)
def test_a_run_has_blocks_of_the_corrupted_run(name: str) -> None:
    """Random circuits, the whole and the empty one, all edges alone, and those that lack one unit."""
    with spanned_case(name) as (model, reference), torch.no_grad():
        space = ScoreSpace(model.graph, "edge", SPANS)
        n_src = model.graph.n_src
        edges = space.real.copy()
        edges[:, n_src:] = False
        circuits = [Circuit.full(space), Circuit.empty(space), Circuit(space, edges)]
        circuits += random_circuits(space)
        circuits += without_one(space, np.flatnonzero(space.real & ~edges), 8)
        got = logits(model, circuits)
        replacement = reference.replacement("patching", corrupted(PAIRS))
        gates = torch.stack([torch.from_numpy(~circuit.kept).double() for circuit in circuits])

        def run(own: torch.Tensor) -> torch.Tensor:
            how = {"crossings": own[:, n_src:]}
            return reference.run(clean(PAIRS), own[:, :n_src], replacement, **how)[0]

        wanted = torch.func.vmap(run)(gates)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)
        assert (got[2] - got[0]).abs().max() > 1e-3
        for ids, at in ((clean(PAIRS), 0), (corrupted(PAIRS), 1)):
            whole = model.hf(ids, use_cache=False).logits[:, -1]
            torch.testing.assert_close(got[at], whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_with_one_span_a_whole_query_key_or_value_is_replaced(architecture: str) -> None:
    spans = Spans(("END",), ((True,),), (True,), crossing=True)
    model, batch = tiny_model(architecture), one_batch(spans)
    with exact_float64():
        job = Job(model, [batch], LOGIT_DIFF, spans=spans)
        found = attribute(job, "EAP").values[0, model.graph.n_src]
        stream = AblatedStream(model, batch.clean, Patching().replacement(model, batch))
        run = run_side_by_side(job, batch, 1, ("mixed",), None)
        arguments = block_arguments(model, batch.clean)
        for index, layer in enumerate(model.layers):
            both = run.seen["block_in"][index], stream.block_in[index]
            clean_qkv, new_qkv = map(layer.project, both)
            for at, kind in enumerate("qkv"):
                q, k, v = (new_qkv if at == part else clean_qkv for part in range(3))
                moved = layer.core(q[0], k[1], v[2], arguments[index]) - run.seen["mixed"][index]
                effect = -(moved * run.gradients["mixed"][index]).sum((0, 1, 3)) / len(batch)
                got = found[model.graph.kind_slice(index, kind)]
                np.testing.assert_allclose(got, effect.numpy(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", [name for name in METHODS_THAT_CROSS if name != "random"])
def test_edges_have_the_scores_that_they_have_alone(method: str) -> None:
    model = tiny_model("gemma2")
    found, alone = scores(model, method), scores(model, method, WITHOUT)
    np.testing.assert_array_equal(found.values[:, : model.graph.n_src], alone.values)
    assert found.provenance["passes"] == alone.provenance["passes"]
    np.testing.assert_array_equal(found.everywhere().values, alone.everywhere().values)


def test_chunks_batches_and_shared_tokens_change_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("qwen3", kv_heads="grouped")
    with exact_float64():
        wanted = scores(model, "EAP")
        circuits = random_circuits(wanted.space)
        batches = make_batches(SPANNED, 2, spans=SPANS)
        assert any(batch.shared for batch in batches)
        runs = [
            evaluate_circuits(model, each, circuits, LOGIT_DIFF, Patching())
            for each in ([one_batch()], batches)
        ]
        np.testing.assert_allclose(runs[0].circuits, runs[1].circuits, rtol=0, atol=1e-9)
        monkeypatch.setattr(crossing_scores, "CHUNK_BYTES", 1)
        got = attribute(Job(model, batches, LOGIT_DIFF, spans=SPANS), "EAP").values
        np.testing.assert_allclose(got, wanted.values, rtol=0, atol=1e-12)
        again = evaluate_circuits(model, batches, circuits, LOGIT_DIFF, Patching())
        np.testing.assert_allclose(again.circuits, runs[0].circuits, rtol=0, atol=1e-9)


def test_all_crossing_edges_and_some_edges_are_the_circuit_of_these() -> None:
    for architecture in ("gpt2", "gemma2"):
        model = tiny_model(architecture)
        plain = random_circuits(ScoreSpace(model.graph))
        with exact_float64():
            got = logits(model, [circuit.at_all_spans(SPANS) for circuit in plain])
            torch.testing.assert_close(got, logits(model, plain), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kv_heads", ["grouped", "ungrouped"])
def test_pruning_changes_no_run(kv_heads: str) -> None:
    model = tiny_model("llama", kv_heads=kv_heads)
    space = ScoreSpace(model.graph, "edge", SPANS)
    generator = np.random.default_rng(2)
    draws = [space.real & (generator.random(space.shape) < share) for share in (0.1, 0.2, 0.3, 0.4)]
    circuits = [Circuit(space, draw) for draw in draws]
    pruned = [circuit.prune() for circuit in circuits]
    dropped = [
        (c.kept & ~p.kept)[:, model.graph.n_src :] for c, p in zip(circuits, pruned, strict=True)
    ]
    assert any(each.any() for each in dropped)
    assert all(np.array_equal(p.prune().kept, p.kept) for p in pruned)
    with exact_float64():
        got = logits(model, pruned)
        torch.testing.assert_close(got, logits(model, circuits), rtol=0, atol=1e-9)


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_other_ablations_replace_by_the_run_in_which_all_is_replaced(ablation: str) -> None:
    with spanned_case("llama-grouped") as (model, reference), torch.no_grad():
        space, n_src = ScoreSpace(model.graph, "edge", SPANS), model.graph.n_src
        circuits = random_circuits(space)
        replaces = make_ablation(ablation, model, make_batches(TRAINING, 2))
        batch = one_batch()
        stream = AblatedStream(model, batch.clean, replaces.replacement(model, batch))
        got = run_circuits(model, circuits, batch.clean, stream)[:, :, 0]
        replacement = reference.replacement(ablation, corrupted(PAIRS), clean(TRAINING))
        for circuit, found in zip(circuits, got, strict=True):
            gates = torch.from_numpy(~circuit.kept).double()
            how = {"crossings": gates[:, n_src:]}
            wanted = reference.run(clean(PAIRS), gates[:, :n_src], replacement, **how)[0]
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_denoising_gives_the_clean_blocks_to_the_corrupted_prompt() -> None:
    with spanned_case("gpt2-ungrouped") as (model, reference), torch.no_grad():
        space, n_src = ScoreSpace(model.graph, "edge", SPANS), model.graph.n_src
        (circuit, *_) = random_circuits(space)
        found = evaluate_circuits(
            model, [one_batch()], [circuit], LOGIT_DIFF, Patching(), direction="denoising"
        )
        gates = torch.from_numpy(circuit.kept).double()
        how = {"crossings": gates[:, n_src:]}
        replacement = reference.outputs(clean(PAIRS))
        wanted = reference.run(corrupted(PAIRS), gates[:, :n_src], replacement, **how)[0]
        wanted = logit_diff(answers(PAIRS))(wanted).numpy()
        np.testing.assert_allclose(found.circuits[0], wanted, rtol=0, atol=1e-9)


def test_half_precision_is_near_and_sinks_are_refused() -> None:
    wide, half = (tiny_model("qwen2", dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    wanted, got = (scores(model, "EAP").values for model in (wide, half))
    assert np.abs(got - wanted).max() < 0.1 * np.abs(wanted).max()
    sizes = {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}
    sinks = take_apart(random_hf_of("gpt_oss", **sizes), name="tiny-gpt-oss")
    with pytest.raises(UnsupportedModelError, match=r"of tiny-gpt-oss: .* layer 0 does not"):
        scores(sinks, "EAP")


def test_masked_logits_stay_masked_and_rows_that_see_nothing_are_zero() -> None:
    logits = torch.tensor([[[[0.0, -torch.inf], [-torch.inf, -torch.inf]]]])
    assert softmax(logits).tolist() == [[[[1, 0], [0, 0]]]]


def test_other_methods_and_other_options_say_so() -> None:
    with pytest.raises(OptionError, match=r"GIM does not score crossing edges.*EAP"):
        scores(tiny_model("gpt2"), "GIM")
    with pytest.raises(OptionError, match="crossing=true is for circuits over positions"):
        Settings.from_arguments({"crossing": True})
    with pytest.raises(OptionError, match=r"CEAP does not score crossing edges"):
        Settings.from_arguments({"crossing": "true", "positions": "spans", "method": "CEAP"})
