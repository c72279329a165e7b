"""Evidence about circuits beside their curve: needed, minimal, better than chance, found again.

One file per kind, chosen by `evidence=`, registered in `EVIDENCE`. No kind runs a model itself: it asks
its `Subject` for the values of circuits, so that this folder loads no torch.
"""

from harness_circuits.evidence.kinds import (
    EVIDENCE,
    Kind,
    chosen_kinds,
    gather,
    groups,
    summary_lines,
)
from harness_circuits.evidence.subject import Point, Subject
from harness_circuits.registry import import_all

import_all(__name__, __path__)  # every file that registers a kind

__all__ = [
    "EVIDENCE",
    "Kind",
    "Point",
    "Subject",
    "chosen_kinds",
    "gather",
    "groups",
    "summary_lines",
]
