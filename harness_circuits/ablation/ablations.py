"""What replaces the output of a node outside the circuit.

- `patching`: its output on the corrupted prompt, position by position.
- `zero`: nothing.
- `mean`: its mean output over all positions of the training prompts.
- `mean-positional`: its mean per position, over training prompts of the same token length.

The means are taken over the clean training prompts by default: the distribution the task metric is
measured on, and what EAP-IG's intervention data are in its examples. `mean_over=corrupted` takes the
corrupted ones, which lack the task's information (as the IOI paper does with its ABC prompts).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from harness_circuits.errors import OptionError, TaskDataError, shown
from harness_circuits.machine.ranks import ALONE, Ranks
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.tokenise import Batch
from harness_circuits.passes.native import Outputs, outputs_of, record

AblationName = Literal["patching", "zero", "mean", "mean-positional"]
ABLATIONS: tuple[AblationName, ...] = get_args(AblationName)
Side = Literal["clean", "corrupted"]


Totals = dict[tuple[int, int], tuple[Outputs, int]]  # sums and counts by `MeanPositional`'s keys


class Ablation(Protocol):
    """Gives the replacement outputs for a batch."""

    name: AblationName
    follows_corrupted: bool  # replaced outputs are the clean ones until the prompts differ

    def replacement(self, model: CircuitModel, batch: Batch) -> Outputs:
        """What replaces every source's output on this batch; batch size 1 where it is the same."""


class Patching:
    """Outputs on the corrupted prompts."""

    name: AblationName = "patching"
    follows_corrupted = True

    def replacement(self, model: CircuitModel, batch: Batch) -> Outputs:
        """Run the corrupted prompts."""
        seen, _ = record(model, batch.corrupted)
        return outputs_of(model, batch.corrupted, seen)


class Zero:
    """Zeros."""

    name: AblationName = "zero"
    follows_corrupted = False

    def replacement(self, model: CircuitModel, batch: Batch) -> Outputs:
        """Zeros for every source."""
        return zeros(model, batch.clean.ids.shape[1])


class Mean:
    """Means over positions, one vector per node."""

    name: AblationName = "mean"
    follows_corrupted = False

    def __init__(self, means: Outputs) -> None:
        """Take means of batch and position size 1."""
        self.means = means

    def replacement(self, model: CircuitModel, batch: Batch) -> Outputs:
        """The means at every position."""
        n_pos = batch.clean.ids.shape[1]

        def spread(x: Tensor) -> Tensor:
            return x.expand(1, n_pos, *x.shape[2:])

        return _map(self.means, spread)


class MeanPositional:
    """Means per position, kept apart by prompt length."""

    name: AblationName = "mean-positional"
    follows_corrupted = False

    def __init__(self, means: dict[tuple[int, int], Outputs]) -> None:
        """Take means by (prompt tokens, all tokens)."""
        self.means = means

    def replacement(self, model: CircuitModel, batch: Batch) -> Outputs:
        """The means at this batch's positions.

        Raises:
            TaskDataError: No training prompt has this length.
        """
        shape = (batch.n_prompt, batch.clean.ids.shape[1])
        if shape not in self.means:
            known = sorted({n for n, _ in self.means})
            raise TaskDataError(
                f"ablation=mean-positional: a prompt has {batch.n_prompt} tokens, the training prompts "
                f"have {known}, so there is no mean for its positions. Use ablation=mean, or more "
                "training pairs (n_discovery)."
            )
        return self.means[shape]


def make_ablation(
    name: str,
    model: CircuitModel,
    training: Sequence[Batch],
    mean_over: str = "clean",
    ranks: Ranks = ALONE,
) -> Ablation:
    """Make an ablation, running the training prompts if it needs their means.

    Args:
        name: One of `ABLATIONS`.
        model: The model.
        training: Batches of the training split.
        mean_over: Which side of the pairs means are taken over.
        ranks: The processes that share the batches.

    Raises:
        OptionError: Unknown name or side.
        TaskDataError: There are no training pairs, and means are wanted.
    """
    check_ablation(name, mean_over)
    if name == "patching":
        return Patching()
    if name == "zero":
        return Zero()
    totals: Totals = {}
    for batch in (training[at] for at in ranks.share([b.clean.ids.numel() for b in training])):
        inputs = batch.clean if mean_over == "clean" else batch.corrupted
        seen, _ = record(model, inputs)
        _accumulate(totals, outputs_of(model, inputs, seen), batch, positional=name != "mean")
    if not training:
        raise TaskDataError(f"ablation={name} needs training pairs for its means; there are none.")
    if ranks.size > 1:
        totals = _over_ranks(totals, model, ranks)
    means = {
        shape: _map(total, lambda x, n=n: (x / n).to(model.dtype))
        for shape, (total, n) in totals.items()
    }
    return Mean(means[0, 0]) if name == "mean" else MeanPositional(means)


def check_ablation(name: str, mean_over: str = "clean") -> None:
    """Raise `OptionError` for an unknown ablation or side."""
    if name not in ABLATIONS:
        raise OptionError(f"Unknown ablation {shown(name)}. Known: {', '.join(ABLATIONS)}.")
    if mean_over not in get_args(Side):
        raise OptionError(f"mean_over is 'clean' or 'corrupted', got {shown(mean_over)}.")


def _over_ranks(totals: Totals, model: CircuitModel, ranks: Ranks) -> Totals:
    """Totals added up over ranks, which may have seen prompts of different lengths."""
    counts: dict[tuple[int, int], int] = {}
    for part in ranks.gather({shape: n for shape, (_, n) in totals.items()}):
        for shape, n in part.items():
            counts[shape] = counts.get(shape, 0) + n
    found: Totals = {}
    for shape, count in sorted(counts.items()):
        outputs = totals[shape][0] if shape in totals else zeros(model, max(1, shape[1]))
        outputs = _map(outputs, lambda x: x.to(model.sum_dtype).clone())
        found[shape] = _map(outputs, ranks.sum_), count
    return found


def _accumulate(
    totals: Totals,
    outputs: Outputs,
    batch: Batch,
    *,
    positional: bool,
) -> None:
    """Add one batch: per position and length, or over the prompt's positions under one key."""
    n_prompt = batch.n_prompt

    def total(x: Tensor) -> Tensor:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return x.sum(0, keepdim=True) if positional else x[:, :n_prompt].sum((0, 1))[None, None]

    shape = (n_prompt, batch.clean.ids.shape[1]) if positional else (0, 0)
    added, count = _map(outputs, total), len(batch) * (1 if positional else n_prompt)
    if shape in totals:
        before, n = totals[shape]
        added = Outputs(
            before.embedded + added.embedded,
            [a + b for a, b in zip(before.mixed, added.mixed, strict=True)],
            [a + b for a, b in zip(before.mlp, added.mlp, strict=True)],
        )
        count += n
    totals[shape] = (added, count)


def _map(outputs: Outputs, function: object) -> Outputs:
    assert callable(function)
    return Outputs(
        function(outputs.embedded),
        [function(x) for x in outputs.mixed],
        [function(x) for x in outputs.mlp],
    )


def zeros(model: CircuitModel, n_pos: int) -> Outputs:
    """Zero outputs of all sources, of batch size 1."""
    graph, layer = model.graph, model.layers[0]
    like, shape = model.hf.get_input_embeddings().weight.new_zeros, (1, n_pos)
    return Outputs(
        like((*shape, graph.d_model)),
        [like((*shape, graph.n_heads, layer.d_head)) for _ in model.layers],
        [like((*shape, graph.d_model)) for _ in model.layers],
    )
