"""The model passes every method and every evaluation is made of."""

from harness_circuits.passes.circuit_run import run_circuit
from harness_circuits.passes.contract import Delta, delta_between
from harness_circuits.passes.gradients import run_with_gradients
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.passes.masked_run import run_masked
from harness_circuits.passes.memory import Needs
from harness_circuits.passes.native import Outputs, Residual, outputs_of, record, zero_outputs
from harness_circuits.passes.patched import Patch, run_patched
from harness_circuits.passes.shared_prefix import behind_shared_prefix

__all__ = [
    "Delta",
    "InstalledCircuit",
    "Needs",
    "Outputs",
    "Patch",
    "Residual",
    "behind_shared_prefix",
    "delta_between",
    "outputs_of",
    "record",
    "run_circuit",
    "run_masked",
    "run_patched",
    "run_with_gradients",
    "zero_outputs",
]
