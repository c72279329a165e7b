"""What Inspect AI finds of this package, by the entry point `inspect_ai`: it loads no torch."""

from harness_circuits.inspect.model_api import circuit
from harness_circuits.inspect.scoring import circuit_metrics, circuit_values
from harness_circuits.inspect.solving import discover_and_evaluate
from harness_circuits.inspect.tasks import TASKS

__all__ = ["TASKS", "circuit", "circuit_metrics", "circuit_values", "discover_and_evaluate"]
