"""What is run beside the curve of an experiment: evidence about its circuits, trials of selectors."""

from harness_circuits.studies.gathering import gather_evidence
from harness_circuits.studies.trials import Trials

__all__ = ["Trials", "gather_evidence"]
