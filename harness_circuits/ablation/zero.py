"""zero: nothing."""

from __future__ import annotations

from harness_circuits.ablation.ablations import ABLATIONS, AblationKind
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.native import Outputs, zero_outputs


class Zero:
    """Zeros."""

    name = "zero"

    def replacement(self, model: CircuitModel, batch: Batch) -> Outputs:
        """Zeros for every source."""
        return zero_outputs(model, batch.clean.ids.shape[1])


ABLATIONS.register(Zero.name)(
    AblationKind(
        make=lambda training: Zero(),
        constant=lambda model, means: zero_outputs(model, 1),
        description="nothing",
    )
)
