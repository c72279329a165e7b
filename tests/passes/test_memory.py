"""How many pairs go into a pass."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from helpers.tiny_models import tiny_model, token_pairs
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.attribution.atp_star import grad_drop_bytes
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.tokenise import TokenPair
from harness_circuits.passes.memory import (
    MOST_TOKENS,
    PATCHED_TOKENS,
    SHARE_USED,
    Needs,
    bytes_per_token,
    free_memory,
    installed_bytes_per_token,
    pairs_per_pass,
    patched_bytes_per_token,
    rows_per_call,
)
from harness_circuits.passes.shared_prefix import behind_shared_prefix
from harness_circuits.settings import Settings

PAIRS = token_pairs(3, 6)


@given(st.integers(2**18, 2**32), st.integers(2**18, 2**32))
def test_more_memory_never_means_fewer_pairs(a: int, b: int) -> None:
    model = tiny_model("gpt2")
    few, many = (pairs_per_pass(model, PAIRS, bound) for bound in sorted((a, b)))
    assert 1 <= few <= many <= MOST_TOKENS // 6


@given(st.integers(2**18, 2**32))
def test_the_estimate_stays_below_the_bound(bound: int) -> None:
    model = tiny_model("gpt2")
    n = pairs_per_pass(model, PAIRS, bound)
    assert n * 6 * bytes_per_token(model, 6) <= bound


def test_the_longest_pair_with_its_answers_decides() -> None:
    model = tiny_model("gpt2")
    longer = replace(PAIRS[0], answers=((1, 2, 3), (1, 4, 5)))
    assert pairs_per_pass(model, PAIRS, 2**40) == MOST_TOKENS // 6
    # 6 prompt tokens and the proper prefixes (1), (1 2), (1 4)
    assert pairs_per_pass(model, [*PAIRS, longer], 2**40) == MOST_TOKENS // 9


def test_post_norms_need_what_they_mix_heads_from() -> None:
    """A term per head and one per layer, of the width of the stream, per token."""
    model = tiny_model("gemma2", dtype=torch.float32)
    circuit = Circuit.full(ScoreSpace(model.graph))
    post_norm = installed_bytes_per_token(model, circuit)
    layers = [copy.copy(layer) for layer in model.layers]
    for layer in layers:
        layer.post_attention = None
    plain = copy.copy(model)
    plain.layers = layers
    terms = model.graph.n_layers * (model.graph.n_heads + 1)
    without = installed_bytes_per_token(plain, circuit)
    assert post_norm - without == 4 * model.graph.d_model * terms
    assert bytes_per_token(model, 8) >= bytes_per_token(plain, 8)


def test_too_little_memory_is_refused() -> None:
    model = tiny_model("gpt2")
    with pytest.raises(OptionError) as error:
        pairs_per_pass(model, PAIRS, 1000)
    needed = 6 * bytes_per_token(model, 6) / 2**30
    assert str(error.value) == (
        f"One pair of 6 tokens needs about {needed:.2f} GiB beside the model, max_memory allows "
        "0.00 GiB. Raise max_memory, or use shorter prompts."
    )


def test_estimates_grow_with_dtype_and_attention() -> None:
    wide, narrow = tiny_model("gpt2"), tiny_model("gpt2", dtype=torch.float32)
    assert bytes_per_token(wide, 8) == 2 * bytes_per_token(narrow, 8)
    assert bytes_per_token(wide, 4096) > bytes_per_token(wide, 1024)


def test_a_share_of_what_is_free_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("gpt2")
    assert free_memory(torch.device("cpu")) > 0
    monkeypatch.setattr("harness_circuits.passes.memory.free_memory", lambda device: 4 * 2**22)
    assert pairs_per_pass(model, PAIRS, None) == pairs_per_pass(model, PAIRS, 2**22)


def test_grad_drop_needs_more() -> None:
    model = tiny_model("gpt2", dtype=torch.float32)
    per_token, fixed = grad_drop_bytes(model)
    assert per_token == 2 * 2 * 32 * 4  # dropped layer x layer x width x float32
    assert fixed == 3 * 2 * (1 + 2 * 5) * (2 * 13 + 1) * 8
    bound = 2**24
    dropping = Needs(more=(grad_drop_bytes,))
    assert pairs_per_pass(model, PAIRS, bound, 1, dropping) < pairs_per_pass(model, PAIRS, bound)


def test_settings_say_what_their_method_needs() -> None:
    atp = {"method": "AtP-star"}
    assert Settings(**atp).needs == Needs(patched=True, more=(grad_drop_bytes,))
    assert Settings(**atp, method_options={"grad_drop": False}).needs == Needs(patched=True)
    assert Settings(**atp, method_options={"qk_fix": False}).needs == Needs(more=(grad_drop_bytes,))
    assert Settings(method="exact").needs == Needs(patched=True)
    assert Settings(method="EAP").needs == Needs()
    steps = {"method_options": {"ig_steps": 40}}
    assert Settings(method="EAP-IG-inputs", **steps).needs == Needs(runs=40)
    assert Settings(method="EAP-IG-activations", **steps).needs == Needs(runs=40)
    assert Settings(method="EAP-IG-activations", level="node", **steps).needs == Needs()
    several = {"method_options": {"methods": "EAP-IG-inputs:exact"}}
    assert Settings(method="ensemble", **several).needs == Needs(runs=5, patched=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_step_of_a_path_needs_more_in_the_dtype_of_sums(dtype: torch.dtype) -> None:
    model = tiny_model("gpt2", dtype=dtype)
    few, many = (bytes_per_token(model, 6, runs) for runs in (40, 75))
    assert many - few == 2 * 2 * 35 * 32 * 4  # layer, twice its size, run, width, float32


def test_methods_that_patch_need_a_pass_of_their_own() -> None:
    model = tiny_model("gpt2", dtype=torch.float32)
    fixed = PATCHED_TOKENS * patched_bytes_per_token(model, 6)
    bound = int(2 * fixed / SHARE_USED)
    patched = Needs(patched=True)
    few, many = (pairs_per_pass(model, PAIRS, bound, 1, needs) for needs in (patched, Needs()))
    assert few < many
    with pytest.raises(OptionError, match=r"One pair of 6 tokens needs"):
        pairs_per_pass(model, PAIRS, fixed, 1, patched)


def test_texts_of_a_call_fill_the_bound_and_no_more() -> None:
    model = tiny_model("llama")
    space = ScoreSpace(model.graph)
    circuits = [Circuit.full(space), Circuit.empty(space)]
    most, least = (installed_bytes_per_token(model, circuit) for circuit in circuits)
    assert most - least == model.graph.n_src * model.graph.d_model * 8
    bound = int(10 * 5 * most / SHARE_USED) + 1
    assert rows_per_call(model, circuits[0], 10, bound) == 5
    with pytest.raises(OptionError) as error:
        rows_per_call(model, circuits[0], 10**6, bound)
    assert str(error.value).startswith("One text of 1000000 tokens needs about ")


def test_processes_divide_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("gpt2")
    monkeypatch.setattr("harness_circuits.passes.memory.free_memory", lambda device: 2**23)
    assert pairs_per_pass(model, PAIRS, None, 2) == pairs_per_pass(model, PAIRS, 2**20)


@given(st.integers(2**18, 2**24), st.integers(1, 11), st.integers(1, 9))
def test_runs_side_by_side_hold_no_more_than_the_estimate(bound: int, shared: int, n: int) -> None:
    """As many tokens as whole pairs of one pass; of the prefix, keys and values alone are held."""
    model, length = tiny_model("gpt2", dtype=torch.float32), 12
    clean = tuple(range(length))
    corrupted = (*clean[:shared], *(token + 20 for token in clean[shared:]))
    pairs = [TokenPair(clean, corrupted, ((1,), (2,)), (0,), (1,), at) for at in range(n)]
    size = pairs_per_pass(model, pairs, bound)
    for batch in make_batches(pairs, size, room=size):
        rest = behind_shared_prefix(model, batch)
        rows = len(batch) * rest.at_once
        own, graph = rows * rest.clean.ids.shape[1], model.graph
        keys = rows * batch.shared * 2 * graph.n_layers * graph.d_model * 4
        assert own * bytes_per_token(model, length) + keys <= bound
        assert rest.at_once >= 1 and len(batch) <= size
