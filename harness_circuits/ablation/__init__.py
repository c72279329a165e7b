"""What replaces a removed unit, one file per ablation, and the means that some of them need."""

from harness_circuits.ablation.ablations import (
    ABLATIONS,
    Ablation,
    AblationKind,
    check_ablation,
    check_replaces,
    make_ablation,
)
from harness_circuits.registry import import_all

import_all(__name__, __path__)  # every file that registers something

__all__ = [
    "ABLATIONS",
    "Ablation",
    "AblationKind",
    "check_ablation",
    "check_replaces",
    "make_ablation",
]
