"""Our scores are those of TransformerLens' own patching, an independent implementation."""

from __future__ import annotations

import sys

from environments import ROOT

sys.path.insert(0, str(ROOT))
from benchmarks.cases import CASES
from benchmarks.peers import Peers, compared


def test_attribution_and_activation_patching_have_transformer_lens_numbers() -> None:
    differences = compared(Peers(CASES["peers-small"]))
    assert len(differences) == 3
    assert max(differences.values()) < 1e-4  # of the largest score; float32, a metric of two logits
