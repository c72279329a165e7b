"""Small models with exact, hand-written weights, whose circuits are therefore known."""

from harness_circuits.ground_truth.folder import (
    PREFIX,
    TRUTH_FILE,
    ground_truth_folder,
    truth_folder,
)
from harness_circuits.ground_truth.models import GROUND_TRUTH, GroundTruth

__all__ = [
    "GROUND_TRUTH",
    "PREFIX",
    "TRUTH_FILE",
    "GroundTruth",
    "ground_truth_folder",
    "truth_folder",
]
