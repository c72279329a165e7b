"""mean: a node's mean output over all positions of the training prompts."""

from __future__ import annotations

from harness_circuits.ablation.ablations import ABLATIONS, Ablation, AblationKind, Training
from harness_circuits.ablation.means import MeanSums, mapped
from harness_circuits.errors import TaskDataError
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.native import Outputs, source_outputs


class Mean:
    """Means over positions, one vector per node."""

    name = "mean"

    def __init__(self, means: Outputs) -> None:
        """Take means of batch and position size 1."""
        self.means = means

    def replacement(self, model: CircuitModel, batch: Batch) -> Outputs:
        """The means at every position."""
        n_pos = batch.clean.ids.shape[1]
        return mapped(self.means, lambda x: x.expand(1, n_pos, *x.shape[2:]))


def recorded_means(training: Training, name: str, *, positional: bool) -> MeanSums:
    """Sums over the training prompts: all positions together, or apart, by prompt length.

    Raises:
        TaskDataError: There are none.
    """
    batches, model = training.batches, training.model.finest
    if not batches:
        raise TaskDataError(f"ablation={name} needs training pairs for its means; there are none.")
    sums = MeanSums(model)
    for at in training.ranks.share([batch.clean.ids.numel() for batch in batches]):
        batch = batches[at]
        inputs = batch.clean if training.side == "clean" else batch.corrupted
        outputs = source_outputs(model, inputs)
        if positional:
            sums.add_rows(outputs, (batch.n_prompt, batch.clean.ids.shape[1]))
        else:
            sums.add_tokens(outputs, batch.n_prompt)
    sums.over_ranks(training.ranks, lambda key: key[1] if positional else 1)
    return sums


def _make(training: Training) -> Ablation:
    (means,) = recorded_means(training, Mean.name, positional=False).means().values()
    return Mean(means)


ABLATIONS.register(Mean.name)(
    AblationKind(
        make=_make,
        needs_training=True,
        constant=lambda model, means: means(),
        description="its mean output over all positions of the training prompts",
    )
)
