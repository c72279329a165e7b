"""patching: outputs on the corrupted prompt, position by position."""

from __future__ import annotations

from harness_circuits.ablation.ablations import ABLATIONS, AblationKind
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.native import Outputs, source_outputs


class Patching:
    """Outputs on the corrupted prompts."""

    name = "patching"

    def replacement(self, model: CircuitModel, batch: Batch) -> Outputs:
        """Run the corrupted prompts."""
        return source_outputs(model, batch.corrupted)


ABLATIONS.register(Patching.name)(
    AblationKind(
        make=lambda training: Patching(),
        why_pairs="corrupted prompts",
        follows_corrupted=True,
        description="the output on the corrupted prompt, position by position",
    )
)
