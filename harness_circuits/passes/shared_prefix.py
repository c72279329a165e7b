"""What clean and corrupted prompts share is run once: the tokens before their first difference.

Models are causal. Up to the first token at which the two prompts of a pair differ both runs are the
same: every source's difference is zero there, so it adds nothing to any score, and every circuit
delivers the model's own values. What replaces outputs by those of the corrupted run therefore needs
the tokens from the first difference on only, with the keys and values of those before it.

The pairs of a batch may share prefixes of different lengths (`Batch.pads`). They are run to the length of
the longest, on tokens of the same prompts that come behind; what those leave is never seen, by a mask.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.pairs.answer_tree import UNSEEN
from harness_circuits.pairs.batch import Batch


def behind_shared_prefix(model: CircuitModel, batch: Batch) -> Batch:
    """The batch from its first difference on, what lies before it run once and kept.

    Args:
        model: The model.
        batch: Pairs; `batch.shared` says how many first tokens are the same in clean and corrupted.

    Returns:
        The same pairs, with inputs that continue the shared prefix; the batch itself where it
        shares nothing.
    """
    n, pads = batch.shared, batch.pads
    if n == 0:
        return batch
    ids = batch.clean.ids
    prefix = model.prefix(ids[:, :n] if pads is None else _from_the_left(ids, n, pads))

    def rest(inputs: Inputs) -> Inputs:
        positions, mask = inputs.positions, inputs.mask
        if positions is None:
            positions = torch.arange(inputs.ids.shape[1]).expand_as(inputs.ids)
        if pads is not None:
            positions, mask = positions - pads[:, None], _masked(inputs, n, pads)
        return replace(
            inputs,
            ids=inputs.ids[:, n:],
            reads=inputs.reads - n,
            positions=positions[:, n:],
            mask=None if mask is None else mask[:, :, n:],
            prefix=prefix,
            spans=None if inputs.spans is None else inputs.spans[:, n:],
            padded=False,
        )

    return replace(
        batch,
        clean=rest(batch.clean),
        corrupted=rest(batch.corrupted),
        n_prompt=batch.n_prompt - n,
        shared=0,
        pads=None,
    )


def _from_the_left(
    ids: Int[Tensor, "batch pos"], n: int, pads: Int[Tensor, "batch"]
) -> Int[Tensor, "batch prefix"]:
    """The first n tokens of each prompt, without its pads; any token where there are fewer."""
    at = torch.arange(n) + pads[:, None]
    return ids.gather(1, at.clamp(max=ids.shape[1] - 1))


def _masked(inputs: Inputs, n: int, pads: Int[Tensor, "batch"]) -> Float[Tensor, "batch 1 pos key"]:
    """What each token sees of its own prompt: of a prefix of n tokens no more than its own."""
    n_rows, size = inputs.ids.shape
    if inputs.mask is None:
        mask = torch.full((size, size), UNSEEN).triu(1).repeat(n_rows, 1, 1, 1)
    else:
        mask = inputs.mask.clone()
    seen = torch.arange(n) < n - pads[:, None]
    mask[..., :n] = torch.where(seen, 0.0, UNSEEN)[:, None, None]
    return mask
