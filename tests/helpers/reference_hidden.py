"""The reference with a gate for every hidden unit of its MLPs; gates are [layer, d_mlp], 1 = replaced.

Hooks on the reference's own copy of the model: what the last projection of an MLP reads is mixed,

    h = current + g (replacement - current)      or, with a delta,      current + g delta
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from helpers.reference_cases import PAIRS, TRAINING, Case, answers, clean, corrupted
from helpers.reference_model import FORMULAS, Reference
from torch import Tensor

_OUT = {
    **dict.fromkeys(("gpt2", "gpt_neo"), "mlp.c_proj"),
    **dict.fromkeys(("gpt_neox", "falcon"), "mlp.dense_4h_to_h"),
    "gptj": "mlp.fc_out",
    "phi": "mlp.fc2",
    "opt": "fc2",
}


@contextmanager
def hidden_replaced(
    reference: Reference, function: Callable[[int, Tensor], Tensor]
) -> Iterator[None]:
    """Within this context MLPs go on with a function of their layer and hidden units."""
    kind = reference.kind
    body: Any = reference.base
    blocks = body.h if hasattr(body, "h") else body.layers
    with ExitStack() as stack:
        for index, block in enumerate(blocks):

            def hook(_: object, given: tuple[Tensor], index: int = index) -> tuple[Tensor]:
                return (function(index, given[0]),)

            out = block.get_submodule(_OUT.get(kind, "mlp.down_proj"))
            stack.enter_context(_removed(out.register_forward_pre_hook(hook)))
        yield


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


def hidden_outputs(reference: Reference, ids: Tensor) -> Tensor:
    """Hidden units of the model as it is, [layer, batch, pos, d_mlp]."""
    seen: dict[int, Tensor] = {}

    def note(index: int, hidden: Tensor) -> Tensor:
        seen[index] = hidden
        return hidden

    with hidden_replaced(reference, note), torch.no_grad():
        reference.run(ids)
    return torch.stack([seen[index] for index in range(len(seen))])


def hidden_replacement(reference: Reference, ablation: str) -> Tensor:
    """What an ablation puts in place of hidden units on `PAIRS`."""
    assert ablation in FORMULAS, f"the reference has no formula for {ablation}: give it one"
    found = hidden_outputs(reference, corrupted(PAIRS))
    if ablation == "patching":
        return found
    if ablation == "zero":
        return torch.zeros_like(found)
    axes = (1, 2) if ablation == "mean" else (1,)
    mean = hidden_outputs(reference, clean(TRAINING)).mean(axes, keepdim=True)
    return mean.expand_as(found)


def gated_logits(
    reference: Reference,
    gates: Tensor,
    replacement: Tensor | None = None,
    *,
    delta: Tensor | None = None,
    embedded: Tensor | None = None,
) -> Tensor:
    """Logits of `PAIRS` at the last position under gates."""

    def mix(index: int, hidden: Tensor) -> Tensor:
        if delta is not None:
            return hidden + gates[index] * delta[index]
        assert replacement is not None
        return hidden + gates[index] * (replacement[index] - hidden)

    with hidden_replaced(reference, mix):
        return reference.run(clean(PAIRS), embedded=embedded)[0]


def metric(logits: Tensor) -> Tensor:
    """Mean logit difference."""
    sign = torch.tensor([1.0, -1.0], dtype=logits.dtype)
    return (logits.gather(1, answers(PAIRS)) @ sign).mean()


def hidden_gate_gradient(case: Case, ablation: str, alpha: float = 1.0) -> Tensor:
    """EAP by autograd over gates, or one point of EAP-IG-inputs (as `reference.gate_gradient`)."""
    reference = case.reference
    before = hidden_outputs(reference, clean(PAIRS))
    delta = hidden_replacement(reference, ablation) - before
    change = case.replacement(ablation)[0] - reference.outputs(clean(PAIRS))[0]
    gates = torch.zeros(before[:, 0, 0].shape, dtype=torch.float64, requires_grad=True)
    embedded = reference.embed(clean(PAIRS)) + (1 - alpha) * change
    logits = gated_logits(reference, gates, delta=delta, embedded=embedded)
    (gradient,) = torch.autograd.grad(metric(logits), gates)
    return -gradient


def exact_hidden_scores(case: Case, ablation: str) -> Tensor:
    """Mean fall of the metric when one hidden unit at a time is replaced."""
    reference = case.reference
    replacement = hidden_replacement(reference, ablation)
    zero = torch.zeros(replacement[:, 0, 0].shape, dtype=torch.float64)

    def effect(gates: Tensor) -> Tensor:
        return metric(gated_logits(reference, gates, replacement))

    one_at_a_time = torch.eye(zero.numel(), dtype=zero.dtype).view(-1, *zero.shape)
    with torch.no_grad():
        found = effect(zero) - torch.func.vmap(effect, chunk_size=256)(one_at_a_time)
    return found.view(zero.shape)
