"""Models and prompts that are measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.task_accuracy import load as load_task
from harness_circuits.discovery import tokenise
from harness_circuits.loading.load import load_model, take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.pairs.tokenise import TokenPair
from harness_circuits.task_data.scorer import Scorer

NAMES = "Mary John Anna Mark Paul Peter Sarah David James Laura Kate Max".split()
SENTENCE = "When {} and {} went to the store, {} gave a drink to"


@dataclass(frozen=True)
class Case:
    """A model and the size of one batch for it.

    Attributes:
        sizes: Sizes of a random GPT-2; None for the default model and IOI prompts.
        n_pairs: Prompts.
        n_tokens: Length of a random prompt; IOI prompts have their own 14.
        task: A circuit task, whose test pairs are taken in place of made-up prompts.
        metric: What is differentiated and evaluated.
        pretrained: A model's file or folder in place of the default model.
    """

    sizes: dict[str, int] | None = None
    n_pairs: int = 20
    n_tokens: int = 14
    task: str | None = None
    metric: str = "logit_diff"
    pretrained: str | None = None

    def first(self, n_pairs: int) -> Case:
        """The same case with fewer pairs."""
        return replace(self, n_pairs=n_pairs)


def gpt2(layers: int, heads: int, width: int, **how: int) -> Case:
    """A random model of GPT-2's architecture."""
    return Case({"n_layer": layers, "n_head": heads, "n_embd": width}, **how)


CASES = {
    "smollm2-ioi": Case(),
    "ioi": Case(task="ioi_circuit", n_pairs=100),
    "ioi-20": Case(task="ioi_circuit"),
    "greater-than": Case(task="greater_than_circuit", n_pairs=100, metric="prob_diff"),
    "docstring": Case(task="docstring_circuit", n_pairs=24),
    "gpt2-small": gpt2(12, 12, 768),
    "gpt2-small-256-tokens": gpt2(12, 12, 768, n_pairs=4, n_tokens=256),
    "gpt2-4x-edges": gpt2(24, 12, 768, n_pairs=20),
    "quick": gpt2(6, 6, 384, n_tokens=24),
    "peers": gpt2(12, 12, 768, n_pairs=2),
    "peers-small": gpt2(2, 2, 32, n_pairs=3, n_tokens=6),
}
# Cost against one size at a time.
SCALING = {
    **{f"layers-{n}": gpt2(n, 8, 512, n_pairs=16, n_tokens=16) for n in (4, 8, 16)},
    **{f"heads-{n}": gpt2(8, n, 512, n_pairs=16, n_tokens=16) for n in (4, 16)},
    **{f"tokens-{n}": gpt2(8, 8, 512, n_pairs=1024 // n, n_tokens=n) for n in (16, 64, 256)},
}
CASES |= SCALING


def load(case: Case, device: str = "cpu", dtype: str = "float32") -> CircuitModel:
    """The model of a case."""
    if case.sizes is None:
        return load_model(case.pretrained, device=device, dtype=dtype)
    torch.manual_seed(0)
    config = AutoConfig.for_model("gpt2", **case.sizes)
    hf = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    return take_apart(hf.to(device, getattr(torch, dtype)), name="random GPT-2")


def pairs(case: Case, model: CircuitModel) -> list[TokenPair]:
    """Pairs; those that are no task's are of one token length."""
    if case.task is not None:
        return _task(case, model)
    return _ioi(case, model) if case.sizes is None else _random(case, model)


def _task(case: Case, model: CircuitModel) -> list[TokenPair]:
    assert case.task is not None and model.reader is not None
    task = load_task(case.task)
    task.score_by(Scorer(model.reader))
    found = pairs_from_docs(list(task.test_docs())[: case.n_pairs], case.task)
    return tokenise(model.reader, found, [METRICS.get(case.metric)], case.task)


def _ioi(case: Case, model: CircuitModel) -> list[TokenPair]:
    encode = model.tokenizer.encode  # type: ignore[union-attr]
    found = []
    for index in range(case.n_pairs):
        io, s, other = (NAMES[(index + shift) % len(NAMES)] for shift in (0, 1 + index % 4, 6))
        clean = tuple(encode(SENTENCE.format(io, s, s)))
        corrupted = tuple(encode(SENTENCE.format(io, s, other)))
        answers = tuple(tuple(encode(f" {name}")) for name in (io, s))
        found.append(TokenPair(clean, corrupted, answers, (0,), (1,), index))
    lengths = {len(ids) for pair in found for ids in (pair.clean, pair.corrupted)}
    assert lengths == {case.n_tokens}, lengths
    return found


def _random(case: Case, model: CircuitModel) -> list[TokenPair]:
    vocabulary = int(model.hf.config.vocab_size)
    generator = torch.Generator().manual_seed(1)
    found = []
    for index in range(case.n_pairs):
        clean = torch.randint(vocabulary, (case.n_tokens,), generator=generator)
        corrupted = clean.clone()
        corrupted[case.n_tokens // 2] = (clean[case.n_tokens // 2] + 1) % vocabulary
        right, wrong = torch.randperm(vocabulary, generator=generator)[:2].tolist()
        ids = (tuple(clean.tolist()), tuple(corrupted.tolist()))
        found.append(TokenPair(*ids, ((right,), (wrong,)), (0,), (1,), index))
    return found
