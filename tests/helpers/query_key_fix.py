"""AtP*'s QK fix recomputed edge by edge."""

from __future__ import annotations

import numpy as np
import torch
from helpers.reference_cases import PAIRS, Case, clean
from torch import Tensor

from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.scores import Level
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.passes.gradients import RunType, run_with_gradients
from harness_circuits.passes.native import NativeRun

LOGIT_DIFF = METRICS.get("logit_diff")


def scores(case: Case, level: Level, ablation: str = "patching", **options: bool) -> np.ndarray:
    job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))
    return attribute(job, "AtP-star", **options).values


def residual_changes(case: Case, ablation: str) -> Tensor:
    """What replacing each source adds to the residual stream [src, batch, pos, model]."""
    reference = case.reference
    outputs = reference.outputs(clean(PAIRS))
    delta = case.replacement(ablation) - outputs
    step = reference.n_heads + 1
    for index, layer in enumerate(reference.layers):
        if layer.post_attention is None:
            continue
        heads = slice(1 + index * step, 1 + index * step + reference.n_heads)
        attention = outputs[heads].sum(0)
        attention = attention if layer.b_o is None else attention + layer.b_o
        moved = layer.post_attention(attention + delta[heads])
        delta[heads] = moved - layer.post_attention(attention)
    return delta


def recomputed(
    case: Case, ablation: str, *, single: bool = False, run_type: RunType = NativeRun
) -> np.ndarray:
    """Query and key scores from attention rows recomputed by the reference's arithmetic.

    With `single`, one position of a query or key is patched at a time, and effects are added up.
    Effects meet the gradients of a run of the given type.
    """
    model, reference = case.model, case.reference

    def metric(logits: Tensor) -> Tensor:
        return LOGIT_DIFF(logits, case.batch)

    run = run_with_gradients(model, case.batch.clean, metric, ("attention",), run_type=run_type)
    changes = residual_changes(case, ablation)
    n_pos = case.batch.n_prompt
    found = np.zeros((reference.n_src, reference.n_dst))
    for index, layer in enumerate(reference.layers):
        x = run.seen["block_in"][index]
        n_in = 1 + index * (reference.n_heads + 1)
        inputs = x[:, :, None].expand(-1, -1, reference.block_dst - 1, -1)
        before = torch.stack(reference._heads(layer, inputs))
        for source in range(n_in):
            for column in range(reference.n_heads + reference.n_kv):
                for at in range(n_pos) if single else [slice(None)]:
                    patched = inputs.clone()
                    patched[:, at, column] += changes[source][:, at]
                    moved = torch.stack(reference._heads(layer, patched)) - before
                    effect = (moved * run.gradients["attention"][index]).sum()
                    found[source, index * reference.block_dst + column] -= float(effect)
    return found / len(PAIRS)
