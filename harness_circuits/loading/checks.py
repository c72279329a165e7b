"""Checks that a model's parts add up to the model, run on two random prompts when it is loaded.

1. Block by block, our run gives the logits of HuggingFace's own forward pass.
2. At every destination, clean minus corrupted input is the sum of the sources' differences: the
   decomposition that attribution and ablation assume. (In post-norm models heads enter scaled by
   their own run's norm.)
3. The full circuit, put together edge by edge, is the model; the empty one is the corrupted run.
4. Queries, keys and values are where they are taken to be, head by head.
5. Answers side by side behind a prompt get the logits that each gets alone.

On some architectures a wrong guess about a norm or a projection gives plausible but wrong scores
without any error; these checks turn it into one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import NumericalError, UnsupportedModelError
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.models.refusal import refusing_what_does_not_fit
from harness_circuits.pairs.answer_tree import tree_layout
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuit
from harness_circuits.passes.native import OUTPUTS, NativeRun, Residual, outputs_of, record

N_TOKENS = 6


def check_model(model: CircuitModel) -> None:
    """Check a model on two random prompts.

    Raises:
        UnsupportedModelError: Its parts do not add up to it; the message says where.
        NumericalError: Its logits are not finite, as where float16 is too narrow for it.
    """
    with refusing_what_does_not_fit(f"{model.name} ({type(model.hf).__name__})"):
        _check(model)
    model.counts.clear()


def _check(model: CircuitModel) -> None:
    vocabulary = int(model.hf.config.get_text_config().vocab_size)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(vocabulary, (2, 1, N_TOKENS), generator=generator)
    clean, corrupted = (Inputs(row, torch.tensor([N_TOKENS - 1])) for row in ids)
    points = (*OUTPUTS, "mlp_in", "final")
    with torch.no_grad():
        expected = [model.forward(inputs) for inputs in (clean, corrupted)]
    _check_finite(model, expected)
    _, logits = record(model, clean, points)
    seen_corrupted, _ = record(model, corrupted, points)
    _same(model, "the logits of a run block by block", logits, expected[0])
    replacement = outputs_of(model, corrupted, seen_corrupted)
    stream = AblatedStream(model, clean, replacement)
    for layer in range(model.graph.n_layers):
        for point, own in (("block_in", stream.block_in), ("mlp_in", stream.mlp_in)):
            _same(model, f"{point} of layer {layer}", own[layer], seen_corrupted[point][layer])
    for level in ("edge", "node"):
        space = ScoreSpace(model.graph, level)
        for what, circuit, target in (
            ("full", Circuit.full(space), expected[0]),
            ("empty", Circuit.empty(space), expected[1]),
        ):
            got = run_circuit(model, circuit, clean, stream)
            _same(model, f"the logits of the {what} {level} circuit", got, target)
    with torch.no_grad():
        model.forward(clean, _Roles(model))
        _check_side_by_side(model, ids[0, 0])


class _Roles(NativeRun):
    """A run that changes some queries and values of every block, to see what that moves."""

    def __init__(self, model: CircuitModel) -> None:
        super().__init__(model, ())

    def __call__(self, index: int, x: Residual, arguments: dict[str, Any]) -> Residual:
        layer = self.model.layers[index]
        q, k, v = layer.project(x)
        mixed = layer.core(q, k, v, arguments)
        only_first, moved = v.clone(), q.clone()
        only_first[:, :, 1:] = 0
        moved[:, 0] += 1
        where = f"the heads of layer {index} when"
        found = layer.core(q, k, only_first, arguments)
        target = torch.cat((mixed[:, :, :1], torch.zeros_like(mixed[:, :, 1:])), dim=2)
        _same(self.model, f"{where} only the first has values", found, target)
        found = layer.core(moved, k, v, arguments)[:, 1:]
        _same(self.model, f"{where} the first token's queries change", found, mixed[:, 1:])
        return super().__call__(index, x, arguments)


def _check_side_by_side(model: CircuitModel, tokens: Int[Tensor, "pos"]) -> None:
    """Two answers, of two tokens and of one, behind a prompt of the first three tokens."""
    positions, mask = tree_layout((-1, 0, -1), 3, 1)
    together = Inputs(tokens[None], torch.tensor([4, 5]), positions, mask)
    alone = torch.cat(
        [
            model.forward(Inputs(row[None], torch.tensor([len(row) - 1])))
            for row in (tokens[:5], torch.cat((tokens[:3], tokens[5:])))
        ],
        dim=1,
    )
    what = "the logits of two answers side by side behind a prompt"
    _same(model, what, model.forward(together), alone)
    _same(model, f"{what}, block by block", model.forward(together, NativeRun(model, ())), alone)


def _check_finite(model: CircuitModel, logits: Sequence[Tensor]) -> None:
    if all(bool(row.isfinite().all()) for row in logits):
        return
    dtype = str(model.dtype).removeprefix("torch.")
    wide = "its weights may be damaged" if dtype == "float32" else "use dtype=float32"
    raise NumericalError(
        f"{model.name} gives logits that are not finite in {dtype} (on a random prompt of "
        f"{N_TOKENS} tokens): {wide}."
    )


def _same(model: CircuitModel, what: str, got: Tensor, expected: Tensor) -> None:
    scale = max(1.0, float(expected.abs().max()))
    error = float((got.double() - expected.double()).abs().max()) / scale
    narrow = model.dtype in (torch.float16, torch.bfloat16)
    tolerance = 0.1 if narrow else 1e-4
    if not error <= tolerance:
        raise UnsupportedModelError(
            f"{model.name} ({type(model.hf).__name__}) cannot be used: its nodes do not add up "
            f"to the model. Relative difference {error:.2g} at {what}, allowed {tolerance:g}. Its "
            "blocks have a structure that this package does not know."
        )
