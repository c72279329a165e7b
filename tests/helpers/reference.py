"""Scores and metrics by brute force: what a gated run (`reference_model`) gives.

    gated_metric(hf, clean, corrupted, gates, answers, replacement="patching", kv_heads="grouped")
    exact_scores("edge", hf, clean, corrupted, answers)     one unit at a time
    gate_gradient("node", hf, clean, corrupted, answers)    EAP by autograd over gates

Build `Reference(hf, kv_heads)` once and pass it for `hf` where a model is used again and again.
Inside `exact_float64()` HuggingFace's own forward pass works in float64 throughout and agrees to
1e-14; outside it rounds norms, softmax and rotary tables to float32, and agrees to about 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from helpers.reference_model import Reference, exact_float64
from torch import Tensor
from transformers import PreTrainedModel

__all__ = [
    "Reference",
    "exact_float64",
    "exact_scores",
    "gate_gradient",
    "gated_metric",
    "logit_diff",
]

LastLogitsMetric = Callable[[Tensor], Tensor]


def logit_diff(answers: Tensor) -> LastLogitsMetric:
    """Right minus wrong logit per example; answers [batch, 2] are token ids."""
    return lambda logits: logits.gather(1, answers) @ torch.tensor([1.0, -1.0], dtype=logits.dtype)


def gated_metric(
    hf: PreTrainedModel | Reference,
    clean_ids: Tensor,
    corrupted_ids: Tensor,
    gates: Tensor,
    answers: Tensor | LastLogitsMetric,
    *,
    replacement: str | Tensor = "patching",
    training_ids: Tensor | None = None,
    kv_heads: str = "ungrouped",
) -> Tensor:
    """Metric per example of a run whose edges are replaced as far as their gates say.

    Args:
        hf: The model, or its `Reference` (then `kv_heads` is the reference's).
        clean_ids: Clean prompts [batch, pos].
        corrupted_ids: Corrupted prompts.
        gates: Gates of any level, 0 for kept and 1 for replaced; gradients flow to them.
        answers: Right and wrong token ids [batch, 2], or a metric of the last logits.
        replacement: The name of an ablation, or source outputs [src, batch or 1, pos or 1, model].
        training_ids: Prompts that means are taken over.
        kv_heads: `ungrouped` or `grouped`.
    """
    reference = hf if isinstance(hf, Reference) else Reference(hf, kv_heads)
    if isinstance(replacement, str):
        replacement = reference.replacement(replacement, corrupted_ids, training_ids)
    metric = logit_diff(answers) if isinstance(answers, Tensor) else answers
    return metric(reference.run(clean_ids, gates, replacement)[0])


def exact_scores(
    level: str,
    hf: PreTrainedModel | Reference,
    clean_ids: Tensor,
    corrupted_ids: Tensor,
    answers: Tensor | LastLogitsMetric,
    *,
    kv_heads: str = "ungrouped",
    chunk: int = 256,
    **how: Any,
) -> Tensor:
    """Mean fall of the metric when one unit at a time is replaced, in the shape of the level's gates.

    Edges that do not exist have 0. `how` as in `gated_metric`.
    """
    reference = hf if isinstance(hf, Reference) else Reference(hf, kv_heads)
    zero = reference.gates(level)
    how["replacement"] = _source_outputs(reference, corrupted_ids, how)

    def effect(gates: Tensor) -> Tensor:
        return gated_metric(reference, clean_ids, corrupted_ids, gates, answers, **how).mean()

    one_at_a_time = torch.eye(zero.numel(), dtype=zero.dtype).view(-1, *zero.shape)
    with torch.no_grad():
        scores = effect(zero) - torch.func.vmap(effect, chunk_size=chunk)(one_at_a_time)
    scores = scores.view(zero.shape)
    return scores * reference.exists() if level == "edge" else scores


def gate_gradient(
    level: str,
    hf: PreTrainedModel | Reference,
    clean_ids: Tensor,
    corrupted_ids: Tensor,
    answers: Tensor | LastLogitsMetric,
    *,
    kv_heads: str = "ungrouped",
    alpha: float = 1.0,
    **how: Any,
) -> Tensor:
    """EAP by differentiating the gates: minus the mean metric's gradient at gates 0.

    With `alpha` below 1 the gradient is that of a run whose embeddings are only `alpha` of the way
    from the replaced to the clean ones, while a gate still adds replacement minus *clean* output:
    one point of EAP-IG-inputs. `how` as in `gated_metric`.
    """
    reference = hf if isinstance(hf, Reference) else Reference(hf, kv_heads)
    delta = _source_outputs(reference, corrupted_ids, how) - reference.outputs(clean_ids)
    embedded = reference.embed(clean_ids) + (1 - alpha) * delta[0]
    metric = logit_diff(answers) if isinstance(answers, Tensor) else answers
    gates = reference.gates(level).requires_grad_(True)
    logits, _ = reference.run(clean_ids, gates, delta=delta, embedded=embedded)
    (gradient,) = torch.autograd.grad(metric(logits).mean(), gates)
    return -gradient


def _source_outputs(reference: Reference, corrupted_ids: Tensor, how: dict[str, Any]) -> Tensor:
    chosen = how.get("replacement", "patching")
    if isinstance(chosen, Tensor):
        return chosen
    return reference.replacement(chosen, corrupted_ids, how.get("training_ids"))
