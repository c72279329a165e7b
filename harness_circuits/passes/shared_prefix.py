"""What clean and corrupted prompts share is run once: the tokens before their first difference.

Models are causal. Up to the first token at which the two prompts of a pair differ both runs are the
same: every source's difference is zero there, so it adds nothing to any score, and every circuit
delivers the model's own values. What replaces outputs by those of the corrupted run therefore needs
the tokens from the first difference on only, with the keys and values of those before it.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.pairs.tokenise import Batch


def behind_shared_prefix(model: CircuitModel, batch: Batch) -> Batch:
    """The batch from its first difference on, what lies before it run once and kept.

    Args:
        model: The model.
        batch: Pairs; `batch.shared` says how many first tokens are the same in clean and corrupted.

    Returns:
        The same pairs, with inputs that continue the shared prefix; the batch itself where it
        shares nothing.
    """
    n = batch.shared
    if n == 0:
        return batch
    prefix = model.prefix(batch.clean.ids[:, :n])

    def rest(inputs: Inputs) -> Inputs:
        positions, mask = inputs.positions, inputs.mask
        if positions is None:
            positions = torch.arange(inputs.ids.shape[1]).expand_as(inputs.ids)
        return Inputs(
            inputs.ids[:, n:],
            inputs.reads - n,
            positions[:, n:],
            None if mask is None else mask[:, :, n:],
            prefix,
            None if inputs.spans is None else inputs.spans[:, n:],
        )

    return replace(
        batch,
        clean=rest(batch.clean),
        corrupted=rest(batch.corrupted),
        n_prompt=batch.n_prompt - n,
        shared=0,
    )
