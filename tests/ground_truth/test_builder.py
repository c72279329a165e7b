"""Models written by hand: their weights say what their circuit says."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from helpers.environments import ROOT
from helpers.truths import model, scores, truth

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.ground_truth import GROUND_TRUTH
from harness_circuits.ground_truth.folder import tokenizer
from harness_circuits.machine.cache import CACHE_VARIABLE

sys.path.insert(0, str(ROOT))

NAMES = tuple(GROUND_TRUTH)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield
    model.cache_clear()
    scores.cache_clear()


def wired(name: str) -> Circuit:
    """Edges through which the weights let something flow that depends on tokens."""
    hf, graph = model(name).hf, model(name).graph
    blocks, d_head = hf.transformer.h, graph.d_model // graph.n_heads
    embedding = hf.transformer.wte.weight
    writes: list[torch.Tensor] = [embedding - embedding.mean(0)]
    reads: list[torch.Tensor] = []
    for block in blocks:
        writes += list(block.attn.c_proj.weight.split(d_head))
        writes.append(block.mlp.c_proj.weight)
        reads += list(block.attn.c_attn.weight.split(d_head, dim=1))
        reads.append(block.mlp.c_fc.weight)
    reads.append(hf.lm_head.weight.T)
    flow = np.array([[float((w @ r).abs().max()) > 1e-6 for r in reads] for w in writes])
    return Circuit(ScoreSpace(graph, "edge"), flow & graph.edge_mask)


@pytest.mark.parametrize("name", NAMES)
def test_the_true_circuit_is_what_the_weights_let_through(name: str) -> None:
    assert np.array_equal(wired(name).prune().kept, truth(name).kept)
    assert truth(name).n_kept == len(GROUND_TRUTH[name].edges)


@pytest.mark.parametrize("name", NAMES)
def test_norms_are_the_identity(name: str) -> None:
    hf = model(name).hf
    ids = torch.tensor(
        [tokenizer().encode(" ".join(GROUND_TRUTH[name].example(random.Random(0))[0]))]
    )
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda _, inputs, out: seen.append((inputs[0], out)))
        for module in hf.modules()
        if isinstance(module, torch.nn.LayerNorm)
    ]
    with torch.no_grad():
        hf(ids)
    for hook in hooks:
        hook.remove()
    assert len(seen) == 5
    for before, after in seen:
        torch.testing.assert_close(before, after, atol=1e-6, rtol=1e-6)
