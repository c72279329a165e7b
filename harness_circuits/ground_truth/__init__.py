"""Small models with exact, hand-written weights, whose circuits are therefore known."""

from harness_circuits.ground_truth.folder import (
    PREFIX,
    TruthFiles,
    ground_truth_folder,
    truth_files,
)
from harness_circuits.ground_truth.interpbench_folder import TRUTH_FILE
from harness_circuits.ground_truth.models import GROUND_TRUTH, GroundTruth

__all__ = [
    "GROUND_TRUTH",
    "PREFIX",
    "TRUTH_FILE",
    "GroundTruth",
    "TruthFiles",
    "ground_truth_folder",
    "truth_files",
]
