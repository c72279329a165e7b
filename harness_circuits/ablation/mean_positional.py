"""mean-positional: a node's mean output per position, over training prompts of one token length."""

from __future__ import annotations

from harness_circuits.ablation.ablations import ABLATIONS, Ablation, AblationKind, Training
from harness_circuits.ablation.mean import recorded_means
from harness_circuits.errors import TaskDataError
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.native import Outputs


class MeanPositional:
    """Means per position, kept apart by prompt length."""

    name = "mean-positional"

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


def _make(training: Training) -> Ablation:
    return MeanPositional(recorded_means(training, MeanPositional.name, positional=True).means())


ABLATIONS.register(MeanPositional.name)(
    AblationKind(
        make=_make,
        needs_training=True,
        why_pairs="prompts of the training prompts' lengths",
        description="its mean per position, over training prompts of the same token length",
    )
)
